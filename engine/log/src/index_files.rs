use sillon_record::Offset;

use crate::cursor::{Cursor, CutShort};
use crate::index::{IndexEntry, SegmentIndex};

/// Length of an entry of an `.index` file, in bytes.
const OFFSET_ENTRY_BYTES: usize = 8;
/// Length of an entry of a `.timeindex` file, in bytes.
const TIME_ENTRY_BYTES: usize = 12;
/// Kafka's "no timestamp".
const NO_TIMESTAMP_MS: i64 = -1;

/// The bytes of Kafka's `.index` file: for each entry, i32 last offset of a batch relative to the
/// segment's base offset, and i32 position of that batch in bytes, big-endian.
pub fn encode_offset_index(entries: &[IndexEntry]) -> Vec<u8> {
    let mut file = Vec::with_capacity(entries.len() * OFFSET_ENTRY_BYTES);
    // Kafka has no entry for the batch at position 0 either.
    for entry in entries.iter().filter(|entry| entry.position > 0) {
        file.extend_from_slice(&entry.relative_offset.to_be_bytes());
        file.extend_from_slice(&entry.position.to_be_bytes());
    }
    file
}

/// The bytes of Kafka's `.timeindex` file: for each new maximum, i64 timestamp in ms and i32 last
/// offset, relative to the base offset, of the batch that has it, big-endian. As in Kafka the
/// last entry is the largest timestamp of the whole segment.
pub fn encode_time_index(index: &SegmentIndex) -> Vec<u8> {
    let mut file = Vec::with_capacity((index.entries().len() + 1) * TIME_ENTRY_BYTES);
    let mut newest_ms = NO_TIMESTAMP_MS;
    for entry in index.entries().iter().chain(index.last()) {
        if entry.max_timestamp_ms > newest_ms {
            newest_ms = entry.max_timestamp_ms;
            file.extend_from_slice(&newest_ms.to_be_bytes());
            file.extend_from_slice(&entry.max_timestamp_offset.to_be_bytes());
        }
    }
    file
}

/// The index of a closed segment, from its two files.
///
/// # Errors
/// The files are not what Kafka or [`encode_offset_index`] and [`encode_time_index`] write. They
/// carry no checksum, so this is all that can be seen: after a crash, make them again from the
/// log.
pub fn decode_offset_index(
    base: Offset,
    offset_index: &[u8],
    time_index: &[u8],
) -> Result<SegmentIndex, IndexFileError> {
    whole_entries(".index", offset_index, OFFSET_ENTRY_BYTES)?;
    whole_entries(".timeindex", time_index, TIME_ENTRY_BYTES)?;
    let mut index = SegmentIndex::new(base);
    let mut times = Times::new(time_index);
    let mut offsets = Cursor::new(offset_index);
    let mut before: Option<(u32, u32)> = None;
    while offsets.remaining() > 0 {
        let at = offsets.at();
        let (relative_offset, position) = (offsets.u32()?, offsets.u32()?);
        let ascends =
            before.is_none_or(|(offset, place)| offset < relative_offset && place < position);
        if !ascends || !is_i32(relative_offset) || !is_i32(position) {
            return Err(IndexFileError::Order { file: ".index", at });
        }
        before = Some((relative_offset, position));
        let (max_timestamp_ms, max_timestamp_offset) = times.up_to(relative_offset)?;
        index.push(IndexEntry {
            relative_offset,
            position,
            max_timestamp_ms,
            max_timestamp_offset,
        });
    }
    let (max_timestamp_ms, max_timestamp_offset) = times.up_to(u32::MAX)?;
    let (relative_offset, position) = before.unwrap_or((0, 0));
    if !offset_index.is_empty() || !time_index.is_empty() {
        index.set_last(IndexEntry {
            relative_offset,
            position,
            max_timestamp_ms,
            max_timestamp_offset,
        });
    }
    Ok(index)
}

fn whole_entries(file: &'static str, bytes: &[u8], entry: usize) -> Result<(), IndexFileError> {
    match bytes.len() % entry {
        0 => Ok(()),
        _ => Err(IndexFileError::Length {
            file,
            len: bytes.len(),
            entry,
        }),
    }
}

fn is_i32(value: u32) -> bool {
    value <= i32::MAX as u32
}

/// Walks a `.timeindex` file along with the offsets.
struct Times<'a> {
    cursor: Cursor<'a>,
    reached: (i64, u32),
    next: Option<(i64, u32)>,
}

impl Times<'_> {
    fn new(file: &[u8]) -> Times<'_> {
        Times {
            cursor: Cursor::new(file),
            reached: (NO_TIMESTAMP_MS, 0),
            next: None,
        }
    }

    /// The largest timestamp up to and including the batch that ends at `relative_offset`, and
    /// the last offset of the batch that has it.
    fn up_to(&mut self, relative_offset: u32) -> Result<(i64, u32), IndexFileError> {
        loop {
            if self.next.is_none() {
                self.next = self.read()?;
            }
            match self.next {
                Some(next) if next.1 <= relative_offset => {
                    self.reached = next;
                    self.next = None;
                }
                _ => return Ok(self.reached),
            }
        }
    }

    fn read(&mut self) -> Result<Option<(i64, u32)>, IndexFileError> {
        if self.cursor.remaining() == 0 {
            return Ok(None);
        }
        let at = self.cursor.at();
        let (timestamp_ms, offset) = (self.cursor.i64()?, self.cursor.u32()?);
        let ascends = timestamp_ms > self.reached.0 && offset >= self.reached.1;
        if !ascends || !is_i32(offset) {
            return Err(IndexFileError::Order {
                file: ".timeindex",
                at,
            });
        }
        Ok(Some((timestamp_ms, offset)))
    }
}

/// Index files that cannot be right. Make them again from the segment's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexFileError {
    /// Not a whole number of entries.
    #[error("the {file} file has {len} bytes, not a multiple of {entry}: make it again")]
    Length {
        /// Which file.
        file: &'static str,
        /// Its length, in bytes.
        len: usize,
        /// Length of an entry, in bytes.
        entry: usize,
    },
    /// An entry is not above the one before it, or negative.
    #[error("the entry at byte {at} of the {file} file does not ascend: make the file again")]
    Order {
        /// Which file.
        file: &'static str,
        /// Where the entry begins, in bytes.
        at: usize,
    },
    /// The file ends in the middle of an entry.
    #[error(transparent)]
    CutShort(#[from] CutShort),
}

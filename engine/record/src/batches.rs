use crate::batch::{BATCH_HEADER_BYTES, BatchInfo, UnknownCodec};
use crate::header::{BatchHeader, MAGIC_V2, checksum};

/// Splits a region of log (a segment, a journal entry, a Fetch answer) into its whole batches, in
/// order. Ends at the end of the region, or with one error at the first place that holds no whole
/// batch. Records are not walked; checksums are on request.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    region: &'a [u8],
    position: usize,
    crcs_are_checked: bool,
    is_done: bool,
}

/// One whole batch of a region.
#[derive(Clone, Copy, Debug)]
pub struct BatchView<'a> {
    /// Its header, in place.
    pub header: &'a BatchHeader,
    /// All of it, header included.
    pub bytes: &'a [u8],
    /// Where it begins in the region, in bytes.
    pub position: usize,
    info: BatchInfo,
}

impl BatchView<'_> {
    /// What its header says.
    pub fn info(&self) -> BatchInfo {
        self.info
    }
}

/// Why the batches of a region end before the region does. `position` counts bytes from the
/// region's beginning: everything before it is whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchesError {
    /// The rest is zeros: the preallocated tail of an open segment.
    #[error("only zeros from byte {position} on")]
    Zeros {
        /// Where the zeros begin.
        position: usize,
    },
    /// The region ends within a batch: a write that was cut short, or a Fetch answer's last piece.
    #[error("the batch at byte {position} needs {needed} bytes and the region has {available}")]
    Torn {
        /// Where the batch begins.
        position: usize,
        /// Bytes that the batch needs, as far as known.
        needed: usize,
        /// Bytes from `position` to the end of the region.
        available: usize,
    },
    /// The length field cannot be that of a batch.
    #[error("batchLength {length} at byte {position} is below 49, the rest of a header")]
    Length {
        /// Where the batch begins.
        position: usize,
        /// The field.
        length: i32,
    },
    /// Not a record batch v2.
    #[error("magic {magic} at byte {position}, only 2 is stored")]
    Magic {
        /// Where the batch begins.
        position: usize,
        /// The field.
        magic: i8,
    },
    /// The attributes name no known codec.
    #[error("batch at byte {position}: {codec}")]
    Codec {
        /// Where the batch begins.
        position: usize,
        /// What they name.
        codec: UnknownCodec,
    },
    /// The checksum does not match.
    #[error(
        "batch at byte {position} says CRC-32C {stored:#010x}, its bytes have {computed:#010x}"
    )]
    Crc {
        /// Where the batch begins.
        position: usize,
        /// The header's.
        stored: u32,
        /// That of the bytes.
        computed: u32,
    },
}

impl<'a> Batches<'a> {
    /// Batches from the beginning of `region` on.
    pub fn new(region: &'a [u8]) -> Batches<'a> {
        Batches {
            region,
            position: 0,
            crcs_are_checked: false,
            is_done: false,
        }
    }

    /// Also checks every checksum.
    pub fn checking_crcs(mut self) -> Batches<'a> {
        self.crcs_are_checked = true;
        self
    }

    /// Bytes of whole batches so far: where the next one begins.
    pub fn position(&self) -> usize {
        self.position
    }

    fn next_batch(&mut self) -> Result<BatchView<'a>, BatchesError> {
        let position = self.position;
        let rest = &self.region[position..];
        let torn = |needed| BatchesError::Torn {
            position,
            needed,
            available: rest.len(),
        };
        // A batch never begins with this many zeros (its length is not 0), so the cost of looking
        // at all the rest is paid once.
        if rest.iter().take(BATCH_HEADER_BYTES).all(|byte| *byte == 0)
            && rest.iter().all(|byte| *byte == 0)
        {
            return Err(BatchesError::Zeros { position });
        }
        let header = BatchHeader::peek(rest).ok_or_else(|| torn(BATCH_HEADER_BYTES))?;
        let size = header.size_bytes().ok_or(BatchesError::Length {
            position,
            length: header.batch_length(),
        })?;
        if header.magic() != MAGIC_V2 {
            return Err(BatchesError::Magic {
                position,
                magic: header.magic(),
            });
        }
        let bytes = rest
            .get(..size as usize)
            .ok_or_else(|| torn(size as usize))?;
        if self.crcs_are_checked {
            let computed = checksum(bytes);
            if computed != header.crc() {
                return Err(BatchesError::Crc {
                    position,
                    stored: header.crc(),
                    computed,
                });
            }
        }
        let info =
            BatchInfo::of(header).map_err(|codec| BatchesError::Codec { position, codec })?;
        self.position += bytes.len();
        Ok(BatchView {
            header,
            bytes,
            position,
            info,
        })
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchesError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done || self.position == self.region.len() {
            return None;
        }
        let batch = self.next_batch();
        self.is_done = batch.is_err();
        Some(batch)
    }
}

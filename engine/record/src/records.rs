use crate::Offset;
use crate::batch::{BATCH_HEADER_BYTES, Compression, UnknownCodec};
use crate::decompress::{DecompressError, Scratch};
use crate::header::{BatchHeader, TimestampType};
use crate::record::{Memory, RawRecord, RecordFault, read_header, read_record};

/// The records of one stored batch, in order. Ends after the last, or with one error.
///
/// Compacted batches have gaps between their offsets; control batches have records as well, which
/// are not for applications ([`BatchHeader::is_control`]).
#[derive(Clone, Debug)]
pub struct Records<'a> {
    header: &'a BatchHeader,
    memory: Memory<'a>,
    index: i32,
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its timestamp in ms since the Unix epoch: the batch's under LogAppendTime, else the
    /// producer's; -1 when none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers, in order, duplicates included.
    pub headers: Headers<'a>,
}

/// The headers of a record.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    memory: Memory<'a>,
    count: i32,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name: UTF-8 by convention, not checked.
    pub key: &'a [u8],
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// Why the records of a batch cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// Fewer bytes than a header.
    #[error("{available} bytes are no batch")]
    Torn {
        /// Bytes given.
        available: usize,
    },
    /// The codec is unknown.
    #[error(transparent)]
    Codec(#[from] UnknownCodec),
    /// The records do not decompress within the limit.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// A record is malformed.
    #[error("record {index}: {fault}")]
    Record {
        /// Counted from 0.
        index: i32,
        /// What is wrong with it.
        fault: RecordFault,
    },
}

impl<'a> Records<'a> {
    /// The records of `batch`, one whole batch as [`crate::Batches`] gives it. Compressed records
    /// are decompressed into `buffer`, which is cleared first and grows to at most
    /// `decompressed_bytes_max`.
    ///
    /// # Errors
    /// The header is incomplete, or the records do not decompress.
    pub fn of(
        batch: &'a [u8],
        buffer: &'a mut Vec<u8>,
        decompressed_bytes_max: u64,
        scratch: &mut Scratch,
    ) -> Result<Records<'a>, RecordsError> {
        let header = BatchHeader::peek(batch).ok_or(RecordsError::Torn {
            available: batch.len(),
        })?;
        let payload = &batch[BATCH_HEADER_BYTES..];
        let bytes = match header.compression()? {
            Compression::None => payload,
            compression => {
                let result = decompress(
                    compression,
                    payload,
                    buffer,
                    decompressed_bytes_max,
                    scratch,
                );
                scratch.trim();
                result?;
                buffer.as_slice()
            }
        };
        Ok(Records {
            header,
            memory: Memory::new(bytes),
            index: 0,
        })
    }

    /// The batch's header.
    pub fn header(&self) -> &'a BatchHeader {
        self.header
    }

    /// Where the next record begins among all records, decompressed, in bytes.
    pub(crate) fn position(&self) -> usize {
        self.memory.position
    }

    /// All records as they are laid out, decompressed.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.memory.bytes
    }

    fn record(&self, raw: &RawRecord<&'a [u8]>) -> Record<'a> {
        let base = self.header.base_offset().0;
        let (begin, end) = raw.headers_at;
        Record {
            offset: Offset(base.wrapping_add(i64::from(raw.offset_delta))),
            timestamp_ms: match self.header.timestamp_type() {
                TimestampType::CreateTime => self
                    .header
                    .base_timestamp_ms()
                    .wrapping_add(raw.timestamp_delta),
                TimestampType::LogAppendTime => self.header.max_timestamp_ms(),
            },
            key: raw.key,
            value: raw.value,
            headers: Headers {
                memory: Memory::new(&self.memory.bytes[begin as usize..end as usize]),
                count: raw.headers_count,
            },
        }
    }
}

fn decompress(
    compression: Compression,
    payload: &[u8],
    buffer: &mut Vec<u8>,
    limit_bytes: u64,
    scratch: &mut Scratch,
) -> Result<(), DecompressError> {
    buffer.clear();
    let (window, mut decompressor) = scratch.open(compression, payload, limit_bytes)?;
    loop {
        match decompressor.read(window)? {
            0 => return Ok(()),
            count => buffer.extend_from_slice(&window[..count]),
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.header.records_count() {
            return None;
        }
        let index = self.index;
        match read_record(&mut self.memory) {
            Ok(raw) => {
                self.index += 1;
                Some(Ok(self.record(&raw)))
            }
            Err(fault) => {
                self.index = i32::MAX;
                Some(Err(RecordsError::Record { index, fault }))
            }
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1).filter(|count| *count >= 0)?;
        let end = self.memory.bytes.len() as u64;
        let (key, value) = read_header(&mut self.memory, end)
            .expect("headers were walked when their record was read");
        Some(Header { key, value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = self.count.max(0) as usize;
        (count, Some(count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

//! One record of a batch, read from memory or from a decompressor by the same code.

use crate::decompress::{DecompressError, Decompressor};
use crate::varint;

/// What is wrong with the layout of a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// The batch ends within the record.
    #[error("the batch ends within it")]
    Ends,
    /// A variable-length integer that does not fit its type.
    #[error("a varint is longer than its type allows")]
    Varint,
    /// A length that is negative (and not -1 where null is allowed), or beyond the record.
    #[error("a length of {length} in it is impossible")]
    Length {
        /// The length.
        length: i32,
    },
    /// The record's own length is not that of its parts.
    #[error("it says {stated} bytes, its parts have {actual}")]
    Size {
        /// What the record says.
        stated: i32,
        /// What its parts take.
        actual: u64,
    },
    /// The compressed records do not decompress.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
}

/// Where a record's bytes come from.
pub(crate) trait Input {
    /// A run of bytes: borrowed where they stay in memory, nothing where they pass by.
    type Bytes: Copy;
    fn byte(&mut self) -> Result<u8, RecordFault>;
    fn take(&mut self, count: usize) -> Result<Self::Bytes, RecordFault>;
    /// Bytes read so far.
    fn position(&self) -> u64;
}

/// A record as laid out in a batch:
///
/// ```text
/// length varint | attributes i8 | timestampDelta varlong | offsetDelta varint
/// | keyLength varint (-1 null), key | valueLength varint (-1 null), value
/// | headersCount varint | headersCount x (keyLength varint, key, valueLength varint, value)
/// ```
#[derive(Clone, Copy)]
pub(crate) struct RawRecord<B> {
    pub timestamp_delta: i64,
    pub offset_delta: i32,
    pub key: Option<B>,
    pub value: Option<B>,
    pub headers_count: i32,
    /// Positions of the input between which the headers lie.
    pub headers_at: (u64, u64),
}

/// Reads the next record, headers included, and checks that its lengths are exact.
#[inline]
pub(crate) fn read_record<I: Input>(input: &mut I) -> Result<RawRecord<I::Bytes>, RecordFault> {
    let stated = varint32(input)?;
    if stated < 0 {
        return Err(RecordFault::Length { length: stated });
    }
    let begin = input.position();
    let end = begin + stated as u64;
    // Attributes: none is defined, and Kafka ignores them.
    input.byte()?;
    let timestamp_delta = varint64(input)?;
    let offset_delta = varint32(input)?;
    let key = nullable(input, end)?;
    let value = nullable(input, end)?;
    let headers_count = varint32(input)?;
    if headers_count < 0 {
        return Err(RecordFault::Length {
            length: headers_count,
        });
    }
    let headers_begin = input.position();
    for _ in 0..headers_count {
        let length = varint32(input)?;
        bytes(input, length, end)?;
        nullable(input, end)?;
    }
    if input.position() != end {
        let actual = input.position() - begin;
        return Err(RecordFault::Size { stated, actual });
    }
    Ok(RawRecord {
        timestamp_delta,
        offset_delta,
        key,
        value,
        headers_count,
        headers_at: (headers_begin, end),
    })
}

/// Reads the next header of a record that ends at `end`.
pub(crate) fn read_header<I: Input>(
    input: &mut I,
    end: u64,
) -> Result<(I::Bytes, Option<I::Bytes>), RecordFault> {
    let length = varint32(input)?;
    Ok((bytes(input, length, end)?, nullable(input, end)?))
}

#[inline]
fn nullable<I: Input>(input: &mut I, end: u64) -> Result<Option<I::Bytes>, RecordFault> {
    match varint32(input)? {
        -1 => Ok(None),
        length => bytes(input, length, end).map(Some),
    }
}

#[inline]
fn bytes<I: Input>(input: &mut I, length: i32, end: u64) -> Result<I::Bytes, RecordFault> {
    let left = end.saturating_sub(input.position());
    match usize::try_from(length) {
        Ok(count) if count as u64 <= left => input.take(count),
        _ => Err(RecordFault::Length { length }),
    }
}

#[inline(always)]
fn varint32<I: Input>(input: &mut I) -> Result<i32, RecordFault> {
    varint::read_i32(|| input.byte()).map_err(|fault| fault.unwrap_or(RecordFault::Varint))
}

#[inline(always)]
fn varint64<I: Input>(input: &mut I) -> Result<i64, RecordFault> {
    varint::read_i64(|| input.byte()).map_err(|fault| fault.unwrap_or(RecordFault::Varint))
}

/// Records in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<'a> {
    pub bytes: &'a [u8],
    pub position: usize,
}

impl<'a> Memory<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Memory<'a> {
        Memory { bytes, position: 0 }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }
}

impl<'a> Input for Memory<'a> {
    type Bytes = &'a [u8];

    #[inline(always)]
    fn byte(&mut self) -> Result<u8, RecordFault> {
        let byte = *self.bytes.get(self.position).ok_or(RecordFault::Ends)?;
        self.position += 1;
        Ok(byte)
    }

    #[inline(always)]
    fn take(&mut self, count: usize) -> Result<&'a [u8], RecordFault> {
        let rest = &self.bytes[self.position..];
        let taken = rest.get(..count).ok_or(RecordFault::Ends)?;
        self.position += count;
        Ok(taken)
    }

    #[inline(always)]
    fn position(&self) -> u64 {
        self.position as u64
    }
}

/// Records that pass through a window on their way out of a decompressor.
pub(crate) struct Stream<'a> {
    decompressor: Decompressor<'a>,
    window: &'a mut [u8],
    start: usize,
    end: usize,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(decompressor: Decompressor<'a>, window: &'a mut [u8]) -> Stream<'a> {
        Stream {
            decompressor,
            window,
            start: 0,
            end: 0,
        }
    }

    /// Whether every byte has been read and the compressed stream ends properly.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, DecompressError> {
        Ok(self.start == self.end && !self.refill()?)
    }

    fn refill(&mut self) -> Result<bool, DecompressError> {
        self.start = 0;
        // Zero first: should the read fail, nothing stale is in the window.
        self.end = 0;
        self.end = self.decompressor.read(self.window)?;
        Ok(self.end > 0)
    }
}

impl Input for Stream<'_> {
    type Bytes = ();

    #[inline]
    fn byte(&mut self) -> Result<u8, RecordFault> {
        if self.start == self.end && !self.refill()? {
            return Err(RecordFault::Ends);
        }
        let byte = self.window[self.start];
        self.start += 1;
        Ok(byte)
    }

    fn take(&mut self, mut count: usize) -> Result<(), RecordFault> {
        loop {
            let step = count.min(self.end - self.start);
            self.start += step;
            count -= step;
            if count == 0 {
                return Ok(());
            }
            if !self.refill()? {
                return Err(RecordFault::Ends);
            }
        }
    }

    fn position(&self) -> u64 {
        self.decompressor.produced_bytes() - (self.end - self.start) as u64
    }
}

//! Kafka's primitive types, in both encodings: the classic one, and the "flexible" one of KIP-482
//! (varint lengths, tagged fields at the end of every structure).

mod reader;
mod writer;

use std::ops::Range;

use bytes::Bytes;
use sillon_buffer::Slice;

pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// Longest string that Kafka reads or writes, in bytes: the classic encoding has 16 bits for it,
/// and Kafka holds the flexible one to the same.
pub(crate) const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Shared memory with a frame in it, parts of which are handed out without copying.
pub trait Frame: AsRef<[u8]> {
    /// The bytes of `range`, counted from the frame's start.
    ///
    /// # Panics
    /// When the range reaches beyond the frame.
    fn part(&self, range: Range<usize>) -> Self;
}

impl Frame for Slice {
    fn part(&self, range: Range<usize>) -> Slice {
        self.slice(range)
    }
}

impl Frame for Bytes {
    fn part(&self, range: Range<usize>) -> Bytes {
        self.slice(range)
    }
}

/// Why bytes are not what the protocol says. Positions count from the frame's start, behind its
/// length. The connection cannot go on: what follows in it is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The frame ends before its content does.
    #[error("byte {at}: {needed} bytes are needed, {left} are left")]
    Truncated {
        /// Where.
        at: usize,
        /// How many bytes the content names.
        needed: usize,
        /// How many there are.
        left: usize,
    },
    /// A length or count that this field cannot have: negative, null where null is not allowed,
    /// or beyond its limit.
    #[error("byte {at}: {length} is no length for {what}")]
    Length {
        /// Where.
        at: usize,
        /// The length; -1 is null.
        length: i64,
        /// Of what.
        what: &'static str,
    },
    /// A varint of more than 32 bits.
    #[error("byte {at}: a varint of more than 32 bits")]
    Varint {
        /// Where it begins.
        at: usize,
    },
    /// A string that is not UTF-8.
    #[error("byte {at}: a string that is not UTF-8")]
    Utf8 {
        /// Where it begins.
        at: usize,
    },
    /// Tagged fields that are not in increasing order.
    #[error("byte {at}: tagged field {tag} is out of order")]
    TagOrder {
        /// Where.
        at: usize,
        /// Which.
        tag: u32,
    },
    /// A tagged field whose content is shorter than its size says.
    #[error("byte {at}: tagged field {tag} is larger than its content")]
    TagSize {
        /// Where its content ends.
        at: usize,
        /// Which.
        tag: u32,
    },
    /// Bytes behind the end of the content.
    #[error("byte {at}: {left} bytes too many")]
    Trailing {
        /// Where the content ends.
        at: usize,
        /// How many bytes follow.
        left: usize,
    },
}

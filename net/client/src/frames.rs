use std::io::{self, Read};

use bytes::{Bytes, BytesMut};
use sillon_protocol::frame::{FRAME_BYTES_MAX, LENGTH_BYTES};

/// Read at once, in bytes: a few answers to Produce, or a fair part of one to Fetch.
const READ_BYTES: usize = 64 << 10;

/// Read at once while a large frame is incomplete, in bytes. What is reserved grows with what has
/// arrived, not with what was announced.
const LARGE_READ_BYTES: usize = 1 << 20;

/// Cuts a stream of bytes into frames. Frames share the memory that they were read into.
#[derive(Debug, Default)]
pub struct Frames {
    /// Bytes that have arrived and do not make a whole frame yet.
    buffer: BytesMut,
}

/// A frame whose length cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes; up to {FRAME_BYTES_MAX} are allowed")]
pub struct FrameLength(pub i64);

impl Frames {
    /// Nothing has arrived.
    pub fn new() -> Frames {
        Frames::default()
    }

    /// Reads once from `source`; returns how many bytes came, 0 at its end.
    pub fn read_from(&mut self, source: &mut impl Read) -> io::Result<usize> {
        let missing = self.missing_bytes();
        let room = missing.clamp(READ_BYTES, LARGE_READ_BYTES);
        let held = self.buffer.len();
        self.buffer.resize(held + room, 0);
        let read = source.read(&mut self.buffer[held..]);
        self.buffer
            .truncate(held + read.as_ref().copied().unwrap_or(0));
        read
    }

    /// The next whole frame, without its length; `None` while there is none.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameLength> {
        let Some(length) = self.announced() else {
            return Ok(None);
        };
        let length = match usize::try_from(length) {
            Ok(bytes) if bytes <= FRAME_BYTES_MAX => bytes,
            _ => return Err(FrameLength(i64::from(length))),
        };
        if self.buffer.len() < LENGTH_BYTES + length {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(LENGTH_BYTES + length).freeze();
        Ok(Some(frame.split_off(LENGTH_BYTES)))
    }

    fn announced(&self) -> Option<i32> {
        let prefix = self.buffer.first_chunk::<LENGTH_BYTES>()?;
        Some(i32::from_be_bytes(*prefix))
    }

    fn missing_bytes(&self) -> usize {
        let announced = self.announced().unwrap_or(0).max(0) as usize;
        (LENGTH_BYTES + announced).saturating_sub(self.buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_however_the_bytes_come_in() {
        let mut stream = Vec::new();
        for content in [&b"furrow"[..], b"", b"ploughed"] {
            stream.extend((content.len() as i32).to_be_bytes());
            stream.extend(content);
        }
        for step in [1, 2, 3, 7, stream.len()] {
            let mut frames = Frames::new();
            let mut found = Vec::new();
            for mut piece in stream.chunks(step) {
                while !piece.is_empty() {
                    frames.read_from(&mut piece).unwrap();
                }
                while let Some(frame) = frames.next_frame().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, [&b"furrow"[..], b"", b"ploughed"]);
        }
    }

    #[test]
    fn a_length_that_cannot_be_is_told() {
        for length in [-1, i32::MAX] {
            let mut frames = Frames::new();
            frames.read_from(&mut &length.to_be_bytes()[..]).unwrap();
            assert_eq!(frames.next_frame(), Err(FrameLength(i64::from(length))));
        }
    }
}

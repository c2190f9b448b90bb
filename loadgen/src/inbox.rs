//! Bytes that have arrived over a connection, and the frames that they make.

use std::io;
use std::os::fd::AsFd;

use rustix::buffer::spare_capacity;
use sillon_protocol::frame::{FRAME_BYTES_MAX, LENGTH_BYTES};

/// Room for what is read at once, in bytes: answers to Produce are small.
const READ_BYTES: usize = 64 << 10;

/// Bytes that have arrived and were not taken yet. Its memory is used again and never cleared.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// What is taken.
    from: usize,
}

impl Inbox {
    /// Reads once; returns how many bytes came, 0 at the end of the stream.
    pub fn read_from(&mut self, source: impl AsFd) -> io::Result<usize> {
        self.bytes.drain(..self.from);
        self.from = 0;
        self.bytes.reserve(READ_BYTES);
        Ok(rustix::io::read(source, spare_capacity(&mut self.bytes))?)
    }

    /// The next whole frame, without its length; `None` while there is none.
    ///
    /// # Errors
    /// The length is impossible.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, String> {
        let rest = &self.bytes[self.from..];
        let Some(prefix) = rest.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*prefix);
        let bytes = match usize::try_from(length) {
            Ok(bytes) if bytes <= FRAME_BYTES_MAX => bytes,
            _ => return Err(format!("a frame of {length} bytes")),
        };
        if rest.len() < LENGTH_BYTES + bytes {
            return Ok(None);
        }
        let start = self.from + LENGTH_BYTES;
        self.from = start + bytes;
        Ok(Some(&self.bytes[start..start + bytes]))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn frames_come_out_however_the_bytes_come_in() {
        let mut stream = Vec::new();
        for content in [&b"furrow"[..], b"", b"ploughed"] {
            stream.extend((content.len() as i32).to_be_bytes());
            stream.extend(content);
        }
        for step in [1, 3, 7, stream.len()] {
            let (mut writer, reader) = UnixStream::pair().unwrap();
            let mut inbox = Inbox::default();
            let mut found = Vec::new();
            for piece in stream.chunks(step) {
                writer.write_all(piece).unwrap();
                assert_eq!(inbox.read_from(&reader).unwrap(), piece.len());
                while let Some(frame) = inbox.next_frame().unwrap() {
                    found.push(frame.to_vec());
                }
            }
            assert_eq!(found, [&b"furrow"[..], b"", b"ploughed"]);
        }
    }

    #[test]
    fn an_impossible_length_is_told() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        writer.write_all(&(-1_i32).to_be_bytes()).unwrap();
        let mut inbox = Inbox::default();
        inbox.read_from(&reader).unwrap();
        assert!(inbox.next_frame().is_err());
    }
}

//! A blocking connection for fetches, whose answers are read into memory that is used again.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use sillon_protocol::frame::{FRAME_BYTES_MAX, LENGTH_BYTES};

use crate::socket;

/// One connection of a consumer.
#[derive(Debug)]
pub struct FetchLink {
    stream: TcpStream,
    out: BytesMut,
    /// Memory for answers; as long as the longest so far.
    spare: BytesMut,
    correlation_id: i32,
}

impl FetchLink {
    /// Connects and greets.
    pub fn open(address: &str) -> io::Result<FetchLink> {
        Ok(FetchLink {
            stream: socket::connect(address)?,
            out: BytesMut::new(),
            spare: BytesMut::new(),
            correlation_id: 0,
        })
    }

    /// Sends a request that `write` appends, given its correlation id, and waits for the answer's
    /// frame.
    pub fn call(&mut self, write: impl FnOnce(&mut BytesMut, i32)) -> io::Result<Bytes> {
        self.correlation_id = self.correlation_id.wrapping_add(1) & i32::MAX;
        self.out.clear();
        write(&mut self.out, self.correlation_id);
        self.stream.write_all(&self.out)?;
        let mut length = [0; LENGTH_BYTES];
        self.stream.read_exact(&mut length)?;
        let length = i32::from_be_bytes(length);
        let length = match usize::try_from(length) {
            Ok(length) if (LENGTH_BYTES..=FRAME_BYTES_MAX).contains(&length) => length,
            _ => return Err(invalid(format!("an answer of {length} bytes"))),
        };
        if self.spare.len() < length {
            self.spare.resize(length, 0);
        }
        self.stream.read_exact(&mut self.spare[..length])?;
        let id = i32::from_be_bytes(self.spare[..4].try_into().expect("4 bytes"));
        if id != self.correlation_id {
            return Err(invalid("an answer to another request".to_string()));
        }
        let whole = std::mem::take(&mut self.spare).freeze();
        Ok(whole.slice(..length))
    }

    /// Takes the memory of an answer back, of which nothing may be held any more.
    pub fn give_back(&mut self, frame: Bytes) {
        self.spare = frame.try_into_mut().unwrap_or_default();
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

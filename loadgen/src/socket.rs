//! Connections of the generator's own: bare sockets that have said hello.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::BytesMut;
use sillon_protocol::frame::LENGTH_BYTES;
use sillon_protocol::message::{ApiVersionsRequest, encode_request};

/// What the generator calls itself.
pub const CLIENT_ID: &str = "sillon-bench";

/// How long a broker may take to greet, and to answer a fetch beyond its wait.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer to a greeting that is read, in bytes.
const GREETING_BYTES_MAX: usize = 1 << 20;

/// A blocking connection over which a first, valid request has gone: a broker may hold newcomers
/// to smaller frames than everybody else.
pub fn connect(address: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let mut out = BytesMut::new();
    // Version 0 is understood by everybody.
    let request = ApiVersionsRequest::default();
    encode_request(&mut out, 0, 0, Some(CLIENT_ID), &request).map_err(io::Error::other)?;
    stream.write_all(&out)?;
    let mut length = [0; LENGTH_BYTES];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > GREETING_BYTES_MAX {
        let what = format!("{address} answers a greeting with a frame of {length} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(stream)
}

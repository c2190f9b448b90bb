//! The sockets and files of connections: everything that needs a raw descriptor.
#![allow(unsafe_code)]

mod files;
mod socket;

pub(crate) use files::{bring_in, is_resident, open_segment, read_piece, send_file};
pub(crate) use socket::Socket;

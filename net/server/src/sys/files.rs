use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Advice, fadvise, sendfile};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, retry_on_intr};

use super::Socket;

/// Opens a segment for readers. Without read-ahead: 8 MiB of it would fill the page cache with
/// zeros that the writer, who goes past the cache, has not overwritten yet.
pub(crate) fn open_segment(path: &Path) -> io::Result<OwnedFd> {
    let file = File::open(path)?;
    fadvise(&file, 0, None, Advice::Random)?;
    Ok(file.into())
}

/// Whether both ends of a range of at least one byte are in the page cache. (It is brought in
/// as a whole, so its middle is too, nearly always.)
pub(crate) fn is_resident(file: impl AsFd, position: u64, len: u64) -> bool {
    let is_there = |position: u64| {
        let mut byte = [0];
        let mut room = [IoSliceMut::new(&mut byte)];
        match preadv2(file.as_fd(), &mut room, position, ReadWriteFlags::NOWAIT) {
            Ok(_) => true,
            // A file system without RWF_NOWAIT: it cannot be known, and waiting would not end.
            Err(error) => error == Errno::OPNOTSUPP,
        }
    };
    is_there(position) && is_there(position + len - 1)
}

/// Brings a range into the page cache. Blocks.
pub(crate) fn bring_in(file: impl AsFd, position: u64, len: u64) -> io::Result<()> {
    // The device is asked for all of it at once. It is only advice, so that what follows makes
    // sure, and waits, through memory that does not leave the core's cache.
    let _ = fadvise(&file, position, NonZeroU64::new(len), Advice::WillNeed);
    let mut scratch = [0; 16 << 10];
    let (mut position, end) = (position, position + len);
    while position < end {
        let wanted = scratch.len().min((end - position) as usize);
        match retry_on_intr(|| pread(&file, &mut scratch[..wanted], position))? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => position += read as u64,
        }
    }
    Ok(())
}

/// Reads a range. Blocks when it is not in the page cache.
pub(crate) fn read_piece(file: impl AsFd, position: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let file = File::from(file.as_fd().try_clone_to_owned()?);
    file.read_exact_at(&mut bytes, position)?;
    Ok(bytes)
}

/// Sends up to `len` bytes of `file` from `position` on; `WouldBlock` when the socket is full.
pub(crate) fn send_file(
    socket: &Socket,
    file: impl AsFd,
    position: u64,
    len: u64,
) -> io::Result<usize> {
    let mut position = position;
    match sendfile(socket, file, Some(&mut position), len as usize)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        sent => Ok(sent),
    }
}

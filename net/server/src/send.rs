use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sillon_shard::{Extent, SegmentFile};

use crate::helper::Helpers;
use crate::limits::{COLD_PIECE_BYTES, PIECES_MAX, RESUME_BYTES, TURN_BYTES};
use crate::reply::Piece;
use crate::sys::{Socket, bring_in, is_resident, open_segment, read_piece, send_file};

/// Reads segment files away from the shards' threads.
#[derive(Clone)]
pub(crate) struct ColdReader {
    data_dir: Arc<PathBuf>,
    helpers: Helpers,
}

impl ColdReader {
    pub(crate) fn new(data_dir: PathBuf, helpers: Helpers) -> ColdReader {
        ColdReader {
            data_dir: Arc::new(data_dir),
            helpers,
        }
    }

    /// Opens a segment unless a reader has done so before.
    pub(crate) async fn open(&self, segment: &Arc<SegmentFile>) -> io::Result<()> {
        if segment.descriptor.get().is_some() {
            return Ok(());
        }
        let (data_dir, wanted) = (self.data_dir.clone(), segment.clone());
        let opened = self.helpers.run(move || open_any(&data_dir, &wanted)).await;
        let descriptor = opened.map_err(io::Error::other)??;
        // Another core may have been faster; then this descriptor is closed again.
        let _ = segment.descriptor.set(descriptor);
        Ok(())
    }

    /// Brings a range into the page cache.
    async fn bring_in(&self, segment: Arc<SegmentFile>, position: u64, len: u64) -> io::Result<()> {
        let read = move || {
            let file = segment.descriptor.get().ok_or(io::ErrorKind::NotFound)?;
            bring_in(file, position, len)
        };
        self.helpers.run(read).await.map_err(io::Error::other)?
    }
}

/// Opens a segment's file, whatever its name is at the moment.
fn open_any(data_dir: &Path, segment: &SegmentFile) -> io::Result<OwnedFd> {
    let mut opened = Err(io::ErrorKind::NotFound.into());
    for path in segment.paths() {
        opened = open_segment(&data_dir.join(&**path));
        let is_elsewhere = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        if !opened.as_ref().is_err_and(is_elsewhere) {
            break;
        }
    }
    opened
}

/// Sends pieces in order and empties `pieces`. `turn` lets other tasks of the core go on;
/// `progress` is called whenever the client has taken something.
pub(crate) async fn send<T: Future<Output = ()>>(
    socket: &Socket,
    pieces: &mut VecDeque<Piece>,
    cold: &ColdReader,
    progress: impl Fn(),
    turn: impl Fn() -> T,
) -> io::Result<()> {
    let mut since_turn = 0;
    while let Some(front) = pieces.front_mut() {
        let sent = match front {
            Piece::Records(Extent::File {
                segment,
                position,
                len,
            }) => {
                let sent = send_from_file(socket, cold, segment, *position, *len).await?;
                *position += sent as u64;
                *len -= sent as u64;
                if *len == 0 {
                    pieces.pop_front();
                }
                sent
            }
            _ => {
                let sent = send_from_memory(socket, pieces).await?;
                advance(pieces, sent);
                sent
            }
        };
        progress();
        since_turn += sent;
        if since_turn >= TURN_BYTES {
            since_turn = 0;
            turn().await;
        }
    }
    Ok(())
}

/// Sends some of the pieces that begin the queue and are in memory.
async fn send_from_memory(socket: &Socket, pieces: &VecDeque<Piece>) -> io::Result<usize> {
    let (first, sent) = {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (slot, bytes) in slices
            .iter_mut()
            .zip(pieces.iter().map_while(Piece::in_memory))
        {
            *slot = IoSlice::new(bytes);
            count += 1;
        }
        let first = pieces
            .front()
            .and_then(Piece::in_memory)
            .unwrap_or_default();
        (
            first,
            socket.try_write(&slices[..count], count < pieces.len()),
        )
    };
    match sent {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let offered = &first[..first.len().min(RESUME_BYTES)];
            socket.write_when_possible(offered).await
        }
        sent => sent,
    }
}

/// Drops the first `sent` bytes of the queue, and pieces of no bytes at its front.
fn advance(pieces: &mut VecDeque<Piece>, mut sent: usize) {
    while let Some(front) = pieces.front_mut() {
        let len = front.len_bytes();
        if sent < len {
            match front {
                Piece::Bytes(bytes) => bytes::Buf::advance(bytes, sent),
                Piece::Records(Extent::Memory(slice)) => *slice = slice.slice(sent..len),
                Piece::Records(Extent::File { .. }) => {
                    assert_eq!(sent, 0, "files are sent on their own");
                }
            }
            return;
        }
        sent -= len;
        pieces.pop_front();
    }
}

/// Sends some of a range of a file: at most to the end of its piece, which is brought into the
/// page cache first when it is not there. (sendfile of what is not would stall the core.)
async fn send_from_file(
    socket: &Socket,
    cold: &ColdReader,
    segment: &Arc<SegmentFile>,
    position: u64,
    len: u64,
) -> io::Result<usize> {
    let file = segment.descriptor.get().ok_or(io::ErrorKind::NotFound)?;
    let piece = len.min(COLD_PIECE_BYTES - position % COLD_PIECE_BYTES);
    if !is_resident(file, position, piece) {
        let brought = cold.bring_in(segment.clone(), position, piece).await;
        brought.map_err(|error| unreadable(segment, position, error))?;
    }
    match send_file(socket, file, position, piece) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let offered = read_piece(file, position, piece.min(RESUME_BYTES as u64) as usize);
            let offered = offered.map_err(|error| unreadable(segment, position, error))?;
            socket.write_when_possible(&offered).await
        }
        Err(error) if is_of_file(&error) => Err(unreadable(segment, position, error)),
        sent => sent,
    }
}

/// What a file fails with, and a socket does not.
fn is_of_file(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
        || error.kind() == io::ErrorKind::UnexpectedEof
}

/// The answer has begun and cannot be finished: only the connection's end tells the client. Its
/// next fetch is answered with an error for this partition alone.
fn unreadable(segment: &SegmentFile, position: u64, error: io::Error) -> io::Error {
    if !segment.is_unreadable.swap(true, Ordering::Relaxed) {
        tracing::error!(%error, path = &*segment.path, position, "a segment cannot be read");
    }
    error
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sillon_buffer::Slice;

    use super::*;

    #[test]
    fn what_is_sent_leaves_the_queue_to_the_byte() {
        let bytes = |text: &'static str| Piece::Bytes(Bytes::from_static(text.as_bytes()));
        let records = Piece::Records(Extent::Memory(Slice::copy_of(b"records")));
        let whole = b"headrecordstail";
        for sent in 0..=whole.len() {
            let mut pieces = VecDeque::from([bytes("head"), records.clone(), bytes("tail")]);
            advance(&mut pieces, sent);
            let left: Vec<u8> = pieces
                .iter()
                .filter_map(Piece::in_memory)
                .flatten()
                .copied()
                .collect();
            assert_eq!(left, whole[sent..], "{sent}");
            assert!(pieces.front().is_none_or(|piece| piece.len_bytes() > 0));
        }
    }
}

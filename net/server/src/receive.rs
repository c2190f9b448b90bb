use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use glommio::sync::{Semaphore, StaticPermit};
use sillon_buffer::{ChunkWriter, Pool, Slice};
use sillon_protocol::frame::{self, HeaderError, LENGTH_BYTES};

use crate::limits::{RECEIVE_CHUNK_BYTES, RECEIVE_ROOM_MIN_BYTES};
use crate::sys::Socket;

/// A frame without its length, and the memory that it takes out of the shard's budget. Whoever
/// keeps the frame's bytes keeps the permit.
pub(crate) struct Received {
    pub frame: Slice,
    pub permit: StaticPermit,
}

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The client has closed the connection.
    #[error("closed by the client")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] io::Error),
    /// The next frame is refused.
    #[error("{0}")]
    Refused(#[from] HeaderError),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// The memory that the frames of one shard's connections may take.
pub(crate) struct ReceiveBudget {
    bytes: u64,
    free: Rc<Semaphore>,
}

impl ReceiveBudget {
    pub(crate) fn new(bytes: u64) -> ReceiveBudget {
        ReceiveBudget {
            bytes,
            free: Rc::new(Semaphore::new(bytes)),
        }
    }

    /// Waits until there is room for a frame, first come first served. One that is larger than
    /// all of the budget gets all of it.
    async fn acquire(&self, len: usize) -> Result<StaticPermit, ReceiveError> {
        let units = (len as u64).min(self.bytes);
        let permit = self.free.acquire_static_permit(units).await;
        permit.map_err(|_| ReceiveError::Stopping)
    }
}

/// Reads one connection's frames. A frame that came whole in one read is not copied, and no memory
/// is held while nothing is to be read.
#[derive(Default)]
pub(crate) struct FrameReader {
    /// The bytes behind what is published, up to `filled`, are read and not yet a frame.
    chunk: Option<ChunkWriter>,
    filled: usize,
}

impl FrameReader {
    /// The next frame. `first`: the connection has not sent a valid request yet. `progress` is
    /// called before every wait, with whether the client owes the rest of a frame.
    pub(crate) async fn next(
        &mut self,
        socket: &Socket,
        pool: &Pool,
        budget: &ReceiveBudget,
        first: bool,
        progress: impl Fn(bool),
    ) -> Result<Received, ReceiveError> {
        let len = loop {
            if let Some(len) = self.frame_len(first)? {
                break len;
            }
            self.make_room(pool, self.filled + RECEIVE_ROOM_MIN_BYTES);
            progress(self.filled > 0);
            self.read(socket, pool).await?;
        };
        progress(false);
        let permit = budget.acquire(len).await?;
        let total = LENGTH_BYTES + len;
        while self.filled < total {
            self.make_room(pool, total);
            progress(true);
            self.read(socket, pool).await?;
        }
        let chunk = self.chunk.as_mut().expect("the frame is in it");
        self.filled -= total;
        let frame = chunk.publish(total).slice(LENGTH_BYTES..total);
        Ok(Received { frame, permit })
    }

    /// The length of the frame that begins, checked before anything is reserved for it.
    fn frame_len(&mut self, first: bool) -> Result<Option<usize>, ReceiveError> {
        let Some(chunk) = &mut self.chunk else {
            return Ok(None);
        };
        let bytes = &chunk.spare_mut()[..self.filled];
        let Some((prefix, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let len = frame::check_length(*prefix, first)?;
        let Some(start) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        frame::check_length_of_api(len, *start, first)?;
        Ok(Some(len))
    }

    /// Sees to it that `needed` bytes fit behind what is published; `filled` of them are there.
    fn make_room(&mut self, pool: &Pool, needed: usize) {
        let Some(chunk) = &mut self.chunk else {
            return;
        };
        if chunk.remaining() >= needed {
            return;
        }
        let mut larger = pool.chunk(needed.max(RECEIVE_CHUNK_BYTES));
        let read = &chunk.spare_mut()[..self.filled];
        larger.spare_mut()[..self.filled].copy_from_slice(read);
        self.chunk = Some(larger);
    }

    async fn read(&mut self, socket: &Socket, pool: &Pool) -> Result<(), ReceiveError> {
        let (chunk, filled) = (&mut self.chunk, &mut self.filled);
        let count = poll_fn(|context| {
            let writer = chunk.get_or_insert_with(|| pool.chunk(RECEIVE_CHUNK_BYTES));
            let polled = socket.poll_read(context, &mut writer.spare_mut()[*filled..]);
            if polled.is_pending() && *filled == 0 {
                *chunk = None;
            }
            polled
        });
        match count.await? {
            0 => Err(ReceiveError::Closed),
            count => {
                *filled += count;
                Ok(())
            }
        }
    }
}

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use glommio::sync::{Semaphore, StaticPermit};
use sillon_buffer::{ChunkWriter, Pool, Slice};
use sillon_protocol::frame::{self, HeaderError, LENGTH_BYTES};

use crate::limits::{
    LOOSE_SHARE, RECEIVE_CHUNK_BYTES, RECEIVE_ROOM_MIN_BYTES, USUAL_FRAME_BYTES_MAX,
};
use crate::sys::Socket;

/// A frame without its length, and the memory that it takes out of the shard's budget. Whoever
/// keeps the frame's bytes keeps the permit.
pub(crate) struct Received {
    pub frame: Slice,
    pub permit: StaticPermit,
}

/// What the client has begun to send when it is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// No frame: it is idle.
    Nothing,
    /// A frame whose length is not known yet.
    Start,
    /// A frame of so many bytes, for which memory is held.
    Rest(usize),
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

/// The memory that the frames of one shard's connections may take, in two halves: frames of the
/// usual size never wait for a huge one whose client is slow to send it.
pub(crate) struct ReceiveBudget {
    usual: Half,
    large: Half,
    loose: Rc<Loose>,
}

/// What tells a frame's length and its API, in bytes.
const FRAME_START_BYTES: usize = LENGTH_BYTES + 4;

/// Memory of connections whose frame has begun and is not in the budget yet: the client has not
/// sent its length, or it waits for room.
struct Loose {
    bytes: Cell<u64>,
    /// From here on connections begin with small chunks.
    bytes_max: u64,
}

/// A connection's part of [`Loose`].
struct LoosePart {
    all: Rc<Loose>,
    bytes: u64,
}

impl LoosePart {
    fn set(&mut self, bytes: u64) {
        self.all
            .bytes
            .set(self.all.bytes.get() - self.bytes + bytes);
        self.bytes = bytes;
    }

    fn is_short(&self) -> bool {
        self.all.bytes.get() >= self.all.bytes_max
    }

    /// What to read into, in bytes, when nothing is known of the next frame.
    fn chunk_bytes(&self) -> usize {
        match self.is_short() {
            true => RECEIVE_ROOM_MIN_BYTES,
            false => RECEIVE_CHUNK_BYTES,
        }
    }
}

impl Drop for LoosePart {
    fn drop(&mut self) {
        self.set(0);
    }
}

struct Half {
    bytes: u64,
    free: Rc<Semaphore>,
}

impl Half {
    fn new(bytes: u64) -> Half {
        let bytes = bytes.max(1);
        Half {
            bytes,
            free: Rc::new(Semaphore::new(bytes)),
        }
    }
}

impl ReceiveBudget {
    pub(crate) fn new(bytes: u64) -> ReceiveBudget {
        ReceiveBudget {
            usual: Half::new(bytes / 2),
            large: Half::new(bytes - bytes / 2),
            loose: Rc::new(Loose {
                bytes: Cell::new(0),
                bytes_max: bytes / LOOSE_SHARE,
            }),
        }
    }

    /// The largest frame that fits, in bytes: a larger one would take more than all there is.
    fn frame_bytes_max(&self) -> usize {
        let bytes = usize::try_from(self.large.bytes).unwrap_or(usize::MAX);
        bytes.max(USUAL_FRAME_BYTES_MAX)
    }

    /// Waits until there is room for a frame, first come first served.
    async fn acquire(&self, len: usize) -> Result<StaticPermit, ReceiveError> {
        let half = match len <= USUAL_FRAME_BYTES_MAX {
            true => &self.usual,
            false => &self.large,
        };
        let units = (len as u64).min(half.bytes);
        let permit = half.free.acquire_static_permit(units).await;
        permit.map_err(|_| ReceiveError::Stopping)
    }
}

/// Reads one connection's frames. A frame that came whole in one read is not copied, and no memory
/// is held while nothing is to be read.
pub(crate) struct FrameReader {
    /// The bytes behind what is published, up to `filled`, are read and not yet a frame.
    chunk: Option<ChunkWriter>,
    filled: usize,
    loose: LoosePart,
}

impl FrameReader {
    pub(crate) fn new(budget: &ReceiveBudget) -> FrameReader {
        FrameReader {
            chunk: None,
            filled: 0,
            loose: LoosePart {
                all: budget.loose.clone(),
                bytes: 0,
            },
        }
    }

    /// The next frame. `first`: the connection has not sent a valid request yet. `waits` is called
    /// when a wait for the client begins, with the frame that it owes the rest of, if any.
    pub(crate) async fn next(
        &mut self,
        socket: &Socket,
        pool: &Pool,
        budget: &ReceiveBudget,
        first: bool,
        waits: impl Fn(Owed),
    ) -> Result<Received, ReceiveError> {
        let len = loop {
            if let Some(len) = self.frame_len(first, budget.frame_bytes_max())? {
                break len;
            }
            self.make_room(
                pool,
                match self.loose.is_short() {
                    true => FRAME_START_BYTES,
                    false => self.filled + RECEIVE_ROOM_MIN_BYTES,
                },
            );
            self.count_loose();
            waits(match self.filled {
                0 => Owed::Nothing,
                _ => Owed::Start,
            });
            self.read(socket, pool).await?;
        };
        waits(Owed::Nothing);
        self.count_loose();
        let permit = budget.acquire(len).await?;
        self.loose.set(0);
        let total = LENGTH_BYTES + len;
        if self.filled < total {
            waits(Owed::Rest(len));
        }
        while self.filled < total {
            self.make_room(pool, total);
            self.read(socket, pool).await?;
        }
        let chunk = self.chunk.as_mut().expect("the frame is in it");
        self.filled -= total;
        let frame = chunk.publish(total).slice(LENGTH_BYTES..total);
        Ok(Received { frame, permit })
    }

    /// The length of the frame that begins, checked before anything is reserved for it. `max`: what
    /// fits into the budget.
    fn frame_len(&mut self, first: bool, max: usize) -> Result<Option<usize>, ReceiveError> {
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
        if len > max {
            let length = len as i64;
            return Err(HeaderError::FrameLength { length, max }.into());
        }
        Ok(Some(len))
    }

    /// Counts what was read and is in no budget.
    fn count_loose(&mut self) {
        let chunk = self.chunk.as_ref().filter(|_| self.filled > 0);
        self.loose
            .set(chunk.map_or(0, |chunk| chunk.capacity() as u64));
    }

    /// Sees to it that `needed` bytes fit behind what is published; `filled` of them are there.
    fn make_room(&mut self, pool: &Pool, needed: usize) {
        let Some(chunk) = &mut self.chunk else {
            return;
        };
        if chunk.remaining() >= needed {
            return;
        }
        let mut larger = pool.chunk(needed.max(self.loose.chunk_bytes()));
        let read = &chunk.spare_mut()[..self.filled];
        larger.spare_mut()[..self.filled].copy_from_slice(read);
        self.chunk = Some(larger);
    }

    async fn read(&mut self, socket: &Socket, pool: &Pool) -> Result<(), ReceiveError> {
        let (chunk, filled) = (&mut self.chunk, &mut self.filled);
        let chunk_bytes = self.loose.chunk_bytes();
        let count = poll_fn(|context| {
            let writer = chunk.get_or_insert_with(|| pool.chunk(chunk_bytes));
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

//! The file of a checkpoint, which finds its space on a disk that has none left.
//!
//! There are two files of it, which change names: the new one is written over the one before the
//! last, which is kept for that. What only a checkpoint lets go (a part of the journal, the files
//! of deleted segments) can so be let go without any space.

use sillon_buffer::Slice;
use sillon_buffer::planted::{self, Bug};

use crate::layout::{CHECKPOINT, CHECKPOINT_NEW, journal_folder};
use crate::procedure::{Io, done};
use crate::{Access, DiskError, DiskOp, FileId, IoClass, ShardConfig, reserve};

/// Unit of the space that is kept for the next checkpoint, in bytes.
const ROOM_STEP_BYTES: u64 = 16 << 10;

/// A file with so many times the room that the next checkpoint is to have is cut.
const ROOM_TIMES_MAX: u64 = 4;

/// Room for the successor of a checkpoint of `len` bytes, in bytes: a quarter more, since on a full
/// disk little can come but producers' entries in segments that have room.
fn room(len: u64) -> u64 {
    (len + len / 4).next_multiple_of(ROOM_STEP_BYTES)
}

/// Makes a checkpoint the one that a restart begins with. Whether that took the space that is set
/// aside for a full disk.
pub(crate) async fn store(
    io: &Io,
    config: &ShardConfig,
    content: &[u8],
) -> Result<bool, DiskError> {
    let folder = journal_folder(config.journal);
    let [to, from] = [CHECKPOINT, CHECKPOINT_NEW].map(|name| format!("{folder}/{name}"));
    let reserve_is_spent = write_over(io, &from, content).await?;
    let exchange = io.call(DiskOp::Exchange {
        from: from.as_str().into(),
        to: to.as_str().into(),
    });
    done(exchange.await)?;
    if !planted::is(Bug::RenameWithoutFolderSync) {
        let path = folder.as_str().into();
        done(io.call(DiskOp::SyncFolder { path }).await)?;
    }
    keep_room(io, &from, room(content.len() as u64)).await?;
    Ok(reserve_is_spent)
}

/// Writes over what a file has, and makes it durable. Whether the space set aside went into it.
async fn write_over(io: &Io, path: &str, content: &[u8]) -> Result<bool, DiskError> {
    let (file, len) = io.open(path, true, Access::Buffered).await?;
    let written = async {
        let reserve_is_spent = make_room(io, file, len, content.len() as u64).await?;
        let write = io.call(DiskOp::Write {
            file,
            position: 0,
            pieces: vec![Slice::copy_of(content)],
            class: IoClass::Background,
        });
        done(write.await)?;
        done(io.call(DiskOp::Sync { file }).await)?;
        Ok(reserve_is_spent)
    };
    let result = written.await;
    let closed = done(io.call(DiskOp::Close { file }).await);
    let reserve_is_spent = result?;
    closed?;
    Ok(reserve_is_spent)
}

/// Gives a file of `len` bytes room for `wanted`, and for a successor, which it will be written
/// over by; on a full disk for `wanted` alone, by what is set aside when there is nothing else.
/// Whether it took that.
async fn make_room(io: &Io, file: FileId, len: u64, wanted: u64) -> Result<bool, DiskError> {
    match allocate(io, file, len, room(wanted)).await {
        Err(DiskError::NoSpace) if len >= wanted => Ok(false),
        Err(DiskError::NoSpace) => {
            reserve::spend(io).await?;
            allocate(io, file, len, wanted).await?;
            Ok(true)
        }
        other => other.map(|()| false),
    }
}

/// Gives a file space from `from` to `to`, when that is more.
async fn allocate(io: &Io, file: FileId, from: u64, to: u64) -> Result<(), DiskError> {
    if to <= from {
        return Ok(());
    }
    io.allocate(file, from, to - from).await
}

/// Sees to it that the next checkpoint finds `room` bytes, and not many more.
async fn keep_room(io: &Io, path: &str, room: u64) -> Result<(), DiskError> {
    let (file, len) = match io.open(path, true, Access::Buffered).await {
        Err(DiskError::NoSpace) => return Ok(()),
        other => other?,
    };
    let kept = if len > room * ROOM_TIMES_MAX {
        done(io.call(DiskOp::Truncate { file, len: room }).await)
    } else {
        allocate(io, file, len, room).await
    };
    done(io.call(DiskOp::Close { file }).await)?;
    match kept {
        // The next one sees.
        Err(DiskError::NoSpace) => Ok(()),
        other => other,
    }
}

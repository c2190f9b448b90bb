//! Space that is kept for what must be written even on a full disk: metadata, and a checkpoint that
//! has outgrown the room of the one before. It is a file that is removed when space runs out and
//! made again when there is some.

use sillon_journal::RingLayout;

use crate::procedure::{Io, done};
use crate::{Access, DiskError, DiskOp};

const RESERVE: &str = "reserve";

/// Room for two checkpoints of 1,000 partitions, of about 6 MiB each.
const RESERVE_BYTES_MAX: u64 = 16 << 20;

/// How much a node sets aside, in bytes: a sixteenth of its journals at most.
pub fn reserve_bytes(ring: RingLayout, shards: u16) -> u64 {
    let journals = ring.capacity_bytes() * u64::from(shards);
    RESERVE_BYTES_MAX.min(journals / 16)
}

/// Sets the space aside; false on a full disk, which is no reason not to start.
pub(crate) async fn set_aside(io: &Io, len: u64) -> Result<bool, DiskError> {
    let (file, _) = io.open(RESERVE, true, Access::Buffered).await?;
    let allocated = io.allocate(file, 0, len).await;
    done(io.call(DiskOp::Close { file }).await)?;
    match allocated {
        Err(DiskError::NoSpace) => spend(io).await.map(|()| false),
        other => other.map(|()| true),
    }
}

/// Gives the space to whoever needs it now.
pub(crate) async fn spend(io: &Io) -> Result<(), DiskError> {
    let path = RESERVE.into();
    match done(io.call(DiskOp::Remove { path }).await) {
        Err(DiskError::NotFound(_)) => Ok(()),
        other => other,
    }
}

//! The disk as a shard sees it: one trait, one conformance suite, and the implementation on
//! glommio (O_DIRECT through io_uring).
#![forbid(unsafe_code)]

pub mod conformance;
#[cfg(feature = "glommio")]
mod glommio_disk;

#[cfg(feature = "glommio")]
pub use glommio_disk::GlommioDisk;

use sillon_shard::{DiskOp, DiskResult, OpId};

/// Performs disk operations. They are started in the order of `submit` and complete in any.
pub trait Disk {
    /// Starts an operation. `op` is free for use again when its completion has been taken.
    fn submit(&self, op: OpId, io: DiskOp);

    /// Waits until at least one operation has completed and moves all completions that are
    /// there to the end of `completions`. Waits for ever when nothing is in flight.
    fn completions(
        &self,
        completions: &mut Vec<(OpId, DiskResult)>,
    ) -> impl std::future::Future<Output = ()>;
}

//! Compaction: of the records with one key only the newest stays. No I/O.
//!
//! A pass over a partition reads the segments that no pass has seen (the dirty part) and notes the
//! newest offset of every key in an [`OffsetMap`]; then it reads all closed segments up to there
//! and writes what the map leaves of them ([`Compaction::run`] does either to a piece, away from
//! the shard's thread). [`CompactionPlan`] says when a partition is due and how far a pass goes.
//!
//! What stays as it was: base and last offset of every batch that stays, its sequence numbers, the
//! last batch of every producer and of every compacted segment (without records if need be), so
//! that a segment still ends at its last offset and a reader in a hole goes on behind it.

mod map;
mod plan;
mod work;

pub use map::{MAP_ENTRY_BYTES, OffsetMap};
pub use plan::{CompactionPlan, CompactionPolicy, SegmentRun};
pub use work::{Compaction, CompactionError, CompactionTask, MapSize, OutBatch, PassRules};

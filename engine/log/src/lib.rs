//! The log of a partition: segments, their indexes, leader epochs, idempotent producers, the
//! checkpoint that holds them, compaction, and the names and small files of the data folder. No I/O.
#![forbid(unsafe_code)]

mod checkpoint;
mod checkpoint_codec;
pub mod compaction;
mod cursor;
mod epochs;
mod files;
mod index;
mod index_files;
pub mod partition;
mod producers;
mod producers_codec;

pub use checkpoint::*;
pub use checkpoint_codec::{
    CHECKPOINT_FORMAT_VERSION, CheckpointError, PartitionFault, decode_checkpoint, encode_partition,
};
pub use cursor::CutShort;
pub use epochs::{EpochEntry, LeaderEpochs, LeaderEpochsError};
pub use files::*;
pub use index::{INDEX_ENTRIES_MAX, IndexEntry, SegmentIndex};
pub use index_files::{
    IndexFileError, decode_offset_index, encode_offset_index, encode_time_index,
};
pub use producers::{KnownProducer, PRODUCER_BATCHES_MAX, Producers, Verdict};
pub use producers_codec::ProducersError;

//! Records as Kafka lays them out: ids, offsets, record batches v2, their checks and codecs.
//!
//! In the order of a record's life: a producer's [`BatchBuilder`] makes a batch, the broker's
//! [`ValidBatch::check`] lets it in, [`ValidBatch::stamp`] gives it its place in the log,
//! [`Batches`] walks a region of log, [`Records`] reads the records of one batch, and
//! [`BatchFilter`] takes out what compaction does not keep.
#![forbid(unsafe_code)]

mod batch;
mod batches;
mod builder;
mod check;
mod compress;
mod crc;
mod decompress;
mod error;
mod filter;
mod header;
mod ids;
mod record;
mod records;
mod rules;
pub mod varint;

pub use batch::*;
pub use batches::{BatchView, Batches, BatchesError};
pub use builder::{BatchBuilder, BatchFull};
pub use crc::crc32c;
pub use decompress::{DecompressError, Scratch};
pub use error::{BatchError, BatchErrorClass};
pub use filter::{BatchFilter, FilterRule, Filtered};
pub use header::{
    BatchHeader, TimestampType, correct_max_timestamp, patch_placement, seal_crc,
    stamp_log_append_time,
};
pub use ids::*;
pub use record::RecordFault;
pub use records::{Header, Headers, Record, Records, RecordsError};
pub use rules::{BatchRules, DECOMPRESSED_BYTES_MAX, needs_helper_thread};

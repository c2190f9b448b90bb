//! Records as Kafka lays them out: ids, offsets, record batches v2, their checks and codecs.
#![forbid(unsafe_code)]

mod batch;
mod ids;

pub use batch::*;
pub use ids::*;

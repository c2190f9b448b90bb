//! The shard's journal: how rounds and entries lie in a ring of files, and how a ring is read
//! back. Does no I/O itself.
//!
//! A shard gathers entries ([`Gather`]) while the last round is on its way to the disk, seals them
//! into the next one ([`Writer::seal`]) and has it written and flushed in one go, whatever the
//! number of partitions in it. After a crash [`Replay`] walks the chain of rounds from the
//! checkpoint's [`ChainPoint`] to its end, and tells a torn end, which nobody was promised, from a
//! hole in what was: a [`Gap`].
//!
//! A round is the unit of validity. It begins on a block of 4,096 bytes, never crosses the end of
//! a ring file, and has all its headers first, so that the pieces of the write are one small chunk
//! and the payloads where they already are:
//!
//! ```text
//!  +--------------+---------------+-----+---------------+-----------+-----+-----------+---------+
//!  | round header | entry header  | ... | entry header  | payload   | ... | payload   | zeros   |
//!  | 88 bytes     | 48 bytes      |     | 48 bytes      | of 1st    |     | of last   | to 4096 |
//!  +--------------+---------------+-----+---------------+-----------+-----+-----------+---------+
//!  |<------------ the round's checksum covers ----------|           |     |           |-------->|
//! ```
//! The bytes of both headers are drawn at their types in `format.rs`. Payloads are covered by the
//! checksums in their entry headers and, for a batch, by its own CRC-32C.
#![forbid(unsafe_code)]

mod decode;
mod entry;
mod format;
mod gather;
mod replay;
mod ring;
mod window;
mod writer;

pub use entry::{EntryKind, EntryMeta};
pub use format::{ENTRY_HEADER_BYTES, FORMAT_VERSION, ROUND_HEADER_BYTES};
pub use gather::Gather;
pub use replay::{Gap, Replay, ReplayedRound, Straggler};
pub use ring::{ChainPoint, Incarnation, JournalId, RingLayout, RingPosition};
pub use window::{READ_AHEAD_BYTES, RingReader};
pub use writer::{ROUND_BYTES_MAX, Round, Writer};

use std::fmt::Write as _;

use sillon_record::{LeaderEpoch, Offset};

/// Version of the file that this code writes and reads: Kafka's.
const FORMAT_VERSION: &str = "0";

/// A leader epoch and where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// Offset of its first record, or of the next one while it has none.
    pub start_offset: Offset,
}

/// Which leader epoch each offset of a partition was appended under: Kafka's leader epoch cache
/// (KIP-101, KIP-279, KIP-320). Owned by the partition's shard, kept in its checkpoint and, as
/// Kafka's `leader-epoch-checkpoint`, in the partition's folder.
///
/// Both epochs and start offsets ascend strictly. A leader assigns its epoch as soon as it leads,
/// not with its first record: asked for an epoch that it never saw (a follower's divergent tail)
/// it must know an epoch above that one, or the follower would have nothing to truncate to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    /// Notes that records from `start` on are appended under `epoch`. Nothing changes when `epoch`
    /// has begun before; what contradicts the new entry is forgotten, and an epoch that ended
    /// without a record.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        let has_begun = self
            .entries
            .last()
            .is_some_and(|last| last.epoch == epoch && last.start_offset <= start);
        if has_begun || epoch.0 < 0 || start.0 < 0 {
            return;
        }
        let agreeing = self
            .entries
            .partition_point(|entry| entry.epoch < epoch && entry.start_offset < start);
        self.entries.truncate(agreeing);
        self.entries.push(EpochEntry {
            epoch,
            start_offset: start,
        });
    }

    /// The latest epoch.
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The epoch that the record at `offset` was (or would be) appended under, as far as entries
    /// reach.
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let begun = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        Some(self.entries[begun.checked_sub(1)?].epoch)
    }

    /// The largest epoch that is not above `requested`, and where it ends: what
    /// OffsetForLeaderEpoch answers. `None` (on the wire -1 and -1) when `requested` is above
    /// every epoch known. Below the first known: `requested` itself and the first start.
    pub fn end_offset(
        &self,
        requested: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        if self.latest() == Some(requested) {
            return Some((requested, log_end));
        }
        let higher = self
            .entries
            .partition_point(|entry| entry.epoch <= requested);
        let end = self.entries.get(higher)?.start_offset;
        let floor = match higher {
            0 => requested,
            _ => self.entries[higher - 1].epoch,
        };
        Some((floor, end))
    }

    /// The log now ends at `end` (exclusive): forgets the epochs that begin there or later.
    pub fn truncate_from_end(&mut self, end: Offset) {
        let kept = self
            .entries
            .partition_point(|entry| entry.start_offset < end);
        self.entries.truncate(kept);
    }

    /// The log now begins at `start`: forgets the epochs that end there or earlier, and lets the
    /// one that holds `start` begin there.
    pub fn truncate_from_start(&mut self, start: Offset) {
        let begun = self
            .entries
            .partition_point(|entry| entry.start_offset <= start);
        if let Some(holding) = begun.checked_sub(1) {
            self.entries.drain(..holding);
            self.entries[0].start_offset = start;
        }
    }

    /// All entries, ascending.
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The text of Kafka's `leader-epoch-checkpoint`: version, number of entries, and a line
    /// `epoch start-offset` for each.
    pub fn encode(&self) -> String {
        let mut text = format!("{FORMAT_VERSION}\n{}\n", self.entries.len());
        for entry in &self.entries {
            writeln!(text, "{} {}", entry.epoch, entry.start_offset)
                .expect("writing to a string cannot fail");
        }
        text
    }

    /// Reads what [`Self::encode`] writes.
    ///
    /// # Errors
    /// The text is not of that form, or its entries do not ascend.
    pub fn decode(text: &str) -> Result<LeaderEpochs, LeaderEpochsError> {
        let mut lines = text.lines();
        let version = lines.next().unwrap_or_default().trim();
        if version != FORMAT_VERSION {
            return Err(LeaderEpochsError::Version {
                version: version.to_owned(),
            });
        }
        let count = lines.next().unwrap_or_default().trim();
        let mut epochs = LeaderEpochs::default();
        for (index, line) in lines.enumerate() {
            let entry = parse_entry(line).ok_or_else(|| LeaderEpochsError::Line {
                line: index + 3,
                text: line.to_owned(),
            })?;
            epochs.push(entry).ok_or(LeaderEpochsError::Order {
                line: index + 3,
                epoch: entry.epoch,
                start_offset: entry.start_offset,
            })?;
        }
        if count.parse() != Ok(epochs.entries.len()) {
            return Err(LeaderEpochsError::Count {
                claimed: count.to_owned(),
                found: epochs.entries.len(),
            });
        }
        Ok(epochs)
    }

    /// Adds an entry behind the last; `None` when it does not belong there.
    pub(crate) fn push(&mut self, entry: EpochEntry) -> Option<()> {
        let ascends = self
            .entries
            .last()
            .is_none_or(|last| last.epoch < entry.epoch && last.start_offset < entry.start_offset);
        if !ascends || entry.epoch.0 < 0 || entry.start_offset.0 < 0 {
            return None;
        }
        self.entries.push(entry);
        Some(())
    }
}

fn parse_entry(line: &str) -> Option<EpochEntry> {
    let (epoch, start) = line.trim_end().split_once(' ')?;
    Some(EpochEntry {
        epoch: LeaderEpoch(epoch.parse().ok()?),
        start_offset: Offset(start.parse().ok()?),
    })
}

/// A `leader-epoch-checkpoint` that cannot be read. It can be deleted: it is made again from the
/// batches of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaderEpochsError {
    /// Not version 0.
    #[error("line 1 of the leader epochs names version {version:?}; version 0 is known")]
    Version {
        /// What stands there.
        version: String,
    },
    /// Another number of entries than line 2 says.
    #[error("line 2 of the leader epochs promises {claimed:?} entries, {found} follow")]
    Count {
        /// What stands there.
        claimed: String,
        /// How many entries there are.
        found: usize,
    },
    /// Not an entry.
    #[error("line {line} of the leader epochs is {text:?}, not an epoch and a start offset")]
    Line {
        /// Which line, counted from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// An entry that is not above the one before it.
    #[error(
        "line {line} of the leader epochs: epoch {epoch} from offset {start_offset} is negative \
         or does not ascend"
    )]
    Order {
        /// Which line, counted from 1.
        line: usize,
        /// Its epoch.
        epoch: LeaderEpoch,
        /// Its start offset.
        start_offset: Offset,
    },
}

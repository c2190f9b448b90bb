use sillon_record::{LeaderEpoch, Offset, PartitionIncarnation};

/// What an entry says. Each is flushed before its effect on files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A record batch at a place in a segment. Its payload is the batch.
    Batch,
    /// The log ends at an offset, in an epoch: batches behind it are given up.
    Truncate,
    /// The log begins at an offset (`log start offset`).
    LogStart,
    /// A new segment becomes the active one.
    Roll,
    /// The durable prefix of a segment's last block before that block is rewritten. Its payload is
    /// that prefix, at most 4,095 bytes.
    TailImage,
    /// The partition is deleted: its files may go.
    PartitionDeleted,
    /// The shard stopped with everything checkpointed.
    CleanStop,
}

impl EntryKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [EntryKind; 7] = [
        EntryKind::Batch,
        EntryKind::Truncate,
        EntryKind::LogStart,
        EntryKind::Roll,
        EntryKind::TailImage,
        EntryKind::PartitionDeleted,
        EntryKind::CleanStop,
    ];

    /// Its number on disk: from 1, so that zeros are no entry.
    pub(crate) fn id(self) -> u8 {
        self as u8 + 1
    }

    /// The kind of that number.
    pub(crate) fn of_id(id: u8) -> Option<EntryKind> {
        let index = usize::from(id).checked_sub(1)?;
        Self::ALL.get(index).copied()
    }
}

/// What an entry is about. All fields are stored; those that its kind does not use are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMeta {
    /// What it says.
    pub kind: EntryKind,
    /// The partition's life.
    pub partition: PartitionIncarnation,
    /// Base offset of the segment.
    pub segment_base: Offset,
    /// Where in the segment, in bytes.
    pub position: u64,
    /// Offset of a batch's first record; for `Truncate` and `LogStart` the offset they are about.
    pub base_offset: Offset,
    /// Epoch of the leader.
    pub leader_epoch: LeaderEpoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_number_and_zero_is_none() {
        for kind in EntryKind::ALL {
            assert_eq!(EntryKind::of_id(kind.id()), Some(kind));
        }
        assert_eq!(EntryKind::of_id(0), None);
        assert_eq!(EntryKind::of_id(8), None);
    }
}

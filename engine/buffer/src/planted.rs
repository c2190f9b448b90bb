//! Bugs that can be switched on, so that the simulator can prove that it would see them.
//!
//! Without the feature `planted-bugs`, which only tests turn on, [`is`] is the constant `false`.

/// One bug of the list in the storage design, planted in the code that `serve` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// Acknowledge when the round is written, not flushed.
    AckBeforeFlush,
    /// Let readers see what is appended, not what is flushed.
    ReaderAboveFlushed,
    /// Acknowledge a retried duplicate although its original is not flushed.
    DuplicateBeforeOriginal,
    /// Hand out producer ids before their reservation is durable.
    ProducerIdReused,
    /// Keep the journal's incarnation across a restart.
    IncarnationReused,
    /// Accept a round without checking that it chains to the one before it.
    ChainUnchecked,
    /// Replay what was found behind a gap in the journal.
    GapIgnored,
    /// Take any block that looks like a round for one.
    PayloadTakenForRound,
    /// Rewrite a durable partial block without its image in the journal.
    NoTailImage,
    /// Write the checkpoint before the segments are flushed.
    CheckpointBeforeFlush,
    /// Recycle the ring before the checkpoint is durable.
    RecycleBeforeCheckpoint,
    /// Keep bytes beyond the recovered end.
    EndNotTruncated,
    /// Replay entries whatever the partition's incarnation.
    PartitionIncarnationIgnored,
    /// Forget the journals of another shard count.
    OldJournalsIgnored,
    /// Rename without making the folder durable.
    RenameWithoutFolderSync,
    /// Start with the leader epoch of the last life.
    EpochNotRaised,
    /// Assign an offset twice.
    OffsetTwice,
    /// Compaction takes the last record of a key's newest batch for the newest of that key.
    NewestByBatch,
    /// Compaction takes a tombstone at once.
    TombstoneRemovedEarly,
    /// A compacted segment takes its place without having been flushed.
    SwapNotFlushed,
    /// A compacted segment takes its place before a checkpoint knows of it.
    SwapBeforeCheckpoint,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 21] = [
        Bug::AckBeforeFlush,
        Bug::ReaderAboveFlushed,
        Bug::DuplicateBeforeOriginal,
        Bug::ProducerIdReused,
        Bug::IncarnationReused,
        Bug::ChainUnchecked,
        Bug::GapIgnored,
        Bug::PayloadTakenForRound,
        Bug::NoTailImage,
        Bug::CheckpointBeforeFlush,
        Bug::RecycleBeforeCheckpoint,
        Bug::EndNotTruncated,
        Bug::PartitionIncarnationIgnored,
        Bug::OldJournalsIgnored,
        Bug::RenameWithoutFolderSync,
        Bug::EpochNotRaised,
        Bug::OffsetTwice,
        Bug::NewestByBatch,
        Bug::TombstoneRemovedEarly,
        Bug::SwapNotFlushed,
        Bug::SwapBeforeCheckpoint,
    ];
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants `bug` in this thread, or none.
#[cfg(feature = "planted-bugs")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether `bug` is planted in this thread.
#[cfg(feature = "planted-bugs")]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether `bug` is planted: never, in a build that is not for tests.
#[cfg(not(feature = "planted-bugs"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}

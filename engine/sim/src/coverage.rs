use std::collections::BTreeMap;

use crate::disk::{CrashCounts, OP_KINDS};

/// Counts how often something happened, so that a campaign can show what it has gone through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<String, u64>,
}

/// What a campaign must have seen at least once, beside a crash around every kind of operation.
const REQUIRED: &[&str] = &[
    "ack at flush.messages 1",
    "ack at flush.messages above 1",
    "ack with LogAppendTime",
    "ack of an idempotent batch",
    "ack of a duplicate",
    "duplicate sent while its original is in flight",
    "retry in a later life acknowledged at a new place",
    "retry in a later life acknowledged at its old place",
    "out of order sequence refused",
    "old producer epoch refused",
    "fetch answered from memory",
    "fetch answered from a file",
    "fetch waited and was woken",
    "fetch waited until its deadline",
    "fetch fenced by an old leader epoch",
    "fetch with an unknown leader epoch",
    "fetch cancelled",
    "file read after its answer",
    "offset by time found",
    "offset by time not found",
    "offset of the newest record found",
    "epoch end found",
    "topic created",
    "topic deleted",
    "topic created again under its old name",
    "topic creation cut short",
    "topic deletion cut short",
    "request for a deleted topic refused",
    "segment rolled",
    "records deleted",
    "segment removed by retention",
    "index written",
    "compaction removed a record",
    "compaction removed a tombstone",
    "compacted segment took its place",
    "read over a hole",
    "batch without records read",
    "crash during a swap",
    "swap finished by a start",
    "swap undone by a start",
    "ring wrapped",
    "checkpoint published",
    "crash: kill",
    "crash: power cut",
    "crash while starting",
    "crash while stopping",
    "stopped cleanly",
    "restart with more shards",
    "restart with fewer shards",
    "restart replayed rounds",
    "power cut shortened a log above level 1",
    "forged round in a payload",
    "EIO",
    "short write",
    "log directory offline",
    "partition offline",
    "disk full",
    "append refused for want of space",
    "appends resumed when space was back",
    "stall",
    "wall clock jumped back",
    "files checked after a start",
];

impl Coverage {
    /// It happened.
    pub fn hit(&mut self, what: &str) {
        self.add(what, 1);
    }

    /// It happened that often.
    pub fn add(&mut self, what: &str, count: u64) {
        match self.counts.get_mut(what) {
            Some(total) => *total += count,
            None => drop(self.counts.insert(what.to_owned(), count)),
        }
    }

    /// A crash and what it did to the disk.
    pub fn crash(&mut self, counts: &CrashCounts) {
        for (what, count) in crash_counts(counts) {
            self.add(what, count);
        }
    }

    /// Adds another run's counts.
    pub fn merge(&mut self, other: &Coverage) {
        for (what, count) in &other.counts {
            self.add(what, *count);
        }
    }

    /// All counts, what is required and has not happened included.
    pub fn all(&self) -> BTreeMap<String, u64> {
        let mut all = self.counts.clone();
        let crash = crash_counts(&CrashCounts::default());
        let required = REQUIRED.iter().copied().chain(crash.map(|(what, _)| what));
        for what in required {
            all.entry(what.to_owned()).or_insert(0);
        }
        for kind in OP_KINDS {
            for stage in ["in flight", "done, untold"] {
                all.entry(crash_point(kind.name(), stage)).or_insert(0);
            }
        }
        all
    }
}

/// The name of a crash around an operation.
pub fn crash_point(kind: &str, stage: &str) -> String {
    format!("crash at {kind} ({stage})")
}

fn crash_counts(counts: &CrashCounts) -> [(&'static str, u64); 8] {
    [
        ("un-synced write lost", counts.writes_lost),
        ("write torn", counts.writes_torn),
        ("sector garbled", counts.sectors_garbled),
        ("growth lost", counts.growths_lost),
        ("truncation lost", counts.cuts_lost),
        ("creation lost", counts.creations_lost),
        ("rename lost", counts.renames_lost),
        ("removal lost", counts.removals_lost),
    ]
}

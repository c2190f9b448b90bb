use std::collections::BTreeMap;

use serde::Serialize;

use super::anomaly::{Anomaly, Finding};

/// What a history holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Events.
    pub events: u64,
    /// Batches sent.
    pub sends: u64,
    /// Values that were acknowledged.
    pub acknowledged: u64,
    /// Values whose sends failed for sure.
    pub failed: u64,
    /// Values that may be in the log or not.
    pub unknown: u64,
    /// Batches sent more than once.
    pub retried: u64,
    /// Values of retried batches of plain producers that are in the log more than once, which is
    /// no anomaly.
    pub copies: u64,
    /// Records that polls returned, the final read included.
    pub polled: u64,
    /// Partitions that the final reader read to their ends.
    pub drained: u64,
    /// Acknowledged commits.
    pub commits: u64,
    /// Commits that may have happened or not.
    pub commits_unknown: u64,
    /// Answers that told a group's offsets.
    pub fetches: u64,
    /// Assignments to members.
    pub assignments: u64,
    /// Generations of groups in which something was assigned.
    pub generations: u64,
    /// Leader epochs that are in the log, over all partitions.
    pub epochs: u64,
}

/// Why a history without anomalies proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shortcoming {
    /// No send was acknowledged.
    NothingAcknowledged,
    /// No poll returned anything.
    NothingPolled,
    /// A partition that was written to was not read to its end when all was over.
    NotDrained,
    /// Members of groups never owned anything.
    NothingAssigned,
    /// Members of groups never committed anything.
    NothingCommitted,
}

impl Shortcoming {
    /// In words.
    pub fn text(self) -> &'static str {
        match self {
            Shortcoming::NothingAcknowledged => "no send was acknowledged",
            Shortcoming::NothingPolled => "no poll returned anything",
            Shortcoming::NotDrained => "a partition was not read to its end when all was over",
            Shortcoming::NothingAssigned => "no member of a group was assigned anything",
            Shortcoming::NothingCommitted => "no commit of a group was acknowledged",
        }
    }
}

/// What a checker has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What the history holds.
    pub counts: Counts,
    /// How often each anomaly was found, those that were not included.
    pub anomalies: BTreeMap<Anomaly, u64>,
    /// The first of each.
    pub findings: Vec<Finding>,
    /// What is missing for a verdict.
    pub shortcomings: Vec<Shortcoming>,
}

impl Report {
    /// How many anomalies there are.
    pub fn anomalies_count(&self) -> u64 {
        self.anomalies.values().sum()
    }

    /// The anomalies that there are.
    pub fn found(&self) -> Vec<Anomaly> {
        let found = self.anomalies.iter().filter(|(_, count)| **count > 0);
        found.map(|(anomaly, _)| *anomaly).collect()
    }
}

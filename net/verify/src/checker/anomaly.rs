use serde::Serialize;

/// Something that a broker must not let happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    /// An offset holds two values.
    InconsistentOffset,
    /// A value is at two offsets, and no retry of a producer that is not idempotent explains it.
    Duplicate,
    /// A poll returned a value whose send failed for sure.
    AbortedRead,
    /// An acknowledged value lies below what was read, and no poll returned it.
    LostWrite,
    /// Successive polls of a reader jump over values that are in the log.
    PollSkip,
    /// Successive polls of a reader go back.
    NonmonotonicPoll,
    /// Successive acknowledged sends of a producer go back.
    NonmonotonicSend,
    /// A value was acknowledged or read, and is not there at the end.
    Unseen,
    /// A committed offset goes back.
    OffsetRegression,
    /// A leader epoch goes back.
    EpochRegression,
    /// A partition has two owners in one generation of a group.
    TwoOwners,
    /// A poll returned what nobody sent.
    Unwritten,
    /// A fetch returned what is no log.
    Unreadable,
}

impl Anomaly {
    /// All of them, in the order in which they are told.
    pub const ALL: [Anomaly; 13] = [
        Anomaly::InconsistentOffset,
        Anomaly::Duplicate,
        Anomaly::AbortedRead,
        Anomaly::LostWrite,
        Anomaly::PollSkip,
        Anomaly::NonmonotonicPoll,
        Anomaly::NonmonotonicSend,
        Anomaly::Unseen,
        Anomaly::OffsetRegression,
        Anomaly::EpochRegression,
        Anomaly::TwoOwners,
        Anomaly::Unwritten,
        Anomaly::Unreadable,
    ];

    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Anomaly::InconsistentOffset => "inconsistent-offset",
            Anomaly::Duplicate => "duplicate",
            Anomaly::AbortedRead => "aborted-read",
            Anomaly::LostWrite => "lost-write",
            Anomaly::PollSkip => "poll-skip",
            Anomaly::NonmonotonicPoll => "nonmonotonic-poll",
            Anomaly::NonmonotonicSend => "nonmonotonic-send",
            Anomaly::Unseen => "unseen",
            Anomaly::OffsetRegression => "offset-regression",
            Anomaly::EpochRegression => "epoch-regression",
            Anomaly::TwoOwners => "two-owners",
            Anomaly::Unwritten => "unwritten",
            Anomaly::Unreadable => "unreadable",
        }
    }
}

/// An anomaly, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub anomaly: Anomaly,
    /// Where and what, in words.
    pub detail: String,
    /// The events that prove it, by their lines in the history, counted from 1.
    pub lines: Vec<u32>,
}

/// Findings of one anomaly that are told in full: one has the others' cause more often than not.
const TOLD_MAX: u64 = 20;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) counts: std::collections::BTreeMap<Anomaly, u64>,
    pub(super) told: Vec<Finding>,
}

impl Findings {
    /// One more; `detail` is asked for when it is told in full.
    pub(super) fn add(
        &mut self,
        anomaly: Anomaly,
        lines: impl IntoIterator<Item = u32>,
        detail: impl FnOnce() -> String,
    ) {
        let count = self.counts.entry(anomaly).or_default();
        *count += 1;
        if *count > TOLD_MAX {
            return;
        }
        let mut lines: Vec<u32> = lines.into_iter().filter(|line| *line > 0).collect();
        lines.sort_unstable();
        lines.dedup();
        self.told.push(Finding {
            anomaly,
            detail: detail(),
            lines,
        });
    }
}

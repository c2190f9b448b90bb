use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Surprises that are told.
const SURPRISES_MAX: usize = 10;

/// How far a run is, and what it has done so far.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is going on.
    pub stage: Stage,
    /// Since the run began.
    pub elapsed: Duration,
    /// How long it produces.
    pub duration: Duration,
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Records that may be in the log or not.
    pub unknown: u64,
    /// Batches that were sent again.
    pub retried: u64,
    /// Records that members and the final reader got.
    pub polled: u64,
    /// Commits that were acknowledged.
    pub commits: u64,
    /// Times that a member was assigned something, or nothing.
    pub assignments: u64,
    /// Times that a member left or vanished.
    pub departures: u64,
    /// Connections that had to be made anew.
    pub reconnects: u64,
}

/// What is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Producers and members work.
    Driving,
    /// They end what they have begun.
    Settling,
    /// Everything is read.
    Draining,
}

/// Counts what threads do.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub acknowledged: AtomicU64,
    pub unknown: AtomicU64,
    pub retried: AtomicU64,
    pub polled: AtomicU64,
    pub commits: AtomicU64,
    pub assignments: AtomicU64,
    pub departures: AtomicU64,
    pub reconnects: AtomicU64,
    surprises: Mutex<Vec<String>>,
}

impl Tally {
    pub fn progress(&self, stage: Stage, elapsed: Duration, duration: Duration) -> Progress {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Progress {
            stage,
            elapsed,
            duration,
            acknowledged: of(&self.acknowledged),
            unknown: of(&self.unknown),
            retried: of(&self.retried),
            polled: of(&self.polled),
            commits: of(&self.commits),
            assignments: of(&self.assignments),
            departures: of(&self.departures),
            reconnects: of(&self.reconnects),
        }
    }

    /// An answer that no broker should give: it is no anomaly of the log, and worth telling.
    pub fn surprise(&self, text: String) {
        let mut surprises = self
            .surprises
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if surprises.len() < SURPRISES_MAX && !surprises.contains(&text) {
            surprises.push(text);
        }
    }

    pub fn surprises(&self) -> Vec<String> {
        let surprises = self.surprises.lock();
        surprises.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One more.
pub(super) fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

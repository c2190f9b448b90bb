use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sillon_client::Acks;

/// Which producers are idempotent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotence {
    /// Every second one.
    Half,
    /// All of them.
    All,
    /// None.
    None,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Options {
    /// Brokers to ask first: `host:port`, comma-separated.
    pub bootstrap: String,
    /// The topic; it is created when there is none.
    pub topic: String,
    /// Partitions of a topic that is created.
    pub partitions: i32,
    /// Producers, each with one batch on its way at a time.
    pub producers: u32,
    /// Which of them are idempotent.
    pub idempotence: Idempotence,
    /// When a broker acknowledges. An idempotent producer waits for all.
    pub acks: Acks,
    /// Records per second, of all producers together; 0: as many as there can be.
    pub rate: u32,
    /// Groups.
    pub groups: u32,
    /// Members of each group.
    pub consumers: u32,
    /// After how long a member may be silent before its group goes on without it.
    pub session_timeout: Duration,
    /// How often a member leaves its group and comes back, on average; zero: never.
    pub churn: Duration,
    /// Every second time it vanishes without leaving.
    pub kills_consumers: bool,
    /// How often a member commits.
    pub commit_every: Duration,
    /// How long producers produce.
    pub duration: Duration,
    /// How long the final read may wait for a broker that is gone.
    pub drain_timeout: Duration,
    /// Where the history is kept.
    pub history: PathBuf,
    /// What producers and members choose by.
    pub seed: u64,
}

/// For the history's first line.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} producers ({:?} idempotent, acks {:?}, {} records/s), {} groups of {} members \
             (session {} ms, churn {} ms{}, commit every {} ms), {} s, seed {}",
            self.producers,
            self.idempotence,
            self.acks,
            self.rate,
            self.groups,
            self.consumers,
            self.session_timeout.as_millis(),
            self.churn.as_millis(),
            if self.kills_consumers { ", kills" } else { "" },
            self.commit_every.as_millis(),
            self.duration.as_secs_f64(),
            self.seed,
        )
    }
}

use std::time::Duration;

use super::assignor::Assignor;
use crate::consumer::ConsumerOptions;
use crate::offsets::OffsetSpec;

/// How a member of a group behaves. The defaults are those of Kafka's clients.
#[derive(Clone, Debug)]
pub struct GroupOptions {
    /// The group's id.
    pub group: String,
    /// What it reads, as every member should.
    pub topics: Vec<String>,
    /// Makes it a static member (`group.instance.id`): one that keeps its partitions when it comes
    /// back within the session timeout.
    pub instance_id: Option<String>,
    /// How it can divide partitions, best first. A group uses what all its members can. With
    /// [`Assignor::CooperativeSticky`] alone the member keeps its partitions while the group
    /// rebalances; with others besides it gives them all up, as they need it, and can still be in
    /// a group of members that keep theirs.
    pub assignors: Vec<Assignor>,
    /// Silence after which the coordinator gives its partitions to others.
    pub session_timeout: Duration,
    /// Pause between two heartbeats.
    pub heartbeat_interval: Duration,
    /// Time without a poll after which it does not count as alive, and how long a rebalance waits
    /// for it.
    pub max_poll_interval: Duration,
    /// Where to begin in partitions of which the group has committed nothing.
    pub offset_reset: OffsetReset,
    /// Pause between two commits of what has been delivered, which also happen before partitions
    /// are given up and at the end; `None`: only [`super::GroupMember::commit`] commits.
    pub auto_commit: Option<Duration>,
    /// Pause between two looks at how many partitions the topics have.
    pub metadata_max_age: Duration,
    /// How it reads.
    pub fetch: ConsumerOptions,
}

impl GroupOptions {
    /// The defaults, for a group and a topic.
    pub fn new(group: &str, topic: &str) -> GroupOptions {
        GroupOptions {
            group: group.to_string(),
            topics: vec![topic.to_string()],
            instance_id: None,
            assignors: Assignor::ALL.to_vec(),
            session_timeout: Duration::from_secs(45),
            heartbeat_interval: Duration::from_secs(3),
            max_poll_interval: Duration::from_secs(300),
            offset_reset: OffsetReset::Latest,
            auto_commit: Some(Duration::from_secs(5)),
            metadata_max_age: Duration::from_secs(300),
            fetch: ConsumerOptions::default(),
        }
    }
}

impl GroupOptions {
    /// Whether the member keeps its partitions while the group rebalances.
    pub(super) fn is_cooperative(&self) -> bool {
        self.assignors
            .iter()
            .all(|assignor| assignor.is_cooperative())
    }
}

/// Where to begin without a committed offset, or with one that the log does not have any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetReset {
    /// At the first record that is left.
    Earliest,
    /// At the next record to come.
    Latest,
}

impl From<OffsetReset> for OffsetSpec {
    fn from(reset: OffsetReset) -> OffsetSpec {
        match reset {
            OffsetReset::Earliest => OffsetSpec::Earliest,
            OffsetReset::Latest => OffsetSpec::Latest,
        }
    }
}

/// A duration on the wire, in ms.
pub(super) fn wire_ms(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

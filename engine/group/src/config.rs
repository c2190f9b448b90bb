/// What a broker's configuration says about groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.min.session.timeout.ms`
    pub session_timeout_min_ms: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_max_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long the first rebalance of an empty group waits
    /// for more members.
    pub initial_rebalance_delay_ms: i32,
    /// `group.max.size`: members of one group.
    pub members_max: usize,
    /// `offset.metadata.max.bytes`: longest text beside a committed offset, in UTF-16 units as
    /// Kafka counts it.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in ms.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval_ms: u64,
    /// What the groups of one coordinator may take in memory, in bytes. What would make them
    /// larger beyond it is COORDINATOR_NOT_AVAILABLE, which clients try again; members that join
    /// again and offsets that move on are no larger than before.
    pub memory_bytes_max: u64,
}

impl Default for GroupConfig {
    /// Kafka's.
    fn default() -> GroupConfig {
        GroupConfig {
            session_timeout_min_ms: 6_000,
            session_timeout_max_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            members_max: i32::MAX as usize,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            retention_check_interval_ms: 600_000,
            memory_bytes_max: u64::MAX,
        }
    }
}

/// A new member's JoinGroup is given up after this, in ms: it knows no member id that it could
/// heartbeat with, and clients that lost their connection would pile up. As in Kafka.
pub(crate) const NEW_MEMBER_JOIN_MS: u64 = 300_000;

/// Members that have been given an id and have not joined with it, of one group: they hold up its
/// rebalances until their session timeout.
pub(crate) const PENDING_MEMBERS_MAX: usize = 10_000;

use std::sync::Arc;

use sillon_record::TopicId;

/// What is asked of a coordinator. Texts and bytes are the coordinator's own: nothing keeps the
/// frame that they came in alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRequest {
    /// JoinGroup
    Join(JoinGroup),
    /// SyncGroup
    Sync(SyncGroup),
    /// Heartbeat
    Heartbeat(Heartbeat),
    /// LeaveGroup
    Leave(LeaveGroup),
    /// OffsetCommit
    OffsetCommit(OffsetCommit),
    /// OffsetFetch: one answer each, in this order.
    OffsetFetch(Vec<OffsetFetch>),
    /// OffsetDelete
    OffsetDelete(OffsetDelete),
    /// DescribeGroups: one answer each, in this order.
    Describe(Vec<Arc<str>>),
    /// ListGroups
    List(ListGroups),
    /// DeleteGroups, one of them.
    Delete(Arc<str>),
}

/// A member wants to be in the group's next generation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinGroup {
    /// Which group.
    pub group_id: Arc<str>,
    /// Empty: the member has none yet.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<Arc<str>>,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// Where it is.
    pub client_host: Arc<str>,
    /// A member that is silent for so long is dropped, in ms.
    pub session_timeout_ms: i32,
    /// How long a rebalance waits for the member, in ms.
    pub rebalance_timeout_ms: i32,
    /// "consumer", "connect", ...
    pub protocol_type: Arc<str>,
    /// What the member can do, in the order in which it likes to.
    pub protocols: Vec<Protocol>,
    /// A member without id is given one and told to join again (version 4, KIP-394).
    pub needs_member_id: bool,
    /// The client understands that a leader may have to leave the assignment alone (version 9,
    /// KIP-814).
    pub can_skip_assignment: bool,
    /// Random: part of the id of a new member.
    pub fresh_id: u128,
}

/// One way of assigning partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name.
    pub name: Arc<str>,
    /// What the member says to whoever assigns: opaque.
    pub metadata: Arc<[u8]>,
}

/// A member asks for its assignment; the leader brings everybody's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncGroup {
    /// Which group.
    pub group_id: Arc<str>,
    /// Which member.
    pub member_id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
    /// The generation it has joined.
    pub generation: i32,
    /// What it takes the group's to be (version 5); `None` is unchecked.
    pub protocol_type: Option<Arc<str>>,
    /// What it takes the group's to be (version 5); `None` is unchecked.
    pub protocol: Option<Arc<str>>,
    /// By member id; from the leader only.
    pub assignments: Vec<(Arc<str>, Arc<[u8]>)>,
}

/// A member is alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// Which group.
    pub group_id: Arc<str>,
    /// Which member.
    pub member_id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
    /// The generation it is in.
    pub generation: i32,
}

/// Members leave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveGroup {
    /// Which group.
    pub group_id: Arc<str>,
    /// Who.
    pub members: Vec<Leaving>,
}

/// A member that leaves: by its id, or a static one by its `group.instance.id` alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaving {
    /// Empty: whoever has the instance id.
    pub member_id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
}

/// Offsets to be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetCommit {
    /// Which group; may be empty, as Kafka allows for old clients.
    pub group_id: Arc<str>,
    /// Empty: from outside of the group.
    pub member_id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Negative: from outside of the group.
    pub generation: i32,
    /// A group that does not exist is GROUP_ID_NOT_FOUND rather than ILLEGAL_GENERATION (version
    /// 9).
    pub knows_missing_groups: bool,
    /// How long to keep them, in ms (versions 2 to 4); `None` is the broker's.
    pub retention_ms: Option<i64>,
    /// What, by topic.
    pub topics: Vec<CommitTopic>,
}

/// Offsets of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its identity, as whoever asks knows it.
    pub id: TopicId,
    /// Of which partitions.
    pub partitions: Vec<CommitPartition>,
}

/// The offset of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitPartition {
    /// Its number.
    pub partition: i32,
    /// The next record to be read.
    pub offset: i64,
    /// The epoch of the record before it; -1 when unknown.
    pub leader_epoch: i32,
    /// What the client writes beside it.
    pub metadata: Arc<str>,
    /// Filled in by the coordinator; what is refused before stays so.
    pub error: Option<crate::GroupError>,
}

/// A question for committed offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetFetch {
    /// Which group.
    pub group_id: Arc<str>,
    /// Of which partitions, by topic; `None`: all that are committed.
    pub topics: Option<Vec<(Arc<str>, Vec<i32>)>>,
}

/// Offsets to be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetDelete {
    /// Which group.
    pub group_id: Arc<str>,
    /// Of which partitions, by topic.
    pub topics: Vec<(Arc<str>, Vec<i32>)>,
}

/// A question for the groups there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListGroups {
    /// Kafka's names of states, in any case; empty: all.
    pub states: Vec<Arc<str>>,
    /// Kafka's names of group types, in any case; empty: all.
    pub types: Vec<Arc<str>>,
}

use std::sync::Arc;

use sillon_record::TopicId;

use crate::{CommitTopic, GroupError, GroupState};

/// The answer to a [`crate::GroupRequest`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupResponse {
    /// JoinGroup
    Join(Joined),
    /// SyncGroup
    Sync(Result<Synced, GroupError>),
    /// Heartbeat
    Heartbeat(Result<(), GroupError>),
    /// LeaveGroup: one outcome for each member, in the order of the request.
    Leave(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// OffsetCommit: the request's topics with their errors filled in.
    OffsetCommit(Vec<CommitTopic>),
    /// OffsetFetch
    OffsetFetch(Vec<Result<Vec<FetchedTopic>, GroupError>>),
    /// OffsetDelete: one outcome for each partition, in the order of the request.
    OffsetDelete(Result<Vec<TopicOutcome>, GroupError>),
    /// DescribeGroups
    Describe(Vec<Result<DescribedGroup, GroupError>>),
    /// ListGroups, in the order of their ids.
    List(Result<Vec<ListedGroup>, GroupError>),
    /// DeleteGroups
    Delete(Result<(), GroupError>),
}

/// What became of one partition.
pub type PartitionOutcome = (i32, Result<(), GroupError>);

/// What became of the partitions of one topic.
pub type TopicOutcome = (Arc<str>, Vec<PartitionOutcome>);

/// How a JoinGroup ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joined {
    /// Why the member is not in the group's generation.
    pub error: Option<GroupError>,
    /// The member's id, which it uses from now on.
    pub member_id: Arc<str>,
    /// Counts the group's generations; -1 with an error.
    pub generation: i32,
    /// "consumer", "connect", ...
    pub protocol_type: Option<Arc<str>>,
    /// What all members use in this generation.
    pub protocol: Option<Arc<str>>,
    /// Who assigns.
    pub leader: Arc<str>,
    /// The leader leaves the assignment as it is.
    pub skip_assignment: bool,
    /// All members, for the leader only.
    pub members: Vec<JoinedMember>,
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
    /// What it says to whoever assigns.
    pub metadata: Arc<[u8]>,
}

/// A member's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// "consumer", "connect", ...
    pub protocol_type: Option<Arc<str>>,
    /// What all members use in this generation.
    pub protocol: Option<Arc<str>>,
    /// Opaque, from the leader.
    pub assignment: Arc<[u8]>,
}

/// Committed offsets of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Its name.
    pub name: Arc<str>,
    /// Its partitions, in the order of the request, or by number.
    pub partitions: Vec<FetchedPartition>,
}

/// The committed offset of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// Its number.
    pub partition: i32,
    /// Of which topic of that name the offset is; [`TopicId::ZERO`]: nothing says it. It is none
    /// of a topic with another id.
    pub topic_id: TopicId,
    /// The next record to be read; -1: none is committed.
    pub offset: i64,
    /// The epoch of the record before it; -1 when unknown.
    pub leader_epoch: i32,
    /// What the client wrote beside it.
    pub metadata: Arc<str>,
}

/// A group, for whoever looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// How far it is.
    pub state: GroupState,
    /// "consumer", "connect", ...; empty: offsets only.
    pub protocol_type: Arc<str>,
    /// What all members use, while it is stable; else empty.
    pub protocol: Arc<str>,
    /// By member id.
    pub members: Vec<DescribedMember>,
}

/// A member, for whoever looks at its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
    /// What the client calls itself.
    pub client_id: Arc<str>,
    /// Where it is.
    pub client_host: Arc<str>,
    /// What it said to whoever assigns, while the group is stable.
    pub metadata: Arc<[u8]>,
    /// What it is assigned, while the group is stable.
    pub assignment: Arc<[u8]>,
}

/// A group among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group_id: Arc<str>,
    /// "consumer", "connect", ...; empty: offsets only.
    pub protocol_type: Arc<str>,
    /// How far it is.
    pub state: GroupState,
}

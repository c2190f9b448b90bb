//! The calls of a group's member, one by one, so that a run decides when each is made and sees
//! every answer.

use bytes::{BufMut, Bytes, BytesMut};
use sillon_client::{Client, ClientError, Connection};
use sillon_protocol::message::{
    self, FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse,
    LeaveGroupRequest, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, StrBytes,
    SyncGroupRequest, Uuid, join_group_request, leave_group_request, offset_commit_request,
    offset_fetch_request, sync_group_request,
};
use sillon_protocol::{Api, ErrorCode};
use sillon_record::BrokerId;

use super::session::Place;

/// The kind of group that consumers make, and the one way of assignment that is offered.
const PROTOCOL_TYPE: &str = "consumer";
const PROTOCOL: &str = "sillon-verify";

/// How long a rebalance waits for members, in ms.
const REBALANCE_TIMEOUT_MS: i32 = 10_000;

/// First versions that name several groups or members.
const COORDINATOR_BATCHES: i16 = 4;
const LEAVE_BATCHES: i16 = 3;
const FETCH_BATCHES: i16 = 8;
/// First version of commits and fetches with topic ids.
const TOPIC_IDS: i16 = 10;

/// Why a call did not do what it is for.
#[derive(Debug)]
pub(super) enum CallError {
    /// There was no answer, or no connection.
    NoAnswer,
    /// The coordinator says no.
    Refused(ErrorCode),
}

impl From<ClientError> for CallError {
    fn from(_: ClientError) -> CallError {
        CallError::NoAnswer
    }
}

/// What became of a commit.
#[derive(Debug)]
pub(super) enum Commit {
    /// These offsets are committed, the others are not.
    Done(Vec<(i32, i64)>, Option<ErrorCode>),
    Failed(ErrorCode),
    /// It could not be sent.
    NotSent,
    Unknown,
}

/// A member of a group, in one life.
#[derive(Debug)]
pub(super) struct Member {
    pub group: String,
    pub place: Place,
    pub id: String,
    pub generation: i32,
    pub partitions: i32,
    pub session_timeout_ms: i32,
    coordinator: Option<BrokerId>,
}

impl Member {
    pub fn new(group: String, place: Place, partitions: i32, session_timeout_ms: i32) -> Member {
        Member {
            group,
            place,
            id: String::new(),
            generation: -1,
            partitions,
            session_timeout_ms,
            coordinator: None,
        }
    }

    /// Another coordinator may be needed from here on.
    pub fn forget_coordinator(&mut self) {
        self.coordinator = None;
    }

    fn coordinator<'a>(&mut self, client: &'a mut Client) -> Result<&'a mut Connection, CallError> {
        let coordinator = match self.coordinator {
            Some(coordinator) => coordinator,
            None => find_coordinator(client, &self.group)?,
        };
        self.coordinator = Some(coordinator);
        Ok(client.connection(coordinator)?)
    }

    /// Joins the next generation. Returns what it owns.
    pub fn join(&mut self, client: &mut Client) -> Result<Vec<i32>, CallError> {
        let mut joined = self.join_group(client)?;
        if joined.error_code == ErrorCode::MemberIdRequired.code() {
            self.id = joined.member_id.to_string();
            joined = self.join_group(client)?;
        }
        refusal(joined.error_code)?;
        self.id = joined.member_id.to_string();
        self.generation = joined.generation_id;
        let assignments = match joined.leader == joined.member_id {
            true => assign(&joined, &self.place.topic, self.partitions),
            false => Vec::new(),
        };
        self.sync(client, assignments)
    }

    fn join_group(&mut self, client: &mut Client) -> Result<JoinGroupResponse, CallError> {
        let mut protocol = join_group_request::JoinGroupRequestProtocol::default();
        protocol.name = StrBytes::from(PROTOCOL);
        protocol.metadata = subscription(&self.place.topic);
        let mut request = JoinGroupRequest::default();
        request.group_id = StrBytes::from(self.group.as_str());
        request.session_timeout_ms = self.session_timeout_ms;
        request.rebalance_timeout_ms = REBALANCE_TIMEOUT_MS;
        request.member_id = StrBytes::from(self.id.as_str());
        request.protocol_type = StrBytes::from(PROTOCOL_TYPE);
        request.protocols = vec![protocol];
        Ok(self.coordinator(client)?.call(&request)?)
    }

    fn sync(
        &mut self,
        client: &mut Client,
        assignments: Vec<sync_group_request::SyncGroupRequestAssignment>,
    ) -> Result<Vec<i32>, CallError> {
        let mut request = SyncGroupRequest::default();
        request.group_id = StrBytes::from(self.group.as_str());
        request.generation_id = self.generation;
        request.member_id = StrBytes::from(self.id.as_str());
        request.assignments = assignments;
        let connection = self.coordinator(client)?;
        if connection.version(Api::SyncGroup)? >= 5 {
            request.protocol_type = Some(StrBytes::from(PROTOCOL_TYPE));
            request.protocol_name = Some(StrBytes::from(PROTOCOL));
        }
        let answer = connection.call(&request)?;
        refusal(answer.error_code)?;
        partitions_of(&answer.assignment).ok_or(CallError::Refused(ErrorCode::UnknownServerError))
    }

    /// Tells the coordinator that the member is alive.
    pub fn heartbeat(&mut self, client: &mut Client) -> Result<(), CallError> {
        let mut request = HeartbeatRequest::default();
        request.group_id = StrBytes::from(self.group.as_str());
        request.generation_id = self.generation;
        request.member_id = StrBytes::from(self.id.as_str());
        refusal(self.coordinator(client)?.call(&request)?.error_code)
    }

    /// Leaves the group.
    pub fn leave(&mut self, client: &mut Client) -> Result<(), CallError> {
        let mut request = LeaveGroupRequest::default();
        request.group_id = StrBytes::from(self.group.as_str());
        let id = StrBytes::from(self.id.as_str());
        let connection = self.coordinator(client)?;
        if connection.version(Api::LeaveGroup)? >= LEAVE_BATCHES {
            let mut member = leave_group_request::MemberIdentity::default();
            member.member_id = id;
            request.members = vec![member];
        } else {
            request.member_id = id;
        }
        refusal(connection.call(&request)?.error_code)
    }

    /// Commits offsets.
    pub fn commit(&mut self, client: &mut Client, offsets: &[(i32, i64)]) -> Commit {
        let answer = self.coordinator(client).and_then(|connection| {
            let version = connection.version(Api::OffsetCommit)?;
            Ok((connection, version))
        });
        let (connection, version) = match answer {
            Ok(found) => found,
            Err(CallError::Refused(error)) => return Commit::Failed(error),
            Err(CallError::NoAnswer) => return Commit::NotSent,
        };
        let request = self.commit_request(version, offsets);
        match connection.call(&request) {
            Ok(answer) => outcome(&answer, offsets),
            Err(_) => Commit::Unknown,
        }
    }

    /// Sends a commit whose answer nobody will see.
    pub fn commit_and_vanish(
        &mut self,
        client: &mut Client,
        offsets: &[(i32, i64)],
    ) -> Result<(), CallError> {
        let connection = self.coordinator(client)?;
        let version = connection.version(Api::OffsetCommit)?;
        let request = self.commit_request(version, offsets);
        let sent = connection.send(|out, correlation_id, client_id| {
            message::encode_request(out, version, correlation_id, client_id, &request)
        });
        sent.map_err(|_| CallError::NoAnswer)?;
        Ok(connection.flush()?)
    }

    fn commit_request(&self, version: i16, offsets: &[(i32, i64)]) -> OffsetCommitRequest {
        let mut topic = offset_commit_request::OffsetCommitRequestTopic::default();
        if version >= TOPIC_IDS {
            topic.topic_id = Uuid::from_bytes(self.place.id.0);
        } else {
            topic.name = StrBytes::from(self.place.topic.as_str());
        }
        for (partition, offset) in offsets {
            let mut committed = offset_commit_request::OffsetCommitRequestPartition::default();
            committed.partition_index = *partition;
            committed.committed_offset = *offset;
            committed.committed_leader_epoch = -1;
            committed.committed_metadata = Some(StrBytes::from(""));
            topic.partitions.push(committed);
        }
        let mut request = OffsetCommitRequest::default();
        request.group_id = StrBytes::from(self.group.as_str());
        request.generation_id_or_member_epoch = self.generation;
        request.member_id = StrBytes::from(self.id.as_str());
        request.retention_time_ms = -1;
        request.topics = vec![topic];
        request
    }

    /// The group's committed offsets; -1: none.
    pub fn committed(
        &mut self,
        client: &mut Client,
        partitions: &[i32],
    ) -> Result<Vec<(i32, i64)>, CallError> {
        let (group, place) = (self.group.clone(), self.place.clone());
        let connection = self.coordinator(client)?;
        let version = connection.version(Api::OffsetFetch)?;
        let mut request = OffsetFetchRequest::default();
        if version >= FETCH_BATCHES {
            let mut topic = offset_fetch_request::OffsetFetchRequestTopics::default();
            if version >= TOPIC_IDS {
                topic.topic_id = Uuid::from_bytes(place.id.0);
            } else {
                topic.name = StrBytes::from(place.topic.as_str());
            }
            topic.partition_indexes = partitions.to_vec();
            let mut asked = offset_fetch_request::OffsetFetchRequestGroup::default();
            asked.group_id = StrBytes::from(group.as_str());
            asked.member_epoch = -1;
            asked.topics = Some(vec![topic]);
            request.groups = vec![asked];
        } else {
            let mut topic = offset_fetch_request::OffsetFetchRequestTopic::default();
            topic.name = StrBytes::from(place.topic.as_str());
            topic.partition_indexes = partitions.to_vec();
            request.group_id = StrBytes::from(group.as_str());
            request.topics = Some(vec![topic]);
        }
        let answer = connection.call(&request)?;
        let mut found = Vec::new();
        if version >= FETCH_BATCHES {
            let of_group = answer.groups.first().ok_or(CallError::NoAnswer)?;
            refusal(of_group.error_code)?;
            for partition in of_group.topics.iter().flat_map(|topic| &topic.partitions) {
                refusal(partition.error_code)?;
                found.push((partition.partition_index, partition.committed_offset));
            }
        } else {
            refusal(answer.error_code)?;
            for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
                refusal(partition.error_code)?;
                found.push((partition.partition_index, partition.committed_offset));
            }
        }
        found.sort_unstable();
        match found.iter().map(|(partition, _)| partition).eq(partitions) {
            true => Ok(found),
            false => Err(CallError::NoAnswer),
        }
    }
}

fn refusal(code: i16) -> Result<(), CallError> {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Ok(()),
        Some(error) => Err(CallError::Refused(error)),
        None => Err(CallError::Refused(ErrorCode::UnknownServerError)),
    }
}

fn find_coordinator(client: &mut Client, group: &str) -> Result<BrokerId, CallError> {
    let metadata = client.metadata()?;
    let any = metadata.brokers.first().ok_or(CallError::NoAnswer)?.id;
    let connection = client.connection(any)?;
    let mut request = FindCoordinatorRequest::default();
    let version = connection.version(Api::FindCoordinator)?;
    if version >= COORDINATOR_BATCHES {
        request.coordinator_keys = vec![StrBytes::from(group)];
    } else {
        request.key = StrBytes::from(group);
    }
    let answer = connection.call(&request)?;
    if version < COORDINATOR_BATCHES {
        refusal(answer.error_code)?;
        return Ok(BrokerId(answer.node_id));
    }
    let found = answer.coordinators.first().ok_or(CallError::NoAnswer)?;
    refusal(found.error_code)?;
    Ok(BrokerId(found.node_id))
}

/// What an answer to a commit says. An error that a coordinator may give after it has written is
/// no answer.
fn outcome(answer: &OffsetCommitResponse, offsets: &[(i32, i64)]) -> Commit {
    let mut done = Vec::new();
    let mut refused = None;
    for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
        let index = partition.partition_index;
        let Some(offset) = offsets.iter().find(|(asked, _)| *asked == index) else {
            return Commit::Unknown;
        };
        match ErrorCode::from_code(partition.error_code) {
            Some(ErrorCode::None) => done.push(*offset),
            Some(error) if says_no(error) => refused = Some(error),
            _ => return Commit::Unknown,
        }
    }
    match refused {
        _ if done.len() == offsets.len() => Commit::Done(done, None),
        Some(error) if done.is_empty() => Commit::Failed(error),
        Some(error) => Commit::Done(done, Some(error)),
        // Some were not spoken of.
        None => Commit::Unknown,
    }
}

/// Whether a commit with this error did not happen for sure.
fn says_no(error: ErrorCode) -> bool {
    use ErrorCode::*;
    matches!(
        error,
        IllegalGeneration
            | UnknownMemberId
            | FencedInstanceId
            | RebalanceInProgress
            | CoordinatorLoadInProgress
            | InvalidCommitOffsetSize
            | OffsetMetadataTooLarge
            | GroupAuthorizationFailed
            | TopicAuthorizationFailed
            | UnknownTopicOrPartition
            | UnknownTopicId
            | InvalidGroupId
    )
}

/// A subscription as consumers write it (version 0): topics, and no data of the user.
fn subscription(topic: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(1);
    put_string(&mut out, topic);
    out.put_i32(-1);
    out.freeze()
}

/// Deals the partitions out to the members, beginning with another one in each generation.
fn assign(
    joined: &JoinGroupResponse,
    topic: &str,
    partitions: i32,
) -> Vec<sync_group_request::SyncGroupRequestAssignment> {
    let mut members: Vec<&StrBytes> = joined.members.iter().map(|m| &m.member_id).collect();
    members.sort_unstable();
    let count = members.len();
    let first = joined.generation_id.max(0) as usize;
    let mut assignments = Vec::new();
    for (nth, member) in members.into_iter().enumerate() {
        let owned =
            (0..partitions).filter(|partition| (*partition as usize + first) % count == nth);
        let mut assignment = sync_group_request::SyncGroupRequestAssignment::default();
        assignment.member_id = member.clone();
        assignment.assignment = assignment_of(topic, &owned.collect::<Vec<i32>>());
        assignments.push(assignment);
    }
    assignments
}

/// An assignment as consumers write it (version 0).
fn assignment_of(topic: &str, partitions: &[i32]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(0);
    out.put_i32(1);
    put_string(&mut out, topic);
    out.put_i32(partitions.len() as i32);
    for partition in partitions {
        out.put_i32(*partition);
    }
    out.put_i32(-1);
    out.freeze()
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

/// The partitions of an assignment of the one topic; an empty one owns nothing.
fn partitions_of(assignment: &[u8]) -> Option<Vec<i32>> {
    if assignment.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = assignment.get(2..)?;
    let mut take = |bytes: usize| {
        let taken = rest.get(..bytes)?;
        rest = &rest[bytes..];
        Some(taken)
    };
    let number = |bytes: &[u8]| i32::from_be_bytes(bytes.try_into().expect("four bytes"));
    let topics = number(take(4)?);
    let mut partitions = Vec::new();
    for _ in 0..topics {
        let length = take(2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        take(length)?;
        for _ in 0..number(take(4)?) {
            partitions.push(number(take(4)?));
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_reads_back_and_a_torn_one_does_not() {
        let whole = assignment_of("furrow", &[0, 2, 7]);
        assert_eq!(partitions_of(&whole), Some(vec![0, 2, 7]));
        assert_eq!(partitions_of(&[]), Some(Vec::new()));
        for length in 1..whole.len() - 4 {
            assert_eq!(partitions_of(&whole[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn every_partition_has_one_owner_whatever_the_generation() {
        for generation in 0..5 {
            let mut joined = JoinGroupResponse::default();
            joined.generation_id = generation;
            for name in ["c", "a", "b"] {
                let mut member = message::join_group_response::JoinGroupResponseMember::default();
                member.member_id = StrBytes::from(name);
                joined.members.push(member);
            }
            let assignments = assign(&joined, "furrow", 4);
            let owned = assignments.iter();
            let owned = owned.flat_map(|owned| partitions_of(&owned.assignment).unwrap());
            let mut owned: Vec<i32> = owned.collect();
            owned.sort_unstable();
            assert_eq!(owned, [0, 1, 2, 3]);
        }
    }
}

//! How a member becomes part of its group's next generation: JoinGroup, SyncGroup, and where to
//! begin.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sillon_protocol::message::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, EncodeError, JoinGroupRequest,
    JoinGroupResponse, StrBytes, SyncGroupRequest, consumer_protocol_assignment,
    consumer_protocol_subscription, decode_assignment, decode_subscription, encode_assignment,
    encode_subscription, join_group_request::JoinGroupRequestProtocol,
    sync_group_request::SyncGroupRequestAssignment,
};
use sillon_protocol::{Api, ErrorCode};

use super::administration::CONSUMER;
use super::assignor::{Assignor, Subscriber};
use super::member::{Divided, GroupMember, Phase};
use super::offsets;
use super::options::wire_ms;
use super::refused;
use crate::connection::Connection;
use crate::error::ClientError;
use crate::metadata::code;
use crate::topic_partition::TopicPartition;

/// What a coordinator may take beyond the time that it waits for members.
const JOIN_TIMEOUT_BEYOND: Duration = Duration::from_secs(5);

impl GroupMember {
    /// Sends JoinGroup. The partitions of the last generation are given up here, but by a member
    /// that is cooperative: it says which they are.
    pub(super) fn join(&mut self) -> Result<(), ClientError> {
        self.heartbeats.pause();
        self.divided = None;
        self.is_to_rejoin = false;
        if !self.options.is_cooperative() {
            self.consumer.unassign_all();
            self.committed.clear();
            self.membership.generation = -1;
        }
        let request = self.join_request()?;
        let asked = self.connect()?.ask(&request)?;
        self.phase = Phase::Joining(asked);
        Ok(())
    }

    fn join_request(&mut self) -> Result<JoinGroupRequest, ClientError> {
        let mut topics: Vec<&str> = self.options.topics.iter().map(String::as_str).collect();
        topics.sort_unstable();
        let mut subscription = ConsumerProtocolSubscription::default();
        subscription.topics = topics.into_iter().map(StrBytes::from).collect();
        if self.options.is_cooperative() {
            subscription.generation_id = self.membership.generation;
            // Where clients before Kafka 3.2 look for it.
            let generation = self.membership.generation.to_be_bytes();
            subscription.user_data = Some(Bytes::copy_from_slice(&generation));
            let owned = self.partitions();
            let owned = TopicPartition::by_topic(&owned).map(|places| {
                let mut topic = consumer_protocol_subscription::TopicPartition::default();
                topic.topic = StrBytes::from(places[0].topic.as_str());
                topic.partitions = places.iter().map(|place| place.partition).collect();
                topic
            });
            subscription.owned_partitions = owned.collect();
        }
        let metadata = encode_subscription(&subscription);
        let metadata = metadata.map_err(|source| self.unencodable(Api::JoinGroup, source))?;
        let protocols = self.options.assignors.iter().map(|assignor| {
            let mut protocol = JoinGroupRequestProtocol::default();
            protocol.name = StrBytes::from(assignor.name());
            protocol.metadata = metadata.clone();
            protocol
        });
        let mut request = JoinGroupRequest::default();
        request.group_id = StrBytes::from(self.options.group.as_str());
        request.session_timeout_ms = wire_ms(self.options.session_timeout);
        request.rebalance_timeout_ms = wire_ms(self.options.max_poll_interval);
        request.member_id = StrBytes::from(self.membership.member_id.as_str());
        request.group_instance_id = self.membership.instance_id.as_deref().map(StrBytes::from);
        request.protocol_type = StrBytes::from(CONSUMER);
        request.protocols = protocols.collect();
        Ok(request)
    }

    /// Takes the answer to JoinGroup, when it is there, and sends SyncGroup.
    pub(super) fn joined(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let Phase::Joining(asked) = &self.phase else {
            unreachable!("only a member that joins gets here");
        };
        let connection = self.coordinator.as_mut();
        let connection = connection.expect("JoinGroup was sent on it");
        let wait = deadline.saturating_duration_since(Instant::now());
        let Some(answer) = connection.answer(asked, wait)? else {
            let age = asked.age();
            return self.is_late(Api::JoinGroup, age);
        };
        let group = &self.options.group;
        match code(answer.error_code) {
            ErrorCode::None => {}
            // Joining again with the id shows that the client lives (KIP-394).
            ErrorCode::MemberIdRequired => {
                self.membership.member_id = answer.member_id.to_string();
                self.phase = Phase::Out;
                return Ok(());
            }
            error => return Err(refused(&format!("join group {group}"), group, error, None)),
        }
        self.membership.member_id = answer.member_id.to_string();
        self.membership.generation = answer.generation_id;
        let address = connection.address().to_string();
        self.heartbeats.begin(self.membership.clone(), address);
        let assignments = if answer.leader == answer.member_id {
            self.divide(&answer)?
        } else {
            Vec::new()
        };
        let mut request = SyncGroupRequest::default();
        request.group_id = StrBytes::from(self.options.group.as_str());
        request.generation_id = self.membership.generation;
        request.member_id = answer.member_id;
        request.group_instance_id = self.membership.instance_id.as_deref().map(StrBytes::from);
        request.protocol_type = answer.protocol_type.or(Some(StrBytes::from(CONSUMER)));
        request.protocol_name = answer.protocol_name;
        request.assignments = assignments;
        let asked = self.connect()?.ask(&request)?;
        self.phase = Phase::Syncing(asked);
        Ok(())
    }

    /// Takes the answer to SyncGroup, when it is there.
    pub(super) fn synced(&mut self, deadline: Instant) -> Result<(), ClientError> {
        let Phase::Syncing(asked) = &self.phase else {
            unreachable!("only a member that syncs gets here");
        };
        let connection = self.coordinator.as_mut();
        let connection = connection.expect("SyncGroup was sent on it");
        let wait = deadline.saturating_duration_since(Instant::now());
        let Some(answer) = connection.answer(asked, wait)? else {
            let age = asked.age();
            return self.is_late(Api::SyncGroup, age);
        };
        if answer.error_code != 0 {
            let group = &self.options.group;
            let what = format!("get partitions from group {group}");
            return Err(refused(&what, group, code(answer.error_code), None));
        }
        let assigned = decode_assignment(answer.assignment);
        let assigned =
            assigned.map_err(|error| connection.malformed(Api::SyncGroup, error.into()))?;
        let topics = assigned.assigned_partitions.iter();
        let partitions = topics.flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|p| TopicPartition::new(&*topic.topic, *p))
        });
        let partitions: BTreeSet<TopicPartition> = partitions.collect();
        let given_up = self.partitions().into_iter();
        let given_up = given_up.filter(|place| !partitions.contains(place));
        let given_up: Vec<TopicPartition> = given_up.collect();
        let partitions = partitions.into_iter().collect();
        self.phase = match given_up.is_empty() {
            true => Phase::Starting(partitions),
            false => Phase::GivingUp {
                given_up,
                partitions,
            },
        };
        Ok(())
    }

    /// Finds out where to begin, and reads from there on.
    pub(super) fn start(&mut self) -> Result<Vec<TopicPartition>, ClientError> {
        let Phase::Starting(partitions) = &self.phase else {
            unreachable!("only a member with partitions gets here");
        };
        let partitions = partitions.clone();
        // Those that it has kept are read on.
        let kept: BTreeSet<TopicPartition> = self.partitions().into_iter().collect();
        let new = partitions.iter().filter(|place| !kept.contains(place));
        let new: Vec<TopicPartition> = new.cloned().collect();
        if !new.is_empty() {
            // The leader may have divided partitions that are newer than what is known here.
            self.client.forget_topics();
            let group = self.options.group.clone();
            let committed = offsets::fetch(self.connect()?, &group, Some(&new), true)?;
            let without = new.iter().filter(|place| !committed.contains_key(place));
            let without: Vec<TopicPartition> = without.cloned().collect();
            let spec = self.options.offset_reset.into();
            let found = self.client.list_offsets_of(&without, spec)?;
            for place in &new {
                let known = committed.get(place).map(|committed| committed.offset);
                let offset = known.or(found.get(place).copied()).unwrap_or(0);
                self.consumer.assign(&place.topic, place.partition, offset);
            }
            let committed = committed.into_iter();
            self.committed
                .extend(committed.map(|(place, committed)| (place, committed.offset)));
        }
        self.last_commit = Instant::now();
        self.phase = Phase::Stable;
        Ok(partitions)
    }

    /// Whether there are other partitions by now than the member has divided, as the group's leader.
    pub(super) fn is_divided_otherwise(&mut self) -> Result<bool, ClientError> {
        let Some(divided) = &mut self.divided else {
            return Ok(false);
        };
        if divided.last_look.elapsed() < self.options.metadata_max_age {
            return Ok(false);
        }
        divided.last_look = Instant::now();
        let topics = divided.topics.clone();
        let partitions = self.partition_counts(&topics)?;
        let divided = self.divided.as_ref();
        Ok(divided.is_some_and(|divided| divided.partitions != partitions))
    }

    /// Divides the partitions of all topics that somebody in the group reads, as its leader.
    fn divide(
        &mut self,
        joined: &JoinGroupResponse,
    ) -> Result<Vec<SyncGroupRequestAssignment>, ClientError> {
        let mut members = Vec::with_capacity(joined.members.len());
        for member in &joined.members {
            let subscription = decode_subscription(member.metadata.clone());
            let subscription = subscription
                .map_err(|error| self.connection().malformed(Api::JoinGroup, error.into()))?;
            members.push(Subscriber {
                member_id: member.member_id.to_string(),
                instance_id: member.group_instance_id.as_deref().map(str::to_string),
                topics: subscription.topics.iter().map(|t| t.to_string()).collect(),
                owned: owned(&subscription),
                generation: generation(&subscription),
            });
        }
        let topics = members
            .iter()
            .flat_map(|member| member.topics.iter().cloned());
        let topics: BTreeSet<String> = topics.collect();
        let partitions = self.partition_counts(&topics)?;
        self.divided = Some(Divided {
            topics,
            partitions: partitions.clone(),
            last_look: Instant::now(),
        });
        // A static leader that came back gets what the group has, and divides nothing anew.
        if joined.skip_assignment {
            return Ok(Vec::new());
        }
        let chosen = joined.protocol_name.as_deref().unwrap_or_default();
        let Some(assignor) = Assignor::named(chosen) else {
            let what = format!(
                "divide the partitions of group {} by {chosen:?}",
                self.options.group
            );
            let error = ErrorCode::InconsistentGroupProtocol;
            return Err(refused(&what, &self.options.group, error, None));
        };
        let assignment = assignor.assign(&partitions, &members);
        let mut assignments = Vec::with_capacity(assignment.len());
        for (member_id, places) in assignment {
            let mut given = SyncGroupRequestAssignment::default();
            given.member_id = StrBytes::from(member_id);
            given.assignment =
                encoded(&places).map_err(|source| self.unencodable(Api::SyncGroup, source))?;
            assignments.push(given);
        }
        Ok(assignments)
    }

    /// How many partitions topics have; those that do not exist are left out.
    fn partition_counts(
        &mut self,
        topics: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, i32>, ClientError> {
        self.client.forget_topics();
        let mut counts = BTreeMap::new();
        for name in topics {
            match self.client.topic(name) {
                Ok(topic) => {
                    counts.insert(name.clone(), topic.partitions.len() as i32);
                }
                Err(ClientError::UnknownTopic { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(counts)
    }

    /// Whether an answer that has not come should have.
    fn is_late(&self, api: Api, age: Duration) -> Result<(), ClientError> {
        let timeout = self.options.max_poll_interval + JOIN_TIMEOUT_BEYOND;
        if age < timeout {
            return Ok(());
        }
        Err(ClientError::TimedOut {
            address: self.connection().address().to_string(),
            api,
            timeout,
        })
    }

    fn connection(&self) -> &Connection {
        let connection = self.coordinator.as_ref();
        connection.expect("the member waits for an answer on it")
    }

    fn unencodable(&self, api: Api, source: EncodeError) -> ClientError {
        let address = self.coordinator.as_ref().map(Connection::address);
        ClientError::Unencodable {
            address: address.unwrap_or_default().to_string(),
            api,
            source,
        }
    }
}

/// What a member had when it joined.
fn owned(subscription: &ConsumerProtocolSubscription) -> BTreeSet<TopicPartition> {
    let topics = subscription.owned_partitions.iter();
    let places = topics.flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|index| TopicPartition::new(&*topic.topic, *index))
    });
    places.collect()
}

/// The generation that a member had it in; clients before Kafka 3.2 say it to their assignor only.
fn generation(subscription: &ConsumerProtocolSubscription) -> i32 {
    let said = subscription.user_data.as_deref();
    let said = said.and_then(|bytes| bytes.try_into().ok().map(i32::from_be_bytes));
    match subscription.generation_id {
        -1 => said.unwrap_or(-1),
        generation => generation,
    }
}

/// An assignment on the wire.
fn encoded(places: &[TopicPartition]) -> Result<Bytes, EncodeError> {
    let topics = TopicPartition::by_topic(places).map(|places| {
        let mut topic = consumer_protocol_assignment::TopicPartition::default();
        topic.topic = StrBytes::from(places[0].topic.as_str());
        topic.partitions = places.iter().map(|place| place.partition).collect();
        topic
    });
    let mut assignment = ConsumerProtocolAssignment::default();
    assignment.assigned_partitions = topics.collect();
    encode_assignment(&assignment)
}

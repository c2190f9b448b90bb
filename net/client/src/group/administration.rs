use sillon_protocol::Api;
use sillon_protocol::message::{
    DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest, StrBytes, decode_assignment,
    describe_groups_response::DescribedGroupMember,
};
use sillon_record::BrokerId;

use super::refused;
use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::metadata::{Broker, code};
use crate::topic_partition::TopicPartition;

/// The protocol type of groups that share partitions.
pub(super) const CONSUMER: &str = "consumer";

/// What versions of DescribeGroups without an error for it say of a group that is not there.
const DEAD: &str = "Dead";

/// A group, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// Its id.
    pub group: String,
    /// What its members do; `consumer` share partitions. Empty without members so far.
    pub protocol_type: String,
    /// Kafka's name of its state; empty from brokers older than Kafka 2.6.
    pub state: String,
    /// Kafka's name of its type; `Classic` from brokers that say nothing about it.
    pub group_type: String,
}

/// A group and its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its id.
    pub group: String,
    /// Who coordinates it.
    pub coordinator: Broker,
    /// Kafka's name of its state.
    pub state: String,
    /// What its members do; `consumer` share partitions. Empty without members so far.
    pub protocol_type: String,
    /// How they divide the partitions; empty while there is nothing to divide.
    pub assignor: String,
    /// By id.
    pub members: Vec<DescribedMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, when it is a static member.
    pub instance_id: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it is, as its coordinator sees it.
    pub host: String,
    /// Its partitions, sorted. Known of consumers only.
    pub assignment: Vec<TopicPartition>,
}

impl Client {
    /// The groups of all brokers by id; of these states and types (Kafka's names) when any are
    /// given.
    pub fn list_groups(
        &mut self,
        states: &[String],
        types: &[String],
    ) -> Result<Vec<ListedGroup>, ClientError> {
        let wire = |names: &[String]| {
            names
                .iter()
                .map(|name| StrBytes::from(name.as_str()))
                .collect()
        };
        let mut request = ListGroupsRequest::default();
        request.states_filter = wire(states);
        request.types_filter = wire(types);
        self.retrying(|client| {
            client.refresh(&[])?;
            let brokers: Vec<BrokerId> = client.brokers().iter().map(|broker| broker.id).collect();
            let mut groups = Vec::new();
            for broker in brokers {
                let answer = client.with(broker, |connection| connection.call(&request))?;
                if answer.error_code != 0 {
                    let what = format!("list the groups of broker {}", broker.0);
                    let error = code(answer.error_code);
                    return Err(ClientError::refused(what, error, None::<&str>));
                }
                groups.extend(answer.groups.iter().map(|group| ListedGroup {
                    group: group.group_id.to_string(),
                    protocol_type: group.protocol_type.to_string(),
                    state: group.group_state.to_string(),
                    group_type: group_type(&group.group_type),
                }));
            }
            groups.sort_by(|a, b| a.group.cmp(&b.group));
            Ok(groups)
        })
    }

    /// A group and its members. One that is not there is [`ClientError::UnknownGroup`].
    pub fn describe_group(&mut self, group: &str) -> Result<DescribedGroup, ClientError> {
        let mut request = DescribeGroupsRequest::default();
        request.groups = vec![StrBytes::from(group)];
        let what = format!("describe group {group}");
        let (found, members) = self.with_coordinator(group, |connection| {
            let answer = connection.call(&request)?;
            let Some(found) = answer.groups.into_iter().next() else {
                let silent = Malformed::Silent(format!("group {group}"));
                return Err(connection.malformed(Api::DescribeGroups, silent));
            };
            if found.error_code != 0 {
                let message = found.error_message.as_deref();
                return Err(refused(&what, group, code(found.error_code), message));
            }
            let is_consumer = &*found.protocol_type == CONSUMER;
            let members = found.members.iter();
            let members = members.map(|found| member(connection, found, is_consumer));
            let members = members.collect::<Result<Vec<_>, _>>()?;
            Ok((found, members))
        })?;
        if &*found.group_state == DEAD {
            return Err(ClientError::UnknownGroup {
                group: group.to_string(),
            });
        }
        let mut described = DescribedGroup {
            group: group.to_string(),
            coordinator: self.coordinator(group)?,
            state: found.group_state.to_string(),
            protocol_type: found.protocol_type.to_string(),
            assignor: found.protocol_data.to_string(),
            members,
        };
        described
            .members
            .sort_by(|a, b| a.member_id.cmp(&b.member_id));
        Ok(described)
    }

    /// Deletes a group without members, and the offsets it has committed.
    pub fn delete_group(&mut self, group: &str) -> Result<(), ClientError> {
        let mut request = DeleteGroupsRequest::default();
        request.groups_names = vec![StrBytes::from(group)];
        let what = format!("delete group {group}");
        self.with_coordinator(group, |connection| {
            let answer = connection.call(&request)?;
            let Some(result) = answer.results.first() else {
                let silent = Malformed::Silent(format!("group {group}"));
                return Err(connection.malformed(Api::DeleteGroups, silent));
            };
            match result.error_code {
                0 => Ok(()),
                error => {
                    let message = result.error_message.as_deref();
                    Err(refused(&what, group, code(error), message))
                }
            }
        })
    }
}

/// Kafka's clients write types with a capital, coordinators without.
fn group_type(wire: &str) -> String {
    if wire.is_empty() {
        return "Classic".to_string();
    }
    let mut characters = wire.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}

fn member(
    connection: &Connection,
    found: &DescribedGroupMember,
    is_consumer: bool,
) -> Result<DescribedMember, ClientError> {
    let mut assignment = Vec::new();
    if is_consumer {
        let assigned = decode_assignment(found.member_assignment.clone());
        let assigned =
            assigned.map_err(|error| connection.malformed(Api::DescribeGroups, error.into()))?;
        for topic in &assigned.assigned_partitions {
            let partitions = topic.partitions.iter();
            assignment.extend(partitions.map(|p| TopicPartition::new(&*topic.topic, *p)));
        }
        assignment.sort();
    }
    Ok(DescribedMember {
        member_id: found.member_id.to_string(),
        instance_id: found.group_instance_id.as_deref().map(str::to_string),
        client_id: found.client_id.to_string(),
        host: found.client_host.to_string(),
        assignment,
    })
}

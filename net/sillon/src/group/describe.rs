use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use serde::Serialize;
use sillon_client::{
    Client, ClientError, DescribedGroup, DescribedMember, OffsetSpec, TopicPartition,
};

use super::{CoordinatorArgs, GroupError, consumer_groups, or_dash};
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Their ids
    #[arg(required_unless_present = "all_groups", conflicts_with = "all_groups")]
    groups: Vec<String>,
    /// All groups
    #[arg(long)]
    all_groups: bool,
    /// What was committed of each partition, how far that is from the log's end, and who reads it
    /// (default)
    #[arg(long, group = "view")]
    offsets: bool,
    /// The members and their partitions
    #[arg(long, group = "view")]
    members: bool,
    /// The coordinator, how partitions are divided, the state, and the number of members
    #[arg(long, group = "view")]
    state: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

#[derive(Serialize)]
struct GroupOffsets {
    group: String,
    state: String,
    partitions: Vec<PartitionOffsets>,
}

#[derive(Serialize)]
struct PartitionOffsets {
    topic: String,
    partition: i32,
    /// `None`: nothing is committed.
    current_offset: Option<i64>,
    /// Where the next record will be; `None`: the partition has no leader, or is gone.
    log_end_offset: Option<i64>,
    lag: Option<i64>,
    /// Who reads it; `None`: nobody, as in the next two.
    consumer_id: Option<String>,
    host: Option<String>,
    client_id: Option<String>,
}

#[derive(Serialize)]
struct GroupMembers {
    group: String,
    state: String,
    members: Vec<Member>,
}

#[derive(Serialize)]
struct Member {
    consumer_id: String,
    group_instance_id: Option<String>,
    host: String,
    client_id: String,
    assignment: Vec<Assigned>,
}

#[derive(Serialize)]
struct Assigned {
    topic: String,
    partitions: Vec<i32>,
}

#[derive(Serialize)]
struct GroupState {
    group: String,
    coordinator: String,
    coordinator_id: i32,
    /// Empty while there is nothing to divide.
    assignment_strategy: String,
    state: String,
    members: usize,
}

impl DescribeArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.coordinator.connect()?;
        let named = match self.all_groups {
            true => consumer_groups(&mut client)?,
            false => self.groups.clone(),
        };
        let mut groups = Vec::new();
        for group in named {
            match described(&mut client, &group) {
                // It is gone since it was listed, or what can be said of the others is said.
                Err(Failure::Group(error)) if self.all_groups => eprintln!("sillon: {error}"),
                described => groups.push(described?),
            }
        }
        for group in &groups {
            notice(group);
        }
        if self.offsets || !(self.members || self.state) {
            self.print_offsets(&mut client, groups)
        } else if self.members {
            self.print_members(groups)
        } else {
            self.print_states(groups)
        }
    }

    fn print_offsets(
        &self,
        client: &mut Client,
        groups: Vec<DescribedGroup>,
    ) -> Result<(), Failure> {
        let mut table = Table::new(&[
            "GROUP",
            "TOPIC",
            "PARTITION",
            "CURRENT-OFFSET",
            "LOG-END-OFFSET",
            "LAG",
            "CONSUMER-ID",
            "HOST",
            "CLIENT-ID",
        ]);
        let mut printed = Vec::new();
        for group in groups {
            let partitions = partitions(client, &group)?;
            for row in &partitions {
                table.row(vec![
                    group.group.clone(),
                    row.topic.clone(),
                    row.partition.to_string(),
                    or_dash(row.current_offset),
                    or_dash(row.log_end_offset),
                    or_dash(row.lag),
                    or_dash(row.consumer_id.as_ref()),
                    or_dash(row.host.as_ref()),
                    or_dash(row.client_id.as_ref()),
                ]);
            }
            printed.push(GroupOffsets {
                group: group.group,
                state: group.state,
                partitions,
            });
        }
        output::print(self.format, &printed, table)
    }

    fn print_members(&self, groups: Vec<DescribedGroup>) -> Result<(), Failure> {
        let mut table = Table::new(&[
            "GROUP",
            "CONSUMER-ID",
            "GROUP-INSTANCE-ID",
            "HOST",
            "CLIENT-ID",
            "#PARTITIONS",
            "ASSIGNMENT",
        ]);
        let mut printed = Vec::new();
        for group in groups {
            let members: Vec<Member> = group.members.iter().map(member).collect();
            for member in &members {
                let assignment = member.assignment.iter();
                let count: usize = assignment.clone().map(|topic| topic.partitions.len()).sum();
                let assignment: Vec<String> = assignment.map(Assigned::listed).collect();
                table.row(vec![
                    group.group.clone(),
                    member.consumer_id.clone(),
                    or_dash(member.group_instance_id.as_ref()),
                    member.host.clone(),
                    member.client_id.clone(),
                    count.to_string(),
                    or_dash((count > 0).then(|| assignment.join(";"))),
                ]);
            }
            printed.push(GroupMembers {
                group: group.group,
                state: group.state,
                members,
            });
        }
        output::print(self.format, &printed, table)
    }

    fn print_states(&self, groups: Vec<DescribedGroup>) -> Result<(), Failure> {
        let mut table = Table::new(&[
            "GROUP",
            "COORDINATOR (ID)",
            "ASSIGNMENT-STRATEGY",
            "STATE",
            "#MEMBERS",
        ]);
        let states = groups.into_iter().map(|group| GroupState {
            coordinator: group.coordinator.address,
            coordinator_id: group.coordinator.id.0,
            assignment_strategy: group.assignor,
            state: group.state,
            members: group.members.len(),
            group: group.group,
        });
        let states: Vec<GroupState> = states.collect();
        for group in &states {
            let assignor = &group.assignment_strategy;
            table.row(vec![
                group.group.clone(),
                format!("{} ({})", group.coordinator, group.coordinator_id),
                or_dash((!assignor.is_empty()).then_some(assignor)),
                group.state.clone(),
                group.members.to_string(),
            ]);
        }
        output::print(self.format, &states, table)
    }
}

impl Assigned {
    /// As Kafka's tool writes it.
    fn listed(&self) -> String {
        let partitions: Vec<String> = self.partitions.iter().map(i32::to_string).collect();
        format!("{}:{}", self.topic, partitions.join(","))
    }
}

/// A group, or why it cannot be described.
pub(super) fn described(client: &mut Client, group: &str) -> Result<DescribedGroup, Failure> {
    match client.describe_group(group) {
        Err(ClientError::UnknownGroup { group }) => {
            // Groups of the newer protocol are described by another API, and unknown to this one.
            let listed = client.list_groups(&[], &[])?;
            let is_there = listed.iter().any(|known| known.group == group);
            Err(match is_there {
                true => GroupError::NewProtocol { group }.into(),
                false => GroupError::Unknown { group }.into(),
            })
        }
        result => Ok(result?),
    }
}

/// What a reader of the output should know about the group.
fn notice(group: &DescribedGroup) {
    match group.state.as_str() {
        "Empty" => eprintln!("group {} has no active members", group.group),
        "PreparingRebalance" | "CompletingRebalance" => {
            eprintln!(
                "group {} is rebalancing: this is about to change",
                group.group
            );
        }
        _ => {}
    }
}

/// What the group has committed and what its members read, partition by partition.
fn partitions(
    client: &mut Client,
    group: &DescribedGroup,
) -> Result<Vec<PartitionOffsets>, Failure> {
    let committed = client.committed_offsets(&group.group)?;
    let mut owners: BTreeMap<&TopicPartition, &DescribedMember> = BTreeMap::new();
    for member in &group.members {
        owners.extend(member.assignment.iter().map(|place| (place, member)));
    }
    let places: BTreeSet<&TopicPartition> =
        committed.keys().chain(owners.keys().copied()).collect();
    let ends = log_ends(client, &places)?;
    let rows = places.into_iter().map(|place| {
        let current_offset = committed.get(place).map(|committed| committed.offset);
        let log_end_offset = ends.get(place).copied();
        let owner = owners.get(place);
        PartitionOffsets {
            topic: place.topic.clone(),
            partition: place.partition,
            current_offset,
            log_end_offset,
            lag: log_end_offset
                .zip(current_offset)
                .map(|(end, current)| end - current),
            consumer_id: owner.map(|member| member.member_id.clone()),
            host: owner.map(|member| member.host.clone()),
            client_id: owner.map(|member| member.client_id.clone()),
        }
    });
    Ok(rows.collect())
}

/// Where logs end; those without a leader, and those that are gone, are left out.
fn log_ends(
    client: &mut Client,
    places: &BTreeSet<&TopicPartition>,
) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
    let mut led = Vec::new();
    for place in places {
        match client.leader(&place.topic, place.partition) {
            Ok(_) => led.push((*place).clone()),
            Err(ClientError::UnknownTopic { .. } | ClientError::NoPartition { .. }) => {}
            Err(error) if error.is_retriable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(client.list_offsets_of(&led, OffsetSpec::Latest)?)
}

fn member(described: &DescribedMember) -> Member {
    let topics = described.assignment.chunk_by(|a, b| a.topic == b.topic);
    let assignment = topics.map(|places| Assigned {
        topic: places[0].topic.clone(),
        partitions: places.iter().map(|place| place.partition).collect(),
    });
    Member {
        consumer_id: described.member_id.clone(),
        group_instance_id: described.instance_id.clone(),
        host: described.host.clone(),
        client_id: described.client_id.clone(),
        assignment: assignment.collect(),
    }
}

use clap::Args;
use serde::Serialize;
use sillon_client::{Client, OffsetSpec, PartitionMetadata, TopicMetadata};
use sillon_record::BrokerId;

use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct DescribeArgs {
    /// Its name
    topic: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Serialize)]
struct Described {
    topic: String,
    id: String,
    partitions: Vec<Partition>,
}

#[derive(Serialize)]
struct Partition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    replicas: Vec<i32>,
    in_sync: Vec<i32>,
    /// First offset that is left; `None` without a leader, as is the next one.
    log_start_offset: Option<i64>,
    /// Where readers stop.
    high_watermark: Option<i64>,
}

impl DescribeArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        let topic = client.topic(&self.topic)?.clone();
        let described = describe(&mut client, topic)?;
        let mut table = Table::new(&[
            "PARTITION",
            "LEADER",
            "EPOCH",
            "REPLICAS",
            "IN SYNC",
            "LOG START",
            "HIGH WATERMARK",
        ]);
        for partition in &described.partitions {
            table.row(vec![
                partition.partition.to_string(),
                or_dash(partition.leader),
                or_dash(partition.leader_epoch),
                listed(&partition.replicas),
                listed(&partition.in_sync),
                or_dash(partition.log_start_offset),
                or_dash(partition.high_watermark),
            ]);
        }
        output::print(self.format, &described, table)
    }
}

fn describe(client: &mut Client, topic: TopicMetadata) -> Result<Described, Failure> {
    let led = topic.partitions.iter().filter(|p| p.leader.is_some());
    let led: Vec<i32> = led.map(|partition| partition.index).collect();
    let first = client.list_offsets(&topic.name, &led, OffsetSpec::Earliest)?;
    let next = client.list_offsets(&topic.name, &led, OffsetSpec::Latest)?;
    let offset_in = |found: &[sillon_client::FoundOffset], index| {
        let found = found.iter().find(|found| found.partition == index);
        found.and_then(|found| found.offset)
    };
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.0).collect();
    let partition = |partition: &PartitionMetadata| Partition {
        partition: partition.index,
        leader: partition.leader.map(|broker| broker.0),
        leader_epoch: partition.leader_epoch.map(|epoch| epoch.0),
        replicas: ids(&partition.replicas),
        in_sync: ids(&partition.in_sync),
        log_start_offset: offset_in(&first, partition.index),
        high_watermark: offset_in(&next, partition.index),
    };
    Ok(Described {
        id: topic.id.to_string(),
        partitions: topic.partitions.iter().map(partition).collect(),
        topic: topic.name,
    })
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_string(), |value| value.to_string())
}

fn listed(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
    ids.join(",")
}

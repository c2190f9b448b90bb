use clap::Args;
use serde::Serialize;
use sillon_client::TopicMetadata;

use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct ListArgs {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Serialize)]
struct Listed {
    topic: String,
    id: String,
    partitions: usize,
    replication_factor: usize,
    is_internal: bool,
}

impl Listed {
    fn of(topic: TopicMetadata) -> Listed {
        let replicas = topic.partitions.first();
        Listed {
            id: topic.id.to_string(),
            partitions: topic.partitions.len(),
            replication_factor: replicas.map_or(0, |first| first.replicas.len()),
            is_internal: topic.is_internal,
            topic: topic.name,
        }
    }
}

impl ListArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        let topics = client.metadata()?.topics;
        let topics: Vec<Listed> = topics.into_iter().map(Listed::of).collect();
        let mut table = Table::new(&["TOPIC", "PARTITIONS", "REPLICAS", "ID"]);
        for topic in &topics {
            table.row(vec![
                topic.topic.clone(),
                topic.partitions.to_string(),
                topic.replication_factor.to_string(),
                topic.id.clone(),
            ]);
        }
        output::print(self.format, &topics, table)
    }
}

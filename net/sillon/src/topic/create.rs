use clap::Args;
use serde::Serialize;
use sillon_client::NewTopic;

use crate::config::key_value;
use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Its name
    topic: String,
    /// Number of partitions [default: the broker's num.partitions]
    #[arg(long, short, value_name = "COUNT")]
    partitions: Option<i32>,
    /// Replicas of each partition [default: the broker's default.replication.factor]
    #[arg(long, short, value_name = "COUNT")]
    replication_factor: Option<i16>,
    /// Configuration under Kafka's name, such as retention.ms=3600000; may be given several times
    #[arg(long = "config", short, value_name = "KEY=VALUE", value_parser = key_value)]
    configs: Vec<(String, String)>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Serialize)]
struct Created<'a> {
    topic: &'a str,
    id: String,
}

impl CreateArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        let id = client.create_topic(&NewTopic {
            name: self.topic.clone(),
            partitions: self.partitions,
            replication_factor: self.replication_factor,
            configs: self.configs,
        })?;
        let created = Created {
            topic: &self.topic,
            id: id.to_string(),
        };
        let mut table = Table::new(&["CREATED", "ID"]);
        table.row(vec![self.topic.clone(), created.id.clone()]);
        output::print(self.format, &created, table)
    }
}

use clap::Args;
use serde::Serialize;
use sillon_client::Configured;

use crate::config::{apply, changes, key_value};
use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct AlterArgs {
    /// Its name
    topic: String,
    /// Number of partitions that it is to have: more than it has
    #[arg(long, short, value_name = "COUNT")]
    partitions: Option<i32>,
    /// Give a key of its configuration a value; may be given several times
    #[arg(long = "config", short, value_name = "KEY=VALUE", value_parser = key_value)]
    configs: Vec<(String, String)>,
    /// Take a key's own value back; may be given several times
    #[arg(long, value_name = "KEY")]
    delete_config: Vec<String>,
    /// Only say whether it could be done
    #[arg(long)]
    dry_run: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Serialize)]
struct Altered<'a> {
    topic: &'a str,
    partitions: i32,
}

impl AlterArgs {
    pub fn run(self) -> Result<(), Failure> {
        let changes = changes(self.configs, self.delete_config);
        if self.partitions.is_none() && changes.is_empty() {
            return Err(Failure::NothingToAlter);
        }
        let mut client = self.connect.connect()?;
        // First what can be taken back.
        if !changes.is_empty() {
            let of = Configured::Topic(self.topic.clone());
            apply(&mut client, &of, &changes, self.dry_run, self.format)?;
        }
        if let Some(partitions) = self.partitions {
            client.create_partitions(&self.topic, partitions, self.dry_run)?;
            let topic = &self.topic;
            let altered = Altered { topic, partitions };
            let mut table = Table::new(&["TOPIC", "PARTITIONS"]);
            table.row(vec![topic.clone(), partitions.to_string()]);
            output::print(self.format, &altered, table)?;
        }
        Ok(())
    }
}

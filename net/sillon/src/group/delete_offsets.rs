use clap::Args;
use serde::Serialize;
use sillon_client::ClientError;

use super::selection::{Selection, selected, selection};
use super::{CoordinatorArgs, GroupError};
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct DeleteOffsetsArgs {
    /// The group's id
    #[arg(long)]
    group: String,
    /// Of this topic, or of these of its partitions; may be given several times
    #[arg(
        long = "topic",
        value_name = "TOPIC[:PARTITION,...]",
        required = true,
        value_parser = selection
    )]
    topics: Vec<Selection>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

#[derive(Serialize)]
struct Deleted {
    topic: String,
    partition: i32,
    /// Why the offset is still there; `None`: there is none.
    error: Option<String>,
}

impl DeleteOffsetsArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.coordinator.connect()?;
        let partitions = selected(&mut client, &self.topics)?;
        let results = client.delete_committed_offsets(&self.group, &partitions);
        let results = results.map_err(|error| match error {
            ClientError::UnknownGroup { group } => GroupError::Unknown { group }.into(),
            error => Failure::Client(error),
        })?;
        let mut table = Table::new(&["TOPIC", "PARTITION", "STATUS"]);
        let mut deleted = Vec::new();
        for (place, error) in results {
            let error = error.map(|error| error.to_string());
            let status = error.clone().unwrap_or_else(|| "deleted".to_string());
            table.row(vec![
                place.topic.clone(),
                place.partition.to_string(),
                status,
            ]);
            deleted.push(Deleted {
                topic: place.topic,
                partition: place.partition,
                error,
            });
        }
        output::print(self.format, &deleted, table)?;
        match deleted.iter().filter(|place| place.error.is_some()).count() {
            0 => Ok(()),
            failed => Err(Failure::Group(GroupError::Partly {
                failed,
                all: deleted.len(),
                what: "offsets are still there",
            })),
        }
    }
}

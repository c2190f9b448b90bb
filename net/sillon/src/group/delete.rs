use clap::Args;
use serde::Serialize;
use sillon_client::ClientError;

use super::{CoordinatorArgs, GroupError, consumer_groups};
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Their ids
    #[arg(required_unless_present = "all_groups", conflicts_with = "all_groups")]
    groups: Vec<String>,
    /// All groups that have no members
    #[arg(long)]
    all_groups: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

#[derive(Serialize)]
struct Deleted {
    group: String,
    /// Why it is still there; `None`: it is not.
    error: Option<String>,
}

impl DeleteArgs {
    /// Tries each of them: one that cannot be deleted does not keep the next ones.
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.coordinator.connect()?;
        let groups = match self.all_groups {
            true => consumer_groups(&mut client)?,
            false => self.groups,
        };
        let mut table = Table::new(&["GROUP", "STATUS"]);
        let mut deleted = Vec::new();
        for group in groups {
            let error = client.delete_group(&group).err().map(|error| match error {
                ClientError::UnknownGroup { group } => GroupError::Unknown { group }.to_string(),
                error => error.to_string(),
            });
            let status = error.clone().unwrap_or_else(|| "deleted".to_string());
            table.row(vec![group.clone(), status]);
            deleted.push(Deleted { group, error });
        }
        output::print(self.format, &deleted, table)?;
        match deleted.iter().filter(|group| group.error.is_some()).count() {
            0 => Ok(()),
            failed => Err(Failure::Group(GroupError::Partly {
                failed,
                all: deleted.len(),
                what: "groups are still there",
            })),
        }
    }
}

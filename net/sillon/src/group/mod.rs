//! `sillon group`: who shares the partitions of topics, how far they are, and where they go on.
//!
//! Options are called as in Kafka's own kafka-consumer-groups, and columns too.

mod delete;
mod delete_offsets;
mod describe;
mod error;
mod list;
mod reset_offsets;
mod selection;

use std::time::Duration;

use clap::{Args, Subcommand};
use sillon_client::{Client, ClientError, ClientOptions};

pub use self::error::GroupError;
use crate::connect::ConnectArgs;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// List the consumer groups
    List(list::ListArgs),
    /// Show how far groups are and how far they lag behind, their members or their state
    Describe(describe::DescribeArgs),
    /// Have a group go on elsewhere: shows the plan, --execute carries it out
    ResetOffsets(Box<reset_offsets::ResetOffsetsArgs>),
    /// Delete groups without members, and what they have committed
    Delete(delete::DeleteArgs),
    /// Forget what a group has committed of topics that it does not read any more
    DeleteOffsets(delete_offsets::DeleteOffsetsArgs),
}

impl GroupCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            GroupCommand::List(args) => args.run(),
            GroupCommand::Describe(args) => args.run(),
            GroupCommand::ResetOffsets(args) => args.run(),
            GroupCommand::Delete(args) => args.run(),
            GroupCommand::DeleteOffsets(args) => args.run(),
        }
    }
}

/// Which cluster to talk to, and for how long to ask for a group's coordinator.
#[derive(Debug, Args)]
struct CoordinatorArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// How long to wait for a group's coordinator when it is not available
    #[arg(long, value_name = "MS", default_value_t = 30_000)]
    timeout: u64,
}

impl CoordinatorArgs {
    fn connect(&self) -> Result<Client, ClientError> {
        self.connect.connect_with(ClientOptions {
            retry_for: Duration::from_millis(self.timeout),
            ..ClientOptions::default()
        })
    }
}

/// The groups that share partitions, by id, as Kafka's tool chooses them: other uses of the group
/// protocol have nothing to show here.
fn consumer_groups(client: &mut Client) -> Result<Vec<String>, Failure> {
    let listed = client.list_groups(&[], &[])?.into_iter();
    let groups = listed.filter(list::is_consumer_group);
    Ok(groups.map(|group| group.group).collect())
}

/// What is printed where there is no value, as Kafka's tool does.
fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or("-".to_string(), |value| value.to_string())
}

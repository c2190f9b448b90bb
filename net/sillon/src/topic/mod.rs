//! `sillon topic`: what is there, and what is to be.

mod alter;
mod create;
mod delete;
mod delete_records;
mod describe;
mod list;

use clap::Subcommand;

use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub enum TopicCommand {
    /// Create a topic
    Create(create::CreateArgs),
    /// List the topics
    List(list::ListArgs),
    /// Show where a topic's partitions are and what offsets they have
    Describe(describe::DescribeArgs),
    /// Give a topic more partitions, or another configuration
    Alter(alter::AlterArgs),
    /// Delete topics and all their records
    Delete(delete::DeleteArgs),
    /// Give up a topic's records before an offset
    DeleteRecords(delete_records::DeleteRecordsArgs),
}

impl TopicCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            TopicCommand::Create(args) => args.run(),
            TopicCommand::List(args) => args.run(),
            TopicCommand::Describe(args) => args.run(),
            TopicCommand::Alter(args) => args.run(),
            TopicCommand::Delete(args) => args.run(),
            TopicCommand::DeleteRecords(args) => args.run(),
        }
    }
}

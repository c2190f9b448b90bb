use clap::Args;
use serde::Serialize;

use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Their names
    #[arg(required = true)]
    topics: Vec<String>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Serialize)]
struct Deleted<'a> {
    topic: &'a str,
}

impl DeleteArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        let mut table = Table::new(&["DELETED"]);
        let mut deleted = Vec::new();
        let mut result = Ok(());
        for topic in &self.topics {
            if let Err(error) = client.delete_topic(topic) {
                result = Err(error.into());
                break;
            }
            deleted.push(Deleted { topic });
            table.row(vec![topic.clone()]);
        }
        // What was deleted is told, also when the next one was not.
        if !deleted.is_empty() {
            output::print(self.format, &deleted, table)?;
        }
        result
    }
}

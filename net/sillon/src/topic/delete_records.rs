use clap::Args;
use serde::Serialize;

use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format, Table};

#[derive(Debug, Args)]
pub struct DeleteRecordsArgs {
    /// The topic's name
    topic: String,
    /// The first offset that is kept, or `end`: no record there is now is kept
    #[arg(long, value_name = "OFFSET", value_parser = before)]
    before: Before,
    /// Only this partition; may be given several times
    #[arg(short, long = "partition", value_name = "PARTITION")]
    partitions: Vec<i32>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Which records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Offset(i64),
    End,
}

fn before(text: &str) -> Result<Before, String> {
    match text.parse() {
        Ok(offset) if offset >= 0 => Ok(Before::Offset(offset)),
        _ if text == "end" => Ok(Before::End),
        _ => Err("an offset from 0 on, or end, is needed".to_owned()),
    }
}

#[derive(Serialize)]
struct Start {
    partition: i32,
    log_start_offset: i64,
}

impl DeleteRecordsArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        let partitions = match self.partitions.is_empty() {
            false => self.partitions,
            true => {
                let topic = client.topic(&self.topic)?;
                topic.partitions.iter().map(|p| p.index).collect()
            }
        };
        let before = match self.before {
            Before::Offset(offset) => Some(offset),
            Before::End => None,
        };
        let starts = client.delete_records(&self.topic, &partitions, before)?;
        let mut table = Table::new(&["PARTITION", "LOG START"]);
        let mut deleted = Vec::new();
        for (partition, log_start_offset) in partitions.into_iter().zip(starts) {
            table.row(vec![partition.to_string(), log_start_offset.to_string()]);
            deleted.push(Start {
                partition,
                log_start_offset,
            });
        }
        output::print(self.format, &deleted, table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_deleted_before_an_offset_or_up_to_the_end() {
        assert_eq!(before("0"), Ok(Before::Offset(0)));
        assert_eq!(before("end"), Ok(Before::End));
        assert!(before("-1").is_err());
        assert!(before("latest").is_err());
    }
}

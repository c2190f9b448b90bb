mod file;
mod plan;
mod time;

use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{ArgGroup, Args};
use serde::Serialize;
use sillon_client::{Client, CommittedOffset, OffsetSpec, TopicPartition};

use self::plan::{Known, Offsets, Step, Target, plan};
use super::describe::described;
use super::selection::{Selection, selected, selection};
use super::{CoordinatorArgs, GroupError, or_dash};
use crate::failure::Failure;
use crate::output::{self, Format, Table};

/// The group must have no members. Offsets outside of a log become its nearest end.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true)), group(ArgGroup::new("scope")))]
pub struct ResetOffsetsArgs {
    /// The group's id; it comes into being when it does not exist
    #[arg(long)]
    group: String,
    /// In this topic, or in these of its partitions; may be given several times
    #[arg(
        long = "topic",
        value_name = "TOPIC[:PARTITION,...]",
        group = "scope",
        required_unless_present_any = ["all_topics", "from_file"],
        value_parser = selection
    )]
    topics: Vec<Selection>,
    /// In every partition that the group has committed an offset of
    #[arg(long, group = "scope")]
    all_topics: bool,
    /// To the first record that is left
    #[arg(long, group = "target")]
    to_earliest: bool,
    /// To the next record to come
    #[arg(long, group = "target")]
    to_latest: bool,
    /// To this offset
    #[arg(
        long,
        group = "target",
        value_name = "OFFSET",
        allow_negative_numbers = true
    )]
    to_offset: Option<i64>,
    /// To the first record at or after this time, such as 2026-03-01T14:30:00.000 (UTC)
    #[arg(long, group = "target", value_name = "TIME", value_parser = time::datetime)]
    to_datetime: Option<i64>,
    /// To the first record of this time until now, such as P7D or PT2H30M
    #[arg(long, group = "target", value_name = "DURATION", value_parser = time::duration)]
    by_duration: Option<i64>,
    /// So many records later, or earlier when it is negative
    #[arg(
        long,
        group = "target",
        value_name = "COUNT",
        allow_negative_numbers = true
    )]
    shift_by: Option<i64>,
    /// To where the group is; to the next record to come where it has committed nothing
    #[arg(long, group = "target")]
    to_current: bool,
    /// To the offsets in this file: topic,partition,offset by line, as --export prints them
    #[arg(long, group = "target", value_name = "FILE", conflicts_with = "scope")]
    from_file: Option<PathBuf>,
    /// Show the plan and change nothing (default)
    #[arg(long, conflicts_with = "execute")]
    dry_run: bool,
    /// Carry it out
    #[arg(long)]
    execute: bool,
    /// Print the plan as --from-file takes it
    #[arg(long, conflicts_with = "format")]
    export: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
}

#[derive(Serialize)]
struct Reset {
    group: String,
    is_executed: bool,
    offsets: Vec<ResetOffset>,
}

#[derive(Serialize)]
struct ResetOffset {
    topic: String,
    partition: i32,
    /// `None`: nothing was committed.
    old_offset: Option<i64>,
    new_offset: i64,
}

impl ResetOffsetsArgs {
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.coordinator.connect()?;
        self.must_be_inactive(&mut client)?;
        let steps = self.planned(&mut client)?;
        for notice in steps.iter().filter_map(Step::explained) {
            eprintln!("{notice}");
        }
        if self.execute {
            let offsets = steps.iter();
            let offsets = offsets
                .map(|step| {
                    (
                        step.partition.clone(),
                        CommittedOffset::from(step.new_offset),
                    )
                })
                .collect();
            client.alter_committed_offsets(&self.group, &offsets)?;
        }
        self.print(steps)?;
        // Who says --dry-run knows.
        if !self.execute && !self.dry_run {
            eprintln!("nothing is changed: --execute carries this out");
        }
        Ok(())
    }

    /// Members would go on where they are, and commit over what is set here.
    fn must_be_inactive(&self, client: &mut Client) -> Result<(), Failure> {
        match described(client, &self.group) {
            Ok(group) if group.state == "Empty" => Ok(()),
            Ok(group) => Err(Failure::Group(GroupError::Active {
                group: group.group,
                state: group.state,
            })),
            Err(Failure::Group(GroupError::Unknown { .. })) => {
                eprintln!("there is no group {} so far", self.group);
                Ok(())
            }
            // Its coordinator refuses a commit while it has members.
            Err(Failure::Group(GroupError::NewProtocol { .. })) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    fn planned(&self, client: &mut Client) -> Result<Vec<Step>, Failure> {
        let committed = client.committed_offsets(&self.group)?;
        let committed = committed.into_iter();
        let committed: Offsets = committed
            .map(|(place, known)| (place, known.offset))
            .collect();
        let given = match &self.from_file {
            Some(path) => Some(file::read(path, &self.group)?),
            None => None,
        };
        let partitions = self.partitions(client, &committed, given.as_ref())?;
        let target = self.target(client, given, &partitions)?;
        let known = Known {
            committed,
            log_starts: client.list_offsets_of(&partitions, OffsetSpec::Earliest)?,
            log_ends: client.list_offsets_of(&partitions, OffsetSpec::Latest)?,
        };
        Ok(plan(&self.group, &target, &partitions, &known)?)
    }

    /// The partitions that are meant, sorted, all of which exist.
    fn partitions(
        &self,
        client: &mut Client,
        committed: &Offsets,
        given: Option<&Offsets>,
    ) -> Result<Vec<TopicPartition>, Failure> {
        let named = match given {
            Some(given) => given,
            None if self.all_topics => committed,
            None => return Ok(selected(client, &self.topics)?),
        };
        if named.is_empty() {
            return Err(Failure::Group(GroupError::NothingCommitted {
                group: self.group.clone(),
            }));
        }
        for place in named.keys() {
            client.leader(&place.topic, place.partition)?;
        }
        Ok(named.keys().cloned().collect())
    }

    fn target(
        &self,
        client: &mut Client,
        given: Option<Offsets>,
        partitions: &[TopicPartition],
    ) -> Result<Target, Failure> {
        let ago = self.by_duration.map(|ms| now_ms().saturating_sub(ms));
        Ok(if let Some(given) = given {
            Target::Given(given)
        } else if let Some(timestamp_ms) = self.to_datetime.or(ago) {
            let spec = OffsetSpec::AtOrAfter(timestamp_ms.max(0));
            Target::Found(client.list_offsets_of(partitions, spec)?)
        } else if let Some(offset) = self.to_offset {
            Target::Offset(offset)
        } else if let Some(count) = self.shift_by {
            Target::ShiftBy(count)
        } else if self.to_earliest {
            Target::Earliest
        } else if self.to_latest {
            Target::Latest
        } else {
            Target::Current
        })
    }

    fn print(&self, steps: Vec<Step>) -> Result<(), Failure> {
        if self.export {
            return file::write(io::stdout().lock(), &steps).map_err(Failure::Output);
        }
        let mut table = Table::new(&["GROUP", "TOPIC", "PARTITION", "OLD-OFFSET", "NEW-OFFSET"]);
        for step in &steps {
            table.row(vec![
                self.group.clone(),
                step.partition.topic.clone(),
                step.partition.partition.to_string(),
                or_dash(step.old_offset),
                step.new_offset.to_string(),
            ]);
        }
        let offsets = steps.into_iter().map(|step| ResetOffset {
            topic: step.partition.topic,
            partition: step.partition.partition,
            old_offset: step.old_offset,
            new_offset: step.new_offset,
        });
        let reset = Reset {
            group: self.group.clone(),
            is_executed: self.execute,
            offsets: offsets.collect(),
        };
        output::print(self.format, &reset, table)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

//! What can be and what cannot: the checker. It does no I/O and knows no clock.

mod anomaly;
mod group;
mod log;
mod partition;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use crate::event::{Event, What};

pub use anomaly::{Anomaly, Finding};
pub use report::{Counts, Report, Shortcoming};

use anomaly::Findings;
use group::Group;
use partition::Partition;

/// Values of one batch, and records of one poll in a row: far above what clients send.
pub(crate) const COUNT_MAX: u32 = 1 << 20;

/// The largest value and the largest offset: what is added to them does not overflow.
const VALUE_MAX: u64 = 1 << 62;

/// Why a history is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// A value is sent twice by different sends.
    #[error("value {value} was sent already, by the send of line {line}")]
    SentTwice {
        /// The value.
        value: u64,
        /// Where it was sent before.
        line: u32,
    },
    /// The end of something that did not begin.
    #[error("this ends {what}, which did not begin or has ended already")]
    NotBegun {
        /// What.
        what: &'static str,
    },
    /// A process does two things of a kind at once.
    #[error("process {process} begins {what}, and its last one has not ended")]
    NotEnded {
        /// Who.
        process: u32,
        /// What.
        what: &'static str,
    },
    /// A number that cannot be.
    #[error("{what} cannot be {number}")]
    Number {
        /// What it counts.
        what: &'static str,
        /// The number.
        number: i64,
    },
    /// More events than a checker tells apart.
    #[error("a history has at most {} lines", u32::MAX)]
    TooLong,
}

/// Checks a history, event by event, and judges it when it is over.
///
/// It keeps 16 bytes for each offset and about 100 for each send; for the verdict, one partition
/// after the other, 24 bytes for each offset more.
#[derive(Debug, Default)]
pub struct Checker {
    partitions: BTreeMap<i32, Partition>,
    groups: BTreeMap<String, Group>,
    findings: Findings,
    counts: Counts,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Checker {
        Checker::default()
    }

    /// The next event. `line` is where it stands in the history, counted from 1, and rises.
    pub fn event(&mut self, line: u64, event: &Event) -> Result<(), Nonsense> {
        let line = u32::try_from(line).map_err(|_| Nonsense::TooLong)?;
        assert!(line > 0, "lines are counted from 1");
        self.counts.events += 1;
        let process = event.process;
        match &event.what {
            What::SendBegins {
                partition,
                first,
                count,
                is_idempotent,
            } => {
                if *count == 0 || *count > COUNT_MAX {
                    let number = i64::from(*count);
                    let what = "the number of values";
                    return Err(Nonsense::Number { what, number });
                }
                if *first > VALUE_MAX {
                    let number = *first as i64;
                    let what = "a value";
                    return Err(Nonsense::Number { what, number });
                }
                self.counts.sends += 1;
                let partition = self.partition(*partition)?;
                partition.send_begins(line, process, (*first, *count), *is_idempotent)
            }
            What::SendRetried { partition, first } => {
                self.partition(*partition)?.send_retried(*first)
            }
            What::SendAcknowledged {
                partition,
                first,
                offset,
            } => {
                if let Some(offset) = offset {
                    not_negative("an offset", *offset)?;
                }
                let (partition, findings) = self.partition_and_findings(*partition)?;
                partition.send_acknowledged(line, *first, *offset, findings)
            }
            What::SendFailed { partition, first } => {
                self.partition(*partition)?.send_failed(line, *first)
            }
            What::SendUnknown { partition, first } => {
                self.partition(*partition)?.send_unknown(line, *first)
            }
            What::Assigned {
                group,
                generation,
                member,
                partitions,
            } => {
                self.counts.assignments += 1;
                for partition in self.partitions.values_mut() {
                    partition.forget_reader(process);
                }
                let groups = &mut self.groups;
                let group = groups
                    .entry(group.clone())
                    .or_insert_with(|| Group::new(group));
                let findings = &mut self.findings;
                group.assigned(line, *generation, member, partitions, findings);
                Ok(())
            }
            What::Positioned { partition, offset } => {
                not_negative("an offset", *offset)?;
                let partition = self.partition(*partition)?;
                partition.positioned(line, process, *offset);
                Ok(())
            }
            What::Polled {
                partition,
                runs,
                strangers,
            } => {
                for run in runs {
                    not_negative("an offset", run.offset)?;
                    if run.count == 0 || run.count > COUNT_MAX {
                        let number = i64::from(run.count);
                        let what = "the number of records";
                        return Err(Nonsense::Number { what, number });
                    }
                    self.counts.polled += u64::from(run.count);
                }
                let (partition, findings) = self.partition_and_findings(*partition)?;
                partition.polled(line, process, runs, strangers, findings);
                Ok(())
            }
            What::Unreadable { partition, reason } => {
                self.findings.add(Anomaly::Unreadable, [line], || {
                    format!("partition {partition}: {reason}")
                });
                Ok(())
            }
            What::CommitBegins { group, offsets, .. } => {
                self.group(group).commit_begins(line, process, offsets)
            }
            What::CommitAcknowledged { group, offsets } => {
                self.counts.commits += 1;
                let (group, findings) = self.group_and_findings(group);
                group.commit_acknowledged(line, process, offsets, findings)
            }
            What::CommitFailed { group } => self.group(group).commit_failed(process),
            What::CommitUnknown { group } => {
                self.counts.commits_unknown += 1;
                self.group(group).commit_unknown(process)
            }
            What::FetchBegins { group } => self.group(group).fetch_begins(line, process),
            What::Fetched { group, offsets } => {
                self.counts.fetches += 1;
                let (group, findings) = self.group_and_findings(group);
                group.fetched(line, process, offsets, findings)
            }
            What::FetchFailed { group } => self.group(group).fetch_failed(process),
            What::Reset { group, partition } => {
                self.group(group).reset(*partition);
                Ok(())
            }
            What::LeaderEpoch {
                partition,
                broker,
                epoch,
            } => {
                let (partition, findings) = self.partition_and_findings(*partition)?;
                partition.told_epoch(line, process, *broker, *epoch, findings);
                Ok(())
            }
            What::Drained {
                partition,
                from,
                end,
            } => {
                not_negative("an offset", *from)?;
                not_negative("an offset", *end)?;
                self.partition(*partition)?
                    .drained(line, process, *from, *end);
                Ok(())
            }
            What::Note { .. } => Ok(()),
        }
    }

    /// The history is over. `has_members`: members of groups took part, so that something must
    /// have been assigned and committed.
    pub fn finish(mut self, has_members: bool) -> Report {
        for partition in self.partitions.values() {
            partition.judge(&mut self.findings, &mut self.counts);
        }
        let counts = &mut self.counts;
        counts.generations = self.groups.values().map(Group::generations).sum();
        let mut shortcomings = Vec::new();
        let mut missing = |is_missing: bool, what: Shortcoming| {
            if is_missing {
                shortcomings.push(what);
            }
        };
        missing(counts.acknowledged == 0, Shortcoming::NothingAcknowledged);
        missing(counts.polled == 0, Shortcoming::NothingPolled);
        let undrained = self.partitions.values().any(Partition::lacks_drain);
        missing(undrained, Shortcoming::NotDrained);
        if has_members {
            missing(counts.assignments == 0, Shortcoming::NothingAssigned);
            missing(counts.commits == 0, Shortcoming::NothingCommitted);
        }
        let mut findings = self.findings.told;
        findings.sort_by_key(|finding| finding.anomaly);
        Report {
            counts: self.counts,
            anomalies: self.findings.counts,
            findings,
            shortcomings,
        }
    }

    fn partition(&mut self, index: i32) -> Result<&mut Partition, Nonsense> {
        self.partition_and_findings(index)
            .map(|(partition, _)| partition)
    }

    fn partition_and_findings(
        &mut self,
        index: i32,
    ) -> Result<(&mut Partition, &mut Findings), Nonsense> {
        not_negative("a partition", i64::from(index))?;
        let partition = self.partitions.entry(index);
        let partition = partition.or_insert_with(|| Partition::new(index));
        Ok((partition, &mut self.findings))
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.group_and_findings(name).0
    }

    fn group_and_findings(&mut self, name: &str) -> (&mut Group, &mut Findings) {
        if !self.groups.contains_key(name) {
            self.groups.insert(name.to_string(), Group::new(name));
        }
        let group = self.groups.get_mut(name).expect("inserted when missing");
        (group, &mut self.findings)
    }
}

fn not_negative(what: &'static str, number: i64) -> Result<(), Nonsense> {
    match (0..=VALUE_MAX as i64).contains(&number) {
        true => Ok(()),
        false => Err(Nonsense::Number { what, number }),
    }
}

/// Values that were told of, so that none is told of twice.
type Told = BTreeSet<u64>;

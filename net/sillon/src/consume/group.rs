//! `sillon consume --group`: as a member of a consumer group.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use sillon_client::{
    Assignor, Client, ConsumerOptions, GroupEvent, GroupMember, GroupOptions, OffsetReset,
    OffsetSpec, TopicPartition,
};
use tracing::{info, warn};

use super::ConsumeArgs;
use crate::failure::Failure;
use crate::interruption::interruption;

/// How long a poll may wait: a signal is noticed behind it.
const POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct MembershipArgs {
    /// Share the partitions with the other members of this consumer group, and go on where it has
    /// committed
    #[arg(long, short, value_name = "ID")]
    pub(super) group: Option<String>,
    /// Keep the partitions over a restart: a static member, under this id
    #[arg(long, value_name = "ID", requires = "group")]
    group_instance_id: Option<String>,
    /// How to share the partitions, best first; with cooperative-sticky alone those that stay are
    /// read on while the group rebalances
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        default_value = "range,roundrobin,cooperative-sticky",
        value_parser = assignor,
        requires = "group"
    )]
    assignors: Vec<Assignor>,
    /// Do not commit what is printed
    #[arg(long, requires = "group")]
    no_auto_commit: bool,
    /// How often to commit what is printed; at the end it is committed as well
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 5_000,
        requires = "group",
        conflicts_with = "no_auto_commit"
    )]
    auto_commit_interval_ms: u64,
    /// Silence after which the group gives the partitions to other members
    #[arg(long, value_name = "MS", default_value_t = 45_000, requires = "group")]
    session_timeout_ms: u64,
}

fn assignor(name: &str) -> Result<Assignor, String> {
    let known = Assignor::ALL.map(Assignor::name).join(", ");
    Assignor::named(name).ok_or_else(|| format!("there are {known}"))
}

/// What a member reads, as far as its end is concerned.
struct Progress {
    /// How many records are to be printed yet.
    left: u64,
    /// Where each partition ended at the start, when that is the end.
    ends: Option<BTreeMap<TopicPartition, i64>>,
    /// The member has its partitions.
    is_assigned: bool,
    last_record: Instant,
}

impl ConsumeArgs {
    /// Prints records as a member of a group until it is told to stop; leaves the group then.
    pub(super) fn run_in_group(&self, group: &str, mut client: Client) -> Result<(), Failure> {
        let interrupted = interruption().map_err(Failure::Signals)?;
        let ends = match self.until_end {
            true => Some(self.ends(&mut client)?),
            false => None,
        };
        let mut member = GroupMember::new(client, self.group_options(group))?;
        let mut progress = Progress {
            left: self.max_messages.unwrap_or(u64::MAX),
            ends,
            is_assigned: false,
            last_record: Instant::now(),
        };
        while !interrupted.load(Ordering::Relaxed) && !self.is_done(&member, &progress) {
            if let Err(failure) = self.print_some(&mut member, &mut progress) {
                // What failed first is what counts. Nothing is committed: of the last records
                // nobody knows whether they were printed.
                let _ = member.leave();
                return Err(failure);
            }
        }
        Ok(member.close()?)
    }

    fn group_options(&self, group: &str) -> GroupOptions {
        let membership = &self.membership;
        let session_timeout = Duration::from_millis(membership.session_timeout_ms);
        let interval = Duration::from_millis(membership.auto_commit_interval_ms);
        let defaults = GroupOptions::new(group, &self.topic);
        GroupOptions {
            instance_id: membership.group_instance_id.clone(),
            // A third, as Kafka advises, or a heartbeat that is late ends the session.
            heartbeat_interval: defaults.heartbeat_interval.min(session_timeout / 3),
            session_timeout,
            assignors: membership.assignors.clone(),
            offset_reset: match self.from_beginning {
                true => OffsetReset::Earliest,
                false => OffsetReset::Latest,
            },
            auto_commit: (!membership.no_auto_commit).then_some(interval),
            fetch: ConsumerOptions {
                is_read_committed: self.read_committed,
                ..ConsumerOptions::default()
            },
            ..defaults
        }
    }

    fn ends(&self, client: &mut Client) -> Result<BTreeMap<TopicPartition, i64>, Failure> {
        let known = client.topic(&self.topic)?.partitions.iter();
        let all = known.map(|known| TopicPartition::new(self.topic.as_str(), known.index));
        let all: Vec<TopicPartition> = all.collect();
        Ok(client.list_offsets_of(&all, OffsetSpec::Latest)?)
    }

    fn is_done(&self, member: &GroupMember, progress: &Progress) -> bool {
        if progress.left == 0 {
            return true;
        }
        if !progress.is_assigned {
            return false;
        }
        let timeout = self.timeout_ms.map(Duration::from_millis);
        if timeout.is_some_and(|timeout| progress.last_record.elapsed() >= timeout) {
            return true;
        }
        progress.ends.as_ref().is_some_and(|ends| {
            let positions = member.positions().into_iter();
            let mut behind =
                positions.filter(|(place, at)| ends.get(place).is_some_and(|e| at < e));
            behind.next().is_none()
        })
    }

    /// Polls once. What was printed is flushed before the next poll may commit it.
    fn print_some(&self, member: &mut GroupMember, progress: &mut Progress) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut written = Ok(());
        let timeout = self.timeout_ms.map_or(POLL, Duration::from_millis);
        let event = member.poll(timeout.min(POLL), |delivered| {
            written = self.print(&mut out, &delivered);
            progress.left -= 1;
            match written.is_ok() && progress.left > 0 {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        })?;
        written
            .and_then(|()| out.flush())
            .map_err(Failure::Output)?;
        match event {
            GroupEvent::Records(0) => {}
            GroupEvent::Records(_) => progress.last_record = Instant::now(),
            GroupEvent::Assigned(partitions) => {
                progress.is_assigned = true;
                progress.last_record = Instant::now();
                let (member, generation) = (member.member_id(), member.generation());
                info!(
                    "{member} has {} in generation {generation}",
                    listed(&partitions)
                );
            }
            GroupEvent::Revoking(partitions) => {
                progress.is_assigned = false;
                info!("the group rebalances; {} are given up", listed(&partitions));
            }
            GroupEvent::Lost(partitions) => {
                progress.is_assigned = false;
                let lost = listed(&partitions);
                warn!("{lost} are lost: the group heard nothing from here; it is joined again");
            }
            GroupEvent::Reset {
                partition,
                from,
                to,
            } => warn!("{partition}: the log does not have offset {from} any more; {to} is next"),
        }
        Ok(())
    }
}

fn listed(partitions: &[TopicPartition]) -> String {
    if partitions.is_empty() {
        return "no partitions".to_string();
    }
    let partitions: Vec<String> = partitions.iter().map(TopicPartition::to_string).collect();
    partitions.join(", ")
}

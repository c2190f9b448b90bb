use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sillon_client::{ClientError, Consumer, ConsumerOptions, OffsetSpec};
use sillon_protocol::ErrorCode;

use super::Context;
use super::member::{CallError, Commit, Member};
use super::producer::value_of;
use super::session::{RETRY_AFTER, Session};
use super::tally::count;
use crate::event::{Run, What};

/// How long a broker waits for records, in ms: a member must heartbeat and commit as well.
const MAX_WAIT_MS: i32 = 100;

/// A member heartbeats so many times in a session timeout.
const HEARTBEATS_PER_SESSION: u32 = 6;

/// The longest pause of a member between two lives.
const PAUSE_MAX: Duration = Duration::from_millis(1_500);

/// How a life of a member ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The run is over, or it is time to go: it commits and leaves.
    Leaves,
    /// It goes without a word.
    Vanishes,
    /// The same, with a commit on its way.
    VanishesCommitting,
}

/// How a member's time with an assignment ends.
enum Turn {
    Rejoin,
    Over(End),
}

struct Life<'a> {
    context: &'a Context<'a>,
    session: Session<'a>,
    process: u32,
    member: Member,
    consumer: Consumer,
    owned: Vec<i32>,
    /// When the life ends, and how.
    ends: Option<(Instant, End)>,
}

/// A member of a group, life after life, until the run is over.
pub(super) fn run(context: &Context<'_>, group: u32, number: u32) {
    let options = context.options;
    let own = u64::from(group) << 40 | u64::from(number) << 8 | 1;
    let mut random = StdRng::seed_from_u64(options.seed ^ own);
    let group = group_name(context, group);
    while !context.consumed.load(Ordering::Relaxed) {
        let process = context.process();
        let ends = (!options.churn.is_zero()).then(|| {
            // Members are the same in number as lives under way: on average one of all departs
            // every `churn`.
            let all = options.churn * options.groups * options.consumers;
            let after = all.mul_f64(random.random_range(0.2..1.8));
            let end = match random.random_range(0..4) {
                0 if options.kills_consumers => End::Vanishes,
                1 if options.kills_consumers => End::VanishesCommitting,
                _ => End::Leaves,
            };
            (Instant::now() + after, end)
        });
        let timeout_ms = options.session_timeout.as_millis() as i32;
        let place = context.place.clone();
        let mut life = Life {
            context,
            session: Session::new(context),
            process,
            member: Member::new(group.clone(), place, context.partitions, timeout_ms),
            consumer: Consumer::new(consumer_options()),
            owned: Vec::new(),
            ends,
        };
        life.live();
        if !context.consumed.load(Ordering::Relaxed) {
            thread::sleep(PAUSE_MAX.mul_f64(random.random_range(0.0..1.0)));
        }
    }
}

pub(super) fn group_name(context: &Context<'_>, group: u32) -> String {
    format!("{}-{group}", context.options.topic)
}

fn consumer_options() -> ConsumerOptions {
    ConsumerOptions {
        max_wait_ms: MAX_WAIT_MS,
        ..ConsumerOptions::default()
    }
}

impl Life<'_> {
    fn live(&mut self) {
        let end = loop {
            if let Some(end) = self.ending() {
                break end;
            }
            if !self.join() {
                continue;
            }
            match self.work() {
                Turn::Rejoin => {}
                Turn::Over(end) => break end,
            }
        };
        self.depart(end);
    }

    /// Whether this life is to end now, and how.
    fn ending(&self) -> Option<End> {
        if self.context.consumed.load(Ordering::Relaxed) {
            return Some(End::Leaves);
        }
        let (at, end) = self.ends?;
        (Instant::now() >= at).then_some(end)
    }

    /// Becomes a member of the next generation and takes up what it owns there.
    fn join(&mut self) -> bool {
        let joined = match self.session.client() {
            Ok(client) => self.member.join(client),
            Err(_) => Err(CallError::NoAnswer),
        };
        let owned = match joined {
            Ok(owned) => owned,
            Err(error) => {
                self.failed(&error);
                return false;
            }
        };
        count(&self.context.tally.assignments, 1);
        self.context.record(
            self.process,
            What::Assigned {
                group: self.member.group.clone(),
                generation: self.member.generation,
                member: self.member.id.clone(),
                partitions: owned.clone(),
            },
        );
        self.owned = owned;
        self.consumer = Consumer::new(consumer_options());
        self.start_from_committed()
    }

    fn start_from_committed(&mut self) -> bool {
        if self.owned.is_empty() {
            return true;
        }
        let group = self.member.group.clone();
        let begins = What::FetchBegins {
            group: group.clone(),
        };
        self.context.record(self.process, begins);
        let found = match self.session.client() {
            Ok(client) => self.member.committed(client, &self.owned),
            Err(_) => Err(CallError::NoAnswer),
        };
        match found {
            Ok(offsets) => {
                let fetched = What::Fetched {
                    group,
                    offsets: offsets.clone(),
                };
                self.context.record(self.process, fetched);
                for (partition, offset) in offsets {
                    self.seek(partition, offset.max(0));
                }
                true
            }
            Err(error) => {
                let failed = What::FetchFailed { group };
                self.context.record(self.process, failed);
                self.failed(&error);
                false
            }
        }
    }

    fn seek(&mut self, partition: i32, offset: i64) {
        let topic = &self.context.place.topic;
        self.consumer.assign(topic, partition, offset);
        let positioned = What::Positioned { partition, offset };
        self.context.record(self.process, positioned);
    }

    /// A call failed: what is forgotten depends on why.
    fn failed(&mut self, error: &CallError) {
        use ErrorCode::*;
        match error {
            CallError::NoAnswer => {
                self.member.forget_coordinator();
                self.session.recover();
            }
            CallError::Refused(UnknownMemberId | IllegalGeneration) => {
                self.member.id.clear();
                self.member.generation = -1;
            }
            CallError::Refused(RebalanceInProgress | MemberIdRequired) => {}
            CallError::Refused(
                NotCoordinator
                | CoordinatorNotAvailable
                | CoordinatorLoadInProgress
                | LeaderNotAvailable
                | UnknownTopicOrPartition
                | UnknownTopicId,
            ) => {
                self.member.forget_coordinator();
                thread::sleep(RETRY_AFTER);
            }
            CallError::Refused(error) => {
                let group = &self.member.group;
                let text = format!("a member of {group} was told {error}");
                self.context.tally.surprise(text);
                thread::sleep(RETRY_AFTER);
            }
        }
    }

    /// Polls, commits and heartbeats until there is a rebalance or the life is over.
    fn work(&mut self) -> Turn {
        let options = self.context.options;
        let heartbeat_every = options.session_timeout / HEARTBEATS_PER_SESSION;
        let mut heartbeat_at = Instant::now() + heartbeat_every;
        let mut commit_at = Instant::now() + options.commit_every;
        loop {
            if let Some(end) = self.ending() {
                return Turn::Over(end);
            }
            if self.owned.is_empty() {
                thread::sleep(Duration::from_millis(MAX_WAIT_MS as u64));
            } else {
                self.poll();
            }
            if Instant::now() >= commit_at {
                if let Some(turn) = self.commit() {
                    return turn;
                }
                commit_at = Instant::now() + options.commit_every;
            }
            if Instant::now() >= heartbeat_at {
                let beaten = match self.session.client() {
                    Ok(client) => self.member.heartbeat(client),
                    Err(_) => Err(CallError::NoAnswer),
                };
                match beaten {
                    Ok(()) => {}
                    Err(CallError::Refused(ErrorCode::RebalanceInProgress)) => {
                        // What was read so far is the group's before others take over.
                        self.commit();
                        return Turn::Rejoin;
                    }
                    Err(error) => {
                        self.failed(&error);
                        if self.member.id.is_empty() {
                            return Turn::Rejoin;
                        }
                    }
                }
                heartbeat_at = Instant::now() + heartbeat_every;
            }
        }
    }

    fn poll(&mut self) {
        let (context, process) = (self.context, self.process);
        let polled = poll_once(context, process, &mut self.session, &mut self.consumer);
        match polled {
            Ok(_) => {}
            Err(error) if is_out_of_range(&error) => {
                context.note(process, error.to_string());
                context.tally.surprise(error.to_string());
                self.back_into_range();
            }
            Err(_) => self.session.recover(),
        }
    }

    /// As a consumer with `auto.offset.reset=earliest`.
    fn back_into_range(&mut self) {
        let topic = self.context.place.topic.clone();
        let owned = self.owned.clone();
        let Ok(client) = self.session.client() else {
            return self.session.recover();
        };
        let mut ends = |spec| client.list_offsets(&topic, &owned, spec);
        let (Ok(first), Ok(last)) = (ends(OffsetSpec::Earliest), ends(OffsetSpec::Latest)) else {
            return self.session.recover();
        };
        for (first, last) in first.iter().zip(&last) {
            let range = first.offset.unwrap_or(0)..=last.offset.unwrap_or(0);
            let partition = first.partition;
            let position = self.consumer.position(&topic, partition);
            if position.is_none_or(|position| !range.contains(&position)) {
                let group = self.member.group.clone();
                let reset = What::Reset { group, partition };
                self.context.record(self.process, reset);
                self.seek(partition, *range.start());
            }
        }
    }

    fn positions(&self) -> Vec<(i32, i64)> {
        let topic = &self.context.place.topic;
        let of = |partition: &i32| Some((*partition, self.consumer.position(topic, *partition)?));
        self.owned.iter().filter_map(of).collect()
    }

    /// Commits the positions; something else is to be done when a turn is returned.
    fn commit(&mut self) -> Option<Turn> {
        let offsets = self.positions();
        if offsets.is_empty() {
            return None;
        }
        // Without a connection there is nothing that could be done by halves.
        if self.session.client().is_err() {
            self.session.recover();
            return None;
        }
        let group = self.member.group.clone();
        self.commit_begins(&offsets);
        let client = self.session.client();
        let client = client.expect("it was there a moment ago");
        match self.member.commit(client, &offsets) {
            Commit::Done(offsets, refused) => {
                count(&self.context.tally.commits, 1);
                let acknowledged = What::CommitAcknowledged { group, offsets };
                self.context.record(self.process, acknowledged);
                refused.and_then(|error| self.refused(error))
            }
            Commit::Failed(error) => {
                let failed = What::CommitFailed { group };
                self.context.record(self.process, failed);
                self.refused(error)
            }
            Commit::NotSent => {
                let failed = What::CommitFailed { group };
                self.context.record(self.process, failed);
                self.failed(&CallError::NoAnswer);
                None
            }
            Commit::Unknown => {
                let unknown = What::CommitUnknown { group };
                self.context.record(self.process, unknown);
                self.failed(&CallError::NoAnswer);
                None
            }
        }
    }

    fn commit_begins(&self, offsets: &[(i32, i64)]) {
        self.context.record(
            self.process,
            What::CommitBegins {
                group: self.member.group.clone(),
                generation: self.member.generation,
                offsets: offsets.to_vec(),
            },
        );
    }

    fn refused(&mut self, error: ErrorCode) -> Option<Turn> {
        self.failed(&CallError::Refused(error));
        let is_over = self.member.id.is_empty() || error == ErrorCode::RebalanceInProgress;
        is_over.then_some(Turn::Rejoin)
    }

    fn depart(&mut self, end: End) {
        let context = self.context;
        if !self.member.id.is_empty() {
            count(&context.tally.departures, 1);
            context.note(self.process, format!("{} {end:?}", self.member.id));
        }
        match end {
            End::Leaves => {
                self.commit();
                if let Ok(client) = self.session.client()
                    && !self.member.id.is_empty()
                {
                    // Whether or not it is heard, this life is over.
                    let _ = self.member.leave(client);
                }
            }
            End::Vanishes => {}
            End::VanishesCommitting => {
                let offsets = self.positions();
                if !offsets.is_empty() && self.session.client().is_ok() {
                    self.commit_begins(&offsets);
                    if let Ok(client) = self.session.client() {
                        // Nobody waits for its answer, if it has left at all.
                        let _ = self.member.commit_and_vanish(client, &offsets);
                    }
                }
            }
        }
        self.session.drop_client();
    }
}

/// Polls once and records what came. Returns how many records.
pub(super) fn poll_once(
    context: &Context<'_>,
    process: u32,
    session: &mut Session<'_>,
    consumer: &mut Consumer,
) -> Result<usize, ClientError> {
    let client = session.client()?;
    let seed = context.options.seed;
    let mut came: BTreeMap<i32, (Vec<Run>, Vec<i64>)> = BTreeMap::new();
    let polled = consumer.poll(client, |delivered| {
        let (runs, strangers) = came.entry(delivered.partition).or_default();
        let offset = delivered.record.offset.0;
        match value_of(seed, delivered.record.value) {
            Some(value) => Run::push(runs, offset, value, delivered.leader_epoch.0),
            None => strangers.push(offset),
        }
        ControlFlow::Continue(())
    });
    for (partition, (runs, strangers)) in came {
        let records: u64 = runs.iter().map(|run| u64::from(run.count)).sum();
        count(&context.tally.polled, records);
        context.record(
            process,
            What::Polled {
                partition,
                runs,
                strangers,
            },
        );
    }
    if let Err(ClientError::Batches { partition, .. } | ClientError::Records { partition, .. }) =
        &polled
    {
        let partition = *partition;
        let reason = polled
            .as_ref()
            .map_or_else(ToString::to_string, |_| String::new());
        context.record(process, What::Unreadable { partition, reason });
    }
    polled
}

pub(super) fn is_out_of_range(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { error, .. } if *error == ErrorCode::OffsetOutOfRange)
}

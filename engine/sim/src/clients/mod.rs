//! Clients: what they ask, and what they make of the answers.

mod answers;
mod forger;
mod producers;
mod reading;
mod requests;
mod topics;

use std::collections::{BTreeMap, VecDeque};

use sillon_controller::ControlRequest;
use sillon_record::TopicPartition;
use sillon_shard::{OffsetTarget, Request, ShardConfig, ShardId, Ticket};

use crate::history::{BatchMaker, Checked, Ends, History, Violation};
use crate::host::Host;
use crate::plan::Plan;
use crate::random::Random;
use forger::Forger;
pub use producers::IdempotentProducer;
pub use reading::{DelayedRead, bytes_of};
pub use topics::{TopicState, Topics};

/// Idempotent producers.
const PRODUCERS: usize = 3;

/// An answer takes at most this long on a healthy node, in ns.
const ANSWER_NS_MAX: u64 = 20_000_000_000;

/// All clients of a run.
pub struct Clients {
    random: Random,
    maker: BatchMaker,
    forger: Forger,
    /// All topics.
    pub topics: Topics,
    producers: Vec<IdempotentProducer>,
    /// Where each partition's tailing reader stands.
    positions: BTreeMap<TopicPartition, i64>,
    outstanding: BTreeMap<u64, Outstanding>,
    next_key: u64,
    /// When the question was asked whose answer is being looked at, in ns.
    asked_ns: u64,
    /// File extents that were answered and not read yet.
    pub delayed: VecDeque<DelayedRead>,
    shards: u16,
    life: u32,
    /// When time last jumped, in ns: what was due before may come this much later.
    pub stalled_until_ns: u64,
    /// The node has been asked to stop.
    pub is_stopping: bool,
    /// Operations so far.
    pub operations: u64,
    value_bytes_max: usize,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Outstanding {
    shard: ShardId,
    sent_ns: u64,
    /// As `sent_ns`, of the time in which the node could work.
    sent_awake_ns: u64,
    question: Question,
}

#[derive(Debug)]
enum Question {
    /// Batches: number, and the producer when it is an idempotent one.
    Produce(Vec<(usize, Option<usize>)>),
    Fetch(FetchQuestion),
    /// With what was known when it was asked.
    List(Vec<(TopicPartition, OffsetTarget, Ends)>),
    EpochEnds,
    /// Give records up before an offset; with what was known when it was asked.
    DeleteRecords(TopicPartition, i64, Ends),
    Create(usize),
    Delete(usize),
    ProducerId(usize),
}

#[derive(Debug)]
struct FetchQuestion {
    entries: Vec<FetchAsked>,
    min_bytes: u64,
    max_bytes: u64,
    deadline_ns: u64,
    /// The answer is to be a refusal for this leader epoch.
    epoch: EpochWish,
}

/// A read of one partition.
#[derive(Clone, Copy, Debug)]
struct FetchAsked {
    partition: TopicPartition,
    offset: i64,
    /// It is the tailing reader that asks.
    is_tailing: bool,
    /// What was known when it was asked.
    known: Ends,
}

/// Which current leader epoch a fetch claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EpochWish {
    None,
    Old,
    Unknown,
}

/// What clients want done.
#[derive(Debug)]
pub enum Wish {
    /// Ask a shard.
    Ask(ShardId, Ticket, Request),
    /// Ask the controller.
    Control(u64, ControlRequest),
    /// Give an answer up.
    Cancel(ShardId, Ticket),
    /// Let this much time pass at once, in ns.
    Stall(u64),
    /// Leave the node to itself for so long, in ns.
    Rest(u64),
    /// Move the wall clock, in ms.
    WallClock(i64),
    /// Nothing.
    Nothing,
}

/// What the clients see of the world around them.
pub struct Surroundings<'a> {
    /// Everything seen so far.
    pub history: &'a mut History,
    /// The machine.
    pub host: &'a mut Host,
}

impl Clients {
    /// Clients of a run.
    pub fn new(plan: &Plan, random: &mut Random) -> Clients {
        Clients {
            random: random.fork(),
            maker: BatchMaker::default(),
            forger: Forger::default(),
            topics: Topics::default(),
            producers: (0..PRODUCERS)
                .map(|_| IdempotentProducer::default())
                .collect(),
            positions: BTreeMap::new(),
            outstanding: BTreeMap::new(),
            next_key: 0,
            asked_ns: 0,
            delayed: VecDeque::new(),
            shards: plan.shards,
            life: 0,
            stalled_until_ns: 0,
            is_stopping: false,
            operations: 0,
            value_bytes_max: plan.value_bytes_max,
        }
    }

    /// A new life of the node begins.
    pub fn connected(&mut self, shards: u16, life: u32) {
        self.shards = shards;
        self.life = life;
        self.is_stopping = false;
    }

    /// The forger finds out how the node's journals lie.
    pub fn learn(&mut self, shards: Vec<ShardConfig>) {
        self.forger.learn(shards);
    }

    /// The node has died: what was asked is never answered.
    pub fn disconnected(&mut self) {
        self.outstanding.clear();
        self.delayed.clear();
        self.positions.clear();
        for producer in &mut self.producers {
            producer.disconnected();
        }
    }

    /// How many questions wait for their answer.
    pub fn outstanding_count(&self) -> usize {
        self.outstanding.len()
    }

    /// The first question that should have been answered by now.
    pub fn check_answers(&self, host: &Host) -> Checked {
        let late = self.outstanding.values().find(|question| {
            let since = question.sent_ns.max(self.stalled_until_ns);
            host.now.mono_ns.saturating_sub(since) > ANSWER_NS_MAX
        });
        match late {
            Some(question) if !host.has_failed => Err(Violation::new(
                "unanswered",
                format!("for 20 s: {question:?}"),
            )),
            _ => Ok(()),
        }
    }

    /// All appends were to be answered by now.
    pub fn check_all_answered(&self) -> Checked {
        // Readers that wait for a file, and clients of the controller, see the connection close.
        let mut appends = self
            .outstanding
            .values()
            .filter(|outstanding| matches!(outstanding.question, Question::Produce(_)));
        match appends.next() {
            None => Ok(()),
            Some(question) => Err(Violation::new(
                "unanswered",
                format!("when the node had stopped: {question:?}"),
            )),
        }
    }

    fn ticket(&mut self, shard: ShardId, host: &Host, question: Question) -> Ticket {
        let key = self.next_key;
        self.next_key += 1;
        let outstanding = Outstanding {
            shard,
            sent_ns: host.now.mono_ns,
            sent_awake_ns: host.awake_ns(),
            question,
        };
        self.outstanding.insert(key, outstanding);
        Ticket { shard, key }
    }
}

use std::collections::BTreeMap;

use sillon_record::{Offset, TopicPartition};
use sillon_shard::{
    Fetch, FetchEntry, ListOffset, OffsetTarget, Refusal, Request, ShardId, Ticket, owner,
};

use crate::clients::{Clients, Surroundings, Wish, bytes_of};
use crate::coverage::Coverage;
use crate::disk::Crash;
use crate::files::check_files;
use crate::history::{Checked, History, Violation};
use crate::host::Host;
use crate::node::{Node, Output};
use crate::plan::{LifePlan, Plan, SHARDS_MAX, draw_crash};
use crate::random::Random;
use crate::trace::Trace;

/// Size of the disk when it is not full, in bytes.
const DISK_BYTES: u64 = 64 << 20;

/// Steps of one life at most: far more than any needs.
const STEPS_MAX: u64 = 400_000;

/// Steps between submitting an operation and giving the hope up that the crash's moment comes.
const CRASH_STEPS_MAX: u64 = 400;

/// Tickets of the checker's own questions.
const CHECKER_KEYS: u64 = 1 << 63;

/// One run: a node through several lives, its clients, and everything seen so far.
pub struct World {
    plan: Plan,
    random: Random,
    host: Host,
    node: Option<Node>,
    clients: Clients,
    history: History,
    shards: u16,
    life: u32,
    /// Answers to the checker's own questions.
    answers: BTreeMap<u64, Request>,
    next_checker_key: u64,
    /// The node has said why it cannot go on.
    failed: Option<String>,
    is_ready: bool,
    is_stopped: bool,
    steps: u64,
    /// When the disk was filled, and with it the budget ends.
    full_until_ns: Option<u64>,
    /// Clients do nothing before this moment.
    resting_until_ns: u64,
}

/// What a run comes to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Hash of its trace.
    pub hash: u64,
    /// What it went through.
    pub coverage: Coverage,
    /// How many lives the node had.
    pub lives: u32,
    /// Client operations.
    pub operations: u64,
    /// Batches sent.
    pub batches: usize,
    /// What must not be, when something was.
    pub violation: Option<Violation>,
}

impl World {
    /// The run that belongs to `seed`.
    pub fn new(seed: u64, is_printed: bool) -> World {
        let mut random = Random::new(seed);
        let plan = Plan::draw(&mut random);
        let host = Host::new(&mut random, DISK_BYTES, Trace::new(is_printed));
        let clients = Clients::new(&plan, &mut random);
        World {
            shards: plan.shards,
            plan,
            random,
            host,
            node: None,
            clients,
            history: History::default(),
            life: 0,
            answers: BTreeMap::new(),
            next_checker_key: CHECKER_KEYS,
            failed: None,
            is_ready: false,
            is_stopped: false,
            steps: 0,
            full_until_ns: None,
            resting_until_ns: 0,
        }
    }

    /// Goes through all lives.
    pub fn run(&mut self) -> Report {
        let violation = self.live().err();
        if let Some(violation) = &violation {
            self.host
                .trace
                .note("VIOLATION", &[], || violation.to_string());
        }
        Report {
            hash: self.host.trace.hash(),
            coverage: self.host.coverage.clone(),
            lives: self.life,
            operations: self.clients.operations,
            batches: self.history.sent.len(),
            violation,
        }
    }

    fn live(&mut self) -> Checked {
        while self.clients.operations < self.plan.operations || self.life < 2 {
            let left = self.plan.operations.saturating_sub(self.clients.operations);
            let life = LifePlan::draw(&self.plan, left.max(5), &mut self.random);
            self.one_life(&life)?;
        }
        // At the end everything must be there, on a machine without faults.
        let last = LifePlan {
            operations: 0,
            is_clean: true,
            crash_at: None,
            crash: draw_crash(&mut self.random),
            crash_in_start: None,
            fault: None,
            slow: None,
            full_at: None,
        };
        self.one_life(&last)
    }

    fn one_life(&mut self, plan: &LifePlan) -> Checked {
        self.begin(plan);
        let began = self.start()?;
        if began {
            self.serve(plan)?;
        }
        if began && plan.is_clean && self.failed.is_none() && !self.host.is_dying {
            self.stop(plan)?;
        }
        self.crash(plan);
        Ok(())
    }

    fn begin(&mut self, plan: &LifePlan) {
        self.life += 1;
        self.failed = None;
        self.is_ready = false;
        self.is_stopped = false;
        self.steps = 0;
        if self.life > 1 && self.random.percent(self.plan.reshard_percent) {
            let shards = self.random.between(1, SHARDS_MAX) as u16;
            if shards != self.shards {
                self.host.coverage.hit(if shards > self.shards {
                    "restart with more shards"
                } else {
                    "restart with fewer shards"
                });
            }
            self.shards = shards;
        }
        self.host.is_starting = true;
        self.host.crash_after = plan.crash_in_start;
        self.host.trace.note(
            "life",
            &[u64::from(self.life), u64::from(self.shards)],
            || {
                format!(
                    "{}: starts with {} shards; {plan:?}",
                    self.life, self.shards
                )
            },
        );
        let node = Node::start(&self.plan, self.shards, &mut self.host, &mut self.random);
        self.node = Some(node);
        self.clients.connected(self.shards, self.life);
    }

    /// Until the node is ready and has shown all that it must have. False: it died before.
    fn start(&mut self) -> Checked<bool> {
        while !self.is_ready {
            self.step()?;
            if self.host.is_dying {
                self.host.coverage.hit("crash while starting");
                return Ok(false);
            }
            if self.failed.is_some() {
                return self.explain_failure().map(|()| false);
            }
        }
        self.host.is_starting = false;
        let node = self.node.as_ref().expect("it has just become ready");
        self.clients.learn(node.shard_configs().cloned().collect());
        let image = node.image();
        let image = image.expect("a node that is ready has shards");
        let coverage = &mut self.host.coverage;
        self.clients.topics.restarted(&image, coverage)?;
        if !self.drain()? {
            return Ok(false);
        }
        self.host.crash_after = None;
        self.host.wake_up();
        Ok(true)
    }

    /// Whether a node may fail: only when its disk has.
    fn explain_failure(&self) -> Checked {
        match &self.failed {
            Some(reason) if !self.host.has_failed => Err(Violation::new("failed", reason.clone())),
            _ => Ok(()),
        }
    }

    fn serve(&mut self, plan: &LifePlan) -> Checked {
        self.host.fault = plan.fault;
        self.host.slow = plan.slow;
        let from = self.clients.operations;
        let mut steps_to_crash = None;
        loop {
            let done = self.clients.operations - from;
            if done >= plan.operations && steps_to_crash.is_none() {
                if plan.is_clean {
                    return Ok(());
                }
                self.host.crash_at = plan.crash_at;
                steps_to_crash = Some(self.random.below(CRASH_STEPS_MAX));
            }
            if let Some(left) = &mut steps_to_crash {
                if *left == 0 {
                    return Ok(());
                }
                *left -= 1;
            }
            if plan.full_at == Some(done) && self.full_until_ns.is_none() && done > 0 {
                self.fill_disk();
            }
            self.empty_disk_in_time()?;
            let is_resting = self.host.now.mono_ns < self.resting_until_ns;
            let may_act =
                !is_resting && self.clients.outstanding_count() < 12 && self.random.percent(25);
            if may_act && self.failed.is_none() {
                self.act();
            } else {
                self.step()?;
            }
            if self.host.is_dying {
                return Ok(());
            }
            if self.failed.is_some() {
                self.explain_failure()?;
                // Clients still see it refuse for a while.
                if steps_to_crash.is_none() {
                    steps_to_crash = Some(100);
                }
            }
        }
    }

    fn fill_disk(&mut self) {
        let left = self.random.pick(&[0, 8 << 10, 64 << 10, 200 << 10]);
        self.host
            .disk
            .set_budget(self.host.disk.used_bytes() + left);
        let ms = self.random.between(100, 3_000);
        self.full_until_ns = Some(self.host.now.mono_ns + ms * 1_000_000);
        self.host
            .trace
            .note("full", &[left], || format!("{left} bytes left for {ms} ms"));
    }

    fn empty_disk_in_time(&mut self) -> Checked {
        let is_over = self
            .full_until_ns
            .is_some_and(|until| until <= self.host.now.mono_ns);
        if is_over {
            self.empty_disk();
            self.host.has_space_again = self.host.has_failed;
        }
        Ok(())
    }

    fn empty_disk(&mut self) {
        self.full_until_ns = None;
        self.host.disk.set_budget(DISK_BYTES);
        self.host.trace.note("space", &[], || "is back".to_owned());
    }

    fn act(&mut self) {
        let node = self.node.as_mut().expect("clients act on a running node");
        let mut around = Surroundings {
            history: &mut self.history,
            host: &mut self.host,
        };
        match self.clients.act(&mut around) {
            Wish::Ask(shard, ticket, request) => node.ask(shard, ticket, request),
            Wish::Control(ticket, request) => node.control(ticket, request),
            Wish::Cancel(shard, ticket) => node.cancel(shard, ticket),
            Wish::Stall(ns) => {
                self.host.stall(ns);
                self.clients.stalled_until_ns = self.host.now.mono_ns;
                self.host
                    .trace
                    .note("stall", &[ns], || format!("{} ms", ns / 1_000_000));
            }
            Wish::Rest(ns) => self.resting_until_ns = self.host.now.mono_ns + ns,
            Wish::WallClock(ms) => {
                self.host.now.wall_ms += ms;
                self.host
                    .trace
                    .note("clock", &[ms as u64], || format!("moved by {ms} ms"));
            }
            Wish::Nothing => {}
        }
    }

    /// Lets one thing happen.
    fn step(&mut self) -> Checked {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(Violation::new("stuck", "a life has no end"));
        }
        let step_ns = self.host.random.below(100_000);
        self.host.advance(step_ns);
        let node = self.node.as_mut().expect("steps are of a running node");
        let next_tick_ns = node.next_tick_ns();
        let in_flight = self.host.disk.in_flight_count();
        let ready = self.host.ready_count() as u64;
        let has_mail = node.has_mail();
        if next_tick_ns.is_some_and(|at| at <= self.host.now.mono_ns) {
            node.tick(&mut self.host);
        } else if self.host.is_overdue() {
            node.complete_one(&mut self.host);
        } else if in_flight == 0 && !has_mail && self.clients.delayed.is_empty() {
            let Some(at) = next_tick_ns else {
                return Err(Violation::new("stuck", "the start waits for nothing"));
            };
            self.host.advance(at - self.host.now.mono_ns);
            node.tick(&mut self.host);
        } else {
            let weights = [
                if ready > 0 { 8 + ready } else { 0 },
                if has_mail { 10 } else { 0 },
                if self.clients.delayed.is_empty() {
                    0
                } else {
                    2
                },
                // Nothing but the passing of time.
                1,
            ];
            match self.host.random.weighted(&weights) {
                0 => node.complete_one(&mut self.host),
                1 => node.deliver(&mut self.host),
                3 => {}
                _ => {
                    let mut around = Surroundings {
                        history: &mut self.history,
                        host: &mut self.host,
                    };
                    self.clients.read_delayed(&mut around)?;
                }
            }
        }
        self.hear()
    }

    /// Takes what the node has to say.
    fn hear(&mut self) -> Checked {
        while let Some(output) = self.node.as_mut().and_then(Node::output) {
            if self.host.is_dying {
                // It dies before the answer is on the wire.
                continue;
            }
            let mut around = Surroundings {
                history: &mut self.history,
                host: &mut self.host,
            };
            match output {
                Output::Reply(ticket, request) if ticket.key >= CHECKER_KEYS => {
                    self.answers.insert(ticket.key, request);
                }
                Output::Reply(ticket, request) => {
                    self.clients.answered(ticket, request, &mut around)?;
                }
                Output::Control(ticket, reply) => {
                    self.clients.decided(ticket, reply, &mut around)?;
                }
                Output::Ready => self.is_ready = true,
                Output::Failed(reason) => {
                    self.host.trace.note("failed", &[], || reason.clone());
                    self.failed = Some(reason);
                    self.host.fall_asleep();
                }
                Output::Stopped => self.is_stopped = true,
            }
        }
        for what in self.history.noticed.drain(..) {
            self.host.coverage.hit(what);
        }
        if self.full_until_ns.is_none() {
            self.clients.check_answers(&self.host)?;
        }
        Ok(())
    }

    fn stop(&mut self, plan: &LifePlan) -> Checked {
        self.clients.is_stopping = true;
        if self.full_until_ns.is_some() {
            self.empty_disk();
        }
        self.host.crash_at = plan.crash_at;
        self.host
            .trace
            .note("stop", &[], || "asked to stop".to_owned());
        let node = self.node.as_mut().expect("only a running node is stopped");
        node.stop();
        while !self.is_stopped {
            self.step()?;
            if self.host.is_dying {
                self.host.coverage.hit("crash while stopping");
                return Ok(());
            }
            if self.failed.is_some() {
                return self.explain_failure();
            }
        }
        self.host.coverage.hit("stopped cleanly");
        self.clients.check_all_answered()?;
        if !self.host.has_failed {
            for partition in self.history.partitions.values_mut() {
                partition.stopped_cleanly();
            }
        }
        Ok(())
    }

    fn crash(&mut self, plan: &LifePlan) {
        self.node = None;
        if self
            .host
            .disk
            .paths()
            .iter()
            .any(|path| path.ends_with(".swap"))
        {
            self.host.coverage.hit("crash during a swap");
        }
        let counts = self.host.disk.crash(plan.crash);
        self.host.coverage.crash(&counts);
        if let Crash::PowerCut { .. } = plan.crash {
            self.host.coverage.hit("crash: power cut");
            self.history.power_cut(self.host.awake_ns());
        } else {
            self.host.coverage.hit("crash: kill");
        }
        self.host
            .trace
            .note("crash", &[], || format!("{:?}: {counts:?}", plan.crash));
        self.host.fall_asleep();
        self.clients.disconnected();
        self.answers.clear();
        self.host.end_life();
        self.empty_disk();
        self.host.advance(1_000_000);
    }

    /// Reads every partition from its log start to its end and compares. False: the node died
    /// before.
    fn drain(&mut self) -> Checked<bool> {
        let paths = self.host.disk.paths();
        for partition in self.clients.topics.live_partitions() {
            if !self.drain_partition(partition, &paths)? {
                return Ok(false);
            }
        }
        self.host.coverage.hit("files checked after a start");
        Ok(true)
    }

    fn drain_partition(&mut self, partition: TopicPartition, paths: &[String]) -> Checked<bool> {
        let earliest = self.offset(partition, OffsetTarget::Earliest)?;
        let latest = self.offset(partition, OffsetTarget::Latest)?;
        let (Some(log_start), Some(end)) = (earliest, latest) else {
            return Ok(false);
        };
        if self.failed.is_none() {
            let ends = log_start..end;
            let fresh = match self.history.partition(partition).compaction {
                Some(_) => self.host.disk.paths(),
                None => paths.to_vec(),
            };
            let disk = &self.host.disk;
            let present = check_files(disk, &fresh, &self.history, partition, ends.clone())?;
            if let Some(present) = present {
                self.history.check_compacted(partition, &present, ends)?;
            }
        }
        let mut next = log_start;
        while next < end {
            let Some((at, high_watermark, bytes)) = self.fetch_from(partition, next)? else {
                return Ok(false);
            };
            if at > next {
                // Retention has moved the log start meanwhile.
                next = at;
                continue;
            }
            next = self.history.read(partition, &bytes, next, high_watermark)?;
            if bytes.is_empty() {
                return Err(self.history.partition(partition).violation(
                    "poll-stuck",
                    format!("nothing at {next}, the log ends at {end}"),
                ));
            }
        }
        let lost = self.history.drained(partition, log_start, end)?;
        if lost > 0 {
            self.host
                .coverage
                .hit("power cut shortened a log above level 1");
        }
        Ok(true)
    }

    /// Asks a shard and waits for its answer. None: the node died or failed before.
    fn ask(&mut self, shard: ShardId, request: Request) -> Checked<Option<Request>> {
        let key = self.next_checker_key;
        self.next_checker_key += 1;
        let node = self.node.as_mut().expect("the checker asks a running node");
        node.ask(shard, Ticket { shard, key }, request);
        loop {
            if let Some(answer) = self.answers.remove(&key) {
                return Ok(Some(answer));
            }
            self.step()?;
            if self.host.is_dying {
                self.host.coverage.hit("crash while starting");
                return Ok(None);
            }
            if self.failed.is_some() {
                return self.explain_failure().map(|()| None);
            }
        }
    }

    fn offset(&mut self, partition: TopicPartition, target: OffsetTarget) -> Checked<Option<i64>> {
        let shard = owner(partition, self.shards);
        let list = vec![ListOffset {
            partition,
            target,
            ..ListOffset::default()
        }];
        match self.ask(shard, Request::ListOffsets(list))? {
            None => Ok(None),
            Some(Request::ListOffsets(list)) => match &list[0].outcome {
                Some(Ok(Some(found))) => Ok(Some(found.offset.0)),
                other => Err(self
                    .history
                    .partition(partition)
                    .violation("refused", format!("{target:?}: {other:?}"))),
            },
            Some(other) => Err(Violation::new("wrong-answer", format!("{other:?}"))),
        }
    }

    /// Reads some batches from an offset on: from where, the high watermark, and their bytes.
    fn fetch_from(
        &mut self,
        partition: TopicPartition,
        from: i64,
    ) -> Checked<Option<(i64, i64, Vec<u8>)>> {
        let shard = owner(partition, self.shards);
        let fetch = Fetch {
            entries: vec![FetchEntry {
                partition,
                offset: Offset(from),
                max_bytes: 1 << 20,
                ..FetchEntry::default()
            }],
            max_bytes: 1 << 20,
            ..Fetch::default()
        };
        let mut fetch = match self.ask(shard, Request::Fetch(fetch))? {
            None => return Ok(None),
            Some(Request::Fetch(fetch)) => fetch,
            Some(other) => {
                return Err(Violation::new("wrong-answer", format!("{other:?}")));
            }
        };
        let history = self.history.partition(partition);
        match fetch.entries.remove(0).outcome {
            Some(Ok(fetched)) => {
                let bytes = bytes_of(&self.host.disk, &fetched.records)
                    .map_err(|detail| Violation::new("unreadable", detail))?;
                Ok(Some((from, fetched.high_watermark.0, bytes)))
            }
            Some(Err(Refusal::OffsetOutOfRange)) if history.may_lose(from) => {
                let log_start = self.offset(partition, OffsetTarget::Earliest)?;
                Ok(log_start.map(|log_start| (log_start, 0, Vec::new())))
            }
            other => Err(history.violation("refused", format!("drain at {from}: {other:?}"))),
        }
    }
}

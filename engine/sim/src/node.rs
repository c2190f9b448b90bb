use std::collections::VecDeque;
use std::sync::Arc;

use sillon_controller::{
    ControlReply, ControlRequest, Controller, ControllerAction, ControllerEvent, ControllerOptions,
    Image,
};
use sillon_record::BrokerId;
use sillon_shard::{
    Action, Boot, CompactionConfig, DiskError, Event, LogLevel, MetadataLog, NodeConfig, OpId,
    Request, Shard, ShardConfig, ShardId, TICK_MS, Ticket,
};

use crate::host::Host;
use crate::plan::Plan;
use crate::random::Random;

/// Between two ticks, in ns.
const TICK_NS: u64 = TICK_MS * 1_000_000;

/// A running node: the very code that `serve` runs, with mailboxes instead of threads.
pub struct Node {
    boot: Option<Boot>,
    metadata: Option<MetadataLog>,
    controller: Option<Controller>,
    control_mailbox: VecDeque<ControllerEvent>,
    executors: Vec<Executor>,
    outputs: VecDeque<Output>,
    actions: Vec<Action>,
}

/// One core.
struct Executor {
    shard: Shard,
    config: ShardConfig,
    mailbox: VecDeque<Event>,
    next_tick_ns: u64,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Failed,
    Stopped,
}

/// What the world hears from a node.
#[derive(Debug)]
pub enum Output {
    /// An answer of a shard.
    Reply(Ticket, Request),
    /// An answer of the controller.
    Control(u64, ControlReply),
    /// The node is ready: all its shards are open.
    Ready,
    /// It cannot start, or a shard cannot go on.
    Failed(String),
    /// All shards have stopped.
    Stopped,
}

impl Node {
    /// Starts a node.
    pub fn start(plan: &Plan, shards: u16, host: &mut Host, random: &mut Random) -> Node {
        let config = NodeConfig {
            broker: BrokerId(1),
            host: "localhost".to_owned(),
            port: 9092,
            shards,
            memory_bytes: plan.memory_bytes,
            journal_bytes: Some(plan.journal_bytes),
            place: "the data folder".into(),
            file_system_bytes: 1 << 30,
            recovery_bytes_max: plan.recovery_bytes_max,
            retention_check_ms: plan.retention_check_ms,
            compaction: CompactionConfig {
                backoff_ms: plan.compaction_backoff_ms,
                // Its share, whatever the number of shards.
                map_bytes: plan.compaction_map_bytes * u64::from(shards),
                bytes_per_second: u64::MAX,
            },
            topic_defaults: plan.topic_defaults,
            settings: Default::default(),
            groups: Default::default(),
        };
        let mut entropy = random.fork();
        let mut actions = Vec::new();
        let entropy = Box::new(move || entropy.next_u128());
        let boot = Boot::start(config, entropy, &mut actions);
        let mut node = Node {
            boot: Some(boot),
            metadata: None,
            controller: None,
            control_mailbox: VecDeque::new(),
            executors: Vec::new(),
            outputs: VecDeque::new(),
            actions,
        };
        node.perform(0, host);
        node
    }

    /// The next thing that the world is to hear.
    pub fn output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What the shards' metadata says, as the first of them has it.
    pub fn image(&self) -> Option<Image> {
        self.executors
            .first()
            .map(|executor| executor.shard.image().clone())
    }

    /// How shard 0 was opened.
    pub fn shard_configs(&self) -> impl Iterator<Item = &ShardConfig> {
        self.executors.iter().map(|executor| &executor.config)
    }

    /// Whether anything waits in a mailbox.
    pub fn has_mail(&self) -> bool {
        let mut executors = self.executors.iter();
        !self.control_mailbox.is_empty() || executors.any(|executor| !executor.mailbox.is_empty())
    }

    /// Puts a request into a shard's mailbox.
    pub fn ask(&mut self, shard: ShardId, ticket: Ticket, request: Request) {
        let event = Event::Request { ticket, request };
        self.executors[usize::from(shard.0)]
            .mailbox
            .push_back(event);
    }

    /// Nobody waits for an answer any more.
    pub fn cancel(&mut self, shard: ShardId, ticket: Ticket) {
        let event = Event::Cancel { ticket };
        self.executors[usize::from(shard.0)]
            .mailbox
            .push_back(event);
    }

    /// Puts a request into the controller's mailbox.
    pub fn control(&mut self, ticket: u64, request: ControlRequest) {
        let event = ControllerEvent::Request { ticket, request };
        self.control_mailbox.push_back(event);
    }

    /// Asks all shards to stop.
    pub fn stop(&mut self) {
        for executor in &mut self.executors {
            executor.mailbox.push_back(Event::Stop);
        }
    }

    /// Delivers one event out of some mailbox.
    pub fn deliver(&mut self, host: &mut Host) {
        let mut full: Vec<usize> = (0..self.executors.len())
            .filter(|index| !self.executors[*index].mailbox.is_empty())
            .collect();
        if !self.control_mailbox.is_empty() {
            full.push(usize::MAX);
        }
        if full.is_empty() {
            return;
        }
        let index = host.random.pick(&full);
        if index == usize::MAX {
            let event = self.control_mailbox.pop_front();
            self.control_event(event.expect("it is not empty"), host);
        } else {
            let event = self.executors[index].mailbox.pop_front();
            self.handle(index, event.expect("it is not empty"), host);
        }
    }

    /// When the next tick is due, in ns; `None` before there are shards.
    pub fn next_tick_ns(&self) -> Option<u64> {
        let ticks = self.executors.iter().map(|executor| executor.next_tick_ns);
        ticks.min()
    }

    /// Delivers the ticks that are due.
    pub fn tick(&mut self, host: &mut Host) {
        for index in 0..self.executors.len() {
            if self.executors[index].next_tick_ns <= host.now.mono_ns {
                self.executors[index].next_tick_ns = host.now.mono_ns + TICK_NS;
                self.handle(index, Event::Tick, host);
            }
        }
    }

    /// Ends one disk operation and tells who waits for it, unless the node dies first.
    pub fn complete_one(&mut self, host: &mut Host) {
        let completion = host.complete_one();
        if host.is_dying {
            return;
        }
        let (executor, op, result) = (completion.executor, completion.op, completion.result);
        if is_boots(op) && self.boot.is_some() {
            let boot = self.boot.as_mut().expect("checked above");
            let answer = boot.handle(host.now, op, result, &mut self.actions);
            self.perform(0, host);
            match answer {
                None => {}
                Some(Ok(opened)) => self.open(opened, host),
                Some(Err(error)) => self.outputs.push_back(Output::Failed(error.to_string())),
            }
        } else if MetadataLog::owns(op) {
            let metadata = self.metadata.as_mut().expect("its operation completed");
            let answer = metadata.handle(op, result, &mut self.actions);
            self.perform(0, host);
            match answer {
                None => {}
                Some(Ok(())) => self.control_mailbox.push_front(ControllerEvent::Durable),
                Some(Err(DiskError::NoSpace)) => {
                    host.coverage.hit("metadata refused for want of space");
                    self.control_mailbox.push_front(ControllerEvent::NoSpace);
                }
                Some(Err(error)) => {
                    let text = format!("the metadata log cannot be written: {error}");
                    self.outputs.push_back(Output::Failed(text));
                }
            }
        } else {
            self.handle(usize::from(executor), Event::Disk { op, result }, host);
        }
    }

    fn open(&mut self, opened: sillon_shard::Opened, host: &mut Host) {
        self.boot = None;
        self.metadata = Some(opened.metadata);
        let options = ControllerOptions::default();
        self.controller = Some(Controller::new(opened.image.clone(), options));
        for (index, config) in opened.shards.into_iter().enumerate() {
            let image = opened.image.clone();
            let shard = Shard::open(config.clone(), image, host.now, &mut self.actions);
            self.executors.push(Executor {
                shard,
                config,
                mailbox: VecDeque::new(),
                next_tick_ns: host.now.mono_ns + TICK_NS,
                phase: Phase::Opening,
            });
            self.perform(index, host);
        }
    }

    fn handle(&mut self, index: usize, event: Event, host: &mut Host) {
        let executor = &mut self.executors[index];
        executor.shard.handle(host.now, event, &mut self.actions);
        self.perform(index, host);
    }

    fn control_event(&mut self, event: ControllerEvent, host: &mut Host) {
        let Some(controller) = &mut self.controller else {
            return;
        };
        let mut actions = Vec::new();
        controller.handle(event, &mut actions);
        for action in actions {
            match action {
                ControllerAction::Append(records) => {
                    let metadata = self.metadata.as_mut().expect("there is a controller");
                    metadata.append(&records, &mut self.actions);
                    self.perform(0, host);
                }
                ControllerAction::Publish(records) => {
                    for executor in &mut self.executors {
                        let records = Arc::clone(&records);
                        executor.mailbox.push_back(Event::Metadata(records));
                    }
                }
                ControllerAction::Reply { ticket, reply } => {
                    self.outputs.push_back(Output::Control(ticket, reply));
                }
            }
        }
    }

    fn perform(&mut self, index: usize, host: &mut Host) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Disk { op, io } => {
                    if !host.is_dying {
                        host.submit(index as u16, op, io);
                    }
                }
                Action::Compute { op, mut work } => {
                    work.run();
                    let event = Event::Computed { op, work };
                    self.executors[index].mailbox.push_back(event);
                }
                Action::Reply { ticket, request } => {
                    self.outputs.push_back(Output::Reply(ticket, request));
                }
                Action::PartitionReady { incarnation, error } => {
                    let event = ControllerEvent::PartitionReady { incarnation, error };
                    self.control_mailbox.push_back(event);
                }
                Action::Opened { replayed_bytes } => {
                    self.executors[index].phase = Phase::Open;
                    host.trace
                        .note("opened", &[index as u64, replayed_bytes], || {
                            format!("shard {index}, {replayed_bytes} bytes replayed")
                        });
                    if replayed_bytes > 0 {
                        host.coverage.hit("restart replayed rounds");
                    }
                    let mut executors = self.executors.iter();
                    if executors.all(|executor| executor.phase == Phase::Open) {
                        self.outputs.push_back(Output::Ready);
                    }
                }
                Action::Log { level, message } => {
                    host.trace.note("log", &[level as u64], || {
                        format!("shard {index}: {message}")
                    });
                    if level == LogLevel::Error && message.contains("partition is offline") {
                        host.coverage.hit("partition offline");
                    }
                }
                Action::Failed(reason) => {
                    self.executors[index].phase = Phase::Failed;
                    host.coverage.hit("log directory offline");
                    let text = format!("shard {index}: {reason}");
                    self.outputs.push_back(Output::Failed(text));
                }
                Action::Stopped => {
                    self.executors[index].phase = Phase::Stopped;
                    let mut executors = self.executors.iter();
                    if executors.all(|executor| executor.phase == Phase::Stopped) {
                        self.outputs.push_back(Output::Stopped);
                    }
                }
            }
        }
    }
}

/// Whether an operation is of the start; see [`MetadataLog::owns`] for those of its own log.
fn is_boots(op: OpId) -> bool {
    op.0 >> 63 == 1 && !MetadataLog::owns(op)
}

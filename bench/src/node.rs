//! A node of one shard, driven by hand: events go in, its disk operations are performed, its
//! answers are kept. Does what the runtime's executor does, without mailboxes and timers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sillon_controller::{Image, MetadataRecord, TopicConfig};
use sillon_disk::Disk;
use sillon_log::compaction::Compaction;
use sillon_record::{BrokerId, PartitionIncarnation, TopicId};
use sillon_shard::{
    Action, Boot, CompactionConfig, DiskOp, DiskOutput, DiskResult, Event, IoClass, LogLevel,
    MetadataLog, NodeConfig, Now, OpId, Request, Shard, TICK_MS, Ticket,
};

/// The one node.
const BROKER: BrokerId = BrokerId(1);

/// How a node is set up.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// `--memory`, in bytes.
    pub memory_bytes: u64,
    /// The journal, in bytes.
    pub journal_bytes: u64,
    /// How long compaction rests, in ms.
    pub compaction_backoff_ms: u64,
}

impl Default for Size {
    fn default() -> Size {
        Size {
            memory_bytes: 1 << 30,
            journal_bytes: 128 << 20,
            // Longer than any benchmark.
            compaction_backoff_ms: 86_400_000,
        }
    }
}

/// Bytes handed to the disk; each of them is copied once more, into the disk's own buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Of journal rounds, whole blocks.
    pub journal_bytes: u64,
    /// Of segments and checkpoints, whole blocks.
    pub background_bytes: u64,
}

/// A thread beside the shard's, as the runtime has one.
struct Compactor {
    jobs: Sender<Job>,
    done: Receiver<Job>,
    running: usize,
}

type Job = (OpId, Box<Compaction>);

impl Compactor {
    fn start() -> Compactor {
        let (jobs, waiting) = mpsc::channel::<Job>();
        let (sender, done) = mpsc::channel();
        std::thread::spawn(move || {
            for (op, mut work) in waiting {
                work.run();
                if sender.send((op, work)).is_err() {
                    return;
                }
            }
        });
        Compactor {
            jobs,
            done,
            running: 0,
        }
    }

    fn run(&mut self, op: OpId, work: Box<Compaction>) {
        self.running += 1;
        self.jobs.send((op, work)).expect("the thread lives");
    }

    fn take(&mut self) -> Option<Job> {
        let job = self.done.try_recv().ok()?;
        self.running -= 1;
        Some(job)
    }
}

fn configured(topic: TopicId, key: &str, value: &str) -> MetadataRecord {
    MetadataRecord::TopicConfig {
        topic,
        key: key.to_owned(),
        value: Some(value.to_owned()),
    }
}

/// See the module's documentation.
pub struct Node<D> {
    disk: D,
    shard: Shard,
    started: Instant,
    actions: Vec<Action>,
    completions: Vec<(OpId, DiskResult)>,
    /// Answers, oldest first.
    pub replies: VecDeque<(u64, Request)>,
    /// What has been handed to the disk.
    pub written: Written,
    /// What has been read from the disk since the node was open, in bytes.
    pub read_bytes: u64,
    metadata: MetadataLog,
    is_recorded: bool,
    compactor: Compactor,
    is_stopped: bool,
    in_flight: usize,
    is_open: bool,
    ready_count: usize,
    ticked_ns: u64,
}

fn now(started: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        mono_ns: started.elapsed().as_nanos() as u64 + 1,
        wall_ms: wall.map_or(0, |time| time.as_millis() as i64),
    }
}

impl<D: Disk> Node<D> {
    /// Starts a node, on an empty disk or on that of one that was stopped.
    ///
    /// # Panics
    /// When it cannot start.
    pub async fn start(disk: D, size: Size) -> Node<D> {
        let started = Instant::now();
        let config = NodeConfig {
            broker: BROKER,
            host: "localhost".to_string(),
            port: 9092,
            shards: 1,
            memory_bytes: size.memory_bytes,
            journal_bytes: Some(size.journal_bytes),
            place: "the data folder".into(),
            file_system_bytes: 1 << 40,
            recovery_bytes_max: size.journal_bytes,
            retention_check_ms: u64::MAX / 1_000_000,
            compaction: CompactionConfig {
                backoff_ms: size.compaction_backoff_ms,
                ..CompactionConfig::default()
            },
            topic_defaults: TopicConfig::default(),
            settings: Default::default(),
            groups: Default::default(),
        };
        let mut next = 0x5111_0000_u128 << 96;
        let entropy = Box::new(move || {
            next += 1;
            next
        });
        let (mut actions, mut completions) = (Vec::new(), Vec::new());
        let mut boot = Boot::start(config, entropy, &mut actions);
        let mut opened = None;
        let mut in_flight = 0;
        while opened.is_none() || in_flight > 0 {
            for action in actions.drain(..) {
                if let Action::Disk { op, io } = action {
                    in_flight += 1;
                    disk.submit(op, io);
                }
            }
            disk.completions(&mut completions).await;
            for (op, result) in completions.drain(..) {
                in_flight -= 1;
                let result = boot.handle(now(started), op, result, &mut actions);
                opened = opened.or(result.map(|opened| opened.expect("the node starts")));
            }
        }
        let mut opened = opened.expect("the loop ended");
        let config = opened.shards.remove(0);
        let shard = Shard::open(config, opened.image, now(started), &mut actions);
        let mut node = Node {
            disk,
            shard,
            started,
            actions,
            completions,
            replies: VecDeque::new(),
            written: Written::default(),
            read_bytes: 0,
            metadata: opened.metadata,
            is_recorded: false,
            compactor: Compactor::start(),
            is_stopped: false,
            in_flight: 0,
            is_open: false,
            ready_count: 0,
            ticked_ns: 0,
        };
        node.perform();
        while !node.is_open {
            node.step().await;
        }
        node.read_bytes = 0;
        node.quiet().await;
        node
    }

    /// Gives the shard an event. What it wants is done by [`Self::perform`].
    pub fn handle(&mut self, event: Event) {
        self.shard
            .handle(now(self.started), event, &mut self.actions);
    }

    /// The shard's metadata.
    pub fn image(&self) -> std::cell::Ref<'_, Image> {
        self.shard.image()
    }

    /// Nanoseconds since the start, on the shard's clock.
    pub fn now_ns(&self) -> u64 {
        now(self.started).mono_ns
    }

    /// Does what the shard wants.
    pub fn perform(&mut self) {
        for action in self.actions.drain(..) {
            match action {
                Action::Disk { op, io } => {
                    if let DiskOp::Write { pieces, class, .. } = &io {
                        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
                        let len = len.next_multiple_of(sillon_buffer::BLOCK_BYTES) as u64;
                        match class {
                            IoClass::Journal | IoClass::Foreground => {
                                self.written.journal_bytes += len
                            }
                            IoClass::Background => self.written.background_bytes += len,
                        }
                    }
                    self.in_flight += 1;
                    self.disk.submit(op, io);
                }
                Action::Compute { op, work } => self.compactor.run(op, work),
                Action::Reply { ticket, request } => self.replies.push_back((ticket.key, request)),
                Action::PartitionReady { error, .. } => {
                    assert_eq!(error, None, "a partition gets its folder");
                    self.ready_count += 1;
                }
                Action::Opened { .. } => self.is_open = true,
                Action::Log { level, message } if level >= LogLevel::Warn => {
                    eprintln!("{message}");
                }
                Action::Failed(reason) => panic!("{reason}"),
                Action::Log { .. } => {}
                Action::Stopped => self.is_stopped = true,
            }
        }
    }

    /// Moves the completions that are there, one at least, out of the disk.
    pub async fn wait(&mut self) -> usize {
        self.disk.completions(&mut self.completions).await;
        self.in_flight -= self.completions.len();
        self.completions.len()
    }

    /// Gives the shard the completions that [`Self::wait`] took.
    pub fn complete(&mut self) {
        let mut completions = std::mem::take(&mut self.completions);
        for (op, result) in completions.drain(..) {
            if let Ok(DiskOutput::Bytes(bytes)) = &result {
                self.read_bytes += bytes.len() as u64;
            }
            if MetadataLog::owns(op) {
                let ended = self.metadata.handle(op, result, &mut self.actions);
                self.is_recorded |= ended.is_some_and(|result| result.is_ok());
                continue;
            }
            self.handle(Event::Disk { op, result });
        }
        self.completions = completions;
    }

    /// Whether the disk has anything to do.
    pub fn has_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// Waits for the disk and goes on; a tick when it is time for one.
    pub async fn step(&mut self) {
        if self.in_flight > 0 {
            self.wait().await;
            self.complete();
        }
        while let Some((op, work)) = self.compactor.take() {
            self.handle(Event::Computed { op, work });
        }
        if self.now_ns() - self.ticked_ns >= TICK_MS / 2 * 1_000_000 {
            self.tick();
        }
        self.perform();
    }

    fn tick(&mut self) {
        self.ticked_ns = self.now_ns();
        self.handle(Event::Tick);
        self.perform();
    }

    /// Waits until nothing is in flight, neither at the disk nor beside the shard.
    pub async fn idle(&mut self) {
        while self.in_flight > 0 || self.compactor.running > 0 {
            self.step().await;
        }
    }

    /// Waits until the background has nothing to do either: zeroing, write-back, a checkpoint.
    pub async fn quiet(&mut self) {
        let mut quiet_ticks = 0;
        while quiet_ticks < 8 {
            self.tick();
            let is_quiet = self.in_flight == 0 && self.compactor.running == 0;
            quiet_ticks = if is_quiet { quiet_ticks + 1 } else { 0 };
            self.idle().await;
        }
    }

    /// Creates a topic and waits for its folders.
    pub async fn create_topic(&mut self, name: &str, partitions: i32) -> TopicId {
        self.create_topic_with(name, partitions, &[]).await
    }

    /// Changes a topic's configuration.
    pub async fn configure(&mut self, topic: TopicId, configs: &[(&str, &str)]) {
        let records = configs
            .iter()
            .map(|(key, value)| configured(topic, key, value));
        self.record(records.collect()).await;
    }

    /// Makes metadata durable and tells the shard.
    async fn record(&mut self, records: Vec<MetadataRecord>) {
        self.metadata.append(&records, &mut self.actions);
        self.perform();
        while !std::mem::take(&mut self.is_recorded) {
            self.step().await;
        }
        self.handle(Event::Metadata(Arc::from(records)));
        self.perform();
    }

    /// Writes everything to the segments, and ends.
    pub async fn stop(mut self) -> D {
        self.handle(Event::Stop);
        self.perform();
        while !self.is_stopped {
            self.tick();
            self.idle().await;
        }
        self.disk
    }

    /// As [`Self::create_topic`], with a configuration of its own.
    pub async fn create_topic_with(
        &mut self,
        name: &str,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> TopicId {
        let topic = TopicId([name.len() as u8; 16]);
        let first = self.image().next_incarnation().0;
        let mut records = vec![MetadataRecord::Topic {
            id: topic,
            name: name.to_string(),
        }];
        records.extend(
            configs
                .iter()
                .map(|(key, value)| configured(topic, key, value)),
        );
        records.extend((0..partitions).map(|partition| MetadataRecord::Partition {
            topic,
            partition,
            incarnation: PartitionIncarnation(first + partition as u64),
            replicas: vec![BROKER],
        }));
        let wanted = self.ready_count + partitions as usize;
        self.record(records).await;
        while self.ready_count < wanted {
            self.tick();
            self.idle().await;
        }
        topic
    }

    /// Sends a request; its answer comes in [`Self::replies`] under that key.
    pub fn request(&mut self, key: u64, request: Request) {
        let ticket = Ticket {
            key,
            ..Ticket::default()
        };
        self.handle(Event::Request { ticket, request });
    }

    /// The next answer.
    pub async fn reply(&mut self) -> (u64, Request) {
        loop {
            if let Some(reply) = self.replies.pop_front() {
                return reply;
            }
            self.step().await;
        }
    }

    /// The disk, when all is done.
    pub fn into_disk(self) -> D {
        self.disk
    }
}

//! A whole node over a disk in memory that does everything at once and forgets nothing.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use sillon_buffer::Slice;
use sillon_controller::{MetadataRecord, TopicConfig};
use sillon_record::{
    BatchBuilder, BatchRules, Batches, BrokerId, Compression, Offset, PartitionIncarnation,
    Producer, Scratch, TopicId, TopicPartition, ValidBatch,
};
use sillon_shard::{
    Action, Appended, Boot, BootError, CompactionConfig, DiskError, DiskOp, DiskOutput, DiskResult,
    Event, Extent, Fetch, FetchEntry, FileId, FolderEntry, IoClass, ListOffset, MetadataLog,
    NodeConfig, Now, OffsetTarget, OpId, Opened, Outcome, Produce, ProduceEntry, Refusal, Request,
    Shard, ShardId, Ticket, owner,
};

pub const BROKER: BrokerId = BrokerId(1);

/// When every node starts.
const START: Now = Now {
    mono_ns: 1,
    wall_ms: 1_700_000_000_000,
};

/// Files by path; folders are paths without content.
#[derive(Default)]
pub struct MemoryDisk {
    pub files: BTreeMap<String, Vec<u8>>,
    pub folders: Vec<String>,
    open: BTreeMap<(usize, FileId), String>,
    /// Fails every write from now on.
    pub writes_fail: bool,
    /// Nothing can grow, unless the space set aside has been given up.
    pub is_full: bool,
    /// Nothing can grow at all.
    pub is_quite_full: bool,
    /// Holds back every sync.
    pub holds_syncs: bool,
    held: Vec<OpId>,
    /// Folders whose names have been made durable.
    pub synced_folders: Vec<String>,
    /// Bytes that have been read of segments.
    pub segment_bytes_read: usize,
    /// Of those, what nobody waited for.
    pub background_bytes_read: usize,
    /// Who performs: each has its own names for files.
    shard: usize,
}

impl MemoryDisk {
    fn perform(&mut self, shard: usize, io: DiskOp) -> DiskResult {
        self.shard = shard;
        match io {
            DiskOp::MakeFolder { path } => {
                if !self.folders.contains(&path.to_string()) {
                    self.folders.push(path.to_string());
                }
            }
            DiskOp::List { path } => return Ok(DiskOutput::Entries(self.list(&path))),
            DiskOp::Open {
                file, path, create, ..
            } => {
                if !self.files.contains_key(&*path) {
                    if !create {
                        return Err(DiskError::NotFound(path));
                    }
                    self.files.insert(path.to_string(), Vec::new());
                }
                self.open.insert((shard, file), path.to_string());
                let len = self.files[&*path].len() as u64;
                return Ok(DiskOutput::Opened { len });
            }
            DiskOp::Allocate {
                file,
                position,
                len,
            } => {
                let cannot_grow = self.cannot_grow();
                let content = self.content(file);
                let end = (position + len) as usize;
                if content.len() < end {
                    if cannot_grow {
                        return Err(DiskError::NoSpace);
                    }
                    content.resize(end, 0);
                }
            }
            DiskOp::Write {
                file,
                position,
                pieces,
                ..
            } => {
                if self.writes_fail {
                    return Err(DiskError::Io {
                        path: self.open[&(self.shard, file)].as_str().into(),
                        operation: "write",
                        message: "planted".to_string(),
                    });
                }
                let cannot_grow = self.cannot_grow();
                let content = self.content(file);
                let len: usize = pieces.iter().map(|piece| piece.len()).sum();
                let mut at = position as usize;
                if content.len() < at + len && cannot_grow {
                    return Err(DiskError::NoSpace);
                }
                for piece in pieces {
                    if content.len() < at + piece.len() {
                        content.resize(at + piece.len(), 0);
                    }
                    content[at..at + piece.len()].copy_from_slice(&piece);
                    at += piece.len();
                }
            }
            DiskOp::Read {
                file,
                position,
                len,
                class,
            } => {
                let is_segment = self.open[&(self.shard, file)].ends_with(".log");
                let content = self.content(file);
                let begin = content.len().min(position as usize);
                let end = content.len().min((position + len) as usize);
                let bytes = content[begin..end].to_vec();
                if is_segment {
                    self.segment_bytes_read += bytes.len();
                    if class == IoClass::Background {
                        self.background_bytes_read += bytes.len();
                    }
                }
                return Ok(DiskOutput::Bytes(bytes));
            }
            DiskOp::SyncFolder { path } => self.synced_folders.push(path.to_string()),
            DiskOp::Sync { .. } => {}
            DiskOp::Truncate { file, len } => self.content(file).resize(len as usize, 0),
            DiskOp::Close { file } => {
                self.open.remove(&(shard, file)).expect("an open file");
            }
            DiskOp::Rename { from, to } => self.rename(&from, &to),
            DiskOp::Exchange { from, to } => {
                let names = [&*to, &*from].map(str::to_owned);
                let contents = [&*from, &*to].map(|path| self.files.remove(path));
                for (name, content) in names.into_iter().zip(contents) {
                    self.files.insert(name, content.expect("both exist"));
                }
            }
            DiskOp::Remove { path } => {
                if self.files.remove(&*path).is_none() {
                    return Err(DiskError::NotFound(path));
                }
            }
            DiskOp::RemoveFolder { path } => self.folders.retain(|folder| **folder != *path),
        }
        Ok(DiskOutput::Done)
    }

    fn cannot_grow(&self) -> bool {
        self.is_quite_full || (self.is_full && self.files.contains_key("reserve"))
    }

    fn content(&mut self, file: FileId) -> &mut Vec<u8> {
        let path = &self.open[&(self.shard, file)];
        self.files.get_mut(path).expect("an open file exists")
    }

    fn list(&self, folder: &str) -> Vec<FolderEntry> {
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let files = self
            .files
            .iter()
            .map(|(path, content)| (path, content.len(), false));
        let folders = self.folders.iter().map(|path| (path, 0, true));
        let inside = files.chain(folders).filter_map(|(path, len, is_folder)| {
            let name = path.strip_prefix(&prefix)?;
            (!name.contains('/')).then(|| FolderEntry {
                name: name.to_string(),
                len: len as u64,
                is_folder,
            })
        });
        let mut entries: Vec<FolderEntry> = inside.collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    fn rename(&mut self, from: &str, to: &str) {
        if let Some(content) = self.files.remove(from) {
            self.files.insert(to.to_string(), content);
            return;
        }
        let moved = |path: &str| {
            let rest = path.strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| format!("{to}{rest}"))
        };
        let files = std::mem::take(&mut self.files);
        let renamed = files
            .into_iter()
            .map(|(path, content)| (moved(&path).unwrap_or(path), content));
        self.files = renamed.collect();
        for folder in &mut self.folders {
            if let Some(new) = moved(folder) {
                *folder = new;
            }
        }
    }
}

/// A node that runs until nothing more can happen.
pub struct Node {
    pub disk: Rc<RefCell<MemoryDisk>>,
    pub shards: Vec<Shard>,
    pub metadata: MetadataLog,
    pub now: Now,
    pub logs: Vec<String>,
    replies: BTreeMap<u64, Request>,
    next_ticket: u64,
    ready: Vec<PartitionIncarnation>,
    stopped: usize,
}

pub fn config(shards: u16) -> NodeConfig {
    NodeConfig {
        broker: BROKER,
        host: "localhost".to_string(),
        port: 9092,
        shards,
        memory_bytes: 64 << 20,
        journal_bytes: Some(4 << 20),
        place: "the data folder".into(),
        file_system_bytes: 1 << 40,
        recovery_bytes_max: 256 << 20,
        retention_check_ms: 1_000,
        compaction: CompactionConfig {
            backoff_ms: 1_000,
            ..CompactionConfig::default()
        },
        topic_defaults: TopicConfig::default(),
        settings: Default::default(),
        groups: Default::default(),
    }
}

impl Node {
    /// What a node of that configuration finds when it starts, or why it does not.
    pub fn boot(
        disk: &Rc<RefCell<MemoryDisk>>,
        config: NodeConfig,
        seed: u128,
    ) -> Result<Opened, BootError> {
        disk.borrow_mut().open.clear();
        let mut next = seed << 64;
        let entropy = Box::new(move || {
            next += 1;
            next
        });
        let mut actions = Vec::new();
        let mut boot = Boot::start(config, entropy, &mut actions);
        loop {
            let started = std::mem::take(&mut actions);
            assert!(!started.is_empty(), "boot waits for nothing");
            for action in started {
                if let Action::Disk { op, io } = action {
                    let result = disk.borrow_mut().perform(usize::MAX, io);
                    if let Some(result) = boot.handle(START, op, result, &mut actions) {
                        return result;
                    }
                }
            }
        }
    }

    pub fn start(disk: Rc<RefCell<MemoryDisk>>, config: NodeConfig, seed: u128) -> Node {
        let now = START;
        let opened = Node::boot(&disk, config, seed).expect("the node starts");
        let mut node = Node {
            disk,
            shards: Vec::new(),
            metadata: opened.metadata,
            now,
            logs: Vec::new(),
            replies: BTreeMap::new(),
            next_ticket: 0,
            ready: Vec::new(),
            stopped: 0,
        };
        for config in opened.shards {
            let mut actions = Vec::new();
            let shard = Shard::open(config, opened.image.clone(), now, &mut actions);
            node.shards.push(shard);
            let index = node.shards.len() - 1;
            node.perform(index, actions);
        }
        node
    }

    /// Gives a shard an event and performs everything that follows from it.
    pub fn event(&mut self, shard: usize, event: Event) {
        let mut actions = Vec::new();
        self.shards[shard].handle(self.now, event, &mut actions);
        self.perform(shard, actions);
    }

    fn perform(&mut self, shard: usize, actions: Vec<Action>) {
        let mut actions: std::collections::VecDeque<Action> = actions.into();
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Disk { op, io } => {
                    let is_sync = matches!(io, DiskOp::Sync { .. });
                    let mut disk = self.disk.borrow_mut();
                    if is_sync && disk.holds_syncs {
                        disk.held.push(op);
                        continue;
                    }
                    let result = disk.perform(shard, io);
                    drop(disk);
                    let mut more = Vec::new();
                    let event = Event::Disk { op, result };
                    self.shards[shard].handle(self.now, event, &mut more);
                    actions.extend(more);
                }
                Action::Compute { op, mut work } => {
                    work.run();
                    let mut more = Vec::new();
                    let event = Event::Computed { op, work };
                    self.shards[shard].handle(self.now, event, &mut more);
                    actions.extend(more);
                }
                Action::Reply { ticket, request } => {
                    self.replies.insert(ticket.key, request);
                }
                Action::PartitionReady { incarnation, error } => {
                    assert_eq!(error, None);
                    self.ready.push(incarnation);
                }
                Action::Log { message, .. } => self.logs.push(message),
                Action::Failed(reason) => self.logs.push(reason),
                Action::Opened { .. } => {}
                Action::Stopped => self.stopped += 1,
            }
        }
    }

    /// Completes the syncs that were held back on a shard.
    pub fn release_syncs(&mut self, shard: usize) {
        self.disk.borrow_mut().holds_syncs = false;
        let held = std::mem::take(&mut self.disk.borrow_mut().held);
        for op in held {
            let result = Ok(DiskOutput::Done);
            self.event(shard, Event::Disk { op, result });
        }
    }

    pub fn tick(&mut self, ms: u64) {
        self.now.mono_ns += ms * 1_000_000;
        self.now.wall_ms += ms as i64;
        for shard in 0..self.shards.len() {
            self.event(shard, Event::Tick);
        }
    }

    /// Makes records durable and known to every shard.
    pub fn metadata(&mut self, records: Vec<MetadataRecord>) {
        self.try_metadata(records)
            .expect("an append to the metadata log");
    }

    /// The same, on a disk that may have no space for them.
    pub fn try_metadata(&mut self, records: Vec<MetadataRecord>) -> Result<(), DiskError> {
        self.durable_metadata(&records)?;
        let records: Arc<[MetadataRecord]> = records.into();
        for shard in 0..self.shards.len() {
            self.event(shard, Event::Metadata(records.clone()));
        }
        Ok(())
    }

    /// Makes records durable, of which no shard hears before the next start.
    pub fn durable_metadata(&mut self, records: &[MetadataRecord]) -> Result<(), DiskError> {
        let mut actions = Vec::new();
        self.metadata.append(records, &mut actions);
        let mut ended = None;
        while let Some(action) = actions.pop() {
            if let Action::Disk { op, io } = action {
                assert!(MetadataLog::owns(op));
                let result = self.disk.borrow_mut().perform(usize::MAX, io);
                if let Some(result) = self.metadata.handle(op, result, &mut actions) {
                    ended = Some(result);
                }
            }
        }
        ended.expect("an append ends")
    }

    pub fn create(
        &mut self,
        name: &str,
        id: u8,
        partitions: i32,
        configs: &[(&str, &str)],
    ) -> TopicId {
        let topic = TopicId([id; 16]);
        let mut incarnation = self.shards[0].image().next_incarnation().0;
        let mut records = vec![MetadataRecord::Topic {
            id: topic,
            name: name.to_string(),
        }];
        for (key, value) in configs {
            records.push(MetadataRecord::TopicConfig {
                topic,
                key: key.to_string(),
                value: Some(value.to_string()),
            });
        }
        for partition in 0..partitions {
            records.push(MetadataRecord::Partition {
                topic,
                partition,
                incarnation: PartitionIncarnation(incarnation),
                replicas: vec![BROKER],
            });
            incarnation += 1;
        }
        let ready = self.ready.len() + partitions as usize;
        self.metadata(records);
        for _ in 0..100 {
            if self.ready.len() < ready {
                self.tick(10);
            }
        }
        assert_eq!(self.ready.len(), ready, "every partition gets its folder");
        topic
    }

    /// Sends a request to its owner; the answer comes with [`Self::take`].
    pub fn send(&mut self, partition: TopicPartition, request: Request) -> u64 {
        let key = self.next_ticket;
        self.next_ticket += 1;
        let ticket = Ticket {
            shard: ShardId(0),
            key,
        };
        let shard = owner(partition, self.shards.len() as u16).0 as usize;
        self.event(shard, Event::Request { ticket, request });
        key
    }

    pub fn take(&mut self, key: u64) -> Option<Request> {
        self.replies.remove(&key)
    }

    pub fn produce(&mut self, partition: TopicPartition, batch: ValidBatch) -> Outcome<Appended> {
        let key = self.send(partition, produce(partition, batch));
        match self.take(key)? {
            Request::Produce(mut produce) => produce.entries.remove(0).outcome,
            other => panic!("a produce answers {other:?}"),
        }
    }

    /// Everything from an offset on that one fetch gives, as whole batches.
    pub fn fetch(&mut self, partition: TopicPartition, offset: i64) -> Result<Vec<u8>, Refusal> {
        let key = self.send(partition, fetch(partition, offset, 0, 0));
        let Some(Request::Fetch(fetch)) = self.take(key) else {
            panic!("a fetch with nothing to wait for is answered");
        };
        self.records(fetch)
    }

    pub fn records(&self, mut fetch: Fetch) -> Result<Vec<u8>, Refusal> {
        let fetched = fetch.entries.remove(0).outcome.expect("an outcome")?;
        let mut bytes = Vec::new();
        for extent in fetched.records {
            match extent {
                Extent::Memory(slice) => bytes.extend_from_slice(&slice),
                Extent::File {
                    segment,
                    position,
                    len,
                } => {
                    let disk = self.disk.borrow();
                    let mut found = segment.paths().filter_map(|path| disk.files.get(&**path));
                    let file = found.next().expect("a reader's file is there");
                    bytes.extend_from_slice(&file[position as usize..(position + len) as usize]);
                }
            }
        }
        assert_eq!(bytes.len() as u64, fetched.records_bytes);
        Ok(bytes)
    }

    /// All base offsets from an offset on, over as many fetches as it takes.
    pub fn read_all(&mut self, partition: TopicPartition) -> Vec<i64> {
        let (mut offsets, mut next) = (Vec::new(), 0);
        loop {
            let bytes = self.fetch(partition, next).expect("a readable offset");
            let before = offsets.len();
            for batch in Batches::new(&bytes).checking_crcs() {
                let batch = batch.expect("whole batches");
                assert!(batch.header.last_offset().0 >= next);
                offsets.push(batch.header.base_offset().0);
                next = batch.header.last_offset().0 + 1;
            }
            if offsets.len() == before {
                return offsets;
            }
        }
    }

    pub fn offset(&mut self, partition: TopicPartition, target: OffsetTarget) -> Option<i64> {
        let question = ListOffset {
            partition,
            target,
            ..ListOffset::default()
        };
        let key = self.send(partition, Request::ListOffsets(vec![question]));
        match self.take(key) {
            Some(Request::ListOffsets(mut list)) => {
                let outcome = list.remove(0).outcome.expect("an outcome");
                outcome.expect("no refusal").map(|found| found.offset.0)
            }
            other => panic!("a question for an offset answers {other:?}"),
        }
    }

    pub fn stop(&mut self) {
        for shard in 0..self.shards.len() {
            self.event(shard, Event::Stop);
        }
        for _ in 0..100 {
            if self.stopped == self.shards.len() {
                return;
            }
            self.tick(10);
        }
        panic!("the shards do not stop");
    }
}

pub fn produce(partition: TopicPartition, batch: ValidBatch) -> Request {
    Request::Produce(Produce {
        entries: vec![ProduceEntry {
            partition,
            batch,
            outcome: None,
        }],
        wait: true,
        ..Produce::default()
    })
}

pub fn fetch(partition: TopicPartition, offset: i64, min_bytes: u64, deadline_ns: u64) -> Request {
    Request::Fetch(Fetch {
        entries: vec![FetchEntry {
            partition,
            offset: Offset(offset),
            max_bytes: 1 << 20,
            ..FetchEntry::default()
        }],
        min_bytes,
        deadline_ns,
        max_bytes: 1 << 20,
        ..Fetch::default()
    })
}

/// A batch of `records` records with values of `bytes` bytes.
pub fn batch(records: i64, bytes: usize, producer: Option<(Producer, i32)>) -> ValidBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    if let Some((producer, sequence)) = producer {
        builder.producer(producer, sequence);
    }
    let value = vec![b'v'; bytes];
    for record in 0..records {
        let time = 1_700_000_000_000 + record;
        builder
            .append(time, None, Some(&value), &[])
            .expect("room in the batch");
    }
    let bytes = builder.build();
    let rules = BatchRules::defaults(1_700_000_000_000);
    ValidBatch::check(Slice::copy_of(&bytes), &rules, &mut Scratch::default()).expect("valid")
}

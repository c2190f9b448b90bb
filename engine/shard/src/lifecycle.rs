//! Partitions come and go with the metadata: a folder is made before a creation is answered, and a
//! deleted partition's folder is renamed at once and emptied in slices.

use std::collections::VecDeque;

use sillon_buffer::Slice;
use sillon_controller::{MetadataRecord, TopicConfig};
use sillon_journal::{EntryKind, EntryMeta};
use sillon_log::partition::PartitionLog;
use sillon_log::{
    PARTITION_METADATA_FILE, decode_partition_metadata, deleted_partition_folder,
    encode_partition_metadata, partition_folder,
};
use sillon_record::{LeaderEpoch, Offset, PartitionIncarnation, TopicId, TopicPartition};
use sillon_replication::Replicas;

use crate::boot::topic_of;
use crate::layout::creating_folder;
use crate::partition::{Partition, Readiness, RecentPlaces};
use crate::procedure::{Io, done};
use crate::small_file::{read_file, write_file};
use crate::state::{Phase, Shared, State};
use crate::{Access, Action, DiskError, DiskOp, DiskOutput, LogLevel, Refusal, owner};

/// A file is deleted by cutting off this much at a time, in bytes: unlinking 1 GiB at once stalls
/// the journal for 50 ms.
const CUT_BYTES: u64 = 8 << 20;

impl State {
    /// Applies records of the metadata log, which are durable.
    pub(crate) fn metadata(&mut self, io: &Io, records: &[MetadataRecord]) {
        for record in records {
            match record {
                MetadataRecord::TopicRemoved { id } => {
                    self.remove_topic_from_groups(io, *id);
                    self.remove_topic(io, *id);
                    self.image.apply(record);
                }
                MetadataRecord::Partition {
                    topic, partition, ..
                } => {
                    self.image.apply(record);
                    self.add(io, *topic, *partition);
                    self.add_group_partition(
                        io,
                        TopicPartition {
                            topic: *topic,
                            partition: *partition,
                        },
                    );
                }
                MetadataRecord::TopicConfig { topic, .. } => {
                    self.image.apply(record);
                    self.configure(*topic);
                }
                MetadataRecord::BrokerConfig { .. } => {
                    self.image.apply(record);
                    self.configure_all();
                }
                MetadataRecord::BrokerRegistered { .. }
                | MetadataRecord::Topic { .. }
                | MetadataRecord::ProducerIds { .. } => self.image.apply(record),
            }
        }
    }

    /// The defaults of all topics may have changed.
    fn configure_all(&mut self) {
        for (id, key) in &self.by_id {
            if let Some(topic) = self.image.topic(id.topic) {
                self.partitions[*key].config = topic.config;
            }
        }
    }

    fn configure(&mut self, topic: TopicId) {
        let Some(config) = self.image.topic(topic).map(|topic| topic.config) else {
            return;
        };
        let from = TopicPartition {
            topic,
            partition: 0,
        };
        let to = TopicPartition {
            topic,
            partition: i32::MAX,
        };
        for key in self.by_id.range(from..=to).map(|(_, key)| *key) {
            self.partitions[key].config = config;
        }
    }

    /// Begins a partition that has just been created, when this shard owns it.
    fn add(&mut self, io: &Io, topic: TopicId, partition: i32) {
        let id = TopicPartition { topic, partition };
        if owner(id, self.config.shards) != self.config.shard {
            return;
        }
        let log = PartitionLog::new(self.now.wall_ms);
        if let Some(key) = self.insert(id, log, Offset::ZERO) {
            self.create(io, key);
        }
    }

    /// Makes a partition's folder; until then appends wait.
    pub(crate) fn create(&mut self, io: &Io, key: usize) {
        let shared = self.shared.upgrade().expect("a shard owns its state");
        let partition = &mut self.partitions[key];
        partition.readiness = Readiness::Creating;
        let incarnation = partition.incarnation;
        io.spawn(create(shared, io.clone(), key, incarnation));
    }

    /// Takes a partition of the image in; `None` when this broker has no replica of it.
    pub(crate) fn insert(
        &mut self,
        id: TopicPartition,
        mut log: PartitionLog,
        high_watermark: Offset,
    ) -> Option<usize> {
        let (topic, partition) = self.image.partition(id)?;
        let broker = self.config.broker;
        if !partition.replicas.contains(&broker) {
            return None;
        }
        let end = log.next_offset();
        let mut replicas = Replicas::new(broker);
        replicas.recovered(high_watermark, end);
        let epoch: LeaderEpoch = partition.leader_epoch;
        match partition.leader {
            Some(leader) if leader == broker => {
                replicas.become_leader(epoch, &partition.replicas, &partition.isr, end);
                log.begin_epoch(epoch);
            }
            Some(leader) => replicas.become_follower(epoch, leader),
            None => {}
        }
        let image_is_due = log.ends_within_a_block();
        let config: TopicConfig = topic.config;
        let fresh = Partition {
            id,
            incarnation: partition.incarnation,
            topic_name: topic.name.clone(),
            folder: partition_folder(&topic.name, id.partition).into(),
            log,
            replicas,
            config,
            open: Vec::new(),
            readers: Default::default(),
            readiness: Readiness::Cold,
            blocked: VecDeque::new(),
            waiters: VecDeque::new(),
            fetchers: Vec::new(),
            image_is_due,
            encoded_in: 0,
            unflushed_records: 0,
            is_writing_back: false,
            is_stalled: false,
            reading: None,
            is_compacting: false,
            is_uncompactable: false,
            swapping: None,
            swap_waits: false,
            users: 0,
            retired: Vec::new(),
            places: RecentPlaces::default(),
        };
        let key = self.partitions.insert(fresh);
        self.by_id.insert(id, key);
        Some(key)
    }

    fn remove_topic(&mut self, io: &Io, topic: TopicId) {
        let from = TopicPartition {
            topic,
            partition: 0,
        };
        let to = TopicPartition {
            topic,
            partition: i32::MAX,
        };
        let owned: Vec<(TopicPartition, usize)> = self
            .by_id
            .range(from..=to)
            .map(|(id, key)| (*id, *key))
            .collect();
        for (id, key) in owned {
            self.refuse_all(key, Refusal::UnknownPartition);
            let waiting = self.partitions[key].fetchers.clone();
            for request in waiting {
                let (ticket, mut fetch) = self.unpark(request);
                for entry in &mut fetch.entries {
                    if entry.partition == id {
                        entry.outcome = Some(Err(Refusal::UnknownPartition));
                    } else {
                        entry.outcome.get_or_insert(Ok(Default::default()));
                    }
                }
                self.reply(ticket, crate::Request::Fetch(fetch));
            }
            self.by_id.remove(&id);
            let shared = self.shared.upgrade().expect("a shard owns its state");
            let incarnation = self.partitions[key].incarnation;
            io.spawn(delete(shared, io.clone(), key, incarnation));
        }
    }

    /// Puts a control entry about `offset` into the next round. Returns that round's number.
    pub(crate) fn push_control(&mut self, kind: EntryKind, key: usize, offset: Offset) -> u64 {
        let partition = &self.partitions[key];
        let meta = EntryMeta {
            kind,
            partition: partition.incarnation,
            segment_base: partition.log.active().base_offset,
            position: partition.log.active().size_bytes,
            base_offset: offset,
            leader_epoch: partition.leader_epoch(),
        };
        let journal = self.journal();
        journal.gather.push(meta, Slice::default());
        journal.gather_must_flush = true;
        journal.writer.last_sequence() + 1
    }
}

async fn create(shared: Shared, io: Io, key: usize, incarnation: PartitionIncarnation) {
    let result = make_folder(&shared, &io, key, incarnation).await;
    let mut state = shared.borrow_mut();
    if !state.is_same(key, incarnation) {
        return;
    }
    let error = match result {
        Ok(()) => {
            state.partitions[key].readiness = Readiness::Cold;
            None
        }
        Err(error) => {
            let folder = state.partitions[key].folder.clone();
            let reason = format!("folder {folder} cannot be made: {error}");
            state.take_offline(key, reason.clone());
            Some(reason)
        }
    };
    state
        .actions
        .push(Action::PartitionReady { incarnation, error });
    state.resume(&io, key);
    state.wake_background(&io);
}

/// Makes the folder under another name, complete, and renames it: a crash leaves none or all of
/// it. A folder of a deleted topic of the same name is waited for until it has been renamed.
async fn make_folder(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
) -> Result<(), DiskError> {
    let (id, folder, name) = {
        let state = shared.borrow();
        let partition = &state.partitions[key];
        (
            partition.id,
            partition.folder.clone(),
            partition.topic_name.clone(),
        )
    };
    let temporary = creating_folder(&name, id.partition, incarnation.0);
    let make = io.call(DiskOp::MakeFolder {
        path: temporary.as_str().into(),
    });
    done(make.await)?;
    let metadata = encode_partition_metadata(id.topic);
    let path = format!("{temporary}/{PARTITION_METADATA_FILE}");
    write_file(io, &path, metadata.as_bytes()).await?;
    let sync = io.call(DiskOp::SyncFolder {
        path: temporary.as_str().into(),
    });
    done(sync.await)?;
    loop {
        let existing = read_file(io, &format!("{folder}/{PARTITION_METADATA_FILE}")).await?;
        let Some(existing) = existing else {
            break;
        };
        let text = String::from_utf8_lossy(&existing);
        if decode_partition_metadata(&text).is_ok_and(|topic| topic == id.topic) {
            return Ok(());
        }
        let changed = {
            let state = shared.borrow();
            if matches!(state.phase, Phase::Failed(_)) {
                return Err(DiskError::Io {
                    path: folder,
                    operation: "rename",
                    message: "the log directory is offline".into(),
                });
            }
            state.ticked.clone()
        };
        changed.wait(io).await;
    }
    let rename = io.call(DiskOp::Rename {
        from: temporary.as_str().into(),
        to: folder,
    });
    done(rename.await)?;
    done(io.call(DiskOp::SyncFolder { path: "".into() }).await)
}

async fn delete(shared: Shared, io: Io, key: usize, incarnation: PartitionIncarnation) {
    let result = rename_folder(&shared, &io, key, incarnation).await;
    match result {
        Ok(Some(folder)) => remove_folder(shared, io, folder).await,
        Ok(None) => {}
        Err(error) => {
            let mut state = shared.borrow_mut();
            state.log(
                LogLevel::Error,
                format!("the folder of a deleted partition could not be renamed: {error}"),
            );
        }
    }
}

/// Takes a deleted partition's folder out of the way. Returns its new name; none when there was no
/// folder of it.
async fn rename_folder(
    shared: &Shared,
    io: &Io,
    key: usize,
    incarnation: PartitionIncarnation,
) -> Result<Option<String>, DiskError> {
    let rests = |state: &State| {
        let partition = &state.partitions[key];
        let is_busy = partition.is_writing_back
            || partition.is_compacting
            || matches!(
                partition.readiness,
                Readiness::Creating | Readiness::Preparing
            )
            || partition.open.iter().any(|open| open.is_allocating)
            || state.checkpoint.is_running;
        !is_busy && state.phase == Phase::Open
    };
    wait_until(shared, io, |state| rests(state)).await?;
    let round = {
        let mut state = shared.borrow_mut();
        let end = state.partitions[key].log.next_offset();
        state.push_control(EntryKind::PartitionDeleted, key, end)
    };
    wait_until(shared, io, |state| {
        state.journal().writer.durable_through() >= round && rests(state)
    })
    .await?;
    let partition = {
        let mut state = shared.borrow_mut();
        if let Some(round) = state.partitions[key].log.dirty_since_round() {
            state.dirty.remove(&(round, key));
        }
        let partition = state.partitions.remove(key);
        let dirty = partition.log.dirty_bytes();
        let in_memory: u64 = partition
            .log
            .tail()
            .map(|batch| batch.bytes.len() as u64)
            .sum();
        state.dirty_bytes -= dirty;
        state.clean_bytes -= in_memory - dirty;
        state.resume_stalled(io);
        partition
    };
    debug_assert_eq!(partition.incarnation, incarnation);
    let open = partition.open.iter().map(|open| open.file);
    let reading = partition.reading.map(|(_, file)| file);
    for file in open.chain(reading) {
        done(io.call(DiskOp::Close { file }).await)?;
    }
    // Its creation may have failed, and then the folder of that name is a successor's.
    if topic_of(io, &partition.folder).await? != Some(partition.id.topic) {
        return Ok(None);
    }
    let unique = u128::from(incarnation.0);
    let name = &partition.topic_name;
    let deleted = deleted_partition_folder(name, partition.id.partition, unique);
    let rename = io.call(DiskOp::Rename {
        from: partition.folder.clone(),
        to: deleted.as_str().into(),
    });
    done(rename.await)?;
    done(io.call(DiskOp::SyncFolder { path: "".into() }).await)?;
    let mut readers: Vec<_> = partition.readers.into_values().collect();
    readers.extend(partition.retired);
    let is_read = move |_: &mut State| {
        let mut all = readers.iter();
        all.all(|reader| std::sync::Arc::strong_count(reader) == 1)
    };
    wait_until(shared, io, is_read).await?;
    Ok(Some(deleted))
}

/// Waits until `is_true`, looked at whenever something changes and at every tick.
pub(crate) async fn wait_until(
    shared: &Shared,
    io: &Io,
    mut is_true: impl FnMut(&mut State) -> bool,
) -> Result<(), DiskError> {
    loop {
        let ticked = {
            let mut state = shared.borrow_mut();
            if let Phase::Failed(reason) = &state.phase {
                return Err(DiskError::Io {
                    path: "".into(),
                    operation: "wait",
                    message: reason.clone(),
                });
            }
            if is_true(&mut state) {
                return Ok(());
            }
            state.ticked.clone()
        };
        ticked.wait(io).await;
    }
}

/// Empties and removes a folder that nobody refers to any more, a slice at a time. What is left
/// when it fails goes at the next start.
pub(crate) async fn remove_folder(shared: Shared, io: Io, folder: String) {
    shared.borrow_mut().removals += 1;
    let emptied = empty(&io, &folder, Some(&shared)).await;
    let mut state = shared.borrow_mut();
    state.removals -= 1;
    if let Err(error) = emptied {
        state.log(
            LogLevel::Warn,
            format!("{folder} could not be removed: {error}; it is tried again at the next start"),
        );
    }
}

/// As [`remove_folder`], at once: for files that no live journal waits behind.
pub(crate) async fn empty_folder(io: &Io, folder: &str) -> Result<(), DiskError> {
    empty(io, folder, None).await
}

async fn empty(io: &Io, folder: &str, paced_by: Option<&Shared>) -> Result<(), DiskError> {
    let list = io.call(DiskOp::List {
        path: folder.into(),
    });
    let DiskOutput::Entries(entries) = list.await? else {
        unreachable!("a list answers entries");
    };
    for entry in entries.into_iter().filter(|entry| !entry.is_folder) {
        let path: crate::FilePath = format!("{folder}/{}", entry.name).into();
        match paced_by {
            Some(shared) if !remove_slowly(shared, io, path.clone(), entry.len).await? => {
                return Ok(());
            }
            Some(_) => {}
            None => done(io.call(DiskOp::Remove { path }).await)?,
        }
    }
    let path = folder.into();
    done(io.call(DiskOp::RemoveFolder { path }).await)
}

/// Shortens a file step by step and removes it. False: the shard stops, and the next start goes
/// on.
pub(crate) async fn remove_slowly(
    shared: &Shared,
    io: &Io,
    path: crate::FilePath,
    mut len: u64,
) -> Result<bool, DiskError> {
    let is_open = || shared.borrow().phase == Phase::Open;
    if len > CUT_BYTES {
        let (file, _) = io.open(path.clone(), false, Access::Buffered).await?;
        while len > CUT_BYTES && is_open() {
            len -= CUT_BYTES;
            done(io.call(DiskOp::Truncate { file, len }).await)?;
            let ticked = shared.borrow().ticked.clone();
            ticked.wait(io).await;
        }
        done(io.call(DiskOp::Close { file }).await)?;
    }
    if !is_open() {
        return Ok(false);
    }
    done(io.call(DiskOp::Remove { path }).await)?;
    Ok(true)
}

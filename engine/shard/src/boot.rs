//! What a node does before its shards open: who am I, what is there, whose is it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{ChunkWriter, Slice};
use sillon_controller::{
    BrokerSettings, Image, MetadataRecord, Settings, TopicConfig, encode_append,
};
use sillon_group::GroupConfig;
use sillon_journal::{ChainPoint, Incarnation, JournalId, RingLayout};
use sillon_log::{
    CheckpointBuilder, MANIFEST_FILE, META_PROPERTIES_FILE, Manifest, ManifestError,
    MetaProperties, MetaPropertiesError, PARTITION_METADATA_FILE, decode_partition_metadata,
    deleted_partition_folder, is_deleted_partition_folder, parse_partition_folder,
};
use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

use crate::checkpoint::{Place, encode_log, header};
use crate::layout::{
    CHECKPOINT, CHECKPOINT_NEW, is_creating_folder, journal_folder, parse_journal_folder, ring_file,
};
use crate::lifecycle::empty_folder;
use crate::metadata_log::{MetadataLogError, load};
use crate::procedure::{Io, Procedures, done, join_all};
use crate::recovery::{RecoveredPartition, RecoveryError, Source, recover};
use crate::small_file::{read_file, replace_file};
use crate::{
    Access, Action, CompactionConfig, DiskError, DiskOp, DiskOutput, DiskResult, IoClass, LogLevel,
    MetadataLog, Now, OpId, ShardConfig, ShardId, ShardMemory, owner, reserve,
};

/// Added to the numbers of a boot's operations and files.
const NAMESPACE: u64 = 0b10 << 62;

/// The largest batch that a journal of `journal_bytes` over `shards` shards takes, in bytes: a
/// quarter of a ring file, so that the end of a file never wastes more than that.
pub fn message_bytes_max(journal_bytes: u64, shards: u16) -> u64 {
    journal_bytes / u64::from(shards.max(1)) / u64::from(RING_FILES) / 4
}

/// Each shard's journal when a node makes it: `journal_bytes` is that of all shards, `None` what
/// suits a file system of `file_system_bytes`. Not valid when that is too little.
pub fn ring_layout(journal_bytes: Option<u64>, shards: u16, file_system_bytes: u64) -> RingLayout {
    let shards = u64::from(shards.max(1));
    let per_shard = match journal_bytes {
        Some(bytes) => bytes / shards,
        None => {
            let wanted = JOURNAL_BYTES.max(shards * JOURNAL_BYTES_MIN);
            wanted.min(file_system_bytes / 100) / shards
        }
    };
    let file_bytes = per_shard / u64::from(RING_FILES);
    let block = sillon_buffer::BLOCK_BYTES as u64;
    RingLayout {
        files: RING_FILES,
        file_bytes: (file_bytes - file_bytes % block).min(RingLayout::FILE_BYTES_MAX),
    }
}

/// Files of a ring.
const RING_FILES: u32 = 4;
const _: () = assert!(RING_FILES <= crate::round::RING_FILES_MAX);

/// Journal of a node by default, in bytes over all shards.
pub const JOURNAL_BYTES: u64 = 512 << 20;

/// Least journal of a shard by default, in bytes.
const JOURNAL_BYTES_MIN: u64 = 64 << 20;

/// Parts of the rings that are zeroed before the node is ready, in bytes over all shards: 8 MiB
/// take about 10 ms of the 50 that a first start may take.
const ZEROED_BYTES: u64 = 8 << 20;

/// Folders that are looked into at the same time.
const FOLDERS_AT_ONCE: usize = 32;

/// Where random numbers come from: the system, or a simulator's seed. They must be unpredictable
/// to clients.
pub type Entropy = Box<dyn FnMut() -> u128>;

/// What a node is told when it starts.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The node's id in its cluster.
    pub broker: BrokerId,
    /// Where clients reach it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How many shards it has.
    pub shards: u16,
    /// What the node may use, in bytes.
    pub memory_bytes: u64,
    /// Size of the journal over all shards, in bytes; `None`: 512 MiB, at least 64 MiB a shard,
    /// at most 1 % of the file system.
    pub journal_bytes: Option<u64>,
    /// Where the data folder is, for messages.
    pub place: Arc<str>,
    /// Size of the file system that the data folder is on, in bytes.
    pub file_system_bytes: u64,
    /// Journal that a restart replays at most, in bytes over all shards.
    pub recovery_bytes_max: u64,
    /// `log.retention.check.interval.ms`
    pub retention_check_ms: u64,
    /// How compaction works, over all shards.
    pub compaction: CompactionConfig,
    /// Configuration of topics that say nothing else.
    pub topic_defaults: TopicConfig,
    /// The broker's configuration as it was given, by Kafka's names: what clients are told.
    pub settings: Arc<Settings>,
    /// What consumer groups are held to.
    pub groups: GroupConfig,
}

/// Why a node cannot start. The text names the place and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BootError(pub String);

/// What a node begins with.
pub struct Opened {
    /// The cluster's metadata, this start included.
    pub image: Image,
    /// The cluster's id.
    pub cluster_id: String,
    /// What each shard is opened with.
    pub shards: Vec<ShardConfig>,
    /// Where the controller's records go.
    pub metadata: MetadataLog,
}

/// The start of a node, as a state machine: feed completions until it answers.
pub struct Boot {
    io: Io,
    procedures: Procedures,
    outcome: Rc<RefCell<Outcome>>,
}

#[derive(Default)]
struct Outcome {
    now: Now,
    actions: Vec<Action>,
    result: Option<Result<Opened, BootError>>,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("meta.properties: {0}")]
    Properties(#[from] MetaPropertiesError),
    #[error(
        "the data folder is that of node {found}, not of node {wanted}: give --override \
         node.id={found} or another --data-dir"
    )]
    OtherNode { found: i32, wanted: i32 },
    #[error("sillon.manifest: {0}")]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Metadata(#[from] MetadataLogError),
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    #[error(
        "{0}; start with the old number of shards until it is mended: moving journals would give \
         it up"
    )]
    OfflineAtMove(String),
    #[error("a journal of {bytes} bytes over {shards} shards is too small: each needs 64 KiB")]
    JournalTooSmall { bytes: u64, shards: u16 },
}

impl Boot {
    /// Begins to start a node.
    pub fn start(config: NodeConfig, entropy: Entropy, actions: &mut Vec<Action>) -> Boot {
        let io = Io::new(NAMESPACE);
        let outcome = Rc::new(RefCell::new(Outcome::default()));
        io.spawn(run(config, entropy, io.clone(), outcome.clone()));
        let mut boot = Boot {
            io,
            procedures: Procedures::default(),
            outcome,
        };
        boot.procedures.run(&boot.io);
        boot.io.drain(actions);
        boot
    }

    /// Takes a completion. Some at the end.
    pub fn handle(
        &mut self,
        now: Now,
        op: OpId,
        result: DiskResult,
        actions: &mut Vec<Action>,
    ) -> Option<Result<Opened, BootError>> {
        self.outcome.borrow_mut().now = now;
        self.io.complete(op, result);
        self.procedures.run(&self.io);
        self.io.drain(actions);
        let mut outcome = self.outcome.borrow_mut();
        actions.append(&mut outcome.actions);
        outcome.result.take()
    }
}

async fn run(config: NodeConfig, entropy: Entropy, io: Io, outcome: Rc<RefCell<Outcome>>) {
    let mut start = Start {
        config,
        entropy,
        io,
        outcome: outcome.clone(),
    };
    let result = start.run().await;
    let result = result.map_err(|failure| BootError(failure.to_string()));
    outcome.borrow_mut().result = Some(result);
}

struct Start {
    config: NodeConfig,
    entropy: Entropy,
    io: Io,
    outcome: Rc<RefCell<Outcome>>,
}

/// What is in the data folder.
struct Folders {
    /// Partition folders that belong to the partition of their name.
    partitions: BTreeSet<String>,
    /// Folders to be emptied in the background.
    leftovers: Vec<String>,
    journals: Vec<JournalId>,
}

impl Start {
    async fn run(&mut self) -> Result<Opened, Failure> {
        let cluster_id = self.identify().await?;
        let loaded = load(&self.io).await?;
        let settings = BrokerSettings::new(self.config.broker, self.config.settings.clone());
        let mut image = Image::of_broker(self.config.topic_defaults, settings);
        for record in &loaded.records {
            image.apply(record);
        }
        let folders = self.folders(&image).await?;
        let manifest = read_file(&self.io, MANIFEST_FILE).await?;
        let ring = self.ring()?;
        let (journals, ring, zeroed) = match manifest {
            None => (
                self.first_journals(ring).await?,
                ring,
                Some(self.zeroed_bytes()),
            ),
            Some(content) => {
                let manifest = Manifest::decode(&String::from_utf8_lossy(&content))?;
                let old_ring = RingLayout {
                    files: manifest.ring_files,
                    file_bytes: manifest.ring_file_bytes,
                };
                let old: Vec<JournalId> = manifest.journals.into_iter().map(JournalId).collect();
                if manifest.shard_count == self.config.shards {
                    (old, old_ring, None)
                } else {
                    let new = self
                        .move_journals(&image, &folders, &old, old_ring, ring)
                        .await?;
                    (new, ring, Some(self.zeroed_bytes()))
                }
            }
        };
        for unlisted in &folders.journals {
            if !journals.contains(unlisted) {
                empty_folder(&self.io, &journal_folder(*unlisted)).await?;
            }
        }
        let metadata = self.register(&mut image, loaded.end).await?;
        let reserve_bytes = reserve::reserve_bytes(ring, self.config.shards);
        reserve::set_aside(&self.io, reserve_bytes).await?;
        let shards = self.shards(&journals, ring, zeroed, folders);
        Ok(Opened {
            image,
            cluster_id,
            shards,
            metadata,
        })
    }

    /// How much of each fresh ring is zeroed before the node is ready, in bytes.
    fn zeroed_bytes(&self) -> u64 {
        let share = ZEROED_BYTES / u64::from(self.config.shards.max(1));
        share - share % sillon_buffer::BLOCK_BYTES as u64
    }

    fn log(&self, level: LogLevel, message: String) {
        let mut outcome = self.outcome.borrow_mut();
        outcome.actions.push(Action::Log { level, message });
    }

    /// Reads who the data folder belongs to, or says so for the first time.
    async fn identify(&mut self) -> Result<String, Failure> {
        let wanted = self.config.broker;
        if let Some(content) = read_file(&self.io, META_PROPERTIES_FILE).await? {
            let found = MetaProperties::decode(&String::from_utf8_lossy(&content))?;
            if found.node_id != wanted {
                return Err(Failure::OtherNode {
                    found: found.node_id.0,
                    wanted: wanted.0,
                });
            }
            return Ok(found.cluster_id);
        }
        let properties = MetaProperties {
            cluster_id: sillon_log::display_uuid((self.entropy)()),
            node_id: wanted,
            directory_id: Some((self.entropy)()),
        };
        let new_name = format!("{META_PROPERTIES_FILE}.new");
        let text = properties.encode();
        replace_file(
            &self.io,
            "",
            META_PROPERTIES_FILE,
            &new_name,
            text.as_bytes(),
        )
        .await?;
        Ok(properties.cluster_id)
    }

    fn ring(&self) -> Result<RingLayout, Failure> {
        let NodeConfig {
            journal_bytes,
            shards,
            file_system_bytes,
            ..
        } = self.config;
        let layout = ring_layout(journal_bytes, shards, file_system_bytes);
        if layout.is_valid() {
            Ok(layout)
        } else {
            Err(Failure::JournalTooSmall {
                bytes: layout.capacity_bytes() * u64::from(shards.max(1)),
                shards,
            })
        }
    }

    /// Looks through the data folder: what belongs to whom, and what nobody needs.
    async fn folders(&mut self, image: &Image) -> Result<Folders, Failure> {
        let list = self.io.call(DiskOp::List { path: "".into() });
        let DiskOutput::Entries(entries) = list.await? else {
            unreachable!("a list answers entries");
        };
        let mut folders = Folders {
            partitions: BTreeSet::new(),
            leftovers: Vec::new(),
            journals: Vec::new(),
        };
        let mut unknown: Vec<String> = Vec::new();
        for entry in entries.into_iter().filter(|entry| entry.is_folder) {
            if let Some(journal) = parse_journal_folder(&entry.name) {
                folders.journals.push(journal);
            } else if is_creating_folder(&entry.name) {
                // Now, because its creation begins again under the same name.
                empty_folder(&self.io, &entry.name).await?;
            } else if is_deleted_partition_folder(&entry.name) {
                folders.leftovers.push(entry.name);
            } else if parse_partition_folder(&entry.name).is_some() {
                unknown.push(entry.name);
            }
        }
        for group in unknown.chunks(FOLDERS_AT_ONCE) {
            let topics = group.iter().map(|name| topic_of(&self.io, name)).collect();
            for (name, topic) in group.iter().zip(join_all(topics).await) {
                self.sort(image, name, topic?, &mut folders).await?;
            }
        }
        Ok(folders)
    }

    async fn sort(
        &mut self,
        image: &Image,
        name: &str,
        topic: Option<TopicId>,
        folders: &mut Folders,
    ) -> Result<(), Failure> {
        let (topic_name, partition) = parse_partition_folder(name).expect("listed by its name");
        let owner = image.topic_named(topic_name);
        let is_ours = owner
            .is_some_and(|owner| Some(owner.id) == topic && owner.partition(partition).is_some());
        if is_ours {
            folders.partitions.insert(name.to_string());
            return Ok(());
        }
        let is_deleted = topic.is_some_and(|topic| image.removed_topic(topic).is_some());
        let new_name = if is_deleted {
            deleted_partition_folder(topic_name, partition, (self.entropy)())
        } else {
            let new_name = format!("{name}.stranger-{:08x}", (self.entropy)() as u32);
            self.log(
                LogLevel::Warn,
                format!(
                    "folder {name} belongs to no partition of this cluster; it is set aside as \
                     {new_name} and never deleted"
                ),
            );
            new_name
        };
        let rename = self.io.call(DiskOp::Rename {
            from: name.into(),
            to: new_name.as_str().into(),
        });
        done(rename.await)?;
        done(self.io.call(DiskOp::SyncFolder { path: "".into() }).await)?;
        if is_deleted {
            folders.leftovers.push(new_name);
        }
        Ok(())
    }

    async fn first_journals(&mut self, ring: RingLayout) -> Result<Vec<JournalId>, Failure> {
        self.new_journals(ring, &BTreeMap::new(), &Image::new(TopicConfig::default()))
            .await
    }

    /// The journals were written by another number of shards: all of them go into the segments,
    /// then new ones begin.
    async fn move_journals(
        &mut self,
        image: &Image,
        folders: &Folders,
        old: &[JournalId],
        old_ring: RingLayout,
        ring: RingLayout,
    ) -> Result<Vec<JournalId>, Failure> {
        let now_ms = self.outcome.borrow().now.wall_ms;
        let mut partitions = BTreeMap::new();
        for journal in old {
            if planted::is(Bug::OldJournalsIgnored) {
                continue;
            }
            let recovered = recover(&Source {
                io: &self.io,
                journal: *journal,
                ring: old_ring,
                image,
                folders: &folders.partitions,
                now_ms,
            })
            .await?;
            for (incarnation, partition) in recovered.partitions {
                if let Some(reason) = partition.offline {
                    return Err(Failure::OfflineAtMove(reason));
                }
                partitions.insert(incarnation, partition);
            }
        }
        self.new_journals(ring, &partitions, image).await
    }

    /// Makes a journal for each shard, with a checkpoint of the partitions that it owns, and then
    /// the manifest that names them.
    async fn new_journals(
        &mut self,
        ring: RingLayout,
        partitions: &BTreeMap<PartitionIncarnation, RecoveredPartition>,
        image: &Image,
    ) -> Result<Vec<JournalId>, Failure> {
        let (mut journals, mut checkpoints) = (Vec::new(), Vec::new());
        for shard in 0..self.config.shards {
            let journal = JournalId((self.entropy)());
            let config = self.shard_config(ShardId(shard), journal, ring);
            let through = ChainPoint::FRESH.next_sequence - 1;
            let header = header(&config, through, ChainPoint::FRESH, true);
            let mut builder = CheckpointBuilder::new(header);
            for (incarnation, partition) in partitions {
                let is_owned = owner(partition.id, self.config.shards) == ShardId(shard);
                let known = image.partition(partition.id);
                let (Some((topic, known)), true) = (known, is_owned) else {
                    continue;
                };
                let place = Place {
                    id: partition.id,
                    incarnation: *incarnation,
                    topic_name: &topic.name,
                    high_watermark: partition.high_watermark,
                    leader_epoch: known.leader_epoch,
                    // Recovery has finished or undone it.
                    is_swapping: false,
                };
                let mut encoded = Vec::new();
                encode_log(&place, &partition.log, &mut encoded);
                builder.push_encoded(&encoded);
            }
            journals.push(journal);
            checkpoints.push(builder.finish());
        }
        let zeroed = self.zeroed_bytes();
        let new = journals.iter().zip(&checkpoints);
        let made =
            new.map(|(id, checkpoint)| make_journal(&self.io, *id, ring, zeroed, checkpoint));
        for made in join_all(made.collect()).await {
            made?;
        }
        done(self.io.call(DiskOp::SyncFolder { path: "".into() }).await)?;
        let manifest = Manifest {
            shard_count: self.config.shards,
            journals: journals.iter().map(|journal| journal.0).collect(),
            ring_files: ring.files,
            ring_file_bytes: ring.file_bytes,
        };
        let new_name = format!("{MANIFEST_FILE}.new");
        let text = manifest.encode();
        replace_file(&self.io, "", MANIFEST_FILE, &new_name, text.as_bytes()).await?;
        Ok(journals)
    }

    /// Makes this start known: every partition that this broker leads gets a new leader epoch.
    async fn register(&mut self, image: &mut Image, end: u64) -> Result<MetadataLog, Failure> {
        let record = MetadataRecord::BrokerRegistered {
            broker: self.config.broker,
            host: self.config.host.clone(),
            port: self.config.port,
        };
        let mut encoded = Vec::new();
        encode_append(
            image.records_applied(),
            std::slice::from_ref(&record),
            &mut encoded,
        );
        let tail = crate::metadata_log::begin(&self.io, end, &encoded).await?;
        image.apply(&record);
        Ok(MetadataLog::new(image.records_applied(), tail))
    }

    fn shard_config(
        &mut self,
        shard: ShardId,
        journal: JournalId,
        ring: RingLayout,
    ) -> ShardConfig {
        let shards = self.config.shards;
        ShardConfig {
            shard,
            shards,
            broker: self.config.broker,
            journal,
            ring,
            incarnation: Incarnation((self.entropy)()),
            place: self.config.place.clone(),
            memory: ShardMemory::of(self.config.memory_bytes, shards),
            groups: self.config.groups,
            recovery_bytes_max: self.config.recovery_bytes_max / u64::from(shards.max(1)),
            retention_check_ms: self.config.retention_check_ms,
            compaction: self.config.compaction.share(shards),
            ring_zeroed_bytes: None,
            folders: Arc::default(),
            leftovers: Vec::new(),
        }
    }

    fn shards(
        &mut self,
        journals: &[JournalId],
        ring: RingLayout,
        zeroed: Option<u64>,
        folders: Folders,
    ) -> Vec<ShardConfig> {
        let partitions = Arc::new(folders.partitions);
        let mut leftovers = folders.leftovers;
        let mut configs = Vec::new();
        for (shard, journal) in (0..).map(ShardId).zip(journals) {
            let mut config = self.shard_config(shard, *journal, ring);
            config.folders = partitions.clone();
            config.ring_zeroed_bytes = zeroed;
            config.leftovers = std::mem::take(&mut leftovers);
            configs.push(config);
        }
        configs
    }
}

/// The topic that a partition's folder says it belongs to.
pub(crate) async fn topic_of(io: &Io, folder: &str) -> Result<Option<TopicId>, DiskError> {
    let content = read_file(io, &format!("{folder}/{PARTITION_METADATA_FILE}")).await?;
    let text = content.map(|content| String::from_utf8_lossy(&content).into_owned());
    Ok(text.and_then(|text| decode_partition_metadata(&text).ok()))
}

/// Makes a journal's folder, ring and first checkpoint.
async fn make_journal(
    io: &Io,
    journal: JournalId,
    ring: RingLayout,
    zeroed: u64,
    checkpoint: &[u8],
) -> Result<(), DiskError> {
    let folder = journal_folder(journal);
    let path = folder.as_str().into();
    done(io.call(DiskOp::MakeFolder { path }).await)?;
    let mut left = zeroed;
    let mut files = Vec::new();
    for number in 0..ring.files {
        let share = left.min(ring.file_bytes);
        left -= share;
        files.push(make_ring_file(
            io,
            ring_file(journal, number),
            ring.file_bytes,
            share,
        ));
    }
    for made in join_all(files).await {
        made?;
    }
    replace_file(io, &folder, CHECKPOINT, CHECKPOINT_NEW, checkpoint).await
}

async fn make_ring_file(io: &Io, path: String, bytes: u64, zeroed: u64) -> Result<(), DiskError> {
    const PIECE_BYTES: u64 = 1 << 20;
    let file = io.new_file();
    let open = io.call(DiskOp::Open {
        file,
        path: path.into(),
        create: true,
        access: Access::Direct,
    });
    done(open.await)?;
    let allocate = io.call(DiskOp::Allocate {
        file,
        position: 0,
        len: bytes,
    });
    done(allocate.await)?;
    let mut position = 0;
    let zeros: Slice = ChunkWriter::unpooled(PIECE_BYTES as usize).publish(PIECE_BYTES as usize);
    while position < zeroed {
        let len = PIECE_BYTES.min(zeroed - position);
        let write = io.call(DiskOp::Write {
            file,
            position,
            pieces: vec![zeros.slice(0..len as usize)],
            class: IoClass::Journal,
        });
        done(write.await)?;
        position += len;
    }
    done(io.call(DiskOp::Sync { file }).await)?;
    done(io.call(DiskOp::Close { file }).await)
}

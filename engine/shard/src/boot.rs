//! What a node does before its shards open: who am I, what is there, whose is it.

mod folders;
mod journals;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use sillon_buffer::planted::{self, Bug};
use sillon_controller::{BrokerSettings, Image, MetadataRecord, encode_append};
use sillon_journal::{Incarnation, JournalId, RingLayout};
use sillon_log::{
    MANIFEST_FILE, META_PROPERTIES_FILE, Manifest, ManifestError, MetaProperties,
    MetaPropertiesError,
};

use crate::layout::journal_folder;
use crate::lifecycle::empty_folder;
use crate::metadata_log::{MetadataLogError, load};
use crate::procedure::{Io, Procedures};
use crate::recovery::{RecoveryError, Source, recover};
use crate::small_file::{read_file, replace_file};
use crate::{
    Action, DiskError, DiskResult, LogLevel, MetadataLog, NodeConfig, Now, OpId, ShardConfig,
    ShardId, ShardMemory, reserve,
};
use folders::Folders;
pub(crate) use folders::topic_of;

/// Added to the numbers of a boot's operations and files.
const NAMESPACE: u64 = 0b10 << 62;

/// Where random numbers come from: the system, or a simulator's seed. They must be unpredictable
/// to clients.
pub type Entropy = Box<dyn FnMut() -> u128>;

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
    #[error(
        "there is no room on the disk to move the journals of {shards} shards into new ones: make \
         room, or start with --shards {shards} again"
    )]
    NoRoomToMove { shards: u16 },
    #[error("a journal of {bytes} bytes over {shards} shards is too small: each needs 64 KiB")]
    JournalTooSmall { bytes: u64, shards: u16 },
}

impl Failure {
    /// The same, told as what became of moving the journals of `shards` shards.
    fn at_move(self, shards: u16) -> Failure {
        match self {
            Failure::Disk(DiskError::NoSpace)
            | Failure::Recovery(RecoveryError::Disk(DiskError::NoSpace)) => {
                Failure::NoRoomToMove { shards }
            }
            other => other,
        }
    }
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

impl Start {
    async fn run(&mut self) -> Result<Opened, Failure> {
        let cluster_id = self.identify().await?;
        // Before anything is changed: it says whether the folder is of a newer version.
        let manifest = match read_file(&self.io, MANIFEST_FILE).await? {
            Some(content) => Some(Manifest::decode(&String::from_utf8_lossy(&content))?),
            None => None,
        };
        let loaded = load(&self.io).await?;
        let settings = BrokerSettings::new(self.config.broker, self.config.settings.clone());
        let mut image = Image::of_broker(self.config.topic_defaults, settings);
        for record in &loaded.records {
            image.apply(record);
        }
        let folders = self.folders(&image).await?;
        let ring = self.ring()?;
        let (journals, ring, zeroed) = match manifest {
            None => (
                self.first_journals(ring).await?,
                ring,
                Some(self.zeroed_bytes()),
            ),
            Some(manifest) => {
                let old_ring = RingLayout {
                    files: manifest.ring_files,
                    file_bytes: manifest.ring_file_bytes,
                };
                let old: Vec<JournalId> = manifest.journals.into_iter().map(JournalId).collect();
                if manifest.shard_count == self.config.shards {
                    (old, old_ring, None)
                } else {
                    let moved = self.move_journals(&image, &folders, &old, old_ring, ring);
                    let new = moved
                        .await
                        .map_err(|failure| failure.at_move(manifest.shard_count))?;
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

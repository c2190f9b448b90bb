use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sillon_controller::{Image, MetadataRecord, TopicConfig};
use sillon_journal::{
    ChainPoint, Incarnation, JournalId, Replay, RingLayout, RingPosition, RingReader,
};
use sillon_log::{
    CheckpointHeader, MANIFEST_FILE, Manifest, PartitionCheckpoint, decode_checkpoint,
    partition_folder,
};
use sillon_record::{PartitionIncarnation, TopicId};
use sillon_runtime::FolderLock;
use sillon_shard::{CHECKPOINT, METADATA_LOG, journal_folder, read_metadata_log, ring_file};

use super::OfflineError;

/// The data folder of a stopped node, kept from brokers as long as this lives.
pub struct DataFolder {
    /// Where it is.
    pub path: PathBuf,
    /// Its journals.
    pub manifest: Manifest,
    /// Folders of all partitions that there ever were, by incarnation.
    names: BTreeMap<PartitionIncarnation, String>,
    image: Image,
    _lock: FolderLock,
}

/// One journal, its checkpoint read.
pub struct OfflineJournal {
    /// Which shard's.
    pub shard: usize,
    /// Its folder.
    pub path: PathBuf,
    /// The checkpoint that a restart begins with.
    pub header: CheckpointHeader,
    /// The partitions in it.
    pub partitions: Vec<PartitionCheckpoint>,
    /// Its ring.
    pub ring: FileRing,
    layout: RingLayout,
    id: JournalId,
}

pub fn read(path: &Path) -> Result<Vec<u8>, OfflineError> {
    std::fs::read(path).map_err(|source| file(path, source))
}

pub fn file(path: &Path, source: io::Error) -> OfflineError {
    OfflineError::File {
        path: path.to_owned(),
        source,
    }
}

impl DataFolder {
    /// Locks a data folder and reads what lies in it besides records.
    pub fn open(path: &Path) -> Result<DataFolder, OfflineError> {
        let manifest_path = path.join(MANIFEST_FILE);
        if !manifest_path.exists() {
            return Err(OfflineError::NoDataFolder {
                folder: path.to_owned(),
            });
        }
        let lock = FolderLock::take(path)?;
        let text = String::from_utf8_lossy(&read(&manifest_path)?).into_owned();
        let manifest = Manifest::decode(&text).map_err(|error| OfflineError::Manifest {
            path: manifest_path,
            error,
        })?;
        let records = read_metadata_log(&read(&path.join(METADATA_LOG))?)?;
        Ok(DataFolder {
            path: path.to_owned(),
            manifest,
            names: names(&records),
            image: image(&records),
            _lock: lock,
        })
    }

    /// The folder of a partition, or what is known of it.
    pub fn name(&self, incarnation: PartitionIncarnation) -> String {
        match self.names.get(&incarnation) {
            Some(name) => name.clone(),
            None => format!("(incarnation {})", incarnation.0),
        }
    }

    /// Whether a topic is compacted: then offsets may be missing.
    pub fn is_compacted(&self, topic: TopicId) -> bool {
        let topic = self.image.topic(topic);
        topic.is_some_and(|topic| topic.config.cleanup_policy.compact)
    }

    /// All journals, by shard.
    pub fn journals(&self) -> impl Iterator<Item = Result<OfflineJournal, OfflineError>> + '_ {
        let ids = self.manifest.journals.iter().enumerate();
        ids.map(|(shard, id)| self.journal(shard, JournalId(*id)))
    }

    fn journal(&self, shard: usize, id: JournalId) -> Result<OfflineJournal, OfflineError> {
        let path = self.path.join(journal_folder(id));
        let checkpoint = path.join(CHECKPOINT);
        let (header, partitions) =
            decode_checkpoint(&read(&checkpoint)?).map_err(|error| OfflineError::Checkpoint {
                path: checkpoint,
                error,
            })?;
        let layout = RingLayout {
            files: self.manifest.ring_files,
            file_bytes: self.manifest.ring_file_bytes,
        };
        let position = RingPosition {
            file: header.file,
            offset: header.offset,
        };
        if !layout.is_valid() || !layout.contains(position) {
            return Err(OfflineError::Layout { path });
        }
        let files = (0..layout.files).map(|number| self.path.join(ring_file(id, number)));
        Ok(OfflineJournal {
            shard,
            path,
            header,
            partitions,
            ring: FileRing {
                files: files.collect(),
            },
            layout,
            id,
        })
    }
}

impl OfflineJournal {
    /// A walk from the checkpoint on.
    pub fn replay(&self) -> Replay {
        let header = &self.header;
        let from = ChainPoint {
            next_sequence: header.next_sequence,
            position: RingPosition {
                file: header.file,
                offset: header.offset,
            },
            previous_checksum: header.previous_checksum,
            durable_through: header.durable_through,
        };
        let incarnation = Incarnation(header.incarnation);
        Replay::new(self.layout, self.id, incarnation, from)
    }
}

/// A ring's files, opened for each read: this is for looking, not for speed.
#[derive(Clone)]
pub struct FileRing {
    files: Vec<PathBuf>,
}

impl FileRing {
    /// The path of one.
    pub fn file(&self, number: u32) -> &Path {
        &self.files[number as usize]
    }
}

impl RingReader for FileRing {
    type Error = OfflineError;

    async fn read(&mut self, number: u32, offset: u64, len: u64) -> Result<Vec<u8>, OfflineError> {
        let path = self.file(number);
        let opened = match File::open(path) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(file(path, error)),
        };
        let mut bytes = vec![0; len as usize];
        let mut filled = 0;
        while filled < bytes.len() {
            let at = offset + filled as u64;
            match opened.read_at(&mut bytes[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) => return Err(file(path, error)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}

fn image(records: &[MetadataRecord]) -> Image {
    let mut image = Image::new(TopicConfig::default());
    for record in records {
        image.apply(record);
    }
    image
}

fn names(records: &[MetadataRecord]) -> BTreeMap<PartitionIncarnation, String> {
    let mut topics = BTreeMap::new();
    let mut names = BTreeMap::new();
    for record in records {
        match record {
            MetadataRecord::Topic { id, name } => {
                topics.insert(*id, name.clone());
            }
            MetadataRecord::Partition {
                topic,
                partition,
                incarnation,
                ..
            } => {
                if let Some(topic) = topics.get(topic) {
                    names.insert(*incarnation, partition_folder(topic, *partition));
                }
            }
            _ => {}
        }
    }
    names
}

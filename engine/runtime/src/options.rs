use std::path::PathBuf;
use std::sync::Arc;

use sillon_controller::{ControllerOptions, Settings, TopicConfig};
use sillon_group::GroupConfig;
use sillon_record::BrokerId;
use sillon_shard::CompactionConfig;

use crate::{Clock, StopHandle, SystemClock};

/// How long a stopping node lets its connections finish, in ms, unless told otherwise: less than
/// the 30 s after which Kubernetes kills, with time left for the checkpoint.
const DRAIN_MS: u64 = 10_000;

/// Journal that a restart replays at most, in bytes, unless told otherwise: about a second's
/// work.
const RECOVERY_BYTES_MAX: u64 = 256 << 20;

/// Kafka's default.
const RETENTION_CHECK_MS: u64 = 300_000;

/// What a node is to be.
pub struct NodeOptions {
    /// Where its data lies. Made when it does not exist.
    pub data_dir: PathBuf,
    /// Number of shards; `None`: [`crate::default_shards`].
    pub shards: Option<u16>,
    /// What it may use, in bytes.
    pub memory_bytes: u64,
    /// What it may come to take with all that is beside that, in bytes: the host is judged by it.
    /// `None`: no more.
    pub memory_needed_bytes: Option<u64>,
    /// Size of all its journals together, in bytes; `None`: by the size of the file system.
    pub journal_bytes: Option<u64>,
    /// Journal that a restart replays at most, in bytes over all shards.
    pub recovery_bytes_max: u64,
    /// `log.retention.check.interval.ms`: how often segments are looked through for what may go.
    pub retention_check_ms: u64,
    /// How compaction works.
    pub compaction: CompactionConfig,
    /// Its id.
    pub broker: BrokerId,
    /// Where clients reach it.
    pub host: String,
    /// Its port there. Bind before running, so that it is known.
    pub port: u16,
    /// Configuration of topics that say nothing themselves.
    pub topic_defaults: TopicConfig,
    /// The broker's configuration as it was given, by Kafka's names: what clients are told.
    pub settings: Settings,
    /// What consumer groups are held to.
    pub groups: GroupConfig,
    /// What the controller fills in for requests that leave it to the broker.
    pub controller: ControllerOptions,
    /// How long a stopping node lets its services finish, in ms.
    pub drain_ms: u64,
    /// Where its time comes from.
    pub clock: Arc<dyn Clock>,
    /// Stops it.
    pub stop: StopHandle,
    /// Whether SIGTERM and SIGINT stop it. A second one ends the process on the spot.
    pub catches_signals: bool,
    /// Called once, when every shard has recovered and the services start.
    pub ready: Box<dyn FnOnce(&Ready) + Send>,
}

/// What a node is, once it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The cluster's id, as clients see it.
    pub cluster_id: String,
    /// Number of shards.
    pub shards: u16,
    /// Journal bytes that were replayed, over all shards.
    pub replayed_bytes: u64,
}

impl NodeOptions {
    /// A node with the defaults of everything else.
    pub fn new(data_dir: impl Into<PathBuf>) -> NodeOptions {
        NodeOptions {
            data_dir: data_dir.into(),
            shards: None,
            memory_bytes: 1 << 30,
            memory_needed_bytes: None,
            journal_bytes: None,
            recovery_bytes_max: RECOVERY_BYTES_MAX,
            retention_check_ms: RETENTION_CHECK_MS,
            compaction: CompactionConfig::default(),
            broker: BrokerId(1),
            host: "localhost".to_owned(),
            port: 9092,
            topic_defaults: TopicConfig::default(),
            settings: Settings::new(),
            groups: GroupConfig::default(),
            controller: ControllerOptions::default(),
            drain_ms: DRAIN_MS,
            clock: Arc::new(SystemClock::new()),
            stop: StopHandle::default(),
            catches_signals: true,
            ready: Box::new(|_| {}),
        }
    }
}

use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

/// One change of the cluster's metadata. Durable in the metadata log before anybody acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataRecord {
    /// A broker has started (every start registers anew): the leader epoch of every partition it
    /// leads grows by one, so that an offset used again after a lost tail carries another epoch.
    BrokerRegistered {
        /// Which.
        broker: BrokerId,
        /// Where clients reach it.
        host: String,
        /// Its port.
        port: u16,
    },
    /// A topic exists.
    Topic {
        /// Its identity.
        id: TopicId,
        /// Its name.
        name: String,
    },
    /// A partition exists. Its leader is the first replica, its leader epoch 0.
    Partition {
        /// Of which topic.
        topic: TopicId,
        /// Its number.
        partition: i32,
        /// This life of it: never used before or again.
        incarnation: PartitionIncarnation,
        /// The brokers that hold it.
        replicas: Vec<BrokerId>,
    },
    /// A topic's configuration: this key has this value, or its default again.
    TopicConfig {
        /// Of which topic.
        topic: TopicId,
        /// Kafka's name.
        key: String,
        /// `None`: back to the default.
        value: Option<String>,
    },
    /// A broker's configuration, or that of all brokers: this key has this value, or the one that
    /// it has without it.
    BrokerConfig {
        /// Of which broker; `None`: of all.
        broker: Option<BrokerId>,
        /// Kafka's name.
        key: String,
        /// `None`: nothing is set any more.
        value: Option<String>,
    },
    /// A topic and its partitions are gone.
    TopicRemoved {
        /// Which.
        id: TopicId,
    },
    /// Producer ids below `next` may have been handed out.
    ProducerIds {
        /// The first that has not.
        next: i64,
    },
}

/// What an operator shortens on a full disk.
const RETENTION: &[&str] = &[
    "log.retention.bytes",
    "log.retention.ms",
    "retention.bytes",
    "retention.ms",
];

impl MetadataRecord {
    /// Whether this frees space: recorded even when the disk is full.
    pub fn gives_back_space(&self) -> bool {
        match self {
            MetadataRecord::TopicRemoved { .. } => true,
            MetadataRecord::TopicConfig { key, .. } | MetadataRecord::BrokerConfig { key, .. } => {
                RETENTION.contains(&key.as_str())
            }
            _ => false,
        }
    }
}

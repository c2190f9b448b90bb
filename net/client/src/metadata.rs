use sillon_protocol::ErrorCode;
use sillon_protocol::message::{
    MetadataResponse, metadata_response::MetadataResponsePartition,
    metadata_response::MetadataResponseTopic,
};
use sillon_record::{BrokerId, LeaderEpoch, TopicId};

/// What a broker says about its cluster.
#[derive(Clone, Debug, Default)]
pub struct Metadata {
    /// The cluster's id, when the broker says it.
    pub cluster_id: Option<String>,
    /// The broker to which topics are to be created and deleted; `None` when there is none.
    pub controller: Option<BrokerId>,
    /// By id.
    pub brokers: Vec<Broker>,
    /// By name.
    pub topics: Vec<TopicMetadata>,
}

/// A broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker {
    /// Its id.
    pub id: BrokerId,
    /// `host:port`, as it advertises itself.
    pub address: String,
    /// Its rack, when it has one.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its id; zero from brokers older than Kafka 2.8.
    pub id: TopicId,
    /// What is wrong with it.
    pub error: ErrorCode,
    /// The cluster's own.
    pub is_internal: bool,
    /// By number, without gaps.
    pub partitions: Vec<PartitionMetadata>,
}

/// A partition.
#[derive(Clone, Debug)]
pub struct PartitionMetadata {
    /// Its number in the topic.
    pub index: i32,
    /// What is wrong with it.
    pub error: ErrorCode,
    /// Who leads it; `None` when nobody does.
    pub leader: Option<BrokerId>,
    /// Since which epoch; `None` from brokers older than Kafka 2.1.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Where its replicas are; the first is the preferred leader.
    pub replicas: Vec<BrokerId>,
    /// Which of them are in sync.
    pub in_sync: Vec<BrokerId>,
    /// Which of them are offline.
    pub offline: Vec<BrokerId>,
}

impl Metadata {
    pub(crate) fn of(response: &MetadataResponse) -> Metadata {
        let mut brokers: Vec<Broker> = response
            .brokers
            .iter()
            .map(|broker| Broker {
                id: BrokerId(broker.node_id),
                address: address(&broker.host, broker.port),
                rack: broker.rack.as_deref().map(str::to_string),
            })
            .collect();
        brokers.sort_by_key(|broker| broker.id);
        let mut topics: Vec<TopicMetadata> = response.topics.iter().map(topic).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Metadata {
            cluster_id: response.cluster_id.as_deref().map(str::to_string),
            controller: broker(response.controller_id),
            brokers,
            topics,
        }
    }

    /// The topic of that name.
    pub fn topic(&self, name: &str) -> Option<&TopicMetadata> {
        self.topics.iter().find(|topic| topic.name == name)
    }

    /// Where a broker is.
    pub fn address_of(&self, broker: BrokerId) -> Option<&str> {
        let found = self.brokers.iter().find(|known| known.id == broker)?;
        Some(&found.address)
    }
}

/// An IPv6 address goes into brackets.
pub(crate) fn address(host: &str, port: i32) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn broker(id: i32) -> Option<BrokerId> {
    (id >= 0).then_some(BrokerId(id))
}

fn topic(topic: &MetadataResponseTopic) -> TopicMetadata {
    let mut partitions: Vec<PartitionMetadata> = topic.partitions.iter().map(partition).collect();
    partitions.sort_by_key(|partition| partition.index);
    TopicMetadata {
        name: topic.name.as_deref().unwrap_or_default().to_string(),
        id: TopicId(topic.topic_id.to_bytes()),
        error: code(topic.error_code),
        is_internal: topic.is_internal,
        partitions,
    }
}

fn partition(partition: &MetadataResponsePartition) -> PartitionMetadata {
    let ids = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect();
    PartitionMetadata {
        index: partition.partition_index,
        error: code(partition.error_code),
        leader: broker(partition.leader_id),
        leader_epoch: (partition.leader_epoch >= 0).then_some(LeaderEpoch(partition.leader_epoch)),
        replicas: ids(&partition.replica_nodes),
        in_sync: ids(&partition.isr_nodes),
        offline: ids(&partition.offline_replicas),
    }
}

/// A number that this version does not know says that something went wrong, and no more.
pub(crate) fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

use sillon_record::{BrokerId, TopicId};

use crate::{EffectiveConfig, InvalidConfig, NameFault};

/// What is asked of the controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRequest {
    /// Create topics. Answered with [`ControlReply::CreateTopics`] when every partition of them is
    /// open.
    CreateTopics {
        /// Which; one result each, in this order.
        topics: Vec<NewTopic>,
        /// Only say whether it would be done.
        validate_only: bool,
    },
    /// Delete topics. Answered with [`ControlReply::DeleteTopics`].
    DeleteTopics {
        /// Which; one result each, in this order.
        topics: Vec<TopicTarget>,
    },
    /// Add partitions to topics. Answered with [`ControlReply::CreatePartitions`] when every one of
    /// them is open.
    CreatePartitions {
        /// Which; one result each, in this order.
        topics: Vec<MorePartitions>,
        /// Only say whether it would be done.
        validate_only: bool,
    },
    /// Change configurations. Answered with [`ControlReply::AlterConfigs`].
    AlterConfigs {
        /// Which; one result each, in this order.
        resources: Vec<AlteredResource>,
        /// Only say whether it would be done.
        validate_only: bool,
    },
    /// A fresh id for an idempotent producer. Answered with [`ControlReply::ProducerId`].
    ProducerId,
}

/// A topic to be created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its identity if it is created: random, drawn by who asks.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// Number of partitions; -1 is the broker's `num.partitions`.
    pub partitions: i32,
    /// Replicas of each; -1 is the broker's `default.replication.factor`.
    pub replication_factor: i16,
    /// Replicas of every partition, chosen by hand; empty otherwise.
    pub assignments: Vec<Assignment>,
    /// Configuration that differs from the defaults.
    pub configs: Vec<(String, Option<String>)>,
}

impl NewTopic {
    /// A topic with the broker's defaults.
    pub fn with_defaults(id: TopicId, name: impl Into<String>) -> NewTopic {
        NewTopic {
            id,
            name: name.into(),
            partitions: -1,
            replication_factor: -1,
            ..NewTopic::default()
        }
    }
}

/// Replicas of a partition, chosen by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// The partition's number.
    pub partition: i32,
    /// Its replicas; the first one leads.
    pub replicas: Vec<BrokerId>,
}

/// A topic that is to have more partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MorePartitions {
    /// Its name.
    pub name: String,
    /// How many it is to have.
    pub count: i32,
    /// Replicas of each new one, chosen by hand; `None`: the broker chooses.
    pub assignments: Option<Vec<Vec<BrokerId>>>,
}

/// What has a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConfigResource {
    /// The topic of that name.
    Topic(String),
    /// A broker; `None`: all of them.
    Broker(Option<BrokerId>),
}

/// A configuration that is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlteredResource {
    /// Whose.
    pub resource: ConfigResource,
    /// What is not named loses its value.
    pub replaces_all: bool,
    /// What is to change; every key once.
    pub changes: Vec<ConfigChange>,
}

/// A key that is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// Kafka's name.
    pub key: String,
    /// How.
    pub operation: ConfigOperation,
    /// To what, or by what; not looked at when it is deleted.
    pub value: Option<String>,
}

/// How a key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigOperation {
    /// It gets this value.
    Set,
    /// It loses its own value.
    Delete,
    /// These elements join its list.
    Append,
    /// These elements leave its list.
    Subtract,
}

/// A topic, by either of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicTarget {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

/// The controller's answer.
#[derive(Clone, Debug, PartialEq)]
pub enum ControlReply {
    /// To [`ControlRequest::CreateTopics`], in the order of its topics.
    CreateTopics(Vec<Result<CreatedTopic, CreateTopicError>>),
    /// To [`ControlRequest::DeleteTopics`], in the order of its topics.
    DeleteTopics(Vec<Result<DeletedTopic, DeleteTopicError>>),
    /// To [`ControlRequest::CreatePartitions`], in the order of its topics.
    CreatePartitions(Vec<Result<(), CreatePartitionsError>>),
    /// To [`ControlRequest::AlterConfigs`], in the order of its resources.
    AlterConfigs(Vec<Result<(), AlterConfigsError>>),
    /// To [`ControlRequest::ProducerId`].
    ProducerId(i64),
    /// To any request: there is no space to record it, and nothing was done. KAFKA_STORAGE_ERROR.
    NoSpace,
}

/// A topic that was created, or could be.
#[derive(Clone, Debug, PartialEq)]
pub struct CreatedTopic {
    /// Its identity; zero when it was only validated.
    pub id: TopicId,
    /// Number of partitions.
    pub partitions: i32,
    /// Replicas of each.
    pub replication_factor: i16,
    /// All of its configuration; `None`: the answer has too many already
    /// ([`crate::CREATED_CONFIGS_MAX`]).
    pub configs: Option<Vec<EffectiveConfig>>,
}

/// A topic that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedTopic {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: String,
}

/// Why a topic is not created, each with one error code of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateTopicError {
    /// INVALID_REQUEST
    #[error("topic {name} is named twice in this request")]
    NamedTwice {
        /// The name.
        name: String,
    },
    /// TOPIC_ALREADY_EXISTS
    #[error("topic {name} already exists")]
    AlreadyExists {
        /// The name.
        name: String,
    },
    /// INVALID_TOPIC_EXCEPTION
    #[error("{0}")]
    InvalidName(#[from] NameFault),
    /// INVALID_TOPIC_EXCEPTION
    #[error("topic {name} collides with the existing topic {existing}: '.' and '_' count as one")]
    NameCollides {
        /// The name.
        name: String,
        /// The topic that is there.
        existing: String,
    },
    /// TOPIC_AUTHORIZATION_FAILED
    #[error("topic {name} belongs to the cluster itself")]
    Reserved {
        /// The name.
        name: String,
    },
    /// UNKNOWN_SERVER_ERROR
    #[error("topic id {id} is used already: draw another one")]
    IdUsed {
        /// As drawn.
        id: TopicId,
    },
    /// INVALID_PARTITIONS
    #[error("{partitions} partitions; at least 1 is needed, -1 is the broker's default")]
    InvalidPartitions {
        /// As asked for.
        partitions: i32,
    },
    /// INVALID_REPLICATION_FACTOR
    #[error(
        "replication factor {replication_factor}; 1 to {brokers} (the brokers there are) is \
             possible, -1 is the broker's default"
    )]
    InvalidReplicationFactor {
        /// As asked for.
        replication_factor: i16,
        /// How many brokers there are.
        brokers: usize,
    },
    /// INVALID_REQUEST
    #[error("partitions and replication factor must be -1 next to a replica assignment")]
    AssignmentAndCounts,
    /// INVALID_REPLICA_ASSIGNMENT
    #[error("partition {partition} of the replica assignment: {fault}")]
    InvalidAssignment {
        /// Which partition.
        partition: i32,
        /// What is wrong with it.
        fault: AssignmentFault,
    },
    /// INVALID_CONFIG
    #[error("{0}")]
    InvalidConfig(#[from] InvalidConfig),
    /// POLICY_VIOLATION
    #[error(
        "{asked} more partitions; one request may make {created_max}, and a cluster holds \
             {max} ({existing} exist)"
    )]
    TooManyPartitions {
        /// How many this request asks for so far.
        asked: usize,
        /// How many exist.
        existing: usize,
        /// Most that one request may make.
        created_max: usize,
        /// Most that a cluster holds.
        max: usize,
    },
    /// KAFKA_STORAGE_ERROR
    #[error("topic {name} exists, but partition {partition} could not be opened: {reason}")]
    Storage {
        /// The topic.
        name: String,
        /// The partition.
        partition: i32,
        /// What its broker says.
        reason: String,
    },
}

/// What is wrong with a replica assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssignmentFault {
    /// Partitions must be numbered from 0 without gaps.
    #[error("partitions must be numbered from 0 without gaps and appear once")]
    Number,
    /// A partition without replicas.
    #[error("it has no replicas")]
    NoReplicas,
    /// A broker that is not in the cluster.
    #[error("there is no broker {}", .0.0)]
    UnknownBroker(BrokerId),
    /// A broker twice in one partition.
    #[error("broker {} appears twice", .0.0)]
    BrokerTwice(BrokerId),
    /// Every partition has the same number of replicas.
    #[error("it has another number of replicas than partition 0")]
    ReplicaCount,
}

/// Why a topic is not deleted, each with one error code of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeleteTopicError {
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name.
        name: String,
    },
    /// UNKNOWN_TOPIC_ID
    #[error("there is no topic with id {id}")]
    UnknownTopicId {
        /// The id.
        id: TopicId,
    },
    /// INVALID_REQUEST
    #[error("the topic is named twice in this request")]
    NamedTwice,
}

/// Why a topic gets no more partitions, each with one error code of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreatePartitionsError {
    /// INVALID_REQUEST
    #[error("topic {name} is named twice in this request")]
    NamedTwice {
        /// The name.
        name: String,
    },
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name.
        name: String,
    },
    /// INVALID_PARTITIONS
    #[error("topic {name} has {current} partitions, and {wanted} are no more than that")]
    NoIncrease {
        /// The topic.
        name: String,
        /// How many it has.
        current: usize,
        /// How many it is to have.
        wanted: i32,
    },
    /// INVALID_REPLICA_ASSIGNMENT
    #[error("{added} partitions are added, and the replicas of {assignments} are given")]
    AssignmentsCount {
        /// How many are added.
        added: usize,
        /// How many assignments there are.
        assignments: usize,
    },
    /// INVALID_REPLICA_ASSIGNMENT
    #[error("partition {partition} of the replica assignment: {fault}")]
    InvalidAssignment {
        /// Which partition.
        partition: i32,
        /// What is wrong with it.
        fault: AssignmentFault,
    },
    /// POLICY_VIOLATION
    #[error(
        "{asked} more partitions; one request may make {created_max}, and a cluster holds \
             {max} ({existing} exist)"
    )]
    TooManyPartitions {
        /// How many this request asks for so far.
        asked: usize,
        /// How many exist.
        existing: usize,
        /// Most that one request may make.
        created_max: usize,
        /// Most that a cluster holds.
        max: usize,
    },
    /// KAFKA_STORAGE_ERROR
    #[error("topic {name} has them, but partition {partition} could not be opened: {reason}")]
    Storage {
        /// The topic.
        name: String,
        /// The partition.
        partition: i32,
        /// What its broker says.
        reason: String,
    },
}

/// Why a configuration is not changed, each with one error code of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlterConfigsError {
    /// INVALID_REQUEST
    #[error("each resource may be named once")]
    ResourceTwice,
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("there is no topic {name}")]
    UnknownTopic {
        /// The name.
        name: String,
    },
    /// BROKER_ID_NOT_REGISTERED
    #[error("there is no broker {}", broker.0)]
    UnknownBroker {
        /// The number.
        broker: BrokerId,
    },
    /// INVALID_REQUEST
    #[error("{key} is given twice")]
    KeyTwice {
        /// The key.
        key: String,
    },
    /// INVALID_REQUEST
    #[error("{key} is given no value")]
    Null {
        /// The key.
        key: String,
    },
    /// POLICY_VIOLATION
    #[error("one request may change {bytes_max} bytes of configuration: send it in parts")]
    TooMuch {
        /// How much may be changed, in bytes.
        bytes_max: usize,
    },
    /// INVALID_CONFIG
    #[error("{key} is no list that could be added to or taken from")]
    NoList {
        /// The key.
        key: &'static str,
    },
    /// INVALID_REQUEST
    #[error("{key} cannot change while the broker runs")]
    ReadOnly {
        /// The key.
        key: &'static str,
    },
    /// INVALID_CONFIG
    #[error("{0}")]
    InvalidConfig(#[from] InvalidConfig),
}

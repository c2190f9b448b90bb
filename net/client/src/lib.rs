//! A small blocking Kafka client: what the command line and the load generator share.
//!
//! [`Frames`] and [`Connection`] know one broker, [`Client`] knows a cluster: who leads what, and a
//! connection to each. [`Producer`] makes batches and sends them to their leaders, [`Consumer`]
//! reads partitions from their positions, [`GroupMember`] shares them with the other members of its
//! group. Groups of any client can be listed, described and given other offsets.
#![forbid(unsafe_code)]

mod client;
mod configs;
mod connection;
mod consumer;
mod delete_records;
mod error;
mod frames;
mod group;
mod leaders;
mod metadata;
mod offsets;
mod partitioner;
mod producer;
mod topic_partition;
mod topics;

pub use client::{Client, ClientOptions};
pub use configs::{ConfigChange, ConfigEntry, Configured};
pub use connection::{Connection, ConnectionOptions};
pub use consumer::{Consumer, ConsumerOptions, Delivered};
pub use error::ClientError;
pub use frames::Frames;
pub use group::{
    Assignment, Assignor, CommittedOffset, DescribedGroup, DescribedMember, GroupEvent,
    GroupMember, GroupOptions, ListedGroup, OffsetReset, Subscriber,
};
pub use metadata::{Broker, Metadata, PartitionMetadata, TopicMetadata};
pub use offsets::{FoundOffset, OffsetSpec};
pub use partitioner::{Partitioner, murmur2, partition_of_key};
pub use producer::{Acks, Producer, ProducerOptions};
pub use topic_partition::TopicPartition;
pub use topics::NewTopic;

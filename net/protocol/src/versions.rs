//! The one table of what is served: every API, its versions, its header versions and the limits
//! that its requests are decoded within.
//!
//! Kafka 4.4's own ranges, as far as they are built. "Advertised" is what ApiVersions answers; it
//! is what is served, with one exception (Produce).

use std::fmt;

use crate::frame::FRAME_BYTES_MAX;

/// An API that is served. The number is Kafka's API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Api {
    /// Append records.
    Produce = 0,
    /// Read records.
    Fetch = 1,
    /// Find offsets by time, or the ends of the log.
    ListOffsets = 2,
    /// Brokers, topics, partitions and who leads them.
    Metadata = 3,
    /// Keep a group's offsets.
    OffsetCommit = 8,
    /// A group's offsets.
    OffsetFetch = 9,
    /// Who coordinates a group or a transaction.
    FindCoordinator = 10,
    /// Become a member of a group's next generation.
    JoinGroup = 11,
    /// A member of a group is alive.
    Heartbeat = 12,
    /// Members leave their group.
    LeaveGroup = 13,
    /// What a member of a group is assigned.
    SyncGroup = 14,
    /// Groups and their members.
    DescribeGroups = 15,
    /// The groups there are.
    ListGroups = 16,
    /// What is served.
    ApiVersions = 18,
    /// Create topics.
    CreateTopics = 19,
    /// Delete topics.
    DeleteTopics = 20,
    /// Give up the records before an offset.
    DeleteRecords = 21,
    /// An id for an idempotent producer.
    InitProducerId = 22,
    /// Where leader epochs end.
    OffsetForLeaderEpoch = 23,
    /// Who may do what.
    DescribeAcls = 29,
    /// Let somebody do something.
    CreateAcls = 30,
    /// Take that back.
    DeleteAcls = 31,
    /// Configuration of topics and brokers.
    DescribeConfigs = 32,
    /// Replace configurations.
    AlterConfigs = 33,
    /// Where partitions lie and how large they are.
    DescribeLogDirs = 35,
    /// Add partitions to topics.
    CreatePartitions = 37,
    /// Delete groups without members.
    DeleteGroups = 42,
    /// Elect leaders anew.
    ElectLeaders = 43,
    /// Change configurations key by key.
    IncrementalAlterConfigs = 44,
    /// Move partitions to other brokers.
    AlterPartitionReassignments = 45,
    /// Partitions that are being moved.
    ListPartitionReassignments = 46,
    /// Forget a group's offsets.
    OffsetDelete = 47,
    /// What clients are held to.
    DescribeClientQuotas = 48,
    /// Hold clients to something.
    AlterClientQuotas = 49,
    /// Who has credentials.
    DescribeUserScramCredentials = 50,
    /// The controllers and how far they are.
    DescribeQuorum = 55,
    /// Raise or lower the level of a feature.
    UpdateFeatures = 57,
    /// Brokers and who controls them.
    DescribeCluster = 60,
    /// Idempotent producers of partitions.
    DescribeProducers = 61,
    /// Members of groups of the newer protocol are alive.
    ConsumerGroupHeartbeat = 68,
    /// What has a configuration.
    ListConfigResources = 74,
    /// Topics and their partitions, page by page.
    DescribeTopicPartitions = 75,
}

impl Api {
    /// The API of a key, when it is served.
    pub fn from_key(key: i16) -> Option<Api> {
        SERVED
            .iter()
            .find(|spec| spec.api.key() == key)
            .map(|spec| spec.api)
    }

    /// Kafka's API key.
    pub const fn key(self) -> i16 {
        self as i16
    }

    /// Its row of the table.
    pub fn spec(self) -> &'static ApiSpec {
        let row = SERVED.iter().find(|spec| spec.api == self);
        row.expect("the table has a row for every API")
    }
}

/// Kafka's name of it.
impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a request may make its decoder hold. Beyond a limit it is refused, unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Header and body, in bytes. A decoded request takes at most
    /// [`DECODED_BYTES_PER_BYTE_MAX`] times this.
    pub frame_bytes_max: usize,
    /// Elements of one array.
    pub array_elements_max: usize,
}

/// How much larger than its frame a decoded request can be: the densest element is an empty
/// string, 1 byte on the wire and 32 in memory, in a vector that holds half as much again while
/// it grows (old and new memory at once: 3 x).
pub const DECODED_BYTES_PER_BYTE_MAX: usize = 96;

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiSpec {
    /// Which API.
    pub api: Api,
    /// Lowest version served.
    pub min: i16,
    /// Highest version served.
    pub max: i16,
    /// Lowest version that ApiVersions answers.
    pub advertised_min: i16,
    /// First version in the flexible encoding (KIP-482).
    pub flexible_from: i16,
    /// What its requests are decoded within.
    pub limits: Limits,
}

impl ApiSpec {
    /// Whether a version is served.
    pub const fn serves(&self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether a version is in the flexible encoding.
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// Version of the request header: 2 has tagged fields, 1 a client id, 0 neither.
    pub const fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response header: 1 has tagged fields. ApiVersions keeps 0 for ever, because
    /// a client reads its answer before it knows what the broker speaks.
    pub const fn response_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self.api, Api::ApiVersions) {
            1
        } else {
            0
        }
    }

    /// The limits on a connection: smaller until it has sent its first valid request.
    pub fn limits(&self, first: bool) -> Limits {
        if !first {
            return self.limits;
        }
        Limits {
            frame_bytes_max: self
                .limits
                .frame_bytes_max
                .min(crate::frame::FIRST_FRAME_BYTES_MAX),
            array_elements_max: self.limits.array_elements_max.min(FIRST_ELEMENTS_MAX),
        }
    }

    const fn advertised_from(mut self, min: i16) -> ApiSpec {
        self.advertised_min = min;
        self
    }
}

/// Elements of one array in a connection's first request: a client that has said nothing yet asks
/// for metadata at most.
pub const FIRST_ELEMENTS_MAX: usize = 1_000;

/// Requests that name partitions or topics: 4 MiB hold 16,000 topics with the longest names, or
/// 100,000 partitions, which is what a cluster has.
const NAMING: Limits = Limits {
    frame_bytes_max: 4 << 20,
    array_elements_max: 100_000,
};

/// Requests of a few fields: two of the longest strings.
const SMALL: Limits = Limits {
    frame_bytes_max: 128 << 10,
    array_elements_max: 100,
};

/// Requests of group members: what they say about themselves, and what a leader assigns. A group's
/// members and their parts must fit into one record of at most 1 MiB; this is four times as much,
/// so that who exceeds it hears so. 10,000 members assign or leave at once.
const MEMBER: Limits = Limits {
    frame_bytes_max: 4 << 20,
    array_elements_max: 10_000,
};

/// Requests that carry records: as large as a frame may be. Topics, and partitions of all topics,
/// are held to what a cluster has; records are not decoded.
const RECORDS: Limits = Limits {
    frame_bytes_max: FRAME_BYTES_MAX,
    array_elements_max: NAMING.array_elements_max,
};

const fn row(api: Api, min: i16, max: i16, flexible_from: i16, limits: Limits) -> ApiSpec {
    ApiSpec {
        api,
        min,
        max,
        advertised_min: min,
        flexible_from,
        limits,
    }
}

/// What is served, by key.
pub const SERVED: &[ApiSpec] = &[
    // Old librdkafka stops compressing, silently, unless Produce 0 is advertised.
    row(Api::Produce, 3, 13, 9, RECORDS).advertised_from(0),
    row(Api::Fetch, 4, 18, 12, NAMING),
    row(Api::ListOffsets, 1, 11, 6, NAMING),
    row(Api::Metadata, 0, 13, 9, NAMING),
    row(Api::OffsetCommit, 2, 10, 8, NAMING),
    row(Api::OffsetFetch, 1, 10, 6, NAMING),
    row(Api::FindCoordinator, 0, 6, 3, NAMING),
    row(Api::JoinGroup, 0, 9, 6, MEMBER),
    row(Api::Heartbeat, 0, 4, 4, SMALL),
    row(Api::LeaveGroup, 0, 5, 4, MEMBER),
    row(Api::SyncGroup, 0, 5, 4, MEMBER),
    row(Api::DescribeGroups, 0, 6, 5, NAMING),
    row(Api::ListGroups, 0, 5, 3, SMALL),
    row(Api::ApiVersions, 0, 5, 3, SMALL),
    row(Api::CreateTopics, 2, 7, 5, NAMING),
    row(Api::DeleteTopics, 1, 6, 4, NAMING),
    row(Api::DeleteRecords, 0, 2, 2, NAMING),
    // Version 6 is not stable in Kafka 4.4.
    row(Api::InitProducerId, 0, 5, 2, SMALL),
    row(Api::OffsetForLeaderEpoch, 2, 4, 4, NAMING),
    row(Api::DescribeAcls, 1, 3, 2, SMALL),
    row(Api::CreateAcls, 1, 3, 2, NAMING),
    row(Api::DeleteAcls, 1, 3, 2, NAMING),
    row(Api::DescribeConfigs, 1, 4, 4, NAMING),
    row(Api::AlterConfigs, 0, 2, 2, NAMING),
    row(Api::DescribeLogDirs, 1, 5, 2, NAMING),
    row(Api::CreatePartitions, 0, 3, 2, NAMING),
    row(Api::DeleteGroups, 0, 3, 2, NAMING),
    row(Api::ElectLeaders, 0, 2, 2, NAMING),
    row(Api::IncrementalAlterConfigs, 0, 1, 1, NAMING),
    row(Api::AlterPartitionReassignments, 0, 1, 0, NAMING),
    row(Api::ListPartitionReassignments, 0, 0, 0, NAMING),
    row(Api::OffsetDelete, 0, 0, i16::MAX, NAMING),
    row(Api::DescribeClientQuotas, 0, 1, 1, SMALL),
    row(Api::AlterClientQuotas, 0, 1, 1, NAMING),
    row(Api::DescribeUserScramCredentials, 0, 0, 0, NAMING),
    row(Api::DescribeQuorum, 0, 2, 0, SMALL),
    row(Api::UpdateFeatures, 0, 2, 0, SMALL),
    row(Api::DescribeCluster, 0, 2, 0, SMALL),
    row(Api::DescribeProducers, 0, 0, 0, NAMING),
    // Answered with UNSUPPORTED_VERSION: librdkafka is silent for ever where it is not advertised.
    row(Api::ConsumerGroupHeartbeat, 0, 1, 0, NAMING),
    row(Api::ListConfigResources, 0, 1, 0, SMALL),
    row(Api::DescribeTopicPartitions, 0, 0, 0, NAMING),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_has_one_row_and_rows_are_in_order_of_keys() {
        assert!(SERVED.is_sorted_by(|a, b| a.api.key() < b.api.key()));
        for spec in SERVED {
            assert_eq!(Api::from_key(spec.api.key()), Some(spec.api));
            assert_eq!(spec.api.spec(), spec);
            assert!(spec.min <= spec.max && spec.advertised_min <= spec.min);
        }
        assert_eq!(Api::from_key(4), None);
        assert_eq!(Api::from_key(-1), None);
    }

    #[test]
    fn only_produce_is_advertised_below_what_is_served() {
        for spec in SERVED {
            let lowered = spec.advertised_min != spec.min;
            assert_eq!(lowered, spec.api == Api::Produce);
        }
        assert_eq!(Api::Produce.spec().advertised_min, 0);
        assert!(!Api::Produce.spec().serves(2));
    }

    #[test]
    fn the_answer_to_api_versions_keeps_the_first_header() {
        let spec = Api::ApiVersions.spec();
        assert_eq!(spec.request_header_version(3), 2);
        assert_eq!(spec.response_header_version(3), 0);
        assert_eq!(Api::Metadata.spec().response_header_version(9), 1);
        assert_eq!(Api::Metadata.spec().response_header_version(8), 0);
    }
}

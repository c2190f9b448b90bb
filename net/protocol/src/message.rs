//! Every API but Produce and Fetch: generated messages, decoded within the limits of the table of
//! [`crate::versions`]. This is the only place that knows the crate they come from.
//!
//! A decoded message shares the frame's memory: its strings are parts of the frame and keep it
//! alive. Unknown tagged fields are skipped over (they stay in `unknown_tagged_fields`, bounded).

mod consumer_protocol;

use bytes::{Bytes, BytesMut};
use kafka_wire_core::{ApiVersion, DecodeLimits, Decoder};
use sillon_buffer::Slice;

pub use kafka_wire::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterConfigsRequest, AlterConfigsResponse,
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ApiVersionsRequest,
    ApiVersionsResponse, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse,
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, CreateAclsRequest,
    CreateAclsResponse, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteAclsRequest, DeleteAclsResponse, DeleteGroupsRequest,
    DeleteGroupsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest,
    DeleteTopicsResponse, DescribeAclsRequest, DescribeAclsResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse, DescribeClusterRequest, DescribeClusterResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    DescribeLogDirsRequest, DescribeLogDirsResponse, DescribeProducersRequest,
    DescribeProducersResponse, DescribeQuorumRequest, DescribeQuorumResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse, ElectLeadersRequest,
    ElectLeadersResponse, FindCoordinatorRequest, FindCoordinatorResponse, HeartbeatRequest,
    HeartbeatResponse, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
    InitProducerIdRequest, InitProducerIdResponse, JoinGroupRequest, JoinGroupResponse,
    KafkaRequest, KafkaResponse, LeaveGroupRequest, LeaveGroupResponse, ListConfigResourcesRequest,
    ListConfigResourcesResponse, ListGroupsRequest, ListGroupsResponse, ListOffsetsRequest,
    ListOffsetsResponse, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    MetadataRequest, MetadataResponse, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, RequestResponsePair,
    SyncGroupRequest, SyncGroupResponse, UpdateFeaturesRequest, UpdateFeaturesResponse,
    alter_client_quotas_request, alter_client_quotas_response, alter_configs_request,
    alter_configs_response, alter_partition_reassignments_request,
    alter_partition_reassignments_response, api_versions_request, api_versions_response,
    consumer_protocol_assignment, consumer_protocol_subscription, create_acls_request,
    create_acls_response, create_partitions_request, create_partitions_response,
    create_topics_request, create_topics_response, delete_acls_request, delete_acls_response,
    delete_groups_request, delete_groups_response, delete_records_request, delete_records_response,
    delete_topics_request, delete_topics_response, describe_acls_request, describe_acls_response,
    describe_client_quotas_request, describe_client_quotas_response, describe_cluster_request,
    describe_cluster_response, describe_configs_request, describe_configs_response,
    describe_groups_request, describe_groups_response, describe_log_dirs_request,
    describe_log_dirs_response, describe_producers_request, describe_producers_response,
    describe_quorum_request, describe_quorum_response, describe_topic_partitions_request,
    describe_topic_partitions_response, describe_user_scram_credentials_request,
    describe_user_scram_credentials_response, elect_leaders_request, elect_leaders_response,
    find_coordinator_request, find_coordinator_response, heartbeat_request, heartbeat_response,
    incremental_alter_configs_request, incremental_alter_configs_response,
    init_producer_id_request, init_producer_id_response, join_group_request, join_group_response,
    leave_group_request, leave_group_response, list_config_resources_request,
    list_config_resources_response, list_groups_request, list_groups_response,
    list_offsets_request, list_offsets_response, list_partition_reassignments_request,
    list_partition_reassignments_response, metadata_request, metadata_response,
    offset_commit_request, offset_commit_response, offset_delete_request, offset_delete_response,
    offset_fetch_request, offset_fetch_response, offset_for_leader_epoch_request,
    offset_for_leader_epoch_response, sync_group_request, sync_group_response,
    update_features_request, update_features_response,
};
pub use kafka_wire_core::{DecodeError, EncodeError, StrBytes, TaggedFields, Uuid};

pub use self::consumer_protocol::{
    decode_assignment, decode_subscription, encode_assignment, encode_subscription,
};
use crate::error::ErrorCode;
use crate::frame;
use crate::versions::{Api, Limits, SERVED};
use crate::wire::STRING_BYTES_MAX;

/// Unknown tagged fields of one structure, and the bytes of all of them: Kafka has none that a
/// client of this version does not know, so there is room for a few of the next one.
const TAGS_MAX: usize = 16;
const TAG_BYTES_MAX: usize = 4 << 10;

/// What a client decodes a broker's answer within: a frame of Metadata for 100,000 partitions is
/// about 5 MiB. (A client chooses its broker; a broker does not choose its clients.)
pub(crate) const ANSWER: Limits = Limits {
    frame_bytes_max: frame::FRAME_BYTES_MAX,
    array_elements_max: 1_000_000,
};

fn decode_limits(limits: Limits) -> DecodeLimits {
    let mut bounds = DecodeLimits::default();
    bounds.max_frame_bytes = limits.frame_bytes_max;
    bounds.max_string_bytes = STRING_BYTES_MAX;
    bounds.max_bytes_bytes = limits.frame_bytes_max;
    bounds.max_array_elements = limits.array_elements_max;
    bounds.max_tagged_fields = TAGS_MAX;
    bounds.max_tag_bytes = TAG_BYTES_MAX;
    bounds.max_total_tag_bytes = TAG_BYTES_MAX;
    bounds
}

fn api_of(key: kafka_wire_core::ApiKey) -> Api {
    Api::from_key(key.value()).expect("only messages of served APIs are exported")
}

/// The API that a request is for.
pub fn api<M: KafkaRequest>() -> Api {
    api_of(M::API_KEY)
}

/// Reads a request's body: `version` and `body` are its [`frame::RequestHeader`]'s. `first`: the
/// connection has not sent a valid request yet.
///
/// Bytes behind the message are passed over, as Kafka does: librdkafka sends some in a Metadata
/// request for all topics.
pub fn decode_request<M: KafkaRequest>(
    frame: &Slice,
    version: i16,
    body: usize,
    first: bool,
) -> Result<M, DecodeError> {
    let limits = api_of(M::API_KEY).spec().limits(first);
    let bytes = Bytes::from_owner(frame.slice(body..frame.len()));
    let mut decoder = Decoder::new(bytes, decode_limits(limits))?;
    M::decode(&mut decoder, ApiVersion::new(version))
}

/// Appends a whole response frame, length and header included. When it fails nothing is
/// appended; it fails only when a field is set that `version` cannot carry.
pub fn encode_response<M: KafkaResponse>(
    out: &mut BytesMut,
    version: i16,
    correlation_id: i32,
    message: &M,
) -> Result<(), EncodeError> {
    let start = frame::begin(out);
    frame::put_response_header(out, api_of(M::API_KEY), version, correlation_id);
    append(out, start, version, message)
}

/// Appends a whole request frame, as a client does.
pub fn encode_request<M: KafkaRequest>(
    out: &mut BytesMut,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    message: &M,
) -> Result<(), EncodeError> {
    let start = frame::begin(out);
    let api = api_of(M::API_KEY);
    frame::put_request_header(out, api, version, correlation_id, client_id);
    append(out, start, version, message)
}

fn append<M: kafka_wire_core::KafkaEncode>(
    out: &mut BytesMut,
    start: usize,
    version: i16,
    message: &M,
) -> Result<(), EncodeError> {
    match message.encode_into(out, ApiVersion::new(version)) {
        Ok(_) => {
            frame::end(out, start);
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Reads the body of a response, as a client does; `body` comes from
/// [`frame::read_response_header`].
pub fn decode_response<M: KafkaResponse>(
    frame: Bytes,
    version: i16,
    body: usize,
) -> Result<M, DecodeError> {
    let bytes = frame.slice(body.min(frame.len())..);
    M::decode_from_bytes(bytes, ApiVersion::new(version), decode_limits(ANSWER))
}

/// What ApiVersions answers: the table of [`crate::versions`]. Features are the server's to add.
pub fn api_versions() -> ApiVersionsResponse {
    let mut response = ApiVersionsResponse::default();
    response.api_keys = SERVED
        .iter()
        .map(|spec| {
            let mut row = api_versions_response::ApiVersion::default();
            row.api_key = spec.api.key();
            row.min_version = spec.advertised_min;
            row.max_version = spec.max;
            row
        })
        .collect();
    response
}

/// Appends the whole answer to ApiVersions in a version that is not served: a body of version 0,
/// which every client can read, that says so and names the versions of ApiVersions.
pub fn unsupported_api_versions(out: &mut BytesMut, correlation_id: i32) {
    let mut response = api_versions();
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response
        .api_keys
        .retain(|row| row.api_key == Api::ApiVersions.key());
    encode_response(out, 0, correlation_id, &response).expect("version 0 carries both fields");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsupported_version_of_api_versions_is_answered_in_version_0() {
        let mut out = BytesMut::new();
        unsupported_api_versions(&mut out, 0x0102_0304);
        let expected = [
            0, 0, 0, 16, // length
            1, 2, 3, 4, // correlation id; no tagged fields
            0, 35, // UNSUPPORTED_VERSION
            0, 0, 0, 1, // one API:
            0, 18, 0, 0, 0, 5, // ApiVersions 0 to 5
        ];
        assert_eq!(&out[..], &expected);
    }

    #[test]
    fn a_request_reads_back_and_a_response_too() {
        let mut request = MetadataRequest::default();
        let mut topic = metadata_request::MetadataRequestTopic::default();
        topic.name = Some(StrBytes::from("furrow"));
        request.topics = Some(vec![topic]);
        let mut out = BytesMut::new();
        encode_request(&mut out, 9, 5, Some("plough"), &request).unwrap();
        let frame = Slice::copy_of(&out[frame::LENGTH_BYTES..]);
        let header = frame::RequestHeader::decode(&frame, true).unwrap();
        let read: MetadataRequest =
            decode_request(&frame, header.version, header.body, true).unwrap();
        assert_eq!(read.topics, request.topics);

        let mut out = BytesMut::new();
        encode_response(&mut out, 4, 5, &api_versions()).unwrap();
        let frame = out.freeze().slice(frame::LENGTH_BYTES..);
        let (correlation_id, body) =
            frame::read_response_header(&frame, Api::ApiVersions, 4).unwrap();
        let read: ApiVersionsResponse = decode_response(frame, 4, body).unwrap();
        assert_eq!((correlation_id, read.api_keys.len()), (5, SERVED.len()));
        assert_eq!(read.api_keys[0].min_version, 0);
    }

    #[test]
    fn bytes_behind_a_request_are_passed_over() {
        // Of librdkafka 2.16: the count of topics takes four bytes where one is due.
        let body = [0, 0, 0, 0, 1, 0, 0];
        let frame = Slice::copy_of(&body);
        let read: MetadataRequest = decode_request(&frame, 13, 0, true).unwrap();
        assert_eq!(read.topics, None, "all topics");
    }

    #[test]
    fn the_generated_messages_know_every_version_that_is_served() {
        for spec in SERVED {
            let mut all = kafka_wire::API_DESCRIPTORS.iter();
            let known = all.find(|known| known.api_key.value() == spec.api.key());
            let known = known.expect("every API that is served is a generated one");
            assert!(known.supported_versions.min().value() <= spec.min);
            let stable = known.latest_stable_version().unwrap();
            assert!(stable.value() >= spec.max, "{}", spec.api);
            let Some(flexible) = known.flexible_versions else {
                assert_eq!(
                    spec.flexible_from,
                    i16::MAX,
                    "{} is never flexible",
                    spec.api
                );
                continue;
            };
            assert_eq!(flexible.min().value(), spec.flexible_from, "{}", spec.api);
        }
    }
}

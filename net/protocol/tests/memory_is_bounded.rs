//! What decoding takes: nothing that a peer's count alone asks for, and, for Produce and Fetch,
//! nothing at all once the vectors are there.

mod oracle;

use std::sync::Mutex;

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use sillon_buffer::Slice;
use sillon_protocol::fetch::{FetchRequest, FetchResponse};
use sillon_protocol::message::*;
use sillon_protocol::produce::{ProduceRequest, ProduceResponse};
use sillon_protocol::versions::{DECODED_BYTES_PER_BYTE_MAX, SERVED};
use sillon_protocol::{Api, frame};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// The allocator counts the whole process: one measurement at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What `work` takes at its peak beyond what is there, in bytes.
fn peak_bytes(work: impl FnOnce()) -> usize {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    work();
    MEMORY.peak_usage().saturating_sub(before)
}

/// Reads a request's body, which may be nonsense.
fn read(api: Api, version: i16, frame: &Slice) {
    fn generated<M: KafkaRequest>(frame: &Slice, version: i16) {
        let _ = decode_request::<M>(frame, version, 0, false);
    }
    match api {
        Api::Produce => {
            let _ = ProduceRequest::default().decode(frame, version, 0, false);
        }
        Api::Fetch => {
            let _ = FetchRequest::default().decode(frame, version, 0, false);
        }
        Api::ListOffsets => generated::<ListOffsetsRequest>(frame, version),
        Api::Metadata => generated::<MetadataRequest>(frame, version),
        Api::FindCoordinator => generated::<FindCoordinatorRequest>(frame, version),
        Api::ApiVersions => generated::<ApiVersionsRequest>(frame, version),
        Api::CreateTopics => generated::<CreateTopicsRequest>(frame, version),
        Api::DeleteTopics => generated::<DeleteTopicsRequest>(frame, version),
        Api::DeleteRecords => generated::<DeleteRecordsRequest>(frame, version),
        Api::InitProducerId => generated::<InitProducerIdRequest>(frame, version),
        Api::OffsetForLeaderEpoch => generated::<OffsetForLeaderEpochRequest>(frame, version),
        Api::DescribeCluster => generated::<DescribeClusterRequest>(frame, version),
        Api::DescribeAcls => generated::<DescribeAclsRequest>(frame, version),
        Api::CreateAcls => generated::<CreateAclsRequest>(frame, version),
        Api::DeleteAcls => generated::<DeleteAclsRequest>(frame, version),
        Api::DescribeConfigs => generated::<DescribeConfigsRequest>(frame, version),
        Api::AlterConfigs => generated::<AlterConfigsRequest>(frame, version),
        Api::DescribeLogDirs => generated::<DescribeLogDirsRequest>(frame, version),
        Api::CreatePartitions => generated::<CreatePartitionsRequest>(frame, version),
        Api::ElectLeaders => generated::<ElectLeadersRequest>(frame, version),
        Api::IncrementalAlterConfigs => generated::<IncrementalAlterConfigsRequest>(frame, version),
        Api::AlterPartitionReassignments => {
            generated::<AlterPartitionReassignmentsRequest>(frame, version)
        }
        Api::ListPartitionReassignments => {
            generated::<ListPartitionReassignmentsRequest>(frame, version)
        }
        Api::DescribeClientQuotas => generated::<DescribeClientQuotasRequest>(frame, version),
        Api::AlterClientQuotas => generated::<AlterClientQuotasRequest>(frame, version),
        Api::DescribeUserScramCredentials => {
            generated::<DescribeUserScramCredentialsRequest>(frame, version)
        }
        Api::OffsetCommit => generated::<OffsetCommitRequest>(frame, version),
        Api::OffsetFetch => generated::<OffsetFetchRequest>(frame, version),
        Api::JoinGroup => generated::<JoinGroupRequest>(frame, version),
        Api::Heartbeat => generated::<HeartbeatRequest>(frame, version),
        Api::LeaveGroup => generated::<LeaveGroupRequest>(frame, version),
        Api::SyncGroup => generated::<SyncGroupRequest>(frame, version),
        Api::DescribeGroups => generated::<DescribeGroupsRequest>(frame, version),
        Api::ListGroups => generated::<ListGroupsRequest>(frame, version),
        Api::DeleteGroups => generated::<DeleteGroupsRequest>(frame, version),
        Api::OffsetDelete => generated::<OffsetDeleteRequest>(frame, version),
        Api::DescribeQuorum => generated::<DescribeQuorumRequest>(frame, version),
        Api::UpdateFeatures => generated::<UpdateFeaturesRequest>(frame, version),
        Api::DescribeProducers => generated::<DescribeProducersRequest>(frame, version),
        Api::ConsumerGroupHeartbeat => generated::<ConsumerGroupHeartbeatRequest>(frame, version),
        Api::ListConfigResources => generated::<ListConfigResourcesRequest>(frame, version),
        Api::DescribeTopicPartitions => generated::<DescribeTopicPartitionsRequest>(frame, version),
    }
}

fn varint(mut value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// Counts that ask for the most: the largest there is, and as many as there are bytes left or as
/// the API allows.
fn counts(left: usize, elements_max: usize) -> Vec<Vec<u8>> {
    let plausible = left.min(elements_max) as u32;
    vec![
        i32::MAX.to_be_bytes().to_vec(),
        i16::MAX.to_be_bytes().to_vec(),
        varint(u32::MAX),
        varint(i32::MAX as u32),
        plausible.to_be_bytes().to_vec(),
        (plausible / 8).to_be_bytes().to_vec(),
        varint(plausible + 1),
        varint(plausible / 8),
    ]
}

/// Room for what decoding takes whatever the frame: the frame's owner, an error's text.
const SLACK_BYTES: usize = 4 << 10;

#[test]
fn no_count_makes_a_request_take_more_than_its_frame_allows() {
    let _alone = ONE_AT_A_TIME.lock();
    let mut worst = 0.0f64;
    for spec in SERVED {
        for version in spec.min..=spec.max {
            for body_bytes in [2 << 10, spec.limits.frame_bytes_max.min(1 << 20)] {
                // A count can stand behind whatever fields come first.
                let positions = if body_bytes > 4096 { 24 } else { 64 };
                for position in 0..positions {
                    for fill in [0u8, 1, 2] {
                        let left = body_bytes - position - 5;
                        for count in counts(left, spec.limits.array_elements_max) {
                            let mut body = vec![fill; body_bytes];
                            body[position..position + count.len()].copy_from_slice(&count);
                            let frame = Slice::copy_of(&body);
                            let taken = peak_bytes(|| read(spec.api, version, &frame));
                            assert!(
                                taken <= body_bytes * DECODED_BYTES_PER_BYTE_MAX + SLACK_BYTES,
                                "{} {version}: count {count:?} at {position}, then {fill}s: \
                                 {taken} bytes for {body_bytes}",
                                spec.api
                            );
                            worst = worst.max(taken as f64 / body_bytes as f64);
                        }
                    }
                }
            }
        }
    }
    assert!(
        worst > 1.0,
        "some count must have been believed, else nothing was tested"
    );
}

#[test]
fn a_request_read_into_used_vectors_allocates_nothing() {
    let _alone = ONE_AT_A_TIME.lock();
    let mut seeds = proptest::test_runner::TestRunner::deterministic();
    let mut sample = |api: Api, version| {
        use proptest::strategy::{Strategy, ValueTree};
        let framed = match api {
            Api::Produce => oracle::produce()
                .new_tree(&mut seeds)
                .unwrap()
                .current()
                .write(version),
            _ => oracle::fetch()
                .new_tree(&mut seeds)
                .unwrap()
                .current()
                .write(version),
        };
        let frame = Slice::copy_of(&framed[frame::LENGTH_BYTES..]);
        let body = frame::RequestHeader::decode(&frame, false).unwrap().body;
        (frame, body)
    };
    let mut produce = ProduceRequest::default();
    let mut fetch = FetchRequest::default();
    for version in 3..=18 {
        if version <= 13 {
            let (frame, body) = sample(Api::Produce, version);
            produce.decode(&frame, version, body, false).unwrap();
            let again = || produce.decode(&frame, version, body, false).unwrap();
            assert_eq!(least_of_three(again), 0);
        }
        if version >= 4 {
            let (frame, body) = sample(Api::Fetch, version);
            fetch.decode(&frame, version, body, false).unwrap();
            let again = || fetch.decode(&frame, version, body, false).unwrap();
            assert_eq!(least_of_three(again), 0);
        }
    }
}

/// The test harness may allocate while we measure, but not three times in a row.
fn least_of_three(mut work: impl FnMut()) -> usize {
    (0..3).map(|_| peak_bytes(&mut work)).min().unwrap_or(0)
}

#[test]
fn no_count_makes_an_answer_take_more_than_its_frame_allows() {
    let _alone = ONE_AT_A_TIME.lock();
    for version in 3..=18 {
        for position in 0..64 {
            for fill in [0u8, 1, 2] {
                for count in counts(2 << 10, 1 << 20) {
                    let mut body = vec![fill; 2 << 10];
                    body[position..position + count.len()].copy_from_slice(&count);
                    let frame = Bytes::from(body);
                    let taken = peak_bytes(|| {
                        if version <= 13 {
                            let _ = ProduceResponse::default().decode(&frame, version, 0);
                        }
                        if version >= 4 {
                            let _ = FetchResponse::default().decode(&frame, version, 0);
                        }
                    });
                    assert!(taken <= (2 << 10) * DECODED_BYTES_PER_BYTE_MAX + SLACK_BYTES);
                }
            }
        }
    }
}

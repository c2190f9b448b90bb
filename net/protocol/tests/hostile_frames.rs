//! Produce and Fetch frames that are cut off, damaged or from a newer peer: an error or a value,
//! never a panic.

mod oracle;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{
    FetchRequest as OtherFetch, FetchResponse as OtherFetched, ProduceRequest as OtherProduce,
    ProduceResponse as OtherProduced, TopicName, fetch_request, fetch_response, produce_request,
    produce_response,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use proptest::prelude::*;
use sillon_buffer::Slice;
use sillon_protocol::fetch::{FetchRequest, FetchResponse};
use sillon_protocol::frame::{LENGTH_BYTES, RequestHeader, check_length, read_response_header};
use sillon_protocol::produce::{ProduceRequest, ProduceResponse};
use sillon_protocol::{Api, WireError};

/// Reads a body as each of the four messages, in a version of each.
fn read_as(which: usize, version: i16, frame: &[u8], body: usize) -> Result<(), WireError> {
    let slice = Slice::copy_of(frame);
    let bytes = Bytes::copy_from_slice(frame);
    match which {
        0 => ProduceRequest::default().decode(&slice, version, body, false),
        1 => ProduceResponse::default().decode(&bytes, version, body),
        2 => FetchRequest::default().decode(&slice, version, body, false),
        _ => FetchResponse::default().decode(&bytes, version, body),
    }
}

fn spec_of(which: usize) -> &'static sillon_protocol::ApiSpec {
    if which < 2 { Api::Produce } else { Api::Fetch }.spec()
}

/// One of the four messages, in one of its versions, without its length, and where its body is.
fn message() -> impl Strategy<Value = (usize, i16, Vec<u8>, usize)> {
    let models = (
        oracle::produce(),
        oracle::produced(),
        oracle::fetch(),
        oracle::fetched(),
    );
    (0..4usize, any::<u16>(), models).prop_map(|(which, pick, models)| {
        let spec = spec_of(which);
        let version = spec.min + (pick % (spec.max - spec.min + 1) as u16) as i16;
        let framed = match which {
            0 => models.0.write(version),
            1 => models.1.write(version),
            2 => models.2.write(version),
            _ => models.3.write(version),
        };
        let frame = framed[LENGTH_BYTES..].to_vec();
        let body = if which % 2 == 0 {
            RequestHeader::decode(&frame, false).unwrap().body
        } else {
            read_response_header(&frame, spec.api, version).unwrap().1
        };
        (which, version, frame, body)
    })
}

proptest! {
    #[test]
    fn a_message_cut_anywhere_is_an_error((which, version, frame, body) in message()) {
        prop_assert_eq!(read_as(which, version, &frame, body), Ok(()));
        for length in body..frame.len() {
            let read = read_as(which, version, &frame[..length], body);
            prop_assert!(read.is_err(), "{} of {} bytes", length, frame.len());
        }
    }

    #[test]
    fn bytes_behind_a_message_are_an_error((which, version, mut frame, body) in message()) {
        frame.push(0);
        let trailing = WireError::Trailing { at: frame.len() - 1, left: 1 };
        prop_assert_eq!(read_as(which, version, &frame, body), Err(trailing));
    }

    #[test]
    fn a_damaged_message_does_not_panic(
        (which, version, mut frame, body) in message(),
        damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8),
    ) {
        for (at, byte) in damage {
            let range = frame.len() - body;
            if range > 0 {
                frame[body + usize::from(at) % range] = byte;
            }
        }
        let _ = read_as(which, version, &frame, body);
    }

    #[test]
    fn noise_does_not_panic(
        noise in proptest::collection::vec(any::<u8>(), 0..200),
        pick in any::<u16>(),
    ) {
        for which in 0..4 {
            let spec = spec_of(which);
            let version = spec.min + (pick % (spec.max - spec.min + 1) as u16) as i16;
            let _ = read_as(which, version, &noise, 0);
        }
        let _ = RequestHeader::decode(&noise, pick % 2 == 0);
        let _ = read_response_header(&noise, Api::Fetch, 12);
    }

    #[test]
    fn a_length_is_taken_within_its_limits_only(prefix in any::<[u8; 4]>(), first in any::<bool>()) {
        let max = if first { 64 << 10 } else { 100 << 20 };
        let length = i64::from(i32::from_be_bytes(prefix));
        prop_assert_eq!(check_length(prefix, first).is_ok(), (8..=max).contains(&length));
    }
}

/// The body of a request of `api` in its highest version without topics, but with a count of
/// `count` where they would be.
fn topics(api: Api, count: u32) -> Vec<u8> {
    let mut body = BytesMut::new();
    match api {
        Api::Produce => {
            body.put_u8(0); // no transactional id
            body.put_i16(-1);
            body.put_i32(1000);
        }
        _ => {
            body.put_bytes(0, 4 + 4 + 4 + 1 + 4 + 4);
        }
    }
    let mut coded = count;
    while coded >= 0x80 {
        body.put_u8(coded as u8 | 0x80);
        coded >>= 7;
    }
    body.put_u8(coded as u8);
    body.to_vec()
}

#[test]
fn more_topics_than_a_cluster_has_are_refused_before_they_are_read() {
    let max = Api::Produce.spec().limits.array_elements_max as u32;
    let first_max = Api::Produce.spec().limits(true).array_elements_max as u32;
    for (count, first, named) in [
        (max + 1, false, max + 1),
        (first_max + 1, true, first_max + 1),
    ] {
        let mut body = topics(Api::Produce, count + 1);
        body.resize(body.len() + 18 * count as usize, 0);
        let frame = Slice::copy_of(&body);
        let error = ProduceRequest::default()
            .decode(&frame, 13, 0, first)
            .unwrap_err();
        let length = i64::from(named);
        assert!(
            matches!(error, WireError::Length { length: l, what: "topics", .. } if l == length),
            "{error}"
        );
    }
}

#[test]
fn a_count_beyond_the_frame_is_refused() {
    for (which, api) in [(0, Api::Produce), (2, Api::Fetch)] {
        let body = topics(api, u32::MAX);
        let error = read_as(which, api.spec().max, &body, 0).unwrap_err();
        assert!(
            matches!(error, WireError::Length { what: "topics", .. }),
            "{error}"
        );
    }
}

fn newer() -> std::collections::BTreeMap<i32, Bytes> {
    [
        (1000, Bytes::from_static(b"from a newer version")),
        (2000, Bytes::new()),
    ]
    .into()
}

fn encoded(message: impl Encodable, version: i16) -> Vec<u8> {
    let mut out = BytesMut::new();
    message.encode(&mut out, version).unwrap();
    out.to_vec()
}

#[test]
fn unknown_tagged_fields_are_skipped_wherever_they_are() {
    let name = || TopicName(StrBytes::from_static_str("furrow"));
    for version in 9..=13 {
        let partition = produce_request::PartitionProduceData::default()
            .with_index(3)
            .with_records(Some(Bytes::from_static(b"records")))
            .with_unknown_tagged_fields(newer());
        let mut topic = produce_request::TopicProduceData::default()
            .with_partition_data(vec![partition])
            .with_unknown_tagged_fields(newer());
        if version < 13 {
            topic = topic.with_name(name());
        }
        let request = OtherProduce::default()
            .with_topic_data(vec![topic])
            .with_unknown_tagged_fields(newer());
        let frame = Slice::copy_of(&encoded(request, version));
        let mut read = ProduceRequest::default();
        read.decode(&frame, version, 0, false).unwrap();
        assert_eq!(read.partitions[0].index, 3);
        assert_eq!(read.partitions[0].records.as_deref(), Some(&b"records"[..]));

        let partition = produce_response::PartitionProduceResponse::default()
            .with_base_offset(42)
            .with_unknown_tagged_fields(newer());
        let mut topic = produce_response::TopicProduceResponse::default()
            .with_partition_responses(vec![partition])
            .with_unknown_tagged_fields(newer());
        if version < 13 {
            topic = topic.with_name(name());
        }
        let response = OtherProduced::default()
            .with_responses(vec![topic])
            .with_throttle_time_ms(7)
            .with_unknown_tagged_fields(newer());
        let mut read = ProduceResponse::default();
        read.decode(&Bytes::from(encoded(response, version)), version, 0)
            .unwrap();
        assert_eq!(
            (read.partitions[0].base_offset, read.throttle_time_ms),
            (42, 7)
        );
    }
    for version in 12..=18 {
        let partition = fetch_request::FetchPartition::default()
            .with_fetch_offset(42)
            .with_unknown_tagged_fields(newer());
        let mut topic = fetch_request::FetchTopic::default()
            .with_partitions(vec![partition])
            .with_unknown_tagged_fields(newer());
        if version < 13 {
            topic = topic.with_topic(name());
        }
        let request = OtherFetch::default()
            .with_cluster_id(Some(StrBytes::from_static_str("skipped")))
            .with_topics(vec![topic])
            .with_rack_id(StrBytes::from_static_str("rack"))
            .with_unknown_tagged_fields(newer());
        let frame = Slice::copy_of(&encoded(request, version));
        let mut read = FetchRequest::default();
        read.decode(&frame, version, 0, false).unwrap();
        assert_eq!(read.partitions[0].offset, 42);
        assert_eq!(read.rack.as_deref(), Some("rack"));

        let partition = fetch_response::PartitionData::default()
            .with_high_watermark(42)
            .with_snapshot_id(fetch_response::SnapshotId::default().with_epoch(1))
            .with_records(Some(Bytes::from_static(b"records")))
            .with_unknown_tagged_fields(newer());
        let mut topic = fetch_response::FetchableTopicResponse::default()
            .with_partitions(vec![partition])
            .with_unknown_tagged_fields(newer());
        if version < 13 {
            topic = topic.with_topic(name());
        }
        let response = OtherFetched::default()
            .with_responses(vec![topic])
            .with_unknown_tagged_fields(newer());
        let mut read = FetchResponse::default();
        read.decode(&Bytes::from(encoded(response, version)), version, 0)
            .unwrap();
        assert_eq!(read.partitions[0].high_watermark, 42);
        assert_eq!(&read.partitions[0].records[..], b"records");
    }
}

#[test]
fn null_records_of_a_response_are_none_and_those_of_a_request_are_told() {
    let partition = fetch_response::PartitionData::default().with_records(None);
    let topic = fetch_response::FetchableTopicResponse::default().with_partitions(vec![partition]);
    let response = OtherFetched::default().with_responses(vec![topic]);
    let mut read = FetchResponse::default();
    read.decode(&Bytes::from(encoded(response, 4)), 4, 0)
        .unwrap();
    assert!(read.partitions[0].records.is_empty());

    let partition = produce_request::PartitionProduceData::default().with_records(None);
    let topic = produce_request::TopicProduceData::default().with_partition_data(vec![partition]);
    let request = OtherProduce::default().with_topic_data(vec![topic]);
    let mut read = ProduceRequest::default();
    let frame = Slice::copy_of(&encoded(request, 3));
    read.decode(&frame, 3, 0, false).unwrap();
    assert_eq!(read.partitions[0].records, None);
}

#[test]
fn a_failed_read_leaves_nothing_of_the_frame_behind() {
    let mut request = ProduceRequest::default();
    let mut body = topics(Api::Produce, 2);
    body.extend([0; 16]);
    body.extend([2, 0, 0, 0, 0, 1, 0, 0]); // one partition, empty records, tags
    request
        .decode(&Slice::copy_of(&body), 13, 0, false)
        .unwrap_err();
    assert_eq!(request, ProduceRequest::default());
    body.push(0);
    request
        .decode(&Slice::copy_of(&body), 13, 0, false)
        .unwrap();
    assert_eq!((request.topics.len(), request.partitions.len()), (1, 1));
}

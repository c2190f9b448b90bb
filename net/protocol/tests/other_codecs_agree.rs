//! Produce and Fetch, both directions, in every version that is served: our bytes are those of two
//! other codecs, and what we read of theirs writes the same bytes again.

mod oracle;

use bytes::Bytes;
use oracle::{CLIENT_ID, CORRELATION_ID, Fetch, Fetched, Produce, Produced, other};
use proptest::prelude::*;
use sillon_buffer::Slice;
use sillon_protocol::Api;
use sillon_protocol::fetch::{FetchRequest, FetchResponse};
use sillon_protocol::frame::{LENGTH_BYTES, RequestHeader, read_response_header};
use sillon_protocol::produce::{ProduceRequest, ProduceResponse};

/// A frame without its length, which must be right.
fn unframed(frame: &[u8]) -> &[u8] {
    let (length, rest) = frame.split_at(LENGTH_BYTES);
    assert_eq!(length, (rest.len() as i32).to_be_bytes());
    rest
}

/// Where the body of one of our requests begins.
fn request_body(frame: &[u8], api: Api, version: i16) -> usize {
    let header = RequestHeader::decode(frame, false).unwrap();
    assert_eq!((header.api, header.version), (api, version));
    assert_eq!(
        (header.correlation_id, header.client_id),
        (CORRELATION_ID, CLIENT_ID)
    );
    header.body
}

/// Where the body of one of our responses begins.
fn response_body(frame: &[u8], api: Api, version: i16) -> usize {
    let (correlation_id, body) = read_response_header(frame, api, version).unwrap();
    assert_eq!(correlation_id, CORRELATION_ID);
    body
}

fn versions(api: Api) -> impl Iterator<Item = i16> {
    api.spec().min..=api.spec().max
}

proptest! {
    #[test]
    fn a_produce_request_is_what_other_codecs_make_of_it(model in oracle::produce()) {
        let mut request = ProduceRequest::default();
        for version in versions(Api::Produce) {
            let framed = model.write(version);
            let frame = unframed(&framed);
            let body = request_body(frame, Api::Produce, version);
            prop_assert_eq!(&frame[body..], other::wire::produce(&model, version));
            prop_assert_eq!(&frame[body..], other::kafka_protocol::produce(&model, version));
            request.decode(&Slice::copy_of(frame), version, body, false).unwrap();
            prop_assert_eq!(&Produce::of(&request).write(version), &framed);
        }
    }

    #[test]
    fn a_produce_response_is_what_other_codecs_make_of_it(model in oracle::produced()) {
        let mut response = ProduceResponse::default();
        for version in versions(Api::Produce) {
            let framed = model.write(version);
            let frame = unframed(&framed);
            let body = response_body(frame, Api::Produce, version);
            prop_assert_eq!(&frame[body..], other::wire::produced(&model, version));
            prop_assert_eq!(&frame[body..], other::kafka_protocol::produced(&model, version));
            response.decode(&Bytes::copy_from_slice(frame), version, body).unwrap();
            prop_assert_eq!(&Produced::of(&response).write(version), &framed);
        }
    }

    #[test]
    fn a_fetch_request_is_what_other_codecs_make_of_it(model in oracle::fetch()) {
        let mut request = FetchRequest::default();
        for version in versions(Api::Fetch) {
            let framed = model.write(version);
            let frame = unframed(&framed);
            let body = request_body(frame, Api::Fetch, version);
            prop_assert_eq!(&frame[body..], other::wire::fetch(&model, version));
            prop_assert_eq!(&frame[body..], other::kafka_protocol::fetch(&model, version));
            request.decode(&Slice::copy_of(frame), version, body, false).unwrap();
            prop_assert_eq!(&Fetch::of(&request).write(version), &framed);
        }
    }

    #[test]
    fn a_fetch_response_is_what_other_codecs_make_of_it(model in oracle::fetched()) {
        let mut response = FetchResponse::default();
        for version in versions(Api::Fetch) {
            let framed = model.write(version);
            let frame = unframed(&framed);
            let body = response_body(frame, Api::Fetch, version);
            prop_assert_eq!(&frame[body..], other::wire::fetched(&model, version));
            prop_assert_eq!(&frame[body..], other::kafka_protocol::fetched(&model, version));
            response.decode(&Bytes::copy_from_slice(frame), version, body).unwrap();
            prop_assert_eq!(&Fetched::of(&response).write(version), &framed);
        }
    }
}

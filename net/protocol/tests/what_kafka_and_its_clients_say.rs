//! Produce and Fetch as Apache Kafka and its clients said them (recorded by `ci/capture-frames`):
//! what we read of a frame writes the same bytes again.

mod oracle;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use oracle::{Fetch, Fetched, Produce, Produced};
use sillon_buffer::Slice;
use sillon_protocol::Api;
use sillon_protocol::fetch::{FetchRequest, FetchResponse};
use sillon_protocol::frame::{LENGTH_BYTES, RequestHeader, read_response_header};
use sillon_protocol::produce::{ProduceRequest, ProduceResponse};

/// A request and the response to it, without their lengths.
struct Exchange {
    name: String,
    version: i16,
    request: Vec<u8>,
    response: Vec<u8>,
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap())
        .collect()
}

/// The recorded exchanges of an API.
fn exchanges(api: &str) -> Vec<Exchange> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captured");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let of_api = files.filter_map(|file| {
        let name = file.file_name().into_string().unwrap();
        let version = name.strip_prefix(api)?.strip_prefix('-')?;
        let version = version.strip_suffix(".hex")?.parse().unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let mut lines = text.lines().map(bytes_of);
        Some(Exchange {
            name,
            version,
            request: lines.next().unwrap(),
            response: lines.next().unwrap(),
        })
    });
    of_api.collect()
}

/// What follows the header in one of our frames and in a recorded one.
fn same_body(exchange: &Exchange, ours: &[u8], our_body: usize, theirs: &[u8], their_body: usize) {
    let name = &exchange.name;
    assert_eq!(&ours[our_body..], &theirs[their_body..], "{name}");
}

fn request_body(frame: &[u8], api: Api, version: i16) -> usize {
    let header = RequestHeader::decode(frame, false).unwrap();
    assert_eq!((header.api, header.version), (api, version));
    header.body
}

#[test]
fn a_recorded_produce_is_read_and_written_again() {
    for exchange in exchanges("produce") {
        let version = exchange.version;
        let theirs = &exchange.request;
        let body = request_body(theirs, Api::Produce, version);
        let mut request = ProduceRequest::default();
        request
            .decode(&Slice::copy_of(theirs), version, body, false)
            .unwrap();
        let frame = Produce::of(&request).write(version);
        let ours = &frame[LENGTH_BYTES..];
        let our_body = request_body(ours, Api::Produce, version);
        same_body(&exchange, ours, our_body, theirs, body);

        let theirs = &exchange.response;
        let (_, body) = read_response_header(theirs, Api::Produce, version).unwrap();
        let mut response = ProduceResponse::default();
        response
            .decode(&Bytes::copy_from_slice(theirs), version, body)
            .unwrap();
        let frame = Produced::of(&response).write(version);
        let ours = &frame[LENGTH_BYTES..];
        let (_, our_body) = read_response_header(ours, Api::Produce, version).unwrap();
        same_body(&exchange, ours, our_body, theirs, body);
    }
}

#[test]
fn a_recorded_fetch_is_read_and_written_again() {
    for exchange in exchanges("fetch") {
        let version = exchange.version;
        let theirs = &exchange.request;
        let body = request_body(theirs, Api::Fetch, version);
        let mut request = FetchRequest::default();
        request
            .decode(&Slice::copy_of(theirs), version, body, false)
            .unwrap();
        let frame = Fetch::of(&request).write(version);
        let ours = &frame[LENGTH_BYTES..];
        let our_body = request_body(ours, Api::Fetch, version);
        same_body(&exchange, ours, our_body, theirs, body);

        let theirs = &exchange.response;
        let (_, body) = read_response_header(theirs, Api::Fetch, version).unwrap();
        let mut response = FetchResponse::default();
        response
            .decode(&Bytes::copy_from_slice(theirs), version, body)
            .unwrap();
        let frame = Fetched::of(&response).write(version);
        let ours = &frame[LENGTH_BYTES..];
        let (_, our_body) = read_response_header(ours, Api::Fetch, version).unwrap();
        same_body(&exchange, ours, our_body, theirs, body);
    }
}

#[test]
fn exchanges_of_the_newest_versions_are_recorded() {
    for (name, api) in [("produce", Api::Produce), ("fetch", Api::Fetch)] {
        let recorded = exchanges(name).into_iter().map(|exchange| exchange.version);
        let recorded: BTreeSet<i16> = recorded.collect();
        assert!(recorded.len() >= 3, "{name}: {recorded:?}");
        assert!(recorded.contains(&api.spec().max), "{name}: {recorded:?}");
    }
}

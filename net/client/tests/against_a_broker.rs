//! The client against a broker that fails when it is told to.

mod mock;

use std::net::TcpListener;
use std::ops::ControlFlow;
use std::time::Duration;

use mock::{Fault, Mock};
use sillon_client::{
    Acks, Client, ClientError, ClientOptions, Consumer, ConsumerOptions, NewTopic, OffsetSpec,
    Producer, ProducerOptions, partition_of_key,
};
use sillon_protocol::{Api, ErrorCode};
use sillon_record::Compression;

fn client(mock: &Mock) -> Client {
    let options = ClientOptions {
        retry_after: Duration::from_millis(1),
        ..ClientOptions::default()
    };
    Client::connect(&mock.address, options).unwrap()
}

fn producer(client: &mut Client) -> Producer {
    Producer::new(client, ProducerOptions::default()).unwrap()
}

fn send(producer: &mut Producer, client: &mut Client, value: &str) {
    let value = Some(value.as_bytes());
    producer
        .send(client, "furrow", Some(0), 1, None, value)
        .unwrap();
}

/// Partition, offset, key and value of everything in some partitions, from `offset` on.
fn read(client: &mut Client, partitions: i32, offset: i64) -> Vec<(i32, i64, String, String)> {
    let mut consumer = Consumer::new(ConsumerOptions::default());
    for partition in 0..partitions {
        consumer.assign("furrow", partition, offset);
    }
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().into()).unwrap();
    let mut records = Vec::new();
    consumer
        .poll(client, |delivered| {
            let record = delivered.record;
            let (key, value) = (text(record.key), text(record.value));
            records.push((delivered.partition, record.offset.0, key, value));
            ControlFlow::Continue(())
        })
        .unwrap();
    records
}

fn values(records: Vec<(i32, i64, String, String)>) -> Vec<String> {
    records.into_iter().map(|record| record.3).collect()
}

#[test]
fn records_come_back_in_every_version_and_codec() {
    for (produce, fetch) in [(3, 4), (8, 7), (9, 11), (12, 12), (13, 13), (13, 18)] {
        for compression in [Compression::None, Compression::Lz4] {
            let mock = Mock::start();
            mock.topic("furrow", 3);
            mock.state().newest = [(Api::Produce, produce), (Api::Fetch, fetch)].into();
            let mut client = client(&mock);
            let options = ProducerOptions {
                compression,
                ..ProducerOptions::default()
            };
            let mut producer = Producer::new(&mut client, options).unwrap();
            for key in ["a", "b", "c", "d", "e", "f"] {
                let value = format!("value of {key}");
                let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
                producer
                    .send(&mut client, "furrow", None, 1, key, value)
                    .unwrap();
            }
            producer.flush(&mut client).unwrap();
            let mut found = read(&mut client, 3, 0);
            assert_eq!(found.len(), 6);
            found.sort_by(|a, b| a.2.cmp(&b.2));
            for (record, key) in found.iter().zip(["a", "b", "c", "d", "e", "f"]) {
                assert_eq!(
                    (record.2.as_str(), record.3.as_str()),
                    (key, &*format!("value of {key}"))
                );
                assert_eq!(record.0, partition_of_key(key.as_bytes(), 3));
            }
        }
    }
}

#[test]
fn a_batch_that_is_refused_for_now_is_sent_again() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    let mut client = client(&mock);
    let mut producer = producer(&mut client);
    mock.state().faults = [
        Fault::Refuse(ErrorCode::NotLeaderOrFollower),
        Fault::Refuse(ErrorCode::KafkaStorageError),
    ]
    .into();
    send(&mut producer, &mut client, "one");
    producer.flush(&mut client).unwrap();
    assert_eq!(mock.state().sequences, [0, 0, 0]);
    assert_eq!(values(read(&mut client, 1, 0)), ["one"]);
}

#[test]
fn a_batch_whose_answer_is_lost_is_in_the_log_once() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    let mut client = client(&mock);
    let mut producer = producer(&mut client);
    for (number, value) in ["one", "two", "three"].into_iter().enumerate() {
        if number == 1 {
            mock.state().faults.push_back(Fault::LoseAnswer);
        }
        send(&mut producer, &mut client, value);
        producer.flush(&mut client).unwrap();
    }
    assert_eq!(mock.state().sequences, [0, 1, 1, 2]);
    assert_eq!(values(read(&mut client, 1, 0)), ["one", "two", "three"]);
}

#[test]
fn a_batch_that_is_refused_for_good_is_an_error_and_the_next_one_takes_its_sequence() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    let mut client = client(&mock);
    let mut producer = producer(&mut client);
    mock.state()
        .faults
        .push_back(Fault::Refuse(ErrorCode::MessageTooLarge));
    send(&mut producer, &mut client, "one");
    let error = producer.flush(&mut client).unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Refused {
                error: ErrorCode::MessageTooLarge,
                ..
            }
        ),
        "{error}"
    );
    send(&mut producer, &mut client, "two");
    producer.flush(&mut client).unwrap();
    assert_eq!(mock.state().sequences, [0, 0]);
    assert_eq!(values(read(&mut client, 1, 0)), ["two"]);
}

#[test]
fn without_acknowledgements_nothing_is_waited_for_and_the_connection_stays_in_step() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    let mut client = client(&mock);
    let options = ProducerOptions {
        acks: Acks::None,
        ..ProducerOptions::default()
    };
    let mut producer = Producer::new(&mut client, options).unwrap();
    send(&mut producer, &mut client, "one");
    producer.flush(&mut client).unwrap();
    // The same connection carries the Fetch.
    assert_eq!(values(read(&mut client, 1, 0)), ["one"]);
    assert_eq!(mock.state().sequences, [-1]);
}

#[test]
fn an_answer_to_another_request_is_not_taken_for_this_one() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    let mut client = client(&mock);
    let mut producer = producer(&mut client);
    mock.state().faults.push_back(Fault::WrongAnswer);
    send(&mut producer, &mut client, "one");
    let error = producer.flush(&mut client).unwrap_err();
    assert!(matches!(error, ClientError::OutOfOrder { .. }), "{error}");
    // A new connection is made for what follows.
    assert_eq!(values(read(&mut client, 1, 0)), ["one"]);
}

#[test]
fn a_fetch_from_the_middle_of_a_batch_begins_with_the_record_asked_for() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    let mut client = client(&mock);
    let mut producer = producer(&mut client);
    for value in ["zero", "one", "two"] {
        send(&mut producer, &mut client, value);
    }
    producer.flush(&mut client).unwrap();
    assert_eq!(values(read(&mut client, 1, 1)), ["one", "two"]);
}

#[test]
fn a_consumer_that_is_told_to_stop_goes_on_with_the_next_record() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    let mut client = client(&mock);
    let mut producer = producer(&mut client);
    for value in ["zero", "one", "two"] {
        send(&mut producer, &mut client, value);
    }
    producer.flush(&mut client).unwrap();
    let mut consumer = Consumer::new(ConsumerOptions::default());
    consumer.assign("furrow", 0, 0);
    for offset in 0..3 {
        let mut found = None;
        let stop = |delivered: sillon_client::Delivered<'_>| {
            found = Some(delivered.record.offset.0);
            ControlFlow::Break(())
        };
        assert_eq!(consumer.poll(&mut client, stop).unwrap(), 1);
        assert_eq!(found, Some(offset));
    }
    assert_eq!(consumer.position("furrow", 0), Some(3));
}

#[test]
fn topics_are_created_and_deleted_and_their_offsets_found() {
    let mock = Mock::start();
    let mut client = client(&mock);
    let topic = NewTopic {
        name: "furrow".to_string(),
        partitions: Some(2),
        ..NewTopic::default()
    };
    client.create_topic(&topic).unwrap();
    let error = client.create_topic(&topic).unwrap_err();
    assert!(error.to_string().contains("it is there"), "{error}");
    let mut producer = producer(&mut client);
    send(&mut producer, &mut client, "one");
    producer.flush(&mut client).unwrap();
    let offsets = |client: &mut Client, spec| -> Vec<Option<i64>> {
        let found = client.list_offsets("furrow", &[0, 1], spec).unwrap();
        found.into_iter().map(|found| found.offset).collect()
    };
    assert_eq!(offsets(&mut client, OffsetSpec::Latest), [Some(1), Some(0)]);
    assert_eq!(
        offsets(&mut client, OffsetSpec::Earliest),
        [Some(0), Some(0)]
    );
    assert_eq!(offsets(&mut client, OffsetSpec::AtOrAfter(5)), [None, None]);
    client.delete_topic("furrow").unwrap();
    let error = client.topic("furrow").unwrap_err();
    assert!(matches!(error, ClientError::UnknownTopic { .. }), "{error}");
}

#[test]
fn a_broker_that_knows_the_first_api_versions_only_is_understood() {
    let mock = Mock::start();
    mock.topic("furrow", 1);
    mock.state().newest = [(Api::ApiVersions, 0)].into();
    assert_eq!(client(&mock).topic("furrow").unwrap().partitions.len(), 1);
}

#[test]
fn where_nobody_listens_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::connect(&address, ClientOptions::default()).unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address));
    for address in ["localhost", ":9092", "host:port", ""] {
        let error = Client::connect(address, ClientOptions::default()).unwrap_err();
        assert!(matches!(error, ClientError::Address { .. }), "{error}");
    }
}

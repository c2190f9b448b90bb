//! Records in and out, over a socket.

mod house;

use std::time::{Duration, Instant};

use house::{Client, Node, PATIENCE, batch, partition, values};
use sillon_protocol::fetch::FetchHead;
use sillon_protocol::message::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsTopic,
};
use sillon_protocol::message::{DeleteRecordsRequest, DeleteRecordsResponse, StrBytes};
use sillon_protocol::{Api, TopicKey};
use sillon_record::{BatchBuilder, Compression, TopicId};

/// Waits for as long as the test does.
fn waiting(min_bytes: i32) -> FetchHead {
    FetchHead {
        max_wait_ms: 60_000,
        min_bytes,
        ..FetchHead::default()
    }
}

/// Everything in a topic of four partitions, by partition: asks again until it is at the end of
/// each, as an answer need not hold all there is.
fn all_values(client: &mut Client, topic: &str) -> Vec<String> {
    let mut found = [const { Vec::new() }; 4];
    loop {
        let partitions: Vec<_> = (0..4)
            .map(|index| partition(index, found[index as usize].len() as i64))
            .collect();
        let key = TopicKey::Name(topic);
        let sent = client.send_fetch(12, FetchHead::default(), key, &partitions);
        let response = client.receive_fetch(sent);
        let mut is_behind = false;
        let mut came_on = false;
        for (found, answer) in found.iter_mut().zip(&response.partitions) {
            assert!(!answer.error.is_error());
            let values = values(&answer.records);
            came_on |= !values.is_empty();
            found.extend(values);
            is_behind |= (found.len() as i64) < answer.high_watermark;
        }
        if !is_behind {
            return found.concat();
        }
        assert!(came_on, "an answer to a reader that is behind has records");
    }
}

#[test]
fn records_come_back_as_they_were_sent_also_from_files_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let sent: Vec<_> = (0..4).map(|index| (index, batch(&["a", "b"]))).collect();
    assert_eq!(client.produce("furrow", &sent), [(0, 0); 4]);
    assert_eq!(client.produce("furrow", &sent), [(0, 2); 4]);
    let expected = ["a", "b", "a", "b"].repeat(4);
    assert_eq!(all_values(&mut client, "furrow"), expected);
    node.stop();
    let node = Node::start(folder.path());
    let mut client = node.client();
    assert_eq!(all_values(&mut client, "furrow"), expected);
}

#[test]
fn large_answers_arrive_whole_from_memory_and_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let values: Vec<String> = (0..24).map(|n| n.to_string().repeat(200_000)).collect();
    for value in &values {
        let code = client.produce("furrow", &[(0, batch(&[value]))])[0].0;
        assert_eq!(code, 0);
    }
    // Not assert_eq: the values are too long to be shown.
    assert!(all_values(&mut client, "furrow") == values);
    node.stop();
    let node = Node::start(folder.path());
    assert!(all_values(&mut node.client(), "furrow") == values);
}

#[test]
fn an_answer_has_no_more_bytes_than_the_broker_allows() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_with(folder.path(), |options| options.fetch_bytes_max = 1000);
    let mut client = node.client();
    client.create("furrow");
    let value = "x".repeat(400);
    for offset in 0..4 {
        let sent = client.produce("furrow", &[(0, batch(&[value.as_str()]))]);
        assert_eq!(sent, [(0, offset)]);
    }
    let key = TopicKey::Name("furrow");
    let sent = client.send_fetch(12, FetchHead::default(), key, &[partition(0, 0)]);
    let response = client.receive_fetch(sent);
    assert_eq!(values(&response.partitions[0].records).len(), 2);
}

#[test]
fn a_client_that_reads_late_gets_everything() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let value = "0123456789".repeat(45_000);
    assert_eq!(client.produce("furrow", &[(0, batch(&[&value]))]), [(0, 0)]);
    // 45 MB, more than all buffers of a socket.
    let late = |node: &Node| {
        let (mut late, mut bystander) = (node.client(), node.client());
        late.await_topic("furrow");
        let key = TopicKey::Name("furrow");
        let head = FetchHead::default();
        let sent: Vec<_> = (0..100)
            .map(|_| late.send_fetch(12, head, key, &[partition(0, 0)]))
            .collect();
        assert!(all_values(&mut bystander, "furrow") == [value.as_str()]);
        for sent in sent {
            let response = late.receive_fetch(sent);
            assert!(values(&response.partitions[0].records) == [value.as_str()]);
        }
    };
    late(&node);
    node.stop();
    late(&Node::start(folder.path()));
}

#[test]
fn a_waiting_fetch_does_not_hold_up_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let partitions: Vec<_> = (0..4).map(|index| partition(index, 0)).collect();
    client.send_fetch(12, waiting(1), TopicKey::Name("furrow"), &partitions);
    let started = Instant::now();
    node.stop();
    assert!(started.elapsed() < PATIENCE);
    assert!(client.is_closed());
}

#[test]
fn a_fetch_over_several_shards_waits_for_a_record_in_any_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let (mut reader, mut writer) = (node.client(), node.client());
    writer.create("furrow");
    reader.await_topic("furrow");
    for index in 0..4 {
        let partitions: Vec<_> = (0..4)
            .map(|other| partition(other, i64::from(other < index)))
            .collect();
        let key = TopicKey::Name("furrow");
        let sent = reader.send_fetch(12, waiting(1), key, &partitions);
        assert_eq!(writer.produce("furrow", &[(index, batch(&["x"]))])[0].0, 0);
        let response = reader.receive_fetch(sent);
        let found: Vec<_> = response
            .partitions
            .iter()
            .map(|p| values(&p.records))
            .collect();
        for (other, values) in found.iter().enumerate() {
            assert_eq!(values.len(), usize::from(other == index as usize));
        }
    }
}

#[test]
fn a_fetch_waits_until_all_its_shards_together_have_min_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let (mut reader, mut writer) = (node.client(), node.client());
    writer.create("furrow");
    reader.await_topic("furrow");
    let one = batch(&["x"]);
    let min_bytes = 4 * one.len() as i32;
    let partitions: Vec<_> = (0..4).map(|index| partition(index, 0)).collect();
    let key = TopicKey::Name("furrow");
    let sent = reader.send_fetch(12, waiting(min_bytes), key, &partitions);
    for index in 0..4 {
        assert_eq!(writer.produce("furrow", &[(index, one.clone())])[0].0, 0);
    }
    let response = reader.receive_fetch(sent);
    let total: usize = response.partitions.iter().map(|p| p.records.len()).sum();
    assert_eq!(total, min_bytes as usize, "neither earlier nor later");
}

#[test]
fn a_fetch_that_gets_too_little_is_answered_when_its_time_is_up() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    client.produce("furrow", &[(0, batch(&["x"]))]);
    let head = FetchHead {
        max_wait_ms: 300,
        min_bytes: 10_000,
        ..FetchHead::default()
    };
    for partitions in [
        vec![partition(0, 0)],
        (0..4).map(|p| partition(p, 0)).collect(),
    ] {
        let started = Instant::now();
        let sent = client.send_fetch(12, head, TopicKey::Name("furrow"), &partitions);
        let response = client.receive_fetch(sent);
        let waited = started.elapsed();
        assert!(
            waited >= Duration::from_millis(300) && waited < PATIENCE,
            "{waited:?}"
        );
        assert_eq!(values(&response.partitions[0].records), ["x"]);
    }
}

#[test]
fn an_error_ends_the_wait_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let wrong = [partition(0, 0), partition(1, 7), partition(9, 0)];
    let sent = client.send_fetch(12, waiting(1), TopicKey::Name("furrow"), &wrong);
    let response = client.receive_fetch(sent);
    let codes: Vec<_> = response.partitions.iter().map(|p| p.error.code()).collect();
    assert_eq!(codes, [0, 1, 3]);
    let sent = client.send_fetch(12, waiting(1), TopicKey::Name("no"), &wrong[..1]);
    assert_eq!(client.receive_fetch(sent).partitions[0].error.code(), 3);
    let unknown = TopicKey::Id(TopicId([7; 16]));
    let sent = client.send_fetch(13, waiting(1), unknown, &wrong[..1]);
    assert_eq!(client.receive_fetch(sent).partitions[0].error.code(), 100);
    let session = FetchHead {
        session_id: 1,
        session_epoch: 1,
        ..FetchHead::default()
    };
    let sent = client.send_fetch(12, session, TopicKey::Name("furrow"), &wrong);
    assert_eq!(client.receive_fetch(sent).head.error.code(), 70);
}

#[test]
fn limits_hold_except_for_the_first_batch_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let one = batch(&[&"x".repeat(1000)]);
    let sent: Vec<_> = (0..4).map(|index| (index, one.clone())).collect();
    client.produce("furrow", &sent);
    let partitions: Vec<_> = (0..4).map(|index| partition(index, 0)).collect();
    let mut batches = |max_bytes: usize| {
        let head = FetchHead {
            max_bytes: max_bytes as i32,
            ..FetchHead::default()
        };
        let sent = client.send_fetch(12, head, TopicKey::Name("furrow"), &partitions);
        let response = client.receive_fetch(sent);
        let lengths = response.partitions.iter().map(|p| p.records.len());
        lengths.sum::<usize>() as f64 / one.len() as f64
    };
    assert_eq!(batches(1), 1.0);
    assert_eq!(batches(one.len()), 1.0);
    assert_eq!(batches(3 * one.len() + 10), 3.0);
    assert_eq!(batches(100 * one.len()), 4.0);
}

#[test]
fn a_bad_batch_is_refused_and_the_others_of_its_request_are_appended() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let good = batch(&["x"]);
    let mut corrupt = good.clone();
    *corrupt.last_mut().unwrap() ^= 1;
    let mut transactional = BatchBuilder::new(Compression::None);
    transactional
        .transactional()
        .append(1, None, None, &[])
        .unwrap();
    let sent = [
        (0, good.clone()),
        (1, corrupt),
        (2, transactional.build()),
        (3, good.clone()),
        (9, good.clone()),
        (0, Vec::new()),
    ];
    let codes: Vec<_> = client
        .produce("furrow", &sent)
        .iter()
        .map(|p| p.0)
        .collect();
    assert_eq!(codes, [0, 2, 48, 0, 3, 87]);
    let sent = client.send_produce(9, 2, TopicKey::Name("furrow"), &[(0, good)]);
    assert_eq!(client.receive_produce(sent).partitions[0].error.code(), 21);
}

#[test]
fn large_compressed_batches_are_checked_and_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let mut large = BatchBuilder::new(Compression::Gzip);
    for number in 0..20_000_u32 {
        let value = number.wrapping_mul(2_654_435_761).to_string();
        large.append(1, None, Some(value.as_bytes()), &[]).unwrap();
    }
    let large = large.build();
    assert!(large.len() > 64 << 10);
    let key = TopicKey::Name("furrow");
    let sent = [large, batch(&["x"])].map(|b| client.send_produce(9, -1, key, &[(0, b)]));
    let offsets = sent.map(|sent| client.receive_produce(sent).partitions[0].base_offset);
    assert_eq!(offsets, [0, 20_000]);
}

#[test]
fn a_produce_without_acknowledgement_is_silent_and_its_failure_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let key = TopicKey::Name("furrow");
    client.send_produce(9, 0, key, &[(0, batch(&["x"]))]);
    assert_eq!(client.produce("furrow", &[(0, batch(&["y"]))]), [(0, 1)]);
    client.send_produce(9, 0, key, &[(9, batch(&["z"]))]);
    assert!(client.is_closed());
}

#[test]
fn topics_go_by_id_in_the_newest_versions() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let id = TopicKey::Id(TopicId(client.topic("furrow").topic_id.to_bytes()));
    let sent = client.send_produce(13, -1, id, &[(2, batch(&["x"]))]);
    let response = client.receive_produce(sent);
    assert_eq!(response.partitions[0].error.code(), 0);
    assert_eq!(response.topics[0].key.as_ref(), id);
    let sent = client.send_fetch(18, waiting(1), id, &[partition(2, 0)]);
    let response = client.receive_fetch(sent);
    assert_eq!(values(&response.partitions[0].records), ["x"]);
    assert_eq!(response.partitions[0].high_watermark, 1);
}

#[test]
fn deleted_records_are_out_of_range_and_the_answer_says_where_the_log_begins() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let sent: Vec<_> = (0..4).map(|index| (index, batch(&["a", "b"]))).collect();
    client.produce("furrow", &sent);
    let mut wishes = DeleteRecordsTopic::default();
    wishes.name = StrBytes::from("furrow");
    for (index, offset) in [(0, 1), (1, -1), (2, 3), (3, -7), (4, 0)] {
        let mut wish = DeleteRecordsPartition::default();
        wish.partition_index = index;
        wish.offset = offset;
        wishes.partitions.push(wish);
    }
    let mut request = DeleteRecordsRequest::default();
    request.topics.push(wishes);
    request.timeout_ms = 60_000;
    let response: DeleteRecordsResponse = client.ask(Api::DeleteRecords, 2, &request);
    let partitions = response.topics[0].partitions.iter();
    let answered: Vec<_> = partitions
        .map(|partition| (partition.low_watermark, partition.error_code))
        .collect();
    assert_eq!(answered, [(1, 0), (2, 0), (-1, 1), (-1, 1), (-1, 3)]);

    let key = TopicKey::Name("furrow");
    let asked = [partition(0, 0), partition(0, 1)];
    let below = client.send_fetch(12, FetchHead::default(), key, &asked[..1]);
    let below = &client.receive_fetch(below).partitions[0];
    assert_eq!((below.error.code(), below.log_start_offset), (1, -1));
    let kept = client.send_fetch(12, FetchHead::default(), key, &asked[1..]);
    let kept = &client.receive_fetch(kept).partitions[0];
    assert_eq!(kept.log_start_offset, 1);
    assert!(!kept.records.is_empty());
}

//! Retention and DeleteRecords, over a disk in memory.

mod node;

use std::cell::RefCell;
use std::rc::Rc;

use node::{MemoryDisk, Node, batch, config};
use sillon_record::{Offset, TopicPartition};
use sillon_shard::{DeleteRecords, OffsetTarget, Outcome, Refusal, Request};

const SEGMENT_BYTES: u32 = 20_000;

fn small_segments() -> sillon_shard::NodeConfig {
    let mut config = config(1);
    config.topic_defaults.segment_bytes = SEGMENT_BYTES;
    config
}

/// A node with one partition of 40 records of 1 KiB each: 19 a segment.
fn filled(disk: &Rc<RefCell<MemoryDisk>>, configs: &[(&str, &str)]) -> (Node, TopicPartition) {
    let mut node = Node::start(disk.clone(), small_segments(), 1);
    let topic = node.create("paiement", 7, 1, configs);
    let place = TopicPartition {
        topic,
        partition: 0,
    };
    for _ in 0..40 {
        node.produce(place, batch(1, 960, None)).unwrap().unwrap();
    }
    (node, place)
}

fn delete(node: &mut Node, place: TopicPartition, before: Option<i64>) -> Outcome<Offset> {
    let wish = DeleteRecords {
        partition: place,
        before: before.map(Offset),
        outcome: None,
    };
    let key = node.send(place, Request::DeleteRecords(vec![wish]));
    match node.take(key)? {
        Request::DeleteRecords(mut wishes) => wishes.remove(0).outcome,
        other => panic!("a deletion answers {other:?}"),
    }
}

fn pass(node: &mut Node, ms: u64) {
    for _ in 0..ms / 100 {
        node.tick(100);
    }
}

/// Names of a partition's segment files, of every kind.
fn files(disk: &Rc<RefCell<MemoryDisk>>) -> Vec<String> {
    let disk = disk.borrow();
    let names = disk.files.keys();
    let of_segments = names.filter_map(|path| path.strip_prefix("paiement-0/"));
    let of_segments = of_segments.filter(|name| name.starts_with("000"));
    of_segments.map(str::to_owned).collect()
}

fn logs(disk: &Rc<RefCell<MemoryDisk>>) -> Vec<String> {
    let mut files = files(disk);
    files.retain(|name| name.ends_with(".log"));
    files
}

fn earliest(node: &mut Node, place: TopicPartition) -> Option<i64> {
    node.offset(place, OffsetTarget::Earliest)
}

#[test]
fn segments_go_by_time_when_their_newest_record_is_old_and_the_active_one_too() {
    let disk = Rc::default();
    let (mut node, place) = filled(&disk, &[("retention.ms", "60000")]);
    pass(&mut node, 50_000);
    assert_eq!(earliest(&mut node, place), Some(0));
    pass(&mut node, 15_000);
    assert_eq!(earliest(&mut node, place), Some(40));
    pass(&mut node, 5_000);
    assert_eq!(logs(&disk), [] as [String; 0]);
    assert_eq!(files(&disk), [] as [String; 0], "no index is left behind");
    assert_eq!(node.fetch(place, 39), Err(Refusal::OffsetOutOfRange));
    let appended = node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    assert_eq!(appended.base_offset, Offset(40));
    assert_eq!(logs(&disk), ["00000000000000000040.log"]);
}

#[test]
fn the_oldest_segments_go_while_the_others_hold_what_is_to_be_kept() {
    let disk = Rc::default();
    let (mut node, place) = filled(&disk, &[("retention.bytes", "20000")]);
    pass(&mut node, 40_000);
    // The third segment holds two records: it and the second hold 20,000 bytes and more.
    assert_eq!(earliest(&mut node, place), Some(19));
    assert_eq!(
        logs(&disk),
        ["00000000000000000019.log", "00000000000000000038.log"]
    );
    assert_eq!(node.fetch(place, 18), Err(Refusal::OffsetOutOfRange));
    assert!(!node.fetch(place, 19).unwrap().is_empty());
}

#[test]
fn a_compacted_topic_keeps_its_old_segments() {
    let disk = Rc::default();
    let configs = [("retention.ms", "1"), ("cleanup.policy", "compact")];
    let (mut node, place) = filled(&disk, &configs);
    pass(&mut node, 60_000);
    assert_eq!(earliest(&mut node, place), Some(0));
}

#[test]
fn records_are_deleted_up_to_an_offset_and_stay_deleted_after_a_kill() {
    let disk = Rc::default();
    let (mut node, place) = filled(&disk, &[]);
    assert_eq!(delete(&mut node, place, Some(25)), Some(Ok(Offset(25))));
    // Back is no way, and beyond the end is nothing.
    assert_eq!(delete(&mut node, place, Some(3)), Some(Ok(Offset(25))));
    let beyond = delete(&mut node, place, Some(41));
    assert_eq!(beyond, Some(Err(Refusal::OffsetOutOfRange)));
    assert_eq!(node.fetch(place, 24), Err(Refusal::OffsetOutOfRange));
    drop(node);
    let mut node = Node::start(disk.clone(), small_segments(), 2);
    assert_eq!(earliest(&mut node, place), Some(25));
    assert_eq!(node.fetch(place, 24), Err(Refusal::OffsetOutOfRange));
    assert!(!node.fetch(place, 25).unwrap().is_empty());
    pass(&mut node, 40_000);
    assert_eq!(
        logs(&disk),
        ["00000000000000000019.log", "00000000000000000038.log"]
    );
    assert_eq!(delete(&mut node, place, None), Some(Ok(Offset(40))));
    assert_eq!(node.offset(place, OffsetTarget::MaxTimestamp), None);
}

#[test]
fn on_a_disk_without_any_space_left_deleted_records_give_theirs_back() {
    let disk = Rc::default();
    let (mut node, place) = filled(&disk, &[]);
    disk.borrow_mut().is_quite_full = true;
    assert_eq!(delete(&mut node, place, None), Some(Ok(Offset(40))));
    pass(&mut node, 40_000);
    assert_eq!(logs(&disk), ["00000000000000000038.log"]);
    node.produce(place, batch(1, 960, None)).unwrap().unwrap();
}

#[test]
fn a_deletion_is_answered_when_it_is_flushed_and_not_shown_before() {
    let disk = Rc::default();
    let (mut node, place) = filled(&disk, &[]);
    disk.borrow_mut().holds_syncs = true;
    assert_eq!(delete(&mut node, place, Some(25)), None);
    assert_eq!(delete(&mut node, place, Some(11)), None, "nor this one");
    assert_eq!(earliest(&mut node, place), Some(0));
    node.release_syncs(0);
    node.tick(10);
    assert_eq!(earliest(&mut node, place), Some(25));
}

#[test]
fn a_segment_that_is_being_read_stays_until_it_has_been_read() {
    let disk = Rc::default();
    let (node, place) = filled(&disk, &[]);
    drop(node);
    let mut node = Node::start(disk.clone(), small_segments(), 2);
    let key = node.send(place, node::fetch(place, 0, 0, 0));
    let Some(Request::Fetch(fetched)) = node.take(key) else {
        panic!("a fetch from a file is answered");
    };
    assert_eq!(delete(&mut node, place, Some(30)), Some(Ok(Offset(30))));
    pass(&mut node, 40_000);
    assert_eq!(logs(&disk).len(), 3, "its reader holds it");
    assert!(!node.records(fetched).unwrap().is_empty());
    pass(&mut node, 40_000);
    assert_eq!(logs(&disk).len(), 2);
}

#[test]
fn what_a_kill_left_of_dropped_segments_is_swept_away() {
    let disk: Rc<RefCell<MemoryDisk>> = Rc::default();
    let (mut node, place) = filled(&disk, &[]);
    assert_eq!(delete(&mut node, place, Some(19)), Some(Ok(Offset(19))));
    pass(&mut node, 40_000);
    assert_eq!(logs(&disk).len(), 2);
    drop(node);
    for name in [
        "00000000000000000000.log",
        "00000000000000000000.timeindex",
        "00000000000000000007.log.deleted",
    ] {
        let path = format!("paiement-0/{name}");
        disk.borrow_mut().files.insert(path, vec![0; 100]);
    }
    let mut node = Node::start(disk.clone(), small_segments(), 2);
    pass(&mut node, 40_000);
    assert_eq!(logs(&disk).len(), 2);
    assert!(
        files(&disk)
            .iter()
            .all(|name| name >= &"00000000000000000019".to_owned())
    );
    assert_eq!(earliest(&mut node, place), Some(19));
}

//! Compaction, over a disk in memory.

mod node;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use node::{MemoryDisk, Node, config, fetch};
use sillon_buffer::Slice;
use sillon_record::{
    BatchBuilder, BatchRules, Batches, Compression, Producer, Records, Scratch, TopicPartition,
    ValidBatch,
};
use sillon_shard::{NodeConfig, OFFSETS_TOPIC, OffsetTarget, Request};

const SEGMENT_BYTES: u32 = 20_000;

/// Key, and value; none is a tombstone.
type Wish<'a> = (&'a str, Option<&'a str>);

fn small_segments() -> NodeConfig {
    let mut config = config(1);
    config.topic_defaults.segment_bytes = SEGMENT_BYTES;
    config
}

fn start(disk: &Rc<RefCell<MemoryDisk>>) -> Node {
    Node::start(disk.clone(), small_segments(), 1)
}

fn restart(disk: &Rc<RefCell<MemoryDisk>>) -> Node {
    Node::start(disk.clone(), small_segments(), 2)
}

fn create(node: &mut Node, name: &str, configs: &[(&str, &str)]) -> TopicPartition {
    let mut all = vec![("cleanup.policy", "compact")];
    all.extend_from_slice(configs);
    let topic = node.create(name, 7, 1, &all);
    TopicPartition {
        topic,
        partition: 0,
    }
}

fn batch(
    now_ms: i64,
    records: &[Wish<'_>],
    compression: Compression,
    producer: Option<(Producer, i32)>,
) -> ValidBatch {
    let mut builder = BatchBuilder::new(compression);
    if let Some((producer, sequence)) = producer {
        builder.producer(producer, sequence);
    }
    for (key, value) in records {
        let value = value.map(str::as_bytes);
        builder
            .append(now_ms, Some(key.as_bytes()), value, &[])
            .unwrap();
    }
    let rules = BatchRules::defaults(now_ms);
    let bytes = Slice::copy_of(&builder.build());
    ValidBatch::check(bytes, &rules, &mut Scratch::default()).unwrap()
}

fn put(node: &mut Node, place: TopicPartition, records: &[Wish<'_>]) -> i64 {
    let batch = batch(node.now.wall_ms, records, Compression::None, None);
    let appended = node.produce(place, batch).unwrap().unwrap();
    appended.base_offset.0
}

/// Records that fill segments and have no successor until the next call with the same `turn`.
fn fill(node: &mut Node, place: TopicPartition, count: usize) {
    let value = "x".repeat(950);
    for number in 0..count {
        let key = format!("filler-{}", number % 3);
        put(node, place, &[(&key, Some(&value))]);
    }
}

fn pass(node: &mut Node, ms: u64) {
    for _ in 0..ms / 10 {
        node.tick(10);
    }
}

/// Everything that a reader sees: by offset, key and value.
fn read(node: &mut Node, place: TopicPartition) -> BTreeMap<i64, (String, Option<String>)> {
    let (mut all, mut next) = (BTreeMap::new(), 0);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    loop {
        let bytes = node.fetch(place, next).unwrap();
        let before = next;
        for batch in Batches::new(&bytes).checking_crcs() {
            let batch = batch.unwrap();
            let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
            for record in Records::of(batch.bytes, &mut buffer, 1 << 20, &mut scratch).unwrap() {
                let record = record.unwrap();
                let value = record.value.map(text);
                all.insert(record.offset.0, (text(record.key.unwrap()), value));
            }
            next = batch.header.last_offset().0 + 1;
        }
        if next == before {
            return all;
        }
    }
}

/// What a reader makes of it: the last value of each key.
fn table(node: &mut Node, place: TopicPartition) -> BTreeMap<String, Option<String>> {
    read(node, place).into_values().collect()
}

fn files(disk: &Rc<RefCell<MemoryDisk>>, name: &str) -> Vec<String> {
    let disk = disk.borrow();
    let prefix = format!("{name}-0/000");
    let names = disk.files.keys().filter(|path| path.starts_with(&prefix));
    names.cloned().collect()
}

#[test]
fn of_every_key_the_newest_record_stays_at_its_offset_also_after_a_restart() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0.01")]);
    for turn in 0..30 {
        let value = format!("value {turn}");
        let key = format!("key {}", turn % 5);
        let records = [
            (&key[..], Some(&value[..])),
            ("both", Some("first")),
            ("both", Some(&value)),
        ];
        for codec in Compression::ALL {
            let batch = batch(node.now.wall_ms, &records, codec, None);
            node.produce(place, batch).unwrap().unwrap();
        }
    }
    fill(&mut node, place, 60);
    let before = read(&mut node, place);
    let expected = table(&mut node, place);
    let end = node.offset(place, OffsetTarget::Latest);
    pass(&mut node, 3_000);
    let after = read(&mut node, place);
    assert!(
        after.len() < before.len() / 4,
        "{} of {}",
        after.len(),
        before.len()
    );
    assert!(
        after
            .iter()
            .all(|(offset, record)| before[offset] == *record)
    );
    assert_eq!(table(&mut node, place), expected);
    assert_eq!(node.offset(place, OffsetTarget::Latest), end);
    assert!(
        !files(&disk, "prix").iter().any(|path| path.contains("swap")
            || path.contains("cleaned")
            || path.contains("deleted"))
    );
    drop(node);
    let mut node = restart(&disk);
    assert_eq!(read(&mut node, place), after);
    node.stop();
    drop(node);
    let mut node = restart(&disk);
    assert_eq!(read(&mut node, place), after);
}

#[test]
fn a_start_makes_the_names_of_compacted_files_durable_which_a_kill_may_have_left_open() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let place = create(&mut node, "table", &[("min.cleanable.dirty.ratio", "0")]);
    node.create("plain", 8, 1, &[]);
    fill(&mut node, place, 60);
    pass(&mut node, 5_000);
    assert!(read(&mut node, place).len() < 60, "it is compacted");
    drop(node);
    assert!(
        !files(&disk, "table")
            .iter()
            .any(|name| name.ends_with(".swap"))
    );
    disk.borrow_mut().synced_folders.clear();
    let _node = restart(&disk);
    let synced = &disk.borrow().synced_folders;
    assert!(
        synced.iter().any(|folder| folder == "table-0"),
        "{synced:?}"
    );
    assert!(
        !synced.iter().any(|folder| folder == "plain-0"),
        "{synced:?}"
    );
}

#[test]
fn a_reader_in_a_hole_goes_on_behind_it() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0")]);
    fill(&mut node, place, 60);
    pass(&mut node, 3_000);
    let left = read(&mut node, place);
    let end = node.offset(place, OffsetTarget::Latest).unwrap();
    for offset in 0..end {
        let bytes = node.fetch(place, offset).unwrap();
        let batch = Batches::new(&bytes).next().unwrap().unwrap();
        assert!(batch.header.last_offset().0 >= offset);
        let next = left.range(offset..).next().map(|(next, _)| *next);
        assert!(next.is_none_or(|next| next >= batch.header.base_offset().0));
    }
}

#[test]
fn a_tombstone_goes_when_its_time_is_over_and_what_it_deletes_goes_before_it() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let configs = [
        ("min.cleanable.dirty.ratio", "0"),
        ("delete.retention.ms", "10000"),
    ];
    let place = create(&mut node, "prix", &configs);
    put(&mut node, place, &[("gone", Some("1"))]);
    put(&mut node, place, &[("gone", None)]);
    fill(&mut node, place, 30);
    pass(&mut node, 3_000);
    let marks = |node: &mut Node| {
        let records = read(node, place).into_values();
        records.filter(|(key, _)| key == "gone").collect::<Vec<_>>()
    };
    assert_eq!(marks(&mut node), [("gone".to_owned(), None)]);
    fill(&mut node, place, 30);
    pass(&mut node, 2_000);
    assert_eq!(marks(&mut node), [("gone".to_owned(), None)]);
    pass(&mut node, 10_000);
    fill(&mut node, place, 30);
    pass(&mut node, 2_000);
    assert_eq!(marks(&mut node), []);
}

#[test]
fn young_records_and_the_active_segment_stay() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let configs = [
        ("min.cleanable.dirty.ratio", "0"),
        ("min.compaction.lag.ms", "60000"),
    ];
    let place = create(&mut node, "prix", &configs);
    fill(&mut node, place, 60);
    let before = read(&mut node, place);
    pass(&mut node, 10_000);
    assert_eq!(read(&mut node, place), before);
    pass(&mut node, 60_000);
    let after = read(&mut node, place);
    assert!(after.len() < 25, "{}", after.len());
    assert!(after.len() > 3, "the active segment is as it was");
}

#[test]
fn records_that_waited_for_the_largest_lag_are_compacted_without_another_append() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let place = create(&mut node, "prix", &[("max.compaction.lag.ms", "5000")]);
    for turn in 0..10 {
        put(&mut node, place, &[("one", Some(&turn.to_string()))]);
    }
    pass(&mut node, 4_000);
    assert_eq!(read(&mut node, place).len(), 10);
    pass(&mut node, 4_000);
    assert_eq!(read(&mut node, place).len(), 1);
    assert_eq!(table(&mut node, place)["one"].as_deref(), Some("9"));
}

#[test]
fn small_neighbours_become_one_segment() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0")]);
    for _ in 0..6 {
        fill(&mut node, place, 40);
        pass(&mut node, 3_000);
    }
    let logs = files(&disk, "prix");
    let logs: Vec<_> = logs.iter().filter(|path| path.ends_with(".log")).collect();
    assert!(logs.len() <= 4, "{logs:?} of 13");
}

#[test]
fn a_map_that_is_full_takes_more_passes_and_loses_nothing() {
    let disk = Rc::default();
    let mut config = small_segments();
    config.compaction.map_bytes = 5 * 24;
    let mut node = Node::start(disk, config, 1);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0")]);
    for turn in 0..300 {
        let (key, value) = (
            format!("key {}", turn % 40),
            format!("{turn}{}", "x".repeat(300)),
        );
        put(&mut node, place, &[(&key, Some(&value))]);
    }
    let expected = table(&mut node, place);
    pass(&mut node, 60_000);
    assert_eq!(table(&mut node, place), expected);
    let left = read(&mut node, place).len();
    assert!(left < 200, "{left} of 300");
}

#[test]
fn the_last_batch_of_a_producer_stays_so_that_its_sequence_goes_on() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0")]);
    let producer = Producer { id: 5, epoch: 0 };
    let now_ms = node.now.wall_ms;
    let send = |sequence| {
        let records = [("k", Some("of the producer"))];
        batch(
            now_ms,
            &records,
            Compression::None,
            Some((producer, sequence)),
        )
    };
    node.produce(place, send(0)).unwrap().unwrap();
    let last = node.produce(place, send(1)).unwrap().unwrap();
    put(&mut node, place, &[("k", Some("newer"))]);
    fill(&mut node, place, 40);
    pass(&mut node, 3_000);
    let bytes = node.fetch(place, 0).unwrap();
    let first = Batches::new(&bytes).next().unwrap().unwrap();
    assert_eq!(first.header.base_offset(), last.base_offset);
    assert_eq!(
        (first.header.records_count(), first.header.base_sequence()),
        (0, 1)
    );
    let again = node.produce(place, send(1)).unwrap().unwrap();
    assert_eq!(again.base_offset, last.base_offset);
    node.produce(place, send(2)).unwrap().unwrap();
}

#[test]
fn a_reader_of_an_old_segment_finishes_and_then_the_file_goes() {
    let disk = Rc::default();
    let mut config = small_segments();
    // So that readers are sent to files.
    config.memory_bytes = 1 << 20;
    let mut node = Node::start(Rc::clone(&disk), config, 1);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0")]);
    fill(&mut node, place, 400);
    node.stop();
    drop(node);
    let mut node = restart(&disk);
    let key = node.send(place, fetch(place, 0, 0, 0));
    let Some(Request::Fetch(held)) = node.take(key) else {
        panic!("a fetch is answered");
    };
    pass(&mut node, 3_000);
    // New readers have the compacted segment already, under another name.
    assert!(!read(&mut node, place).contains_key(&0));
    let bytes = node.records(held).unwrap();
    let old = Batches::new(&bytes).map(|batch| batch.unwrap().header.base_offset().0);
    let old: Vec<i64> = old.collect();
    assert_eq!(old[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    pass(&mut node, 10_000);
    let small = read(&mut node, place).len();
    assert!(small < 40, "{small}");
    let names = files(&disk, "prix");
    assert!(
        !names.iter().any(|path| path.ends_with(".deleted")),
        "{names:?}"
    );
}

#[test]
fn the_offsets_topic_is_compacted_although_its_segments_are_large() {
    let disk = Rc::default();
    let mut node = Node::start(Rc::clone(&disk), config(1), 1);
    let place = create(&mut node, OFFSETS_TOPIC, &[("segment.bytes", "104857600")]);
    let value = "v".repeat(100);
    for turn in 0..4_000 {
        let key = format!("key {}", turn % 100);
        put(&mut node, place, &[(&key, Some(&value))]);
    }
    pass(&mut node, 3_000);
    let left = read(&mut node, place).len();
    assert!(left <= 200, "{left} of 4,000");
}

#[test]
fn a_deleted_topic_takes_its_compaction_along() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0")]);
    fill(&mut node, place, 100);
    node.metadata(vec![sillon_controller::MetadataRecord::TopicRemoved {
        id: place.topic,
    }]);
    pass(&mut node, 3_000);
    assert_eq!(files(&disk, "prix"), Vec::<String>::new());
}

#[test]
fn compaction_keeps_to_its_rate_and_reads_when_nobody_waits() {
    const BYTES_PER_SECOND: u64 = 100_000;
    let disk: Rc<RefCell<MemoryDisk>> = Rc::default();
    let mut config = small_segments();
    config.compaction.bytes_per_second = BYTES_PER_SECOND;
    let mut node = Node::start(disk.clone(), config, 1);
    let place = create(&mut node, "prix", &[("min.cleanable.dirty.ratio", "0.01")]);
    fill(&mut node, place, 100);
    let expected = table(&mut node, place);
    let mut began_ns = None;
    for _ in 0..1_000 {
        node.tick(10);
        let read = disk.borrow().background_bytes_read as u64;
        if read > 0 {
            let began_ns = *began_ns.get_or_insert(node.now.mono_ns);
            let allowed = (node.now.mono_ns - began_ns) * BYTES_PER_SECOND / 1_000_000_000;
            // The next piece is read when there is leave for all before it.
            assert!(
                read <= allowed + u64::from(SEGMENT_BYTES),
                "{read} of {allowed}"
            );
        }
    }
    let read_bytes = disk.borrow().background_bytes_read;
    assert!(read_bytes > 100_000, "{read_bytes}");
    assert!(read(&mut node, place).len() < 40);
    assert_eq!(table(&mut node, place), expected);
    let now = disk.borrow().background_bytes_read;
    assert_eq!(now, read_bytes, "readers do not wait for a turn");
}

#[test]
fn among_many_partitions_every_one_that_is_due_is_found() {
    let disk = Rc::default();
    let mut node = start(&disk);
    let configs = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.01"),
    ];
    // More than are looked at before other work gets its turn.
    let topic = node.create("prix", 7, 1_200, &configs);
    let places = [0, 3, 640, 1_199].map(|partition| TopicPartition { topic, partition });
    for place in places {
        fill(&mut node, place, 60);
    }
    pass(&mut node, 5_000);
    for place in places {
        let left = read(&mut node, place).len();
        assert!(left < 40, "{place:?}: {left}");
    }
}

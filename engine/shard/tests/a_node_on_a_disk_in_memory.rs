//! The whole of a node's storage, over a disk in memory.

mod groups;
mod node;

use std::cell::RefCell;
use std::rc::Rc;

use node::{MemoryDisk, Node, batch, config, fetch, produce};
use sillon_controller::MetadataRecord;
use sillon_record::{Batches, Offset, Producer, TopicPartition};
use sillon_shard::{DiskError, Extent, OffsetTarget, Refusal, Request};

fn disk() -> Rc<RefCell<MemoryDisk>> {
    Rc::default()
}

fn partition(topic: sillon_record::TopicId, partition: i32) -> TopicPartition {
    TopicPartition { topic, partition }
}

#[test]
fn what_is_acknowledged_is_read_back_from_memory() {
    let mut node = Node::start(disk(), config(2), 1);
    let topic = node.create("paiement", 7, 3, &[]);
    for number in 0..3 {
        let place = partition(topic, number);
        for expected in [0, 2, 4] {
            let appended = node.produce(place, batch(2, 10, None)).unwrap().unwrap();
            assert_eq!(appended.base_offset, Offset(expected));
        }
        assert_eq!(node.read_all(place), [0, 2, 4]);
        assert_eq!(node.offset(place, OffsetTarget::Latest), Some(6));
        assert_eq!(
            node.offset(place, OffsetTarget::AtOrAfter(1_700_000_000_001)),
            Some(1)
        );
    }
}

#[test]
fn nothing_is_acknowledged_or_readable_before_its_flush() {
    let mut node = Node::start(disk(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    node.disk.borrow_mut().holds_syncs = true;
    let key = node.send(place, produce(place, batch(1, 10, None)));
    let waiting = node.send(place, fetch(place, 1, 1, u64::MAX));
    assert!(node.take(key).is_none());
    assert!(node.take(waiting).is_none());
    assert_eq!(node.read_all(place), [0]);
    assert_eq!(node.offset(place, OffsetTarget::Latest), Some(1));
    node.release_syncs(0);
    assert!(node.take(key).is_some());
    let Some(Request::Fetch(fetched)) = node.take(waiting) else {
        panic!("the flush wakes the reader");
    };
    assert!(!node.records(fetched).unwrap().is_empty());
}

#[test]
fn a_waiting_fetch_ends_at_its_deadline_with_what_there_is() {
    let mut node = Node::start(disk(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    let deadline_ns = node.now.mono_ns + 100_000_000;
    let key = node.send(place, fetch(place, 0, 1 << 20, deadline_ns));
    node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    node.tick(90);
    assert!(node.take(key).is_none());
    node.tick(10);
    assert!(node.take(key).is_some());
}

#[test]
fn records_survive_a_clean_stop_and_a_kill_and_another_shard_count() {
    let disk = disk();
    let mut expected = Vec::new();
    let mut topic = Default::default();
    for (life, shards) in [1, 1, 3, 2, 2, 1].into_iter().enumerate() {
        let mut config = config(shards);
        config.topic_defaults.segment_bytes = 20_000;
        let mut node = Node::start(disk.clone(), config, life as u128 + 1);
        if life == 0 {
            topic = node.create("paiement", 7, 4, &[]);
        }
        for number in 0..4 {
            assert_eq!(
                node.read_all(partition(topic, number)),
                expected,
                "life {life}"
            );
        }
        for round in 0..20 {
            for number in 0..4 {
                let sent = batch(1, 700 + 37 * round, None);
                let appended = node
                    .produce(partition(topic, number), sent)
                    .unwrap()
                    .unwrap();
                if number == 0 {
                    expected.push(appended.base_offset.0);
                }
            }
        }
        for number in 0..4 {
            assert_eq!(
                node.read_all(partition(topic, number)),
                expected,
                "life {life}"
            );
        }
        if life % 2 == 0 {
            node.stop();
        }
    }
    assert_eq!(expected, (0..120).collect::<Vec<i64>>());
}

#[test]
fn the_journal_laps_and_rolled_segments_get_their_indexes() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(1), 1);
    let topic = node.create("paiement", 7, 2, &[("segment.bytes", "1048576")]);
    // 4 MiB of ring, 16 MiB of records.
    for _ in 0..1000 {
        for number in 0..2 {
            node.produce(partition(topic, number), batch(8, 1000, None))
                .unwrap()
                .unwrap();
        }
        node.tick(1);
    }
    node.stop();
    assert!(segments_of_real_length(&disk) >= 16);
    let mut node = Node::start(disk, config(1), 2);
    for number in 0..2 {
        let all = node.read_all(partition(topic, number));
        assert_eq!(all, (0..1000).map(|batch| batch * 8).collect::<Vec<i64>>());
    }
    assert_eq!(
        node.offset(
            partition(topic, 0),
            OffsetTarget::AtOrAfter(1_700_000_000_003)
        ),
        Some(3)
    );
}

#[test]
fn a_reader_from_the_beginning_of_a_segment_finds_its_way_by_the_index() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[("segment.bytes", "4194304")]);
    let place = partition(topic, 0);
    for _ in 0..1000 {
        node.produce(place, batch(8, 1000, None)).unwrap().unwrap();
        node.tick(1);
    }
    node.stop();
    let mut node = Node::start(disk.clone(), config(1), 2);
    disk.borrow_mut().segment_bytes_read = 0;
    assert_eq!(node.read_all(place).len(), 1000);
    let read = disk.borrow().segment_bytes_read;
    assert!(read < 100_000, "{read} bytes of segments for 8 MB");
}

/// Checks that every segment file holds whole batches and nothing else, and has its indexes.
/// Returns how many there are.
fn segments_of_real_length(disk: &Rc<RefCell<MemoryDisk>>) -> usize {
    let disk = disk.borrow();
    let segments = disk
        .files
        .iter()
        .filter(|(path, _)| path.contains("/0") && path.ends_with(".log"));
    let checked = segments.map(|(path, content)| {
        let mut batches = Batches::new(content).checking_crcs();
        assert!(
            batches.all(|batch| batch.is_ok()),
            "{path} holds more than batches"
        );
        for index in [".index", ".timeindex"] {
            let index = path.replace(".log", index);
            assert!(disk.files.contains_key(&index), "{index} is missing");
        }
    });
    checked.count()
}

#[test]
fn a_segment_that_is_rolled_while_it_gets_more_room_is_finished() {
    let disk = disk();
    let mut config = config(1);
    config.topic_defaults.segment_bytes = 300_000;
    let mut node = Node::start(disk.clone(), config, 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    let mut sent = sillon_shard::Produce {
        wait: true,
        ..Default::default()
    };
    for _ in 0..200 {
        sent.entries.push(sillon_shard::ProduceEntry {
            partition: place,
            batch: batch(1, 20_000, None),
            outcome: None,
        });
    }
    let key = node.send(place, Request::Produce(sent));
    for _ in 0..100 {
        node.tick(10);
    }
    assert!(node.take(key).is_some());
    node.stop();
    assert!(segments_of_real_length(&disk) >= 12);
}

#[test]
fn a_duplicate_is_answered_with_the_original_offset_also_after_a_kill() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    let producer = Producer { id: 5, epoch: 0 };
    node.produce(place, batch(2, 10, Some((producer, 0))))
        .unwrap()
        .unwrap();
    node.produce(place, batch(2, 10, Some((producer, 2))))
        .unwrap()
        .unwrap();
    let mut node = Node::start(disk, config(1), 2);
    let again = node
        .produce(place, batch(2, 10, Some((producer, 2))))
        .unwrap()
        .unwrap();
    assert_eq!(again.base_offset, Offset(2));
    assert_eq!(node.read_all(place), [0, 2]);
    let gap = node
        .produce(place, batch(2, 10, Some((producer, 8))))
        .unwrap();
    assert_eq!(gap, Err(Refusal::OutOfOrderSequence));
}

#[test]
fn a_deleted_topic_is_gone_and_one_of_the_same_name_is_empty() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(2), 1);
    let topic = node.create("paiement", 7, 2, &[]);
    node.produce(partition(topic, 0), batch(2, 10, None))
        .unwrap()
        .unwrap();
    node.metadata(vec![MetadataRecord::TopicRemoved { id: topic }]);
    let refused = node
        .produce(partition(topic, 0), batch(2, 10, None))
        .unwrap();
    assert_eq!(refused, Err(Refusal::UnknownPartition));
    let next = node.create("paiement", 8, 2, &[]);
    assert_eq!(node.read_all(partition(next, 0)), []);
    node.produce(partition(next, 0), batch(1, 10, None))
        .unwrap()
        .unwrap();
    for _ in 0..10 {
        node.tick(10);
    }
    let left: Vec<String> = disk.borrow().folders.clone();
    assert!(
        left.iter().all(|name| !name.ends_with("-delete")),
        "{left:?}"
    );
    let mut node = Node::start(disk, config(2), 2);
    assert_eq!(node.read_all(partition(next, 0)), [0]);
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_as_it_is() {
    for (file, version, newer) in [
        ("sillon.manifest", "format_version=1", "format_version=2"),
        ("meta.properties", "\nversion=1", "\nversion=2"),
    ] {
        let disk = disk();
        let mut node = Node::start(disk.clone(), config(2), 1);
        node.create("paiement", 7, 2, &[]);
        let content = disk.borrow().files[file].clone();
        let text = String::from_utf8(content).unwrap();
        let text = text.replace(version, newer);
        assert!(text.contains(newer), "{text}");
        disk.borrow_mut().files.insert(file.into(), text.into());
        let before = disk.borrow().files.clone();
        for shards in [2, 3] {
            let refused = Node::boot(&disk, config(shards), 2).err().expect("refused");
            assert!(refused.0.contains("start the version"), "{refused}");
            let after = disk.borrow().files.clone();
            assert!(after == before, "{file}: {shards} shards");
        }
    }
}

#[test]
fn without_room_for_journals_of_another_shard_count_the_old_one_still_starts() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(2), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    disk.borrow_mut().is_full = true;
    let refused = Node::boot(&disk, config(3), 2).err().expect("refused");
    assert!(refused.0.contains("make room"), "{refused}");
    assert!(refused.0.contains("--shards 2"), "{refused}");
    let mut node = Node::start(disk, config(2), 3);
    assert_eq!(node.read_all(place), [0]);
}

#[test]
fn a_write_error_refuses_what_waits_and_takes_the_shard_offline() {
    let mut node = Node::start(disk(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    node.disk.borrow_mut().writes_fail = true;
    let refused = node.produce(place, batch(1, 10, None)).unwrap();
    assert_eq!(refused, Err(Refusal::Storage));
    assert!(
        node.logs
            .iter()
            .any(|line| line.contains("the journal cannot be written"))
    );
    assert_eq!(node.fetch(place, 0), Err(Refusal::Storage));
}

#[test]
fn of_partitions_that_rest_only_a_part_of_a_block_stays_in_memory() {
    const PARTITIONS: i32 = 20;
    let mut small = config(1);
    // A quarter of it is for the newest records: 5 of the 20 batches below.
    small.memory_bytes = 4 << 20;
    let mut node = Node::start(disk(), small, 1);
    let topic = node.create("paiement", 7, PARTITIONS, &[]);
    let places: Vec<_> = (0..PARTITIONS).map(|n| partition(topic, n)).collect();
    for place in &places {
        let appended = node.produce(*place, batch(1, 200_000, None));
        appended.unwrap().unwrap();
    }
    for _ in 0..310 {
        node.tick(100);
    }
    let mut from_file = 0;
    for place in &places {
        let key = node.send(*place, fetch(*place, 0, 0, 0));
        let Some(Request::Fetch(fetch)) = node.take(key) else {
            panic!("a fetch with nothing to wait for is answered");
        };
        let fetched = fetch.entries[0].outcome.as_ref().unwrap().as_ref().unwrap();
        let lengths = |of_file: bool| -> u64 {
            let lengths = fetched.records.iter().map(|extent| match extent {
                Extent::Memory(slice) if !of_file => slice.len() as u64,
                Extent::File { len, .. } if of_file => *len,
                _ => 0,
            });
            lengths.sum()
        };
        if lengths(true) > 0 {
            from_file += 1;
            assert_eq!(lengths(true) % 4096, 0);
            assert!(lengths(false) < 4096, "{}", lengths(false));
        }
    }
    assert!(from_file >= 15, "{from_file}");
    for place in &places {
        let appended = node.produce(*place, batch(1, 200_000, None));
        appended.unwrap().unwrap();
        assert_eq!(node.read_all(*place), [0, 1]);
    }
    for _ in 0..310 {
        node.tick(100);
    }
    for place in &places {
        assert_eq!(node.read_all(*place), [0, 1]);
    }
}

#[test]
fn on_a_full_disk_the_journal_goes_on_in_the_space_of_the_checkpoint_before_the_last() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    assert!(disk.borrow().files.contains_key("reserve"));
    let mut acknowledged = Vec::new();
    // Room for 16 MiB in the segment, and then no more: the ring of 4 MiB needs checkpoints.
    for _ in 0..36 {
        acknowledged.push(
            node.produce(place, batch(1, 200_000, None))
                .unwrap()
                .unwrap(),
        );
        node.tick(10);
    }
    disk.borrow_mut().is_quite_full = true;
    for _ in 0..60 {
        match node.produce(place, batch(1, 200_000, None)) {
            Some(Ok(appended)) => acknowledged.push(appended),
            Some(Err(refusal)) => assert_eq!(refusal, Refusal::Storage),
            None => panic!("neither acknowledged nor refused"),
        }
        for _ in 0..20 {
            node.tick(10);
        }
    }
    node.stop();
    assert!(
        node.logs
            .iter()
            .any(|line| line.contains("no space left on the data folder"))
    );
    disk.borrow_mut().is_quite_full = false;
    let mut node = Node::start(disk.clone(), config(1), 2);
    let expected: Vec<i64> = acknowledged
        .iter()
        .map(|appended| appended.base_offset.0)
        .collect();
    assert_eq!(node.read_all(place), expected);
    assert!(disk.borrow().files.contains_key("reserve"));
}

#[test]
fn a_checkpoint_that_grows_on_a_full_disk_takes_the_space_set_aside_which_is_kept_again_later() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    let place = partition(topic, 0);
    node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    disk.borrow_mut().is_full = true;
    for id in 0..400 {
        let producer = Producer { id, epoch: 0 };
        let appended = node.produce(place, batch(1, 10, Some((producer, 0))));
        appended.unwrap().unwrap();
    }
    let half_a_minute = |node: &mut Node| {
        for _ in 0..310 {
            node.tick(100);
        }
    };
    half_a_minute(&mut node);
    assert!(!disk.borrow().files.contains_key("reserve"));
    disk.borrow_mut().is_full = false;
    node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    half_a_minute(&mut node);
    assert!(disk.borrow().files.contains_key("reserve"));
}

#[test]
fn a_segment_that_is_closed_on_a_full_disk_has_its_length_and_gets_its_indexes_later() {
    let disk = disk();
    let configs = [("segment.bytes", "1048576")];
    let mut node = Node::start(disk.clone(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &configs);
    let place = partition(topic, 0);
    for _ in 0..6 {
        node.produce(place, batch(1, 200_000, None))
            .unwrap()
            .unwrap();
    }
    disk.borrow_mut().is_quite_full = true;
    for _ in 0..310 {
        node.tick(100);
    }
    let len = |path: &str| disk.borrow().files.get(path).map(Vec::len);
    let log = "paiement-0/00000000000000000000.log";
    assert!(
        len(log).is_some_and(|len| len < 1_048_576),
        "{:?}",
        len(log)
    );
    assert_eq!(node.read_all(place), [0, 1, 2, 3, 4, 5]);
    disk.borrow_mut().is_quite_full = false;
    node.produce(place, batch(1, 10, None)).unwrap().unwrap();
    for _ in 0..310 {
        node.tick(100);
    }
    let index = "paiement-0/00000000000000000000.index";
    assert!(len(index).is_some_and(|len| len > 0));
}

#[test]
fn on_a_full_disk_metadata_is_refused_except_what_gives_space_back_and_goes_on_later() {
    let disk = disk();
    let mut node = Node::start(disk.clone(), config(1), 1);
    let topic = node.create("paiement", 7, 1, &[]);
    disk.borrow_mut().is_quite_full = true;
    let ids = |next| vec![MetadataRecord::ProducerIds { next }];
    // What is reserved ahead is used up before anything is refused.
    let mut next = 1000;
    while node.try_metadata(ids(next)).is_ok() {
        next += 1000;
        assert!(next < 1_000_000, "nothing is ever refused");
    }
    assert_eq!(node.try_metadata(ids(next)), Err(DiskError::NoSpace));
    let removed = vec![MetadataRecord::TopicRemoved { id: topic }];
    assert_eq!(node.try_metadata(removed), Ok(()));
    assert_eq!(node.try_metadata(ids(next)), Err(DiskError::NoSpace));
    disk.borrow_mut().is_quite_full = false;
    assert_eq!(node.try_metadata(ids(next)), Ok(()));
    node.stop();
    let node = Node::start(disk.clone(), config(1), 2);
    assert_eq!(node.shards[0].image().next_producer_id(), next);
    assert!(node.shards[0].image().topic(topic).is_none());
}

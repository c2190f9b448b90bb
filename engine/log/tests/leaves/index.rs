use proptest::prelude::*;
use sillon_log::{
    INDEX_ENTRIES_MAX, IndexFileError, SegmentIndex, decode_offset_index, encode_offset_index,
    encode_time_index,
};
use sillon_record::Offset;

const BASE: i64 = 1_000;

#[derive(Clone, Copy, Debug)]
struct Batch {
    base_offset: i64,
    last_offset: i64,
    position: u32,
    size_bytes: u32,
    timestamp_ms: i64,
}

/// Batches as (records, bytes, timestamp), laid out one behind the other.
fn laid_out(shapes: &[(u8, u16, i64)]) -> Vec<Batch> {
    let (mut next_offset, mut position) = (BASE, 0);
    shapes
        .iter()
        .map(|&(records, bytes, timestamp_ms)| {
            let batch = Batch {
                base_offset: next_offset,
                last_offset: next_offset + i64::from(records),
                position,
                size_bytes: 61 + u32::from(bytes),
                timestamp_ms,
            };
            next_offset = batch.last_offset + 1;
            position += batch.size_bytes;
            batch
        })
        .collect()
}

fn append(index: &mut SegmentIndex, batches: &[Batch]) {
    for batch in batches {
        index.appended(
            Offset(batch.last_offset),
            batch.position,
            batch.size_bytes,
            batch.timestamp_ms,
        );
    }
}

fn index_of(batches: &[Batch]) -> SegmentIndex {
    let mut index = SegmentIndex::new(Offset(BASE));
    append(&mut index, batches);
    index
}

fn shapes() -> impl Strategy<Value = Vec<(u8, u16, i64)>> {
    prop::collection::vec((0..9_u8, 0..3_000_u16, -1..60_i64), 0..80)
}

fn is_boundary(batches: &[Batch], position: u32) -> bool {
    position == 0 || batches.iter().any(|batch| batch.position == position)
}

/// Every lookup leads to a boundary from which a walk finds what a walk from 0 finds.
fn check_lookups(index: &SegmentIndex, batches: &[Batch]) {
    for batch in batches {
        for offset in [batch.base_offset, batch.last_offset] {
            let position = index.position_for(Offset(offset));
            assert!(is_boundary(batches, position) && position <= batch.position);
        }
        let boundary = index.boundary_at_or_before(batch.position);
        assert!(is_boundary(batches, boundary) && boundary <= batch.position);
    }
    for timestamp_ms in -2..61 {
        let position = index.position_for_time(timestamp_ms);
        assert!(is_boundary(batches, position));
        let first = batches
            .iter()
            .find(|batch| batch.timestamp_ms >= timestamp_ms);
        if let Some(first) = first {
            assert!(position <= first.position, "{timestamp_ms} is passed over");
            assert!(index.max_timestamp_ms() >= timestamp_ms);
        }
    }
}

/// What Kafka's DumpLogSegments asks of the two files of a segment with these batches.
fn check_files_as_kafka_does(offset_index: &[u8], time_index: &[u8], batches: &[Batch]) {
    for entry in offset_index.chunks_exact(8) {
        let relative = i32::from_be_bytes(entry[..4].try_into().unwrap());
        let position = i32::from_be_bytes(entry[4..].try_into().unwrap());
        let batch = batches
            .iter()
            .find(|batch| i64::from(batch.position) == i64::from(position))
            .expect("an entry points at a batch");
        assert_eq!(batch.last_offset, BASE + i64::from(relative));
    }
    let mut before_ms = -1;
    for entry in time_index.chunks_exact(12) {
        let timestamp_ms = i64::from_be_bytes(entry[..8].try_into().unwrap());
        let relative = i32::from_be_bytes(entry[8..].try_into().unwrap());
        assert!(timestamp_ms > before_ms, "timestamps ascend strictly");
        let batch = batches
            .iter()
            .find(|batch| batch.last_offset >= BASE + i64::from(relative))
            .expect("an entry names a batch");
        assert_eq!(batch.last_offset, BASE + i64::from(relative));
        assert_eq!(batch.timestamp_ms, timestamp_ms);
        before_ms = timestamp_ms;
    }
    let max_ms = batches.iter().map(|batch| batch.timestamp_ms).max();
    assert_eq!(
        before_ms,
        max_ms.unwrap_or(-1),
        "the last entry is the largest"
    );
}

fn files_of(index: &SegmentIndex) -> (Vec<u8>, Vec<u8>) {
    (
        encode_offset_index(index.entries()),
        encode_time_index(index),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn lookups_never_pass_over_what_is_looked_for(shapes in shapes()) {
        let batches = laid_out(&shapes);
        check_lookups(&index_of(&batches), &batches);
    }

    #[test]
    fn the_files_hold_what_kafka_checks_and_read_back(shapes in shapes()) {
        let batches = laid_out(&shapes);
        let index = index_of(&batches);
        let (offset_index, time_index) = files_of(&index);
        check_files_as_kafka_does(&offset_index, &time_index, &batches);
        let read = decode_offset_index(Offset(BASE), &offset_index, &time_index).unwrap();
        prop_assert_eq!(read.entries(), index.entries());
        prop_assert_eq!(read.max_timestamp_ms(), index.max_timestamp_ms());
        check_lookups(&read, &batches);
    }

    #[test]
    fn an_index_from_a_checkpoint_goes_on_as_well_as_the_one_before(
        shapes in shapes(),
        cut in 0..80_usize,
        count_max in 1..40_usize,
    ) {
        let batches = laid_out(&shapes);
        let cut = cut.min(batches.len());
        let before = index_of(&batches[..cut]);
        let thinned = before.thinned(count_max);
        prop_assert!(thinned.len() <= count_max);
        let mut after = SegmentIndex::from_entries(Offset(BASE), thinned);
        prop_assert_eq!(after.max_timestamp_ms(), before.max_timestamp_ms());
        append(&mut after, &batches[cut..]);
        check_lookups(&after, &batches);
        let (offset_index, time_index) = files_of(&after);
        check_files_as_kafka_does(&offset_index, &time_index, &batches);
    }

    #[test]
    fn a_truncated_index_forgets_positions_but_never_underrates_a_timestamp(
        shapes in shapes(),
        cut in 0..80_usize,
        more in shapes(),
        through_files: bool,
    ) {
        let batches = laid_out(&shapes);
        let cut = cut.min(batches.len());
        let end = batches.get(cut).map_or(u32::MAX, |batch| batch.position);
        let mut index = index_of(&batches);
        if through_files {
            let (offset_index, time_index) = files_of(&index);
            index = decode_offset_index(Offset(BASE), &offset_index, &time_index).unwrap();
        }
        index.truncate(end);
        prop_assert!(index.entries().iter().all(|entry| entry.position < end));
        check_lookups(&index, &batches[..cut]);

        let kept: Vec<_> = shapes[..cut].iter().chain(&more).copied().collect();
        let batches = laid_out(&kept);
        append(&mut index, &batches[cut..]);
        check_lookups(&index, &batches);
        let (offset_index, time_index) = files_of(&index);
        let read = decode_offset_index(Offset(BASE), &offset_index, &time_index).unwrap();
        check_lookups(&read, &batches);
    }

    #[test]
    fn any_bytes_are_an_index_or_an_error(
        offset_index in prop::collection::vec(any::<u8>(), 0..200),
        time_index in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Ok(index) = decode_offset_index(Offset(BASE), &offset_index, &time_index) {
            index.position_for(Offset(BASE + 7));
            index.position_for_time(7);
        }
    }

    #[test]
    fn small_numbers_are_an_index_or_an_error(
        offsets in prop::collection::vec((0..9_i32, 0..9_i32), 0..6),
        times in prop::collection::vec((-2..9_i64, -1..9_i32), 0..6),
    ) {
        let mut offset_index = Vec::new();
        for (offset, position) in offsets {
            offset_index.extend_from_slice(&offset.to_be_bytes());
            offset_index.extend_from_slice(&position.to_be_bytes());
        }
        let mut time_index = Vec::new();
        for (timestamp_ms, offset) in times {
            time_index.extend_from_slice(&timestamp_ms.to_be_bytes());
            time_index.extend_from_slice(&offset.to_be_bytes());
        }
        if let Ok(mut index) = decode_offset_index(Offset(BASE), &offset_index, &time_index) {
            prop_assert!(index.entries().is_sorted_by(|a, b| a.position < b.position));
            index.truncate(5);
            index.appended(Offset(BASE + 100), 100, 61, 3);
        }
    }
}

#[test]
fn a_large_segment_keeps_its_index_bounded_and_even() {
    let mut index = SegmentIndex::new(Offset(BASE));
    let size_bytes = 4_000;
    for batch in 0..100_000_u32 {
        let offset = BASE + i64::from(batch);
        index.appended(Offset(offset), batch * size_bytes, size_bytes, 7);
        assert!(index.entries().len() <= INDEX_ENTRIES_MAX);
    }
    assert!(index.entries().len() > INDEX_ENTRIES_MAX / 4);
    let widest = index
        .entries()
        .windows(2)
        .map(|pair| pair[1].position - pair[0].position)
        .max();
    // 400 MB: the interval has doubled six times, and an entry comes with the first batch beyond.
    assert!(widest.unwrap() <= 64 * (4_096 + size_bytes), "{widest:?}");
    let thinned = index.thinned(256);
    assert!(thinned.len() > 128 && thinned.len() <= 256);
    assert_eq!(thinned.last().unwrap().position, 99_999 * size_bytes);
}

#[test]
fn a_first_entry_appears_behind_4_kib_as_in_kafka() {
    let mut index = SegmentIndex::new(Offset(BASE));
    index.appended(Offset(BASE), 0, 4_096, 1);
    index.appended(Offset(BASE + 1), 4_096, 100, 1);
    assert_eq!(index.entries(), []);
    index.appended(Offset(BASE + 2), 4_196, 100, 1);
    assert_eq!(index.entries().len(), 1);
    assert_eq!(
        encode_offset_index(index.entries()),
        [0, 0, 0, 2, 0, 0, 16, 100]
    );
    let time_index = encode_time_index(&index);
    assert_eq!(time_index, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
}

#[test]
fn a_batch_too_far_above_the_base_offset_has_no_room() {
    let index = SegmentIndex::new(Offset(BASE));
    assert!(index.has_room_for(Offset(BASE + i64::from(i32::MAX))));
    assert!(!index.has_room_for(Offset(BASE + i64::from(i32::MAX) + 1)));
    assert!(!index.has_room_for(Offset(BASE - 1)));
}

#[test]
fn a_torn_index_file_is_refused() {
    let torn = decode_offset_index(Offset(BASE), &[0; 9], &[]);
    assert_eq!(
        torn,
        Err(IndexFileError::Length {
            file: ".index",
            len: 9,
            entry: 8
        })
    );
    // The preallocated zeros behind the entries of a file that was never closed.
    let unclosed = decode_offset_index(Offset(BASE), &[0; 16], &[]);
    assert_eq!(
        unclosed,
        Err(IndexFileError::Order {
            file: ".index",
            at: 8
        })
    );
}

#[test]
fn an_index_truncated_to_its_first_batch_names_no_offset_that_it_does_not_know() {
    let batches = laid_out(&[(4, 5_000, 1), (0, 0, 2), (0, 0, 9)]);
    let mut index = index_of(&batches);
    index.truncate(batches[1].position);
    let restored = SegmentIndex::from_entries(Offset(BASE), index.thinned(8));
    assert_eq!(restored.max_timestamp_ms(), 9, "an upper bound");
    assert_eq!(encode_offset_index(restored.entries()), []);
}

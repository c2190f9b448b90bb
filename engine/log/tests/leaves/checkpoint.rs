use proptest::prelude::*;
use sillon_log::{
    CheckpointBuilder, CheckpointError, CheckpointHeader, IndexEntry, LeaderEpochs,
    PartitionCheckpoint, PartitionFault, Producers, SegmentInfo, decode_checkpoint,
    encode_partition,
};
use sillon_record::{BatchInfo, LeaderEpoch, Offset, PartitionIncarnation, Producer, TopicId};

fn header() -> CheckpointHeader {
    CheckpointHeader {
        shard_count: 4,
        shard: 3,
        journal_id: 1 << 100 | 7,
        incarnation: u128::MAX - 3,
        next_sequence: 12,
        file: 1,
        offset: 8_192,
        previous_checksum: 0xdead_beef,
        durable_through: 11,
        applied_sequence: 10,
        is_clean: true,
    }
}

fn partition(partition: i32) -> PartitionCheckpoint {
    let mut epochs = LeaderEpochs::default();
    epochs.assign(LeaderEpoch(2), Offset(0));
    epochs.assign(LeaderEpoch(5), Offset(40));
    let mut producers = Producers::default();
    let info = BatchInfo {
        producer: Some(Producer { id: 9, epoch: 1 }),
        ..BatchInfo::default()
    };
    producers.appended(&info, Offset(41), 77);
    PartitionCheckpoint {
        topic: TopicId([partition as u8; 16]),
        partition,
        incarnation: PartitionIncarnation(1_000 + partition as u64),
        topic_name: "mesures-été".to_owned(),
        log_start: Offset(3),
        high_watermark: Offset(41),
        next_offset: Offset(42),
        compacted_to: Offset(17),
        is_swapping: true,
        leader_epoch: LeaderEpoch(5),
        segments: vec![SegmentInfo {
            base_offset: Offset(3),
            next_offset: Offset(42),
            size_bytes: 12_345,
            max_timestamp_ms: -1,
            created_ms: 1_700_000_000_000,
            generation: 3,
        }],
        active_index: vec![IndexEntry {
            relative_offset: 38,
            position: 9_000,
            max_timestamp_ms: -1,
            max_timestamp_offset: 38,
        }],
        epochs,
        producers,
    }
}

fn file_of(partitions: &[PartitionCheckpoint]) -> Vec<u8> {
    let mut builder = CheckpointBuilder::new(header());
    let mut encoded = Vec::new();
    for partition in partitions {
        encoded.clear();
        encode_partition(&partition.borrowed(), &mut encoded);
        builder.push_encoded(&encoded);
    }
    builder.finish()
}

/// The file with its checksum made right again.
fn resealed(mut file: Vec<u8>) -> Vec<u8> {
    let body = file.len() - 4;
    let checksum = crc32fast::hash(&file[..body]);
    file[body..].copy_from_slice(&checksum.to_be_bytes());
    file
}

#[test]
fn a_checkpoint_reads_back_as_written() {
    for count in [0, 1, 3] {
        let partitions: Vec<_> = (0..count).map(partition).collect();
        let read = decode_checkpoint(&file_of(&partitions));
        assert_eq!(read, Ok((header(), partitions)));
    }
    let empty = PartitionCheckpoint::default();
    let read = decode_checkpoint(&file_of(std::slice::from_ref(&empty)));
    assert_eq!(read, Ok((header(), vec![empty])));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let mut file = file_of(&[partition(0)]);
    file[9] = 4;
    let refused = decode_checkpoint(&file).unwrap_err();
    assert_eq!(refused, CheckpointError::Version { version: 4 });
    let text = refused.to_string();
    assert!(
        text.contains("version 4") && text.contains("reads version 3"),
        "{text}"
    );
}

/// The bytes that version 2 had: without a length.
fn as_version_2(of: &PartitionCheckpoint) -> Vec<u8> {
    let mut file = file_of(std::slice::from_ref(of));
    file[9] = 2;
    file.drain(10..18);
    resealed(file)
}

/// The bytes that version 1 had: without what version 2 says of compaction.
fn as_version_1(of: &PartitionCheckpoint) -> Vec<u8> {
    let mut file = as_version_2(of);
    file[9] = 1;
    let start = file_of(&[]).len() - 8 - 8;
    let compacted_to_at = start + 4 + 16 + 4 + 8 + 2 + of.topic_name.len() + 3 * 8;
    let generation_at = compacted_to_at + 8 + 1 + 4 + 4 + 5 * 8;
    file.drain(generation_at..generation_at + 4);
    file.drain(compacted_to_at..compacted_to_at + 9);
    let len = u32::from_be_bytes(file[start..start + 4].try_into().unwrap()) - 13;
    file[start..start + 4].copy_from_slice(&len.to_be_bytes());
    resealed(file)
}

#[test]
fn bytes_behind_a_checkpoint_mean_nothing() {
    let expected = Ok((header(), vec![partition(0)]));
    let mut file = file_of(&[partition(0)]);
    for byte in [0, 7, 255] {
        file.push(byte);
        assert_eq!(decode_checkpoint(&file), expected);
    }
    file.extend(file_of(&[partition(1), partition(2)]));
    assert_eq!(decode_checkpoint(&file), expected);
}

#[test]
fn a_checkpoint_without_a_length_ends_where_its_file_does() {
    let file = as_version_2(&partition(0));
    assert_eq!(decode_checkpoint(&file), Ok((header(), vec![partition(0)])));
    let longer = [&file[..], &[0]].concat();
    assert!(decode_checkpoint(&longer).is_err());
}

#[test]
fn a_checkpoint_from_before_compaction_is_read() {
    let mut expected = partition(0);
    let (_, read) = decode_checkpoint(&as_version_1(&expected)).unwrap();
    expected.compacted_to = Offset(0);
    expected.is_swapping = false;
    expected.segments[0].generation = 0;
    assert_eq!(read, [expected]);
}

#[test]
fn something_else_is_no_checkpoint() {
    assert_eq!(decode_checkpoint(b""), Err(CheckpointError::Magic));
    assert_eq!(decode_checkpoint(&[0; 64]), Err(CheckpointError::Magic));
}

#[test]
fn every_flipped_bit_and_every_missing_tail_is_noticed() {
    let file = file_of(&[partition(0), partition(1)]);
    for place in 0..file.len() {
        for bit in 0..8 {
            let mut damaged = file.clone();
            damaged[place] ^= 1 << bit;
            assert!(
                decode_checkpoint(&damaged).is_err(),
                "bit {bit} of byte {place}"
            );
        }
        assert!(decode_checkpoint(&file[..place]).is_err(), "cut at {place}");
    }
}

#[test]
fn a_partition_that_is_missing_is_noticed_although_the_checksum_is_right() {
    let mut file = file_of(&[partition(0)]);
    let count_at = file.len() - 8;
    file[count_at + 3] = 2;
    let expected = CheckpointError::PartitionsCount {
        claimed: 2,
        found: 1,
    };
    assert_eq!(decode_checkpoint(&resealed(file)), Err(expected));
}

#[test]
fn a_huge_count_is_refused_before_memory_is_taken_for_it() {
    let start = file_of(&[]).len() - 8;
    let segments_count_at = start + 4 + 16 + 4 + 8 + 2 + 3 * 8 + 8 + 1 + 4;
    let mut file = file_of(&[PartitionCheckpoint::default()]);
    file[segments_count_at..segments_count_at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let refused = decode_checkpoint(&resealed(file)).unwrap_err();
    let CheckpointError::Partition { at, fault } = refused else {
        panic!("{refused}");
    };
    assert_eq!(at, start);
    assert!(matches!(fault, PartitionFault::CutShort(_)), "{fault}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_are_a_checkpoint_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 8..400),
    ) {
        let _ = decode_checkpoint(&bytes);
        for version in 1..=3 {
            let body = [&b"SILLONCP\0"[..], &[version], &bytes].concat();
            let _ = decode_checkpoint(&resealed(body));
        }
    }

    #[test]
    fn a_resealed_checkpoint_with_a_changed_byte_never_panics(place: usize, byte: u8) {
        let mut file = file_of(&[partition(0), partition(1)]);
        let place = place % file.len();
        file[place] = byte;
        let _ = decode_checkpoint(&resealed(file));
    }
}

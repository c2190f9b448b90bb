//! Appends of the metadata log: they read back as written, and no bytes make reading panic.

use proptest::prelude::*;
use sillon_controller::{AppendError, MetadataRecord, decode_append, encode_append};
use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

fn any_id() -> impl Strategy<Value = TopicId> {
    any::<[u8; 16]>().prop_map(TopicId)
}

fn any_record() -> impl Strategy<Value = MetadataRecord> {
    let text = ".{0,40}";
    prop_oneof![
        (any::<i32>(), text, any::<u16>()).prop_map(|(broker, host, port)| {
            MetadataRecord::BrokerRegistered {
                broker: BrokerId(broker),
                host,
                port,
            }
        }),
        (any_id(), text).prop_map(|(id, name)| MetadataRecord::Topic { id, name }),
        (
            any_id(),
            any::<i32>(),
            any::<u64>(),
            prop::collection::vec(any::<i32>().prop_map(BrokerId), 0..5)
        )
            .prop_map(|(topic, partition, incarnation, replicas)| {
                MetadataRecord::Partition {
                    topic,
                    partition,
                    incarnation: PartitionIncarnation(incarnation),
                    replicas,
                }
            }),
        (any_id(), text, prop::option::of(text))
            .prop_map(|(topic, key, value)| MetadataRecord::TopicConfig { topic, key, value }),
        (prop::option::of(0i32..), text, prop::option::of(text)).prop_map(
            |(broker, key, value)| MetadataRecord::BrokerConfig {
                broker: broker.map(BrokerId),
                key,
                value,
            }
        ),
        any_id().prop_map(|id| MetadataRecord::TopicRemoved { id }),
        any::<i64>().prop_map(|next| MetadataRecord::ProducerIds { next }),
    ]
}

fn any_records() -> impl Strategy<Value = Vec<MetadataRecord>> {
    prop::collection::vec(any_record(), 0..20)
}

proptest! {
    #[test]
    fn appends_read_back_one_behind_the_other(
        first in any_records(), second in any_records(), index in any::<u32>()
    ) {
        let index = u64::from(index);
        let mut log = Vec::new();
        encode_append(index, &first, &mut log);
        let length = log.len();
        encode_append(index + first.len() as u64, &second, &mut log);
        let read = decode_append(&log).unwrap().unwrap();
        prop_assert_eq!(read.first_index, index);
        prop_assert_eq!(&read.records, &first);
        prop_assert_eq!(read.len_bytes, length);
        let read = decode_append(&log[length..]).unwrap().unwrap();
        prop_assert_eq!(&read.records, &second);
        prop_assert_eq!(decode_append(&log[log.len()..]), Ok(None));
    }

    #[test]
    fn an_append_that_is_cut_anywhere_is_torn(records in any_records(), cut in any::<usize>()) {
        let mut log = Vec::new();
        encode_append(3, &records, &mut log);
        log.truncate(1 + cut % (log.len() - 1));
        let torn = matches!(decode_append(&log), Err(AppendError::Torn { .. }));
        prop_assert!(torn);
    }

    #[test]
    fn one_wrong_bit_is_noticed(records in any_records(), bit in any::<usize>()) {
        let mut log = Vec::new();
        encode_append(3, &records, &mut log);
        let bit = bit % (log.len() * 8);
        log[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_append(&log).is_err());
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_append(&bytes);
    }

    #[test]
    fn no_body_with_a_right_checksum_makes_reading_panic(
        records in any_records(), body in prop::collection::vec(any::<u8>(), 13..200)
    ) {
        // A body of our own choice behind the format byte, under a checksum that holds.
        let mut log = Vec::new();
        encode_append(0, &records, &mut log);
        log.truncate(9);
        log.extend_from_slice(&body);
        let length = (log.len() as u32 - 8).to_le_bytes();
        log[..4].copy_from_slice(&length);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&length);
        hasher.update(&log[8..]);
        let crc = hasher.finalize().to_le_bytes();
        log[4..8].copy_from_slice(&crc);
        if let Ok(Some(read)) = decode_append(&log) {
            let mut again = Vec::new();
            encode_append(read.first_index, &read.records, &mut again);
            prop_assert_eq!(again, log);
        }
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let mut log = Vec::new();
    encode_append(0, &[], &mut log);
    log[8] = 3;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&log[..4]);
    hasher.update(&log[8..]);
    let crc = hasher.finalize().to_le_bytes();
    log[4..8].copy_from_slice(&crc);
    assert_eq!(decode_append(&log), Err(AppendError::Format { format: 3 }));
}

#[test]
fn zeros_are_no_append() {
    assert!(decode_append(&[0; 64]).is_err());
}

#[test]
fn an_append_says_the_newest_format_only_when_it_needs_it() {
    let format = |record: MetadataRecord| {
        let mut out = Vec::new();
        encode_append(0, &[record], &mut out);
        out[8]
    };
    assert_eq!(format(MetadataRecord::ProducerIds { next: 1 }), 1);
    let of_a_broker = MetadataRecord::BrokerConfig {
        broker: None,
        key: "log.segment.bytes".to_owned(),
        value: None,
    };
    assert_eq!(format(of_a_broker), 2);
}

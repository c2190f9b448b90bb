//! Every rule of Produce: the fault is planted, and exactly its error comes back.

mod planting;

use planting::*;
use sillon_record::{
    BatchBuilder, BatchError, BatchErrorClass, Compression, Producer, RecordFault, TimestampType,
    UnknownCodec,
};

#[test]
fn a_right_batch_of_every_codec_is_accepted() {
    for compression in Compression::ALL {
        let batch = three_records(compression);
        let valid = check(&batch, &rules()).unwrap();
        assert_eq!(&valid.bytes()[..], &batch);
        let info = valid.info();
        assert_eq!(info.size_bytes as usize, batch.len());
        assert_eq!((info.records_count, info.last_offset_delta), (3, 2));
        assert_eq!(info.compression, compression);
        assert_eq!(
            (info.base_timestamp_ms, info.max_timestamp_ms),
            (NOW_MS, NOW_MS + 2)
        );
        assert_eq!((info.producer, info.base_sequence), (None, -1));
    }
}

#[test]
fn an_empty_field_holds_no_batch() {
    assert_eq!(refusal(&[]), BatchError::Missing);
}

#[test]
fn a_batch_that_is_cut_short_is_refused_wherever_it_is_cut() {
    let batch = three_records(Compression::None);
    for length in 1..batch.len() {
        let needed = if length < RECORDS_AT {
            RECORDS_AT
        } else {
            batch.len()
        } as u64;
        let available = length;
        assert_eq!(
            refusal(&batch[..length]),
            BatchError::CutShort { needed, available }
        );
    }
}

#[test]
fn a_second_batch_is_refused() {
    let batch = three_records(Compression::None);
    let trailing = batch.len();
    assert_eq!(
        refusal(&[&batch[..], &batch].concat()),
        BatchError::Second { trailing }
    );
    assert_eq!(
        refusal(&[&batch[..], &[0]].concat()),
        BatchError::Second { trailing: 1 }
    );
}

#[test]
fn old_message_formats_are_refused_by_their_magic() {
    let batch = with_field(three_records(Compression::None), MAGIC_AT, &[1]);
    assert_eq!(refusal(&batch), BatchError::Magic { magic: 1 });
    // A message of format 0 may be shorter than a v2 header.
    assert_eq!(refusal(&[0; 26]), BatchError::Magic { magic: 0 });
}

#[test]
fn a_length_below_that_of_a_header_is_corrupt() {
    for length in [48i32, 0, -1, i32::MIN] {
        let batch = with_field(
            three_records(Compression::None),
            LENGTH_AT,
            &length.to_be_bytes(),
        );
        assert_eq!(refusal(&batch), BatchError::Length { length });
    }
}

#[test]
fn a_flipped_bit_is_seen_by_the_checksum() {
    let mut batch = three_records(Compression::None);
    *batch.last_mut().unwrap() ^= 1;
    assert!(matches!(refusal(&batch), BatchError::Crc { .. }));
}

#[test]
fn max_message_bytes_applies_to_the_batch_as_sent_to_the_byte() {
    let batch = three_records(Compression::Gzip);
    let size_bytes = batch.len();
    let mut rules = rules();
    rules.max_message_bytes = size_bytes as u32;
    check(&batch, &rules).unwrap();
    rules.max_message_bytes -= 1;
    let max_message_bytes = rules.max_message_bytes;
    assert_eq!(
        check(&batch, &rules).unwrap_err(),
        BatchError::TooLarge {
            size_bytes,
            max_message_bytes
        }
    );
}

#[test]
fn the_limit_on_decompressed_bytes_holds_to_the_byte_for_every_codec() {
    let plain = three_records(Compression::None).len() - RECORDS_AT;
    for compression in &Compression::ALL[1..] {
        let batch = three_records(*compression);
        let mut rules = rules();
        rules.decompressed_bytes_max = plain as u64;
        check(&batch, &rules).unwrap();
        rules.decompressed_bytes_max -= 1;
        let expected = BatchError::DecompressedTooLarge {
            compression: *compression,
            limit_bytes: rules.decompressed_bytes_max,
        };
        assert_eq!(check(&batch, &rules).unwrap_err(), expected);
    }
}

#[test]
fn a_producer_does_not_give_offsets() {
    let batch = with_field(three_records(Compression::None), 0, &7i64.to_be_bytes());
    assert_eq!(refusal(&batch), BatchError::BaseOffset { base_offset: 7 });
}

#[test]
fn an_unknown_codec_is_refused() {
    for codec in 5..8u8 {
        let batch = with_field(three_records(Compression::None), ATTRIBUTES_AT, &[0, codec]);
        assert_eq!(
            refusal(&batch),
            BatchError::UnknownCodec(UnknownCodec(codec))
        );
    }
}

#[test]
fn zstd_is_refused_before_produce_7_and_other_codecs_are_not() {
    let mut rules = rules();
    rules.zstd_is_allowed = false;
    let batch = three_records(Compression::Zstd);
    assert_eq!(check(&batch, &rules).unwrap_err(), BatchError::ZstdTooEarly);
    for compression in &Compression::ALL[..4] {
        check(&three_records(*compression), &rules).unwrap();
    }
}

#[test]
fn attribute_bits_without_a_meaning_are_refused() {
    for bit in 6..16 {
        let attributes = (1u16 << bit) as i16;
        let field = attributes.to_be_bytes();
        let batch = with_field(three_records(Compression::None), ATTRIBUTES_AT, &field);
        assert_eq!(
            refusal(&batch),
            BatchError::ReservedAttributes { attributes }
        );
    }
}

#[test]
fn a_transactional_batch_has_an_error_of_its_own() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .transactional()
        .producer(Producer { id: 1, epoch: 0 }, 0);
    builder.append(NOW_MS, None, None, &[]).unwrap();
    let error = refusal(&builder.build());
    assert_eq!(error, BatchError::Transactional);
    assert_eq!(error.class(), BatchErrorClass::InvalidTxnState);
}

#[test]
fn a_control_batch_is_refused() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.control().transactional();
    builder
        .append(NOW_MS, Some(&[0, 0, 0, 1]), None, &[])
        .unwrap();
    assert_eq!(refusal(&builder.build()), BatchError::Control);
}

#[test]
fn a_producer_does_not_claim_log_append_time() {
    let batch = with_field(three_records(Compression::None), ATTRIBUTES_AT, &[0, 8]);
    assert_eq!(refusal(&batch), BatchError::LogAppendTime);
}

#[test]
fn the_record_count_agrees_with_the_last_offset_delta_and_is_positive() {
    for (records_count, last_offset_delta) in [
        (3, 3),
        (4, 2),
        (0, -1),
        (-1, -2),
        (i32::MIN, i32::MAX),
        (3, -1),
    ] {
        let batch = three_records(Compression::None);
        let delta = i32::to_be_bytes(last_offset_delta);
        let batch = with_field(batch, LAST_OFFSET_DELTA_AT, &delta);
        let batch = with_field(batch, RECORDS_COUNT_AT, &i32::to_be_bytes(records_count));
        assert_eq!(
            refusal(&batch),
            BatchError::Count {
                records_count,
                last_offset_delta
            }
        );
    }
    let empty = BatchBuilder::new(Compression::None).build();
    assert!(matches!(
        refusal(&empty),
        BatchError::Count {
            records_count: 0,
            ..
        }
    ));
}

#[test]
fn a_producer_id_comes_with_a_sequence_and_an_epoch() {
    let mut builder = BatchBuilder::new(Compression::None);
    for (epoch, base_sequence) in [(0, -1), (-1, 0), (3, i32::MIN)] {
        builder.producer(Producer { id: 9, epoch }, base_sequence);
        builder.append(NOW_MS, None, None, &[]).unwrap();
        let expected = BatchError::NegativeSequence {
            producer_id: 9,
            epoch,
            base_sequence,
        };
        assert_eq!(refusal(&builder.build()), expected);
    }
    builder.producer(Producer { id: 9, epoch: 0 }, i32::MAX);
    builder.append(NOW_MS, None, None, &[]).unwrap();
    builder.append(NOW_MS, None, None, &[]).unwrap();
    let valid = check(&builder.build(), &rules()).unwrap();
    assert_eq!(valid.info().producer, Some(Producer { id: 9, epoch: 0 }));
    assert_eq!(valid.info().last_sequence(), 0);
}

#[test]
fn record_offset_deltas_count_up_from_zero() {
    for (first, second, index) in [(1, 1, 0), (0, 0, 1), (0, 2, 1), (-1, 0, 0)] {
        let records = [first, second]
            .map(|delta| record(&[&[0, 0], &varint_of(delta), &[1, 1, 0]]))
            .concat();
        let offset_delta = if index == 0 { first } else { second } as i32;
        let batch = with_payload(Compression::None, 2, &records);
        assert_eq!(
            refusal(&batch),
            BatchError::OffsetDelta {
                index,
                offset_delta
            }
        );
    }
}

#[test]
fn a_compacted_topic_wants_keys_of_compressed_records_too() {
    let mut compacted = rules();
    compacted.is_compacted = true;
    for compression in Compression::ALL {
        check(&three_records(compression), &compacted).unwrap();
        let mut builder = BatchBuilder::new(compression);
        builder.append(NOW_MS, Some(b""), None, &[]).unwrap();
        builder.append(NOW_MS, None, Some(b"value"), &[]).unwrap();
        let batch = builder.build();
        check(&batch, &rules()).unwrap();
        let error = check(&batch, &compacted).unwrap_err();
        assert_eq!(error, BatchError::NullKey { index: 1 });
    }
}

#[test]
fn create_time_stays_within_the_topics_range_to_the_millisecond() {
    let mut rules = rules();
    rules.timestamp_before_max_ms = 1_000;
    let one_record = |timestamp_ms| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.append(timestamp_ms, None, None, &[]).unwrap();
        builder.build()
    };
    let (earliest_ms, latest_ms) = (NOW_MS - 1_000, NOW_MS + 3_600_000);
    for allowed in [earliest_ms, NOW_MS, latest_ms, -1] {
        check(&one_record(allowed), &rules).unwrap();
    }
    for timestamp_ms in [earliest_ms - 1, latest_ms + 1, i64::MAX, i64::MIN, -2] {
        let batch = one_record(timestamp_ms);
        let expected = BatchError::Timestamp {
            index: 0,
            timestamp_ms,
            earliest_ms,
            latest_ms,
        };
        let mut log_append = rules;
        log_append.timestamp_type = TimestampType::LogAppendTime;
        assert_eq!(check(&batch, &rules).unwrap_err(), expected);
        check(&batch, &log_append).unwrap();
    }
}

#[test]
fn a_timestamp_that_overflows_is_refused_even_when_it_will_be_replaced() {
    let records = record(&[&[0], &varint_of(i64::MAX), &[0, 1, 1, 0]]);
    let batch = with_payload(Compression::None, 1, &records);
    let batch = with_field(batch, BASE_TIMESTAMP_AT, &2i64.to_be_bytes());
    let mut rules = rules();
    rules.timestamp_type = TimestampType::LogAppendTime;
    let error = check(&batch, &rules).unwrap_err();
    assert!(
        matches!(error, BatchError::Timestamp { index: 0, timestamp_ms, .. }
        if timestamp_ms == i64::MIN + 1)
    );
}

#[test]
fn bytes_behind_the_last_record_are_refused() {
    let mut records = record(&[&[0, 0, 0, 1, 1, 0]]);
    records.push(0);
    let batch = with_payload(Compression::None, 1, &records);
    let expected = BatchError::BytesBehindRecords { records_count: 1 };
    assert_eq!(refusal(&batch), expected);
    for compression in Compression::ALL {
        let batch = three_records(compression);
        let batch = with_field(batch, RECORDS_COUNT_AT, &2i32.to_be_bytes());
        let batch = with_field(batch, LAST_OFFSET_DELTA_AT, &1i32.to_be_bytes());
        let expected = BatchError::BytesBehindRecords { records_count: 2 };
        assert_eq!(refusal(&batch), expected);
    }
}

#[test]
fn fewer_records_than_counted_are_refused() {
    for compression in Compression::ALL {
        let batch = three_records(compression);
        let batch = with_field(batch, RECORDS_COUNT_AT, &4i32.to_be_bytes());
        let batch = with_field(batch, LAST_OFFSET_DELTA_AT, &3i32.to_be_bytes());
        let expected = BatchError::Record {
            index: 3,
            fault: RecordFault::Ends,
        };
        assert_eq!(refusal(&batch), expected);
    }
}

#[test]
fn every_length_in_a_record_is_exact() {
    let length = |length| RecordFault::Length { length };
    let overlong: &[u8] = &[0xff, 0xff, 0xff, 0xff, 0x7f];
    let cases: [(&str, Vec<u8>, RecordFault); 11] = [
        ("a negative record length", vec![1], length(-1)),
        (
            "a record length beyond the batch",
            vec![100, 0, 0, 0, 1, 1, 0],
            RecordFault::Size {
                stated: 50,
                actual: 6,
            },
        ),
        (
            "a record length too short",
            vec![2 * 5, 0, 0, 0, 1, 1, 0],
            RecordFault::Size {
                stated: 5,
                actual: 6,
            },
        ),
        (
            "a byte behind the headers",
            record(&[&[0, 0, 0, 1, 1, 0, 0]]),
            RecordFault::Size {
                stated: 7,
                actual: 6,
            },
        ),
        (
            "a key length of -2",
            record(&[&[0, 0, 0, 3, 1, 0]]),
            length(-2),
        ),
        (
            "a key beyond the record",
            record(&[&[0, 0, 0, 8, 1, 0]]),
            length(4),
        ),
        (
            "a value beyond the record",
            record(&[&[0, 0, 0, 1, 100, 0]]),
            length(50),
        ),
        (
            "a negative header count",
            record(&[&[0, 0, 0, 1, 1, 1]]),
            length(-1),
        ),
        (
            "a header without a key",
            record(&[&[0, 0, 0, 1, 1, 2, 1, 1]]),
            length(-1),
        ),
        (
            "a varint of more than 32 bits",
            overlong.to_vec(),
            RecordFault::Varint,
        ),
        (
            "more headers than there are",
            record(&[&[0, 0, 0, 1, 1, 4, 0, 1]]),
            RecordFault::Ends,
        ),
    ];
    for (name, payload, fault) in cases {
        let batch = with_payload(Compression::None, 1, &payload);
        assert_eq!(
            refusal(&batch),
            BatchError::Record { index: 0, fault },
            "{name}"
        );
    }
}

#[test]
fn a_timestamp_delta_of_more_than_64_bits_is_refused() {
    let records = record(&[&[0], &[0xff; 9], &[0x02], &[0, 1, 1, 0]]);
    let batch = with_payload(Compression::None, 1, &records);
    assert_eq!(
        refusal(&batch),
        BatchError::Record {
            index: 0,
            fault: RecordFault::Varint
        }
    );
}

#[test]
fn a_varint_with_padding_is_read_as_other_brokers_read_it() {
    let records = record(&[&[0], &[0x80, 0x00], &[0x80, 0x80, 0x00], &[1, 1, 0]]);
    check(&with_payload(Compression::None, 1, &records), &rules()).unwrap();
}

#[test]
fn a_wrong_largest_timestamp_is_corrected_when_the_batch_is_stamped() {
    use sillon_record::{Batches, LeaderEpoch, Offset};
    let batch = with_field(
        three_records(Compression::Lz4),
        MAX_TIMESTAMP_AT,
        &5i64.to_be_bytes(),
    );
    let valid = check(&batch, &rules()).unwrap();
    assert_eq!(valid.info().max_timestamp_ms, NOW_MS + 2);
    let mut stored = valid.bytes().to_vec();
    valid.stamp(&mut stored, Offset(40), LeaderEpoch(7), None);
    let view = Batches::new(&stored)
        .checking_crcs()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(view.info(), *valid.info());
    assert_eq!(view.header.base_offset(), Offset(40));
    assert_eq!(view.header.last_offset(), Offset(42));
    assert_eq!(view.header.leader_epoch(), LeaderEpoch(7));
}

#[test]
fn each_fault_has_the_code_that_clients_act_on() {
    use BatchErrorClass::*;
    let batch = three_records(Compression::None);
    let field = |at, field: &[u8]| refusal(&with_field(batch.clone(), at, field)).class();
    assert_eq!(field(LENGTH_AT, &[0; 4]), CorruptMessage);
    assert_eq!(field(MAGIC_AT, &[0]), InvalidRecord);
    assert_eq!(field(ATTRIBUTES_AT, &[0, 5]), UnsupportedCompressionType);
    assert_eq!(field(ATTRIBUTES_AT, &[0, 8]), InvalidTimestamp);
    assert_eq!(field(ATTRIBUTES_AT, &[0, 16]), InvalidTxnState);
    assert_eq!(field(ATTRIBUTES_AT, &[0, 1]), InvalidRecord);
    let mut small = rules();
    small.max_message_bytes = 100;
    assert_eq!(check(&batch, &small).unwrap_err().class(), MessageTooLarge);
}

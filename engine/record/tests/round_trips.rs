//! What a producer builds is accepted and read back; what is changed on the way is not.

mod planting;

use planting::*;
use proptest::prelude::*;
use sillon_record::{
    BatchBuilder, BatchHeader, Compression, DecompressError, LeaderEpoch, Offset, Producer,
    Records, RecordsError, Scratch, TimestampType,
};

type OwnedHeader = (String, Option<Vec<u8>>);

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<OwnedHeader>,
}

fn bytes(length_max: usize) -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..length_max))
}

fn owned() -> impl Strategy<Value = Owned> {
    let headers = prop::collection::vec((".{0,9}", bytes(20)), 0..4);
    (-1000..1000i64, bytes(40), bytes(900), headers).prop_map(|(ahead, key, value, headers)| {
        Owned {
            timestamp_ms: NOW_MS + ahead,
            key,
            value,
            headers,
        }
    })
}

fn build(builder: &mut BatchBuilder, records: &[Owned]) -> Vec<u8> {
    for record in records {
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder
            .append(record.timestamp_ms, key, value, &headers)
            .unwrap();
    }
    builder.build()
}

/// Offsets and records of a stored batch.
fn read(batch: &[u8]) -> Result<Vec<(i64, Owned)>, RecordsError> {
    let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
    Records::of(batch, &mut buffer, 1 << 30, &mut scratch)?
        .map(|record| {
            let record = record?;
            let headers = record.headers.map(|header| {
                let key = String::from_utf8(header.key.to_vec()).unwrap_or_default();
                (key, header.value.map(<[u8]>::to_vec))
            });
            let owned = Owned {
                timestamp_ms: record.timestamp_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            };
            Ok((record.offset.0, owned))
        })
        .collect()
}

#[test]
fn a_batch_larger_than_the_window_is_accepted_and_read_back_with_every_codec() {
    let records: Vec<Owned> = (0..40u32)
        .map(|n| Owned {
            timestamp_ms: NOW_MS,
            key: Some(n.to_be_bytes().to_vec()),
            value: Some(
                (0..n * 500)
                    .flat_map(|i| (i * n / 7).to_le_bytes())
                    .collect(),
            ),
            headers: vec![],
        })
        .collect();
    for compression in Compression::ALL {
        let batch = build(&mut BatchBuilder::new(compression), &records);
        let mut rules = rules();
        rules.max_message_bytes = u32::MAX;
        check(&batch, &rules).unwrap();
        let read: Vec<Owned> = read(&batch).unwrap().into_iter().map(|(_, r)| r).collect();
        assert!(read == records, "{compression:?}");
    }
}

#[test]
fn reading_stops_at_the_limit_on_decompressed_bytes() {
    let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
    for compression in &Compression::ALL[1..] {
        let batch = three_records(*compression);
        let error = Records::of(&batch, &mut buffer, 100, &mut scratch).unwrap_err();
        let expected = DecompressError::TooLarge {
            compression: *compression,
            limit_bytes: 100,
        };
        assert_eq!(error, RecordsError::Decompress(expected));
    }
}

#[test]
fn under_log_append_time_every_record_has_the_brokers_time() {
    let batch = three_records(Compression::Snappy);
    let valid = check(&batch, &rules()).unwrap();
    let mut stored = batch.clone();
    let info = valid.stamp(&mut stored, Offset(10), LeaderEpoch(3), Some(NOW_MS + 77));
    assert_eq!(info.timestamp_type, TimestampType::LogAppendTime);
    assert_eq!(info.max_timestamp_ms, NOW_MS + 77);
    let view = sillon_record::Batches::new(&stored)
        .checking_crcs()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(view.info(), info);
    let times: Vec<(i64, i64)> = read(&stored)
        .unwrap()
        .iter()
        .map(|(offset, r)| (*offset, r.timestamp_ms))
        .collect();
    assert_eq!(
        times,
        [(10, NOW_MS + 77), (11, NOW_MS + 77), (12, NOW_MS + 77)]
    );
}

#[test]
fn bytes_are_those_that_an_independent_codec_writes() {
    let golden = concat!(
        "00000000000000000000004effffffff02a46ae101000000",
        "0000010000018bcfe568000000018bcfe568030000000000",
        "00004d00030000000a0000000224000000066b65790a7661",
        "6c7565020268027612000602066b65790100",
    );
    let mut builder = BatchBuilder::new(Compression::None);
    builder.producer(Producer { id: 77, epoch: 3 }, 10);
    let headers = [("h", Some(b"v".as_slice()))];
    builder
        .append(NOW_MS, Some(b"key"), Some(b"value"), &headers)
        .unwrap();
    builder.append(NOW_MS + 3, Some(b"key"), None, &[]).unwrap();
    let hex: String = builder
        .build()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(hex, golden);
}

#[test]
fn a_builder_starts_afresh_after_each_batch() {
    let mut builder = BatchBuilder::new(Compression::Zstd);
    builder.append(NOW_MS, None, Some(b"first"), &[]).unwrap();
    builder.build();
    assert_eq!(builder.records_count(), 0);
    assert_eq!(builder.uncompressed_bytes(), RECORDS_AT);
    builder
        .append(NOW_MS + 9, None, Some(b"second"), &[])
        .unwrap();
    let batch = builder.build();
    let header = BatchHeader::peek(&batch).unwrap();
    assert_eq!(
        (header.records_count(), header.base_timestamp_ms()),
        (1, NOW_MS + 9)
    );
}

proptest! {
    #[test]
    fn every_batch_that_is_built_is_accepted_and_reads_back(
        codec in 0..5usize,
        records in prop::collection::vec(owned(), 1..20),
        producer in prop::option::of((0..i64::MAX, 0..i16::MAX, 0..i32::MAX)),
        base_offset in 0..i64::MAX / 2,
    ) {
        let mut builder = BatchBuilder::new(Compression::ALL[codec]);
        if let Some((id, epoch, sequence)) = producer {
            builder.producer(Producer { id, epoch }, sequence);
        }
        let batch = build(&mut builder, &records);
        let valid = check(&batch, &rules()).unwrap();
        prop_assert_eq!(valid.info().records_count as usize, records.len());
        prop_assert_eq!(valid.info().producer.map(|p| (p.id, p.epoch)),
            producer.map(|(id, epoch, _)| (id, epoch)));
        prop_assert_eq!(valid.info().max_timestamp_ms,
            records.iter().map(|r| r.timestamp_ms).max().unwrap());
        let mut stored = batch.clone();
        valid.stamp(&mut stored, Offset(base_offset), LeaderEpoch(1), None);
        // Nothing that the checksum covers has changed.
        prop_assert_eq!(&stored[MAGIC_AT..], &batch[MAGIC_AT..]);
        let expected: Vec<(i64, Owned)> = (base_offset..).zip(records).collect();
        prop_assert_eq!(read(&stored).unwrap(), expected);
    }

    #[test]
    fn no_changed_batch_passes(
        codec in 0..5usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let batch = three_records(Compression::ALL[codec]);
        let mut changed = batch.clone();
        for (at, byte) in changes {
            changed[at.index(batch.len())] = byte;
        }
        // The leader epoch is the broker's to write: what a producer puts there does not matter.
        let mut compared = changed.clone();
        compared[LEADER_EPOCH_AT..MAGIC_AT].copy_from_slice(&batch[LEADER_EPOCH_AT..MAGIC_AT]);
        prop_assert_eq!(check(&changed, &rules()).is_ok(), compared == batch);
    }

    #[test]
    fn whatever_passes_can_be_read_even_when_its_checksum_was_forged(
        codec in 0..5usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut batch = three_records(Compression::ALL[codec]);
        for (at, byte) in changes {
            let at = ATTRIBUTES_AT + at.index(batch.len() - ATTRIBUTES_AT);
            batch[at] = byte;
        }
        sillon_record::seal_crc(&mut batch);
        let read = read(&batch);
        if let Ok(valid) = check(&batch, &rules()) {
            prop_assert_eq!(read.unwrap().len(), valid.info().records_count as usize);
        }
    }

    #[test]
    fn garbage_never_passes_and_never_panics(
        garbage in prop::collection::vec(any::<u8>(), 0..300),
        codec in 0..5usize,
        count in 1..5i32,
    ) {
        prop_assert!(check(&garbage, &rules()).is_err());
        let _ = read(&garbage);
        let _ = sillon_record::Batches::new(&garbage).checking_crcs().count();
        let batch = with_payload(Compression::ALL[codec], count, &garbage);
        let _ = check(&batch, &rules());
        let _ = read(&batch);
    }
}

//! What compaction leaves of a batch.

mod planting;

use planting::*;
use proptest::prelude::*;
use sillon_record::{
    BatchBuilder, BatchFilter, BatchHeader, Batches, Compression, FilterRule, Filtered,
    LeaderEpoch, Offset, Producer, Records, Scratch, TimestampType, patch_placement,
    stamp_log_append_time,
};

const BASE: i64 = 1_000;
const HORIZON_MS: i64 = NOW_MS + 86_400_000;

/// Offset, time, key, value and headers.
type Read = (
    i64,
    i64,
    Vec<u8>,
    Option<Vec<u8>>,
    Vec<(Vec<u8>, Option<Vec<u8>>)>,
);

const RULE: FilterRule = FilterRule {
    delete_horizon_ms: HORIZON_MS,
    stays_empty: false,
};

/// A stored batch of records whose value is null where `values` says so.
fn stored(compression: Compression, values: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    builder.producer(Producer { id: 77, epoch: 3 }, 500);
    for (index, value) in values.iter().enumerate() {
        let key = [b'k', index as u8];
        let headers = [("h", Some(&key[..])), ("h", None)];
        let timestamp_ms = NOW_MS - 3 * index as i64;
        builder
            .append(timestamp_ms, Some(&key), value.as_deref(), &headers)
            .unwrap();
    }
    let mut batch = builder.build();
    patch_placement(&mut batch, Offset(BASE), LeaderEpoch(9));
    batch
}

fn read(batch: &[u8]) -> Vec<Read> {
    let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
    let records = Records::of(batch, &mut buffer, 1 << 20, &mut scratch).unwrap();
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    records
        .map(|record| {
            let record = record.unwrap();
            let headers = record
                .headers
                .map(|header| (header.key.to_vec(), owned(header.value)));
            (
                record.offset.0,
                record.timestamp_ms,
                record.key.unwrap().to_vec(),
                owned(record.value),
                headers.collect(),
            )
        })
        .collect()
}

fn filter(batch: &[u8], rule: FilterRule, kept: impl Fn(i64) -> bool) -> (Filtered, Vec<u8>) {
    let mut out = b"before".to_vec();
    let mut filter = BatchFilter::default();
    let filtered = filter
        .filter(batch, rule, |record| kept(record.offset.0), &mut out)
        .unwrap();
    assert_eq!(&out[..6], b"before");
    (filtered, out.split_off(6))
}

fn is_whole(batch: &[u8]) -> bool {
    let mut batches = Batches::new(batch).checking_crcs();
    batches.next().is_some_and(|batch| batch.is_ok()) && batches.next().is_none()
}

proptest! {
    #[test]
    fn what_stays_is_as_it_was_at_its_offset(
        values in prop::collection::vec(prop::option::weighted(0.8, prop::collection::vec(any::<u8>(), 0..200)), 1..30),
        mask in any::<u32>(),
        codec in 0..5usize,
    ) {
        let batch = stored(Compression::ALL[codec], &values);
        let kept = |offset: i64| mask & (1 << (offset - BASE)) != 0;
        let (filtered, left) = filter(&batch, RULE, kept);
        let expected: Vec<Read> = read(&batch).into_iter().filter(|r| kept(r.0)).collect();
        if expected.is_empty() {
            prop_assert_eq!(filtered, Filtered::Gone);
            prop_assert!(left.is_empty());
            return Ok(());
        }
        prop_assert!(is_whole(&left));
        prop_assert_eq!(read(&left), expected.clone());
        let (was, is) = (BatchHeader::peek(&batch).unwrap(), BatchHeader::peek(&left).unwrap());
        prop_assert_eq!(is.base_offset(), was.base_offset());
        prop_assert_eq!(is.last_offset(), was.last_offset());
        prop_assert_eq!(is.leader_epoch(), was.leader_epoch());
        prop_assert_eq!(is.producer_id(), 77);
        prop_assert_eq!(is.base_sequence(), 500);
        prop_assert_eq!(is.compression(), was.compression());
        prop_assert_eq!(is.records_count() as usize, expected.len());
        let newest = expected.iter().map(|r| r.1).max().unwrap();
        if let Filtered::Partly { max_timestamp_ms } = filtered {
            prop_assert_eq!(max_timestamp_ms, newest);
            prop_assert_eq!(is.max_timestamp_ms(), newest);
        } else {
            prop_assert_eq!(&left, &batch);
        }
        let has_tombstone = expected.iter().any(|r| r.3.is_none());
        prop_assert_eq!(is.delete_horizon_ms(), has_tombstone.then_some(HORIZON_MS));
    }
}

#[test]
fn a_delete_horizon_is_set_once() {
    let batch = stored(Compression::Zstd, &[None, Some(b"v".to_vec()), None]);
    let (_, dated) = filter(&batch, RULE, |_| true);
    let later = FilterRule {
        delete_horizon_ms: HORIZON_MS + 999,
        ..RULE
    };
    let (filtered, again) = filter(&dated, later, |_| true);
    assert_eq!((filtered, &again), (Filtered::Whole, &dated));
    let (_, fewer) = filter(&dated, later, |offset| offset != BASE + 1);
    let header = BatchHeader::peek(&fewer).unwrap();
    assert_eq!(header.delete_horizon_ms(), Some(HORIZON_MS));
    let times: Vec<i64> = read(&fewer).iter().map(|record| record.1).collect();
    assert_eq!(times, [NOW_MS, NOW_MS - 6]);
}

#[test]
fn an_empty_batch_keeps_offsets_and_sequences_as_long_as_it_is_needed() {
    let batch = stored(
        Compression::Gzip,
        &[Some(b"a".to_vec()), Some(b"b".to_vec())],
    );
    let stays = FilterRule {
        stays_empty: true,
        ..RULE
    };
    let (filtered, empty) = filter(&batch, stays, |_| false);
    assert_eq!(filtered, Filtered::Empty);
    assert_eq!(empty.len(), 61);
    assert!(is_whole(&empty));
    let header = BatchHeader::peek(&empty).unwrap();
    assert_eq!(
        (header.base_offset().0, header.last_offset().0),
        (BASE, BASE + 1)
    );
    assert_eq!((header.base_sequence(), header.producer_id()), (500, 77));
    assert_eq!(
        (header.records_count(), header.compression()),
        (0, Ok(Compression::None))
    );
    assert_eq!(header.max_timestamp_ms(), NOW_MS);
    assert_eq!(read(&empty), []);
    assert_eq!(
        filter(&empty, stays, |_| false),
        (Filtered::Whole, empty.clone())
    );
    assert_eq!(
        filter(&empty, RULE, |_| false),
        (Filtered::Gone, Vec::new())
    );
}

#[test]
fn log_append_time_stays_that_of_the_batch() {
    let mut batch = stored(
        Compression::Lz4,
        &[Some(b"a".to_vec()), None, Some(b"c".to_vec())],
    );
    stamp_log_append_time(&mut batch, NOW_MS + 5);
    let (_, left) = filter(&batch, RULE, |offset| offset != BASE);
    let header = BatchHeader::peek(&left).unwrap();
    assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
    let times: Vec<i64> = read(&left).iter().map(|record| record.1).collect();
    assert_eq!(times, [NOW_MS + 5, NOW_MS + 5]);
}

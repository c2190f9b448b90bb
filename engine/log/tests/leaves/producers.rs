use std::collections::BTreeMap;

use proptest::prelude::*;
use sillon_log::{PRODUCER_BATCHES_MAX, Producers, ProducersError, Verdict};
use sillon_record::{BatchInfo, Offset, Producer, crc32c};

const DAY_MS: i64 = 86_400_000;

fn batch(id: i64, epoch: i16, base_sequence: i32, records: i32) -> BatchInfo {
    BatchInfo {
        last_offset_delta: records - 1,
        records_count: records,
        max_timestamp_ms: 1_000 + i64::from(base_sequence),
        producer: Some(Producer { id, epoch }),
        base_sequence,
        ..BatchInfo::default()
    }
}

/// A log that appends what it is given and counts offsets.
#[derive(Default)]
struct Log {
    producers: Producers,
    next_offset: i64,
}

impl Log {
    fn append(&mut self, info: &BatchInfo) -> Offset {
        self.append_at(info, 0)
    }

    fn append_at(&mut self, info: &BatchInfo, now_ms: i64) -> Offset {
        let base_offset = Offset(self.next_offset);
        self.producers.appended(info, base_offset, now_ms);
        self.next_offset += info.offsets_count();
        base_offset
    }

    fn check(&self, id: i64, epoch: i16, base_sequence: i32, records: i32) -> Verdict {
        self.producers
            .check(&batch(id, epoch, base_sequence, records))
    }
}

#[test]
fn a_producer_that_is_not_known_begins_with_any_sequence_number() {
    let mut log = Log::default();
    assert_eq!(log.check(7, 3, 500, 1), Verdict::Append);
    log.append(&batch(7, 3, 500, 1));
    assert_eq!(log.check(7, 3, 501, 4), Verdict::Append);
    assert_eq!(log.check(7, 3, 502, 1), Verdict::OutOfOrderSequence);
    assert_eq!(log.check(7, 3, 0, 1), Verdict::OutOfOrderSequence);
}

#[test]
fn a_batch_without_a_producer_and_a_transaction_marker_leave_no_trace() {
    let mut log = Log::default();
    let anonymous = BatchInfo {
        base_sequence: -1,
        ..BatchInfo::default()
    };
    let marker = BatchInfo {
        is_control: true,
        base_sequence: -1,
        ..batch(7, 0, 0, 1)
    };
    for info in [anonymous, marker] {
        assert_eq!(log.producers.check(&info), Verdict::Append);
        log.append(&info);
    }
    assert!(log.producers.is_empty());
}

#[test]
fn one_of_the_last_five_batches_is_a_duplicate_with_its_first_offset() {
    let mut log = Log {
        next_offset: 100,
        ..Log::default()
    };
    for sequence in 0..6 {
        log.append(&batch(7, 0, 10 * sequence, 10));
    }
    for sequence in 1..6 {
        let base = 100 + 10 * i64::from(sequence);
        assert_eq!(
            log.check(7, 0, 10 * sequence, 10),
            Verdict::Duplicate {
                base_offset: Offset(base),
                last_offset: Offset(base + 9),
                timestamp_ms: 1_000 + 10 * i64::from(sequence),
            }
        );
    }
    assert_eq!(log.check(7, 0, 0, 10), Verdict::DuplicateSequence);
    assert_eq!(log.check(7, 0, 60, 10), Verdict::Append);
}

#[test]
fn a_batch_is_a_duplicate_as_a_whole_or_not_at_all() {
    let mut log = Log::default();
    log.append(&batch(7, 0, 0, 10));
    log.append(&batch(7, 0, 10, 10));
    for (base_sequence, records) in [(0, 9), (0, 11), (0, 20), (5, 10), (10, 11), (19, 1)] {
        let verdict = log.check(7, 0, base_sequence, records);
        assert_eq!(
            verdict,
            Verdict::OutOfOrderSequence,
            "{base_sequence}+{records}"
        );
    }
}

#[test]
fn old_sequence_numbers_count_as_duplicates_only_when_all_of_them_were_seen() {
    let mut log = Log::default();
    // The producer had expired: what it sent before sequence 100 is not known.
    for sequence in 0..6 {
        log.append(&batch(7, 0, 100 + sequence, 1));
    }
    assert_eq!(log.check(7, 0, 99, 1), Verdict::OutOfOrderSequence);
    assert_eq!(log.check(7, 0, 100, 1), Verdict::OutOfOrderSequence);
}

#[test]
fn a_new_epoch_begins_with_zero_and_fences_the_old_one() {
    let mut log = Log::default();
    log.append(&batch(7, 3, 0, 5));
    assert_eq!(log.check(7, 4, 5, 1), Verdict::OutOfOrderSequence);
    assert_eq!(log.check(7, 4, 0, 5), Verdict::Append);
    log.append(&batch(7, 4, 0, 5));
    assert_eq!(log.check(7, 3, 5, 1), Verdict::InvalidProducerEpoch);
    // A duplicate of an old epoch is not looked for either.
    assert_eq!(log.check(7, 3, 0, 5), Verdict::InvalidProducerEpoch);
    assert_eq!(log.check(7, 4, 5, 1), Verdict::Append);
    assert_eq!(log.check(8, 0, 9, 1), Verdict::Append, "another producer");
}

#[test]
fn sequence_numbers_wrap_to_zero() {
    let mut log = Log::default();
    log.append(&batch(7, 0, i32::MAX - 1, 1));
    assert_eq!(log.check(7, 0, i32::MAX, 3), Verdict::Append);
    log.append(&batch(7, 0, i32::MAX, 3));
    assert!(matches!(
        log.check(7, 0, i32::MAX, 3),
        Verdict::Duplicate { .. }
    ));
    assert_eq!(log.check(7, 0, 2, 1), Verdict::Append);
    assert_eq!(log.check(7, 0, 3, 1), Verdict::OutOfOrderSequence);
}

#[test]
fn a_producer_expires_a_day_after_its_last_batch() {
    let mut log = Log::default();
    log.append_at(&batch(7, 0, 0, 1), 1_000);
    log.append_at(&batch(8, 0, 0, 1), 2_000);
    log.producers.expire(DAY_MS + 999, DAY_MS);
    assert_eq!(log.producers.len(), 2);
    log.producers.expire(DAY_MS + 1_000, DAY_MS);
    assert_eq!(log.producers.len(), 1);
    assert_eq!(log.check(7, 0, 55, 1), Verdict::Append);
    assert_eq!(log.check(8, 0, 55, 1), Verdict::OutOfOrderSequence);
}

#[test]
fn when_there_are_too_many_the_longest_idle_are_forgotten() {
    let mut log = Log::default();
    for id in 0..100 {
        log.append(&batch(id, 0, 0, 1));
    }
    // The oldest is used again.
    log.append(&batch(0, 0, 1, 1));
    assert_eq!(log.producers.limit(100), 0);
    assert_eq!(log.producers.limit(80), 30, "an eighth of room");
    assert_eq!(log.producers.len(), 70);
    assert_eq!(log.check(0, 0, 9, 1), Verdict::OutOfOrderSequence, "kept");
    assert_eq!(log.check(30, 0, 9, 1), Verdict::Append, "forgotten");
    assert_eq!(log.check(31, 0, 9, 1), Verdict::OutOfOrderSequence, "kept");
    assert_eq!(log.producers.limit(0), 70);
    log.append(&batch(1, 0, 0, 1));
    log.producers.clear();
    assert!(log.producers.is_empty());
}

#[test]
fn a_truncated_batch_is_the_next_again_and_not_a_duplicate() {
    let mut log = Log::default();
    for sequence in 0..8 {
        log.append(&batch(7, 0, sequence, 1));
    }
    log.producers.truncate(Offset(6));
    assert!(matches!(log.check(7, 0, 5, 1), Verdict::Duplicate { .. }));
    assert_eq!(log.check(7, 0, 6, 1), Verdict::Append);
    assert_eq!(log.check(7, 0, 7, 1), Verdict::OutOfOrderSequence);
    // Further back than is remembered: its sequence is known all the same.
    log.producers.truncate(Offset(2));
    assert_eq!(log.check(7, 0, 3, 1), Verdict::Append);
    assert_eq!(log.producers.len(), 1);
}

#[test]
fn the_snapshot_has_the_bytes_that_kafka_reads() {
    let mut log = Log {
        next_offset: 40,
        ..Log::default()
    };
    log.append(&batch(7, 2, 5, 3));
    let file = log.producers.encode_snapshot();
    let mut entries = Vec::new();
    entries.extend_from_slice(&1_i32.to_be_bytes());
    entries.extend_from_slice(&7_i64.to_be_bytes());
    entries.extend_from_slice(&2_i16.to_be_bytes());
    entries.extend_from_slice(&7_i32.to_be_bytes());
    entries.extend_from_slice(&42_i64.to_be_bytes());
    entries.extend_from_slice(&2_i32.to_be_bytes());
    entries.extend_from_slice(&1_005_i64.to_be_bytes());
    entries.extend_from_slice(&(-1_i32).to_be_bytes());
    entries.extend_from_slice(&(-1_i64).to_be_bytes());
    assert_eq!(file[..2], [0, 1]);
    assert_eq!(file[2..6], crc32c(&entries).to_be_bytes());
    assert_eq!(file[6..], entries);
}

#[test]
fn a_count_that_the_bytes_do_not_hold_is_refused_at_once() {
    let refused = Producers::decode(&u32::MAX.to_be_bytes());
    assert!(matches!(refused, Err(ProducersError::CutShort(_))));
    let mut bytes = Vec::new();
    Producers::default().encode(&mut bytes);
    bytes.push(0);
    let refused = Producers::decode(&bytes);
    assert_eq!(refused, Err(ProducersError::BytesBehind { count: 1 }));
}

/// What a broker with endless memory and a list of all batches would say.
#[derive(Default)]
struct Model {
    batches: BTreeMap<i64, Vec<(i16, i32, i32, i64)>>,
}

impl Model {
    fn verdict(&self, id: i64, epoch: i16, sequence: i32, records: i32) -> Verdict {
        let Some(all) = self.batches.get(&id) else {
            return Verdict::Append;
        };
        let newest = all.last().unwrap();
        if epoch < newest.0 {
            return Verdict::InvalidProducerEpoch;
        }
        if epoch > newest.0 {
            return match sequence {
                0 => Verdict::Append,
                _ => Verdict::OutOfOrderSequence,
            };
        }
        let life: Vec<_> = all.iter().filter(|batch| batch.0 == epoch).collect();
        let remembered = &life[life.len().saturating_sub(PRODUCER_BATCHES_MAX)..];
        for batch in remembered {
            if (batch.1, batch.2) == (sequence, records) {
                return Verdict::Duplicate {
                    base_offset: Offset(batch.3),
                    last_offset: Offset(batch.3 + i64::from(records) - 1),
                    timestamp_ms: 1_000 + i64::from(sequence),
                };
            }
        }
        if sequence == newest.1 + newest.2 {
            Verdict::Append
        } else if life[0].1 == 0 && sequence + records <= remembered[0].1 {
            Verdict::DuplicateSequence
        } else {
            Verdict::OutOfOrderSequence
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn verdicts_are_those_of_a_broker_that_remembers_every_batch(
        sent in prop::collection::vec((0..3_i64, 0..3_i16, 0..12_i32, 1..3_i32), 0..60),
    ) {
        let (mut log, mut model) = (Log::default(), Model::default());
        for (id, epoch, sequence, records) in sent {
            let verdict = log.check(id, epoch, sequence, records);
            prop_assert_eq!(verdict, model.verdict(id, epoch, sequence, records));
            if verdict == Verdict::Append {
                let base_offset = log.append(&batch(id, epoch, sequence, records)).0;
                let entry = (epoch, sequence, records, base_offset);
                model.batches.entry(id).or_default().push(entry);
            }
            let mut bytes = Vec::new();
            log.producers.encode(&mut bytes);
            let read = Producers::decode(&bytes);
            prop_assert_eq!(read.as_ref(), Ok(&log.producers));
        }
    }

    /// A producer that retries everything and gives up nothing has each record once.
    #[test]
    fn retries_and_truncations_leave_every_record_in_the_log_once(
        steps in prop::collection::vec((0..8_usize, 1..4_i32, 0..10_i64), 0..40),
    ) {
        let mut log = Log::default();
        let mut stored: Vec<i32> = Vec::new();
        let mut sent: Vec<(i32, i32)> = Vec::new();
        for (back, records, cut) in steps {
            // Truncation takes whole batches from the end.
            if cut == 0 && !sent.is_empty() {
                let keep = sent.len().saturating_sub(back);
                let end = sent[..keep].iter().map(|batch| i64::from(batch.1)).sum();
                sent.truncate(keep);
                stored.truncate(end as usize);
                log.next_offset = end;
                log.producers.truncate(Offset(end));
            }
            let retry = sent.len().checked_sub(back).and_then(|place| sent.get(place));
            let next = sent.last().map_or(0, |batch| batch.0 + batch.1);
            let (sequence, records) = retry.copied().unwrap_or((next, records));
            if log.check(7, 0, sequence, records) == Verdict::Append {
                log.append(&batch(7, 0, sequence, records));
                stored.extend(sequence..sequence + records);
                sent.push((sequence, records));
            }
            prop_assert!(stored.iter().copied().eq(0..stored.len() as i32));
        }
    }

    #[test]
    fn any_bytes_are_producers_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Producers::decode(&bytes);
        let _ = Producers::decode(&[&[0, 0, 0, 2], &bytes[..]].concat());
    }

    #[test]
    fn a_flipped_bit_never_panics(place in 0..200_usize, bit in 0..8_u32) {
        let mut log = Log::default();
        for sequence in 0..7 {
            log.append(&batch(i64::from(sequence % 2), 0, sequence / 2, 1));
        }
        let mut bytes = Vec::new();
        log.producers.encode(&mut bytes);
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        if let Ok(mut read) = Producers::decode(&bytes) {
            read.check(&batch(1, 0, 3, 1));
            read.limit(1);
            read.truncate(Offset(3));
            read.encode_snapshot();
        }
    }
}

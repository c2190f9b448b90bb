//! What must be true of a compacted partition: of every key the newest acknowledged record is
//! there at its offset, and what is there is as it was sent.

use std::collections::BTreeMap;
use std::ops::Range;

use sillon_record::{BatchHeader, DECOMPRESSED_BYTES_MAX, Records, Scratch};

use super::{Checked, History, PartitionHistory, Sent, SentFate};

/// The records of a partition's files: by offset, the key and whether it is a tombstone.
pub type Present = BTreeMap<i64, (u8, bool)>;

/// Adds the records of a stored batch.
pub fn note_present(batch: &[u8], present: &mut Present) {
    let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
    let records = Records::of(batch, &mut buffer, DECOMPRESSED_BYTES_MAX, &mut scratch);
    for record in records.into_iter().flatten().flatten() {
        if let Some([key]) = record.key {
            present.insert(record.offset.0, (*key, record.value.is_none()));
        }
    }
}

/// A batch whose records are all gone keeps its place.
pub(super) fn check_empty(history: &PartitionHistory, base: i64, end: i64) -> Checked {
    let around = history.log.range(..end).next_back();
    match around {
        Some((at, place)) if place.end > base && (*at, place.end) != (base, end) => {
            let detail = format!("an empty batch at {base}..{end}, there was {at}: {place:?}");
            Err(history.violation("inconsistent-offset", detail))
        }
        _ => Ok(()),
    }
}

/// Records that a reader did not find have successors.
pub(super) fn check_hole(sent: &[Sent], history: &PartitionHistory, hole: Range<i64>) -> Checked {
    for (offset, key, is_tombstone) in known_records(sent, history) {
        if hole.contains(&offset) && !is_superseded(sent, history, offset, key, is_tombstone) {
            let detail = format!("offset {offset} (key {key}) has no successor and is skipped");
            return Err(history.violation("lost-newest", detail));
        }
    }
    Ok(())
}

/// Offset, key, and whether it is a tombstone, of all records whose place is known.
fn known_records<'a>(
    sent: &'a [Sent],
    history: &'a PartitionHistory,
) -> impl Iterator<Item = (i64, u8, bool)> + 'a {
    let places = history.log.iter();
    places.flat_map(|(base, place)| {
        let keys = sent[place.batch].keys.iter().enumerate();
        keys.map(move |(index, (key, is_tombstone))| (base + index as i64, *key, *is_tombstone))
    })
}

/// Whether another record with that key may be newer, or a tombstone that has gone since.
fn is_superseded(
    sent: &[Sent],
    history: &PartitionHistory,
    offset: i64,
    key: u8,
    is_tombstone: bool,
) -> bool {
    if is_tombstone && takes_tombstones(history) {
        return true;
    }
    let mut others = others(sent, history, key);
    others.any(|(other, _)| other.is_none_or(|other| other > offset))
}

/// Where all records with a key are (when that is known) that may be in the log, and whether each
/// is a tombstone.
fn others<'a>(
    sent: &'a [Sent],
    history: &'a PartitionHistory,
    key: u8,
) -> impl Iterator<Item = (Option<i64>, bool)> + 'a {
    let here = sent
        .iter()
        .filter(|sent| sent.partition == history.id && sent.fate != SentFate::Refused);
    here.flat_map(move |sent| {
        let keys = sent.keys.iter().enumerate();
        keys.filter(move |(_, (of, _))| *of == key)
            .map(|(index, (_, is_tombstone))| {
                let offset = sent.base_offset.map(|base| base + index as i64);
                (offset, *is_tombstone)
            })
    })
}

fn takes_tombstones(history: &PartitionHistory) -> bool {
    history
        .compaction
        .is_some_and(|compaction| compaction.takes_tombstones)
}

impl History {
    /// The files of a compacted partition hold these records between its two ends.
    pub fn check_compacted(
        &mut self,
        id: sillon_record::TopicPartition,
        present: &Present,
        ends: Range<i64>,
    ) -> Checked {
        let history = &self.partitions[&id];
        let mut newest = BTreeMap::new();
        let mut oldest = BTreeMap::new();
        // What lies before the log start is on its way out, in any order.
        for (offset, (key, _)) in present.range(ends.clone()) {
            newest.insert(*key, *offset);
            oldest.entry(*key).or_insert(*offset);
        }
        for (offset, key, is_tombstone) in known_records(&self.sent, history) {
            let is_there = present.contains_key(&offset);
            if is_there || !ends.contains(&offset) || history.may_lose(offset) {
                continue;
            }
            self.noticed.push("compaction removed a record");
            if newest.get(&key).is_some_and(|newest| *newest > offset) {
                continue;
            }
            let mut others = others(&self.sent, history, key);
            let is_excused = takes_tombstones(history)
                && others.any(|(other, is_tombstone)| {
                    is_tombstone && other.is_none_or(|other| other >= offset)
                });
            if !is_excused {
                let detail = format!("offset {offset} is the newest of key {key}, and is gone");
                return Err(history.violation("lost-newest", detail));
            }
            if is_tombstone {
                self.noticed.push("compaction removed a tombstone");
                if let Some(older) = oldest.get(&key) {
                    let detail = format!(
                        "the tombstone of key {key} at {offset} is gone, its record at {older} \
                         is there"
                    );
                    return Err(history.violation("resurrected", detail));
                }
            }
        }
        Ok(())
    }
}

impl Sent {
    /// Checks that `stored` has records of this batch only, each as it was sent, at its offset.
    pub(super) fn check_compacted_copy(
        &self,
        stored: &[u8],
        history: &PartitionHistory,
    ) -> Checked {
        let header = BatchHeader::peek(stored).expect("a batch has a header");
        let sent = BatchHeader::peek(self.batch.bytes()).expect("a batch has a header");
        let base = header.base_offset();
        let altered = |what: String| {
            let number = self.number;
            Err(history.violation("altered", format!("batch {number} at {base}: {what}")))
        };
        let kept = |header: &BatchHeader| {
            (
                header.last_offset_delta(),
                header.producer_id(),
                header.producer_epoch(),
                header.base_sequence(),
                header.compression(),
            )
        };
        if kept(header) != kept(sent) {
            return altered(format!("{header:?} was {sent:?}"));
        }
        let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
        let (mut sent_buffer, mut sent_scratch) = (Vec::new(), Scratch::default());
        let limit = DECOMPRESSED_BYTES_MAX;
        let stored = Records::of(stored, &mut buffer, limit, &mut scratch);
        let sent = Records::of(
            self.batch.bytes(),
            &mut sent_buffer,
            limit,
            &mut sent_scratch,
        );
        let sent: Vec<_> = sent.into_iter().flatten().flatten().collect();
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => return altered(error.to_string()),
        };
        for record in stored {
            let record = match record {
                Ok(record) => record,
                Err(error) => return altered(error.to_string()),
            };
            let index = record.offset.0 - base.0;
            let original = usize::try_from(index).ok().and_then(|at| sent.get(at));
            let is_same = original.is_some_and(|original| {
                let is_dated =
                    history.is_log_append_time || original.timestamp_ms == record.timestamp_ms;
                original.key == record.key
                    && original.value == record.value
                    && original.headers.eq(record.headers)
                    && is_dated
            });
            if !is_same {
                return altered(format!("record {index} is {record:?}, was {original:?}"));
            }
        }
        Ok(())
    }
}

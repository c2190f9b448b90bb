//! Record batches: as a producer sends them, as they lie in a segment, and as we build them.

use sillon_buffer::Slice;
use sillon_record::{
    BATCH_HEADER_BYTES, BatchBuilder, BatchRules, Batches, Compression, Records, Scratch,
    ValidBatch, seal_crc,
};

use crate::target::{Outcome, Target, about, kind, outcome};

/// The broker's time, in ms since the Unix epoch.
const NOW_MS: i64 = 1_700_000_000_000;

/// What compressed records may come to here, in bytes: enough for every way, and quick.
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 20;

/// What decompressors take (our own; zstd's memory is not counted), in bytes.
const DECOMPRESSION_BYTES: usize = 4 << 20;

fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for compression in Compression::ALL {
        for count in [1, 3, 40] {
            let mut builder = BatchBuilder::new(compression);
            for number in 0..count {
                let value = format!("value {number} ").repeat(number % 7 + 1);
                let key = format!("key {number}");
                let headers = [("header", Some(&b"content"[..])), ("empty", None)];
                builder
                    .append(
                        NOW_MS + number as i64,
                        (number % 2 == 0).then_some(key.as_bytes()),
                        (number % 5 != 1).then_some(value.as_bytes()),
                        &headers[..number % 3],
                    )
                    .expect("a small batch has room");
            }
            seeds.push(builder.build());
        }
    }
    seeds
}

/// The length field says what is there, and the checksum matches.
fn seal(bytes: &mut [u8]) {
    if bytes.len() >= BATCH_HEADER_BYTES {
        let length = (bytes.len() as u32 - 12).to_be_bytes();
        bytes[8..12].copy_from_slice(&length);
        seal_crc(bytes);
    }
}

/// A batch of a Produce request.
#[derive(Default)]
pub struct Batch {
    scratch: Scratch,
}

impl Target for Batch {
    fn name(&self) -> String {
        "batch".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        seeds()
    }

    fn seal(&self, bytes: &mut Vec<u8>) {
        seal(bytes);
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let rules = BatchRules {
            decompressed_bytes_max: DECOMPRESSED_BYTES_MAX,
            ..BatchRules::defaults(NOW_MS)
        };
        let checked = ValidBatch::check(Slice::copy_of(bytes), &rules, &mut self.scratch);
        let batch = match checked {
            Ok(batch) => batch,
            Err(error) => return outcome(kind(&error)),
        };
        // What was accepted is what a consumer reads.
        let mut buffer = Vec::new();
        let records = Records::of(
            bytes,
            &mut buffer,
            DECOMPRESSED_BYTES_MAX,
            &mut self.scratch,
        );
        let records = records.unwrap_or_else(|error| panic!("accepted, and then: {error}"));
        let first = records.header().base_offset().0;
        let mut count = 0;
        for record in records {
            let record = record.unwrap_or_else(|error| panic!("accepted, and then: {error}"));
            assert_eq!(record.offset.0.wrapping_sub(first), count);
            count += 1;
        }
        assert_eq!(count, batch.info().offsets_count());
        outcome((about(count as usize), bytes.len() % 8))
    }

    fn memory_max(&self, len: usize) -> usize {
        4 * len + 2 * DECOMPRESSED_BYTES_MAX as usize + DECOMPRESSION_BYTES
    }
}

/// A part of a segment file.
#[derive(Default)]
pub struct Region {
    scratch: Scratch,
}

impl Target for Region {
    fn name(&self) -> String {
        "region".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let batches = seeds();
        let mut regions: Vec<Vec<u8>> = batches.chunks(3).map(|batches| batches.concat()).collect();
        regions.push([batches.concat(), vec![0; 5000]].concat());
        regions
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let mut seen = Vec::new();
        for checks in [true, false] {
            let mut batches = Batches::new(bytes);
            if checks {
                batches = batches.checking_crcs();
            }
            let mut end = 0;
            for batch in batches.by_ref() {
                match batch {
                    Ok(batch) => {
                        end += batch.bytes.len();
                        let mut buffer = Vec::new();
                        let records = Records::of(
                            batch.bytes,
                            &mut buffer,
                            DECOMPRESSED_BYTES_MAX,
                            &mut self.scratch,
                        );
                        match records {
                            Ok(records) => {
                                let (good, bad): (Vec<_>, Vec<_>) =
                                    records.partition(|record| record.is_ok());
                                assert!(bad.len() <= 1, "a malformed record is the last");
                                seen.push(format!("{} {}", about(good.len()), bad.len()));
                            }
                            Err(error) => seen.push(kind(&error)),
                        }
                    }
                    Err(error) => seen.push(kind(&error)),
                }
            }
            assert!(end <= bytes.len(), "batches lie within their region");
            assert_eq!(
                batches.position(),
                end,
                "the next batch begins behind the last"
            );
        }
        seen.truncate(6);
        outcome(seen)
    }

    fn memory_max(&self, len: usize) -> usize {
        // A record takes some 100 bytes here, and 7 in the region.
        64 * len + 40 * DECOMPRESSED_BYTES_MAX as usize + DECOMPRESSION_BYTES
    }
}

/// Records that we build a batch of, as the bytes of the input say.
#[derive(Default)]
pub struct Built {
    scratch: Scratch,
}

impl Target for Built {
    fn name(&self) -> String {
        "built-batch".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        (0..=255)
            .map(|byte: u8| vec![byte; usize::from(byte)])
            .collect()
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let Some((first, rest)) = bytes.split_first() else {
            return outcome("empty");
        };
        let compression = Compression::ALL[usize::from(first % 5)];
        // The first byte of each part says how long it is and what it is.
        let mut parts = Vec::new();
        let mut rest = rest;
        while let Some((head, tail)) = rest.split_first() {
            let (part, tail) = tail.split_at(usize::from(head % 32).min(tail.len()));
            parts.push((head >> 5, part));
            rest = tail;
        }
        let mut builder = BatchBuilder::new(compression);
        for (what, part) in &parts {
            let (key, value) = match what % 4 {
                0 => (None, Some(*part)),
                1 => (Some(*part), None),
                2 => (Some(*part), Some(*part)),
                _ => (None, None),
            };
            let headers = [("h", Some(*part)), ("", None)];
            let headers = &headers[..usize::from(what / 4)];
            let added = builder.append(NOW_MS - i64::from(*what), key, value, headers);
            added.expect("a small batch has room");
        }
        if parts.is_empty() {
            return outcome("nothing");
        }
        let batch = builder.build();
        let rules = BatchRules::defaults(NOW_MS);
        let checked = ValidBatch::check(Slice::copy_of(&batch), &rules, &mut self.scratch);
        checked.unwrap_or_else(|error| panic!("what we build is refused: {error}"));
        let mut buffer = Vec::new();
        let records = Records::of(&batch, &mut buffer, 1 << 30, &mut self.scratch);
        let mut count = 0;
        for (record, (what, part)) in records.expect("it was checked").zip(&parts) {
            let record = record.expect("it was checked");
            let has = (record.key.is_some(), record.value.is_some());
            let wanted = match what % 4 {
                0 => (false, true),
                1 => (true, false),
                2 => (true, true),
                _ => (false, false),
            };
            assert_eq!(has, wanted);
            let found = record.value.or(record.key);
            assert!(
                found.is_none_or(|found| found == *part),
                "it reads back otherwise"
            );
            count += 1;
        }
        assert_eq!(count, parts.len());
        outcome((compression.id(), about(count)))
    }

    fn memory_max(&self, len: usize) -> usize {
        256 * len + DECOMPRESSION_BYTES
    }
}

//! Checks what comes back: checksums, offsets without gaps, every byte of every record.

use std::collections::BTreeMap;
use std::sync::Arc;

use sillon_record::{BatchView, Batches, BatchesError};

use crate::ledger::{BitSet, placed};
use crate::template::{CHECKSUMMED_FROM, Identity, Recognised, Templates};

/// Findings that are kept in words; further ones are counted.
const FINDINGS_MAX: usize = 20;

/// What is wrong, in words, as long as there are few.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// The first ones.
    pub told: Vec<String>,
    /// How many there are.
    pub count: u64,
}

impl Findings {
    /// Something is wrong.
    pub fn add(&mut self, what: String) {
        self.count += 1;
        if self.told.len() < FINDINGS_MAX {
            self.told.push(what);
        }
    }

    /// Adds what somebody else found.
    pub fn extend(&mut self, other: Findings) {
        self.count += other.count;
        let room = FINDINGS_MAX.saturating_sub(self.told.len());
        self.told.extend(other.told.into_iter().take(room));
    }
}

/// What a batch that was read turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whose it is; `None` when that was not looked at, or does not stand in it.
    pub identity: Option<Identity>,
    /// Kafka's time stamp, in ms since the Unix epoch.
    pub timestamp_ms: i64,
    /// Its records.
    pub records: u64,
    /// Bytes of keys and values.
    pub payload_bytes: u64,
}

/// Checks one reader's batches.
#[derive(Debug)]
pub struct Checker {
    templates: Arc<Templates>,
    /// What is wrong.
    pub findings: Findings,
    /// Batches that were checked to the last byte.
    pub checked_batches: u64,
    /// Their records.
    pub checked_records: u64,
    /// Batches of which the offsets were looked at.
    pub unchecked_batches: u64,
    /// By connection: which of its batches were here.
    pub seen: BTreeMap<u32, BitSet>,
    /// By the partition's number in the run: the sum of [`placed`].
    pub placed: BTreeMap<usize, u64>,
    /// Batches that do not say whose they are were among them.
    pub has_anonymous: bool,
    /// Whether a batch may come only once.
    is_once: bool,
}

/// Records of one partition from an answer, and where they ought to begin.
#[derive(Clone, Copy, Debug)]
pub struct Region<'a> {
    /// The partition's number in the run.
    pub partition: usize,
    /// Its name, for findings.
    pub name: &'a str,
    /// As fetched.
    pub records: &'a [u8],
    /// The next offset that is due.
    pub position: i64,
    /// Where the reader's interest ends.
    pub until: i64,
    /// Whether to look at every byte.
    pub is_checked: bool,
}

impl Checker {
    /// Checks against what was sent. `is_once`: the reader comes by every batch once.
    pub fn new(templates: Arc<Templates>, is_once: bool) -> Checker {
        Checker {
            templates,
            findings: Findings::default(),
            checked_batches: 0,
            checked_records: 0,
            unchecked_batches: 0,
            seen: BTreeMap::new(),
            placed: BTreeMap::new(),
            has_anonymous: false,
            is_once,
        }
    }

    /// Walks a region and gives every whole batch to `each`. Returns the next position, behind the
    /// last whole batch; `None` when there is something that cannot be walked over.
    pub fn walk(&mut self, region: Region<'_>, mut each: impl FnMut(Seen)) -> Option<i64> {
        let mut position = region.position;
        let name = region.name;
        for batch in Batches::new(region.records) {
            if position >= region.until {
                break;
            }
            let batch = match batch {
                Ok(batch) => batch,
                // The last batch is cut short where an answer is full.
                Err(BatchesError::Torn { position: at, .. }) if at > 0 => break,
                Err(error) => {
                    self.findings
                        .add(format!("{name}, behind offset {position}: {error}"));
                    return None;
                }
            };
            let (first, last) = (batch.header.base_offset().0, batch.header.last_offset().0);
            // A read from the middle of a batch gives all of it.
            if last < position {
                continue;
            }
            if first > position {
                let missing = first - position;
                self.findings.add(format!(
                    "{name}: {missing} records are missing from offset {position} on, the next \
                     batch begins at {first}"
                ));
            }
            if first < position && self.is_once {
                self.findings.add(format!(
                    "{name}: the batch at offset {first} overlaps with what ended at {position}"
                ));
            }
            position = last + 1;
            if region.is_checked {
                let computed = crc32c::crc32c(&batch.bytes[CHECKSUMMED_FROM..]);
                let stored = batch.header.crc();
                if computed != stored {
                    self.findings.add(format!(
                        "{name}, offset {first}: the batch says CRC-32C {stored:#010x}, its bytes \
                         have {computed:#010x}"
                    ));
                    continue;
                }
            }
            each(self.batch(&region, &batch));
        }
        Some(position)
    }

    fn batch(&mut self, region: &Region<'_>, batch: &BatchView<'_>) -> Seen {
        let records = batch.header.records_count();
        let mut seen = Seen {
            identity: None,
            timestamp_ms: batch.header.base_timestamp_ms(),
            records: records.max(0) as u64,
            payload_bytes: 0,
        };
        if !region.is_checked {
            self.unchecked_batches += 1;
            // All templates are alike but for the length of their keys.
            seen.payload_bytes = self.templates.get(0).payload_bytes;
            return seen;
        }
        self.checked_batches += 1;
        self.checked_records += seen.records;
        let (name, offset) = (region.name, batch.header.base_offset().0);
        let template = match self.templates.recognise(batch.bytes) {
            Recognised::Batch(identity) => {
                seen.identity = Some(identity);
                self.note(region, offset, &identity);
                self.templates.get(identity.template as usize)
            }
            Recognised::Records(template) => {
                self.has_anonymous = true;
                self.templates.get(template as usize)
            }
            Recognised::Foreign => {
                let what = format!("{name}, offset {offset}: the records are not what was sent");
                self.findings.add(what);
                return seen;
            }
        };
        seen.payload_bytes = template.payload_bytes;
        if records != template.records_count {
            let sent = template.records_count;
            let what = format!("{name}, offset {offset}: {records} records, {sent} were sent");
            self.findings.add(what);
        }
        seen
    }

    fn note(&mut self, region: &Region<'_>, offset: i64, identity: &Identity) {
        let (connection, number) = (identity.connection, identity.number);
        let sum = self.placed.entry(region.partition).or_default();
        *sum = sum.wrapping_add(placed(connection, number, offset));
        let is_new = self.seen.entry(connection).or_default().insert(number);
        if !is_new && self.is_once {
            let name = region.name;
            self.findings.add(format!(
                "{name}, offset {offset}: batch {number} of connection {connection} is in the log \
                 twice"
            ));
        }
    }
}

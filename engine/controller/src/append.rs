//! The form in which records stand in the metadata log.
//!
//! Records that were decided together are appended together, and hold together or not at all:
//!
//! ```text
//!  byte 0          4           8          9               17              21
//!       +----------+-----------+----------+---------------+---------------+---------
//!       | length   | crc32fast | format   | first index   | records count | records
//!       | u32      | u32       | u8       | u64           | u32           | ...
//!       +----------+-----------+----------+---------------+---------------+---------
//! ```
//! All integers are little-endian. `length` counts the bytes from byte 8 on; the checksum covers
//! those and the length itself. A record is its kind (u8) and its fields in the order of
//! [`MetadataRecord`]; texts and lists carry a u16 count.
//!
//! Format 2 is format 1 with more kinds of records. An append is written in the oldest format that
//! has its records, so that an older version reads what it can, and refuses the rest by its format.

use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

use crate::MetadataRecord;

/// Longest append, in bytes: what is gathered (4 MiB) and one more request, which makes at most
/// 10,000 partitions of 100 bytes and carries at most a frame (4 MiB) of names and values, or
/// changes 8 MiB of configuration.
pub const APPEND_BYTES_MAX: usize = 16 << 20;

const HEAD_BYTES: usize = 8;
const FIXED_BYTES: usize = HEAD_BYTES + 1 + 8 + 4;
/// The newest format.
const FORMAT: u8 = 2;
/// The oldest one.
const FORMAT_MIN: u8 = 1;

const BROKER_REGISTERED: u8 = 1;
const TOPIC: u8 = 2;
const PARTITION: u8 = 3;
const TOPIC_CONFIG: u8 = 4;
const TOPIC_REMOVED: u8 = 5;
const PRODUCER_IDS: u8 = 6;
/// Since format 2.
const BROKER_CONFIG: u8 = 7;

/// Records that were appended together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// How many records were in the log before.
    pub first_index: u64,
    /// In order.
    pub records: Vec<MetadataRecord>,
    /// What the append takes in the log.
    pub len_bytes: usize,
}

/// Why bytes are no whole append. When no valid one follows, it is the torn end of the log, whose
/// records were never answered for; a newer format is never that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The log ends within it.
    #[error("{needed} bytes are needed, {available} are there")]
    Torn {
        /// How long it is, as far as known.
        needed: usize,
        /// How many bytes there are.
        available: usize,
    },
    /// No append is that long, or that short.
    #[error("no append has {length} bytes")]
    Length {
        /// As written.
        length: u32,
    },
    /// The checksum does not match.
    #[error("it says checksum {stored:#010x}, its bytes have {computed:#010x}")]
    Checksum {
        /// As written.
        stored: u32,
        /// That of the bytes.
        computed: u32,
    },
    /// A newer broker wrote this.
    #[error(
        "metadata format {format} is newer than {FORMAT}, the newest that this version reads: \
             start the broker that wrote it"
    )]
    Format {
        /// As written.
        format: u8,
    },
    /// The checksum holds, but this is no record.
    #[error("record {index} of it is malformed")]
    Record {
        /// Counted from 0.
        index: u32,
    },
}

/// Writes records as one append, behind what `out` holds. `first_index` is how many records the
/// log holds before.
///
/// # Panics
/// When it is longer than [`APPEND_BYTES_MAX`].
pub fn encode_append(first_index: u64, records: &[MetadataRecord], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    out.push(records.iter().map(format_of).max().unwrap_or(FORMAT_MIN));
    out.extend_from_slice(&first_index.to_le_bytes());
    out.extend_from_slice(&(records.len() as u32).to_le_bytes());
    for record in records {
        put_record(out, record);
    }
    let bytes = out.len() - start;
    assert!(bytes <= APPEND_BYTES_MAX, "an append of {bytes} bytes");
    let length = ((bytes - HEAD_BYTES) as u32).to_le_bytes();
    out[start..start + 4].copy_from_slice(&length);
    let crc = checksum(length, &out[start + HEAD_BYTES..]);
    out[start + 4..start + HEAD_BYTES].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the append that `bytes` begin with; `None` when there are no bytes.
///
/// # Errors
/// The bytes hold no whole append, or one that this version cannot read.
pub fn decode_append(bytes: &[u8]) -> Result<Option<Append>, AppendError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let torn = |needed| AppendError::Torn {
        needed,
        available: bytes.len(),
    };
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk().ok_or(torn(FIXED_BYTES))?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = *head;
    let (length_bytes, stored) = ([l0, l1, l2, l3], u32::from_le_bytes([c0, c1, c2, c3]));
    let length = u32::from_le_bytes(length_bytes);
    let len_bytes = HEAD_BYTES + length as usize;
    if !(FIXED_BYTES..=APPEND_BYTES_MAX).contains(&len_bytes) {
        return Err(AppendError::Length { length });
    }
    let body = bytes.get(HEAD_BYTES..len_bytes).ok_or(torn(len_bytes))?;
    let computed = checksum(length_bytes, body);
    if stored != computed {
        return Err(AppendError::Checksum { stored, computed });
    }
    if !(FORMAT_MIN..=FORMAT).contains(&body[0]) {
        return Err(AppendError::Format { format: body[0] });
    }
    read_body(&body[1..], len_bytes).map(Some)
}

/// What a record takes in an append at most, in bytes.
pub(crate) fn record_bytes_max(record: &MetadataRecord) -> usize {
    /// Kind, ids and counts.
    const FIXED_BYTES: usize = 64;
    FIXED_BYTES
        + match record {
            MetadataRecord::BrokerRegistered { host, .. } => host.len(),
            MetadataRecord::Topic { name, .. } => name.len(),
            MetadataRecord::Partition { replicas, .. } => 4 * replicas.len(),
            MetadataRecord::TopicConfig { key, value, .. }
            | MetadataRecord::BrokerConfig { key, value, .. } => {
                key.len() + value.as_ref().map_or(0, String::len)
            }
            MetadataRecord::TopicRemoved { .. } | MetadataRecord::ProducerIds { .. } => 0,
        }
}

/// The oldest format that has such a record.
fn format_of(record: &MetadataRecord) -> u8 {
    match record {
        MetadataRecord::BrokerConfig { .. } => 2,
        _ => FORMAT_MIN,
    }
}

fn checksum(length: [u8; 4], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(body);
    hasher.finalize()
}

fn read_body(body: &[u8], len_bytes: usize) -> Result<Append, AppendError> {
    let malformed = |index| AppendError::Record { index };
    let mut input = Input(body);
    let first_index = input.u64().ok_or(malformed(0))?;
    let count = input.u32().ok_or(malformed(0))?;
    // Every record takes at least a byte, so this reserves no more than was read.
    let mut records = Vec::with_capacity(input.0.len().min(count as usize));
    for index in 0..count {
        records.push(read_record(&mut input).ok_or(malformed(index))?);
    }
    if !input.0.is_empty() {
        return Err(malformed(count));
    }
    Ok(Append {
        first_index,
        records,
        len_bytes,
    })
}

fn put_record(out: &mut Vec<u8>, record: &MetadataRecord) {
    match record {
        MetadataRecord::BrokerRegistered { broker, host, port } => {
            out.push(BROKER_REGISTERED);
            out.extend_from_slice(&broker.0.to_le_bytes());
            put_text(out, host);
            out.extend_from_slice(&port.to_le_bytes());
        }
        MetadataRecord::Topic { id, name } => {
            out.push(TOPIC);
            out.extend_from_slice(&id.0);
            put_text(out, name);
        }
        MetadataRecord::Partition {
            topic,
            partition,
            incarnation,
            replicas,
        } => {
            out.push(PARTITION);
            out.extend_from_slice(&topic.0);
            out.extend_from_slice(&partition.to_le_bytes());
            out.extend_from_slice(&incarnation.0.to_le_bytes());
            put_count(out, replicas.len());
            for replica in replicas {
                out.extend_from_slice(&replica.0.to_le_bytes());
            }
        }
        MetadataRecord::TopicConfig { topic, key, value } => {
            out.push(TOPIC_CONFIG);
            out.extend_from_slice(&topic.0);
            put_setting(out, key, value.as_deref());
        }
        MetadataRecord::BrokerConfig { broker, key, value } => {
            out.push(BROKER_CONFIG);
            out.extend_from_slice(&broker.map_or(ALL_BROKERS, |broker| broker.0).to_le_bytes());
            put_setting(out, key, value.as_deref());
        }
        MetadataRecord::TopicRemoved { id } => {
            out.push(TOPIC_REMOVED);
            out.extend_from_slice(&id.0);
        }
        MetadataRecord::ProducerIds { next } => {
            out.push(PRODUCER_IDS);
            out.extend_from_slice(&next.to_le_bytes());
        }
    }
}

/// In place of a broker.
const ALL_BROKERS: i32 = -1;

fn put_setting(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    put_text(out, key);
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put_text(out, value);
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("texts and lists of a record have at most 65,535");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn read_record(input: &mut Input<'_>) -> Option<MetadataRecord> {
    Some(match input.u8()? {
        BROKER_REGISTERED => MetadataRecord::BrokerRegistered {
            broker: BrokerId(input.i32()?),
            host: input.text()?,
            port: input.u16()?,
        },
        TOPIC => MetadataRecord::Topic {
            id: TopicId(input.array()?),
            name: input.text()?,
        },
        PARTITION => MetadataRecord::Partition {
            topic: TopicId(input.array()?),
            partition: input.i32()?,
            incarnation: PartitionIncarnation(input.u64()?),
            replicas: {
                let count = input.u16()?;
                let replicas = (0..count).map(|_| input.i32().map(BrokerId));
                replicas.collect::<Option<Vec<BrokerId>>>()?
            },
        },
        TOPIC_CONFIG => MetadataRecord::TopicConfig {
            topic: TopicId(input.array()?),
            key: input.text()?,
            value: input.optional_text()?,
        },
        BROKER_CONFIG => MetadataRecord::BrokerConfig {
            broker: match input.i32()? {
                ALL_BROKERS => None,
                broker => Some(BrokerId(broker)),
            },
            key: input.text()?,
            value: input.optional_text()?,
        },
        TOPIC_REMOVED => MetadataRecord::TopicRemoved {
            id: TopicId(input.array()?),
        },
        PRODUCER_IDS => MetadataRecord::ProducerIds {
            next: i64::from_le_bytes(input.array()?),
        },
        _ => return None,
    })
}

/// Bytes that are left to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let count = self.u16()?;
        let bytes = self.take(usize::from(count))?;
        std::str::from_utf8(bytes).ok().map(str::to_owned)
    }

    fn optional_text(&mut self) -> Option<Option<String>> {
        match self.u8()? {
            0 => Some(None),
            1 => Some(Some(self.text()?)),
            _ => None,
        }
    }
}

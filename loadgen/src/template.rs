//! Batches made before the run. Of a batch only the first bytes change from request to request:
//!
//! ```text
//! prefix, copied and patched                          | tail, sent from where it is
//! header 61 B | first record up to its value | identity | rest of the records
//!
//! identity: connection u32 | template u32 | number u64 | due, ns since the Unix epoch, u64
//! ```
//!
//! The checksum is that of the prefix, moved on by the tail's length, and that of the tail, which
//! is known beforehand. The records of a compressed batch cannot be patched: its prefix is the
//! header alone.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sillon_client::partition_of_key;
use sillon_record::{BATCH_HEADER_BYTES, BatchBuilder, Compression, Producer};

use crate::keys::{KeySource, key_of_rank};
use crate::scenario::{Codec, IDENTITY_BYTES, Scenario};

/// Templates of batches without keys: enough that neighbouring batches differ.
const PLAIN_COUNT: usize = 8;
/// Templates of batches with keys: their order is the distribution of partitions and keys.
const KEYED_COUNT_MAX: usize = 4096;
/// Memory for templates with keys, in bytes.
const KEYED_BYTES_MAX: u64 = 256 << 20;
/// Fewest templates with keys per partition, where memory allows.
const KEYED_PER_PARTITION: usize = 4;

const CRC_AT: usize = 17;
/// Where the part of a batch begins that its checksum covers.
pub const CHECKSUMMED_FROM: usize = 21;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;

/// What stands in the place of an identity until a batch is sent: found again by searching.
const MARKER: [u8; IDENTITY_BYTES] = *b"\0<identity of the batch>";

/// Which batch it is, in the first bytes of its first value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The connection that sent it.
    pub connection: u32,
    /// What it was made of.
    pub template: u32,
    /// Counts the connection's batches from 0.
    pub number: u64,
    /// When it was due, in ns since the Unix epoch.
    pub due_unix_ns: u64,
}

impl Identity {
    fn bytes(&self) -> [u8; IDENTITY_BYTES] {
        let mut bytes = [0; IDENTITY_BYTES];
        bytes[0..4].copy_from_slice(&self.connection.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.template.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.due_unix_ns.to_be_bytes());
        bytes
    }

    fn of(bytes: &[u8; IDENTITY_BYTES]) -> Identity {
        let long = |at: usize| u64::from_be_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let ids = long(0);
        Identity {
            connection: (ids >> 32) as u32,
            template: ids as u32,
            number: long(8),
            due_unix_ns: long(16),
        }
    }
}

/// One batch to be sent again and again.
#[derive(Debug)]
pub struct Template {
    /// Where it goes, when its keys decide that: topic and partition.
    pub place: Option<(u32, i32)>,
    /// Its records.
    pub records_count: i32,
    /// Bytes of their keys and values.
    pub payload_bytes: u64,
    prefix: Vec<u8>,
    tail: Vec<u8>,
    tail_crc: u32,
    /// What a checksum becomes when as many zeros as the tail has bytes follow: by bit.
    shift: [u32; 32],
    /// Where in the prefix the identity is; `None` in a compressed batch.
    identity_at: Option<usize>,
}

impl Template {
    fn of(batch: Vec<u8>, place: Option<(u32, i32)>, payload_bytes: u64) -> Template {
        let records_count = i32::from_be_bytes(batch[57..61].try_into().expect("4 bytes"));
        let marked = batch[BATCH_HEADER_BYTES..]
            .windows(IDENTITY_BYTES)
            .position(|window| window == MARKER);
        let identity_at = marked.map(|at| BATCH_HEADER_BYTES + at);
        let prefix_bytes = identity_at.map_or(BATCH_HEADER_BYTES, |at| at + IDENTITY_BYTES);
        let tail = batch[prefix_bytes..].to_vec();
        let mut prefix = batch;
        prefix.truncate(prefix_bytes);
        Template {
            place,
            records_count,
            payload_bytes,
            prefix,
            tail_crc: crc32c::crc32c(&tail),
            shift: std::array::from_fn(|bit| crc32c::crc32c_combine(1 << bit, 0, tail.len())),
            tail,
            identity_at,
        }
    }

    /// The whole batch, in bytes.
    pub fn batch_bytes(&self) -> usize {
        self.prefix.len() + self.tail.len()
    }

    /// What is the same in every batch made of it: its end.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Appends the beginning of a batch, checksum included. The tail belongs behind it.
    pub fn put_prefix(
        &self,
        out: &mut bytes::BytesMut,
        identity: &Identity,
        sequence: Option<(Producer, i32)>,
    ) {
        let start = out.len();
        out.extend_from_slice(&self.prefix);
        let prefix = &mut out[start..];
        let mut put = |at: usize, bytes: &[u8]| prefix[at..at + bytes.len()].copy_from_slice(bytes);
        let timestamp_ms = (identity.due_unix_ns / 1_000_000).to_be_bytes();
        put(BASE_TIMESTAMP_AT, &timestamp_ms);
        put(MAX_TIMESTAMP_AT, &timestamp_ms);
        if let Some((producer, base_sequence)) = sequence {
            put(PRODUCER_ID_AT, &producer.id.to_be_bytes());
            put(PRODUCER_EPOCH_AT, &producer.epoch.to_be_bytes());
            put(BASE_SEQUENCE_AT, &base_sequence.to_be_bytes());
        }
        if let Some(at) = self.identity_at {
            put(at, &identity.bytes());
        }
        let crc = self.shifted(crc32c::crc32c(&prefix[CHECKSUMMED_FROM..])) ^ self.tail_crc;
        prefix[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    }

    fn shifted(&self, crc: u32) -> u32 {
        let mut shifted = 0;
        for (bit, image) in self.shift.iter().enumerate() {
            // All ones when the bit is set.
            shifted ^= image & 0u32.wrapping_sub((crc >> bit) & 1);
        }
        shifted
    }

    /// Whether the records of a stored batch are this template's, its identity aside.
    fn has_records(&self, batch: &[u8]) -> bool {
        let Some(at) = self.identity_at else {
            return batch[BATCH_HEADER_BYTES..] == self.tail;
        };
        batch.len() == self.batch_bytes()
            && batch[BATCH_HEADER_BYTES..at] == self.prefix[BATCH_HEADER_BYTES..at]
            && batch[self.prefix.len()..] == self.tail
    }
}

/// All templates of a run: what is sent, and what must come back.
#[derive(Debug)]
pub struct Templates {
    /// In the order in which they are sent.
    all: Vec<Template>,
    /// Of compressed templates: which have a tail with this checksum.
    by_tail_crc: BTreeMap<u32, u32>,
    is_compressed: bool,
}

/// What a stored batch turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// A batch of this run.
    Batch(Identity),
    /// A batch made of this template; whose and when does not stand in compressed records.
    Records(u32),
    /// Not what was sent.
    Foreign,
}

impl Templates {
    /// Makes the templates of a scenario.
    pub fn of(scenario: &Scenario) -> Templates {
        let all = match KeySource::of(&scenario.records.keys, scenario.seed) {
            None => plain(scenario),
            Some(keys) => keyed(scenario, keys),
        };
        let is_compressed = scenario.records.compression != Codec::None;
        let mut by_tail_crc = BTreeMap::new();
        if is_compressed {
            for (index, template) in all.iter().enumerate() {
                by_tail_crc.insert(template.tail_crc, index as u32);
            }
        }
        Templates {
            all,
            by_tail_crc,
            is_compressed,
        }
    }

    /// One of them.
    pub fn get(&self, index: usize) -> &Template {
        &self.all[index]
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Whether end-to-end latencies have the resolution of Kafka's time stamps, 1 ms.
    pub fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Compares a stored batch, whose checksum is right, with what was sent: every byte of its
    /// records.
    pub fn recognise(&self, batch: &[u8]) -> Recognised {
        if self.is_compressed {
            let crc = crc32c::crc32c(&batch[BATCH_HEADER_BYTES..]);
            return match self.by_tail_crc.get(&crc) {
                Some(index) if self.all[*index as usize].has_records(batch) => {
                    Recognised::Records(*index)
                }
                _ => Recognised::Foreign,
            };
        }
        // All prefixes that end in an identity look alike up to their keys: the first says where
        // it is unless keys have different lengths, which those of `key_of_rank` may have.
        match self.identity_of(batch) {
            Some(identity) if self.all[identity.template as usize].has_records(batch) => {
                Recognised::Batch(identity)
            }
            _ => Recognised::Foreign,
        }
    }

    /// What a batch says that it is, unchecked.
    fn identity_of(&self, batch: &[u8]) -> Option<Identity> {
        let mut tried = None;
        for template in &self.all {
            let at = template.identity_at?;
            if tried == Some(at) {
                continue;
            }
            tried = Some(at);
            let identity = Identity::of(batch.get(at..)?.first_chunk()?);
            let claimed = self.all.get(identity.template as usize);
            if claimed.is_some_and(|claimed| claimed.identity_at == Some(at)) {
                return Some(identity);
            }
        }
        None
    }
}

fn compression(codec: Codec) -> Compression {
    match codec {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Snappy => Compression::Snappy,
        Codec::Lz4 => Compression::Lz4,
        Codec::Zstd => Compression::Zstd,
    }
}

fn plain(scenario: &Scenario) -> Vec<Template> {
    let records = &scenario.records;
    let mut builder = BatchBuilder::new(compression(records.compression));
    let templates = 0..PLAIN_COUNT;
    let mut content = Content::new(scenario.seed);
    templates
        .map(|_| {
            let keys: Vec<Option<Vec<u8>>> = vec![None; records.per_batch as usize];
            template(scenario, &mut builder, &mut content, &keys, None)
        })
        .collect()
}

/// Records are dealt to the partitions of their keys; whenever a partition has a batch together,
/// that is the next template.
fn keyed(scenario: &Scenario, mut keys: KeySource) -> Vec<Template> {
    let records = &scenario.records;
    let per_batch = records.per_batch as usize;
    let fitting = (KEYED_BYTES_MAX / scenario.batch_value_bytes().max(1)).max(1) as usize;
    let partitions = scenario.topics as usize * scenario.partitions as usize;
    let count = KEYED_COUNT_MAX
        .max(partitions * KEYED_PER_PARTITION)
        .min(fitting);
    let mut builder = BatchBuilder::new(compression(records.compression));
    let mut content = Content::new(scenario.seed);
    let mut waiting: BTreeMap<(u32, i32), Vec<Option<Vec<u8>>>> = BTreeMap::new();
    let mut templates = Vec::with_capacity(count);
    let mut drawn = 0_u64;
    while templates.len() < count {
        let key = key_of_rank(keys.next_rank());
        let topic = (drawn % u64::from(scenario.topics)) as u32;
        drawn += 1;
        let partition = partition_of_key(&key, scenario.partitions as usize);
        let batch = waiting.entry((topic, partition)).or_default();
        batch.push(Some(key));
        if batch.len() == per_batch {
            let place = Some((topic, partition));
            templates.push(template(scenario, &mut builder, &mut content, batch, place));
            batch.clear();
        }
    }
    templates
}

fn template(
    scenario: &Scenario,
    builder: &mut BatchBuilder,
    content: &mut Content,
    keys: &[Option<Vec<u8>>],
    place: Option<(u32, i32)>,
) -> Template {
    let mut payload_bytes = 0;
    for (index, key) in keys.iter().enumerate() {
        let mut value = content.value(scenario.records.value_bytes as usize);
        if index == 0 && scenario.records.compression == Codec::None {
            value[..IDENTITY_BYTES].copy_from_slice(&MARKER);
        }
        let key = key.as_deref();
        payload_bytes += (key.map_or(0, <[u8]>::len) + value.len()) as u64;
        let appended = builder.append(0, key, Some(&value), &[]);
        appended.expect("a checked scenario's batches are small enough");
    }
    Template::of(builder.build(), place, payload_bytes)
}

/// Values that look like lines of JSON: about 3:1 under gzip.
struct Content {
    random: StdRng,
}

impl Content {
    fn new(seed: u64) -> Content {
        Content {
            random: StdRng::seed_from_u64(seed),
        }
    }

    fn value(&mut self, bytes: usize) -> Vec<u8> {
        let mut value = String::with_capacity(bytes + 64);
        while value.len() < bytes {
            let random = self.random.next_u64();
            value += &format!("{{\"sensor\":{},\"value\":{}}}", random % 997, random >> 40);
        }
        let mut value = value.into_bytes();
        value.truncate(bytes);
        value
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_record::{Records, Scratch};

    use super::*;
    use crate::scenario::Keys;

    const IDENTITY: Identity = Identity {
        connection: 3,
        template: 1,
        number: 77,
        due_unix_ns: 1_700_000_000_123_456_789,
    };

    fn scenario(keys: Keys) -> Scenario {
        let mut scenario = Scenario::default();
        scenario.records.value_bytes = 40;
        scenario.records.per_batch = 5;
        scenario.records.keys = keys;
        scenario
    }

    fn sent(template: &Template) -> Vec<u8> {
        let mut out = BytesMut::new();
        let producer = Producer { id: 9, epoch: 2 };
        template.put_prefix(&mut out, &IDENTITY, Some((producer, 15)));
        out.extend_from_slice(template.tail());
        out.to_vec()
    }

    #[test]
    fn a_batch_that_is_sent_has_the_checksum_of_all_its_bytes() {
        let templates = Templates::of(&scenario(Keys::None));
        let batch = sent(templates.get(1));
        let stored = u32::from_be_bytes(batch[CRC_AT..CRC_AT + 4].try_into().unwrap());
        assert_eq!(stored, crc32c::crc32c(&batch[CHECKSUMMED_FROM..]));
        assert_eq!(templates.recognise(&batch), Recognised::Batch(IDENTITY));
        let header = sillon_record::BatchHeader::peek(&batch).unwrap();
        assert_eq!(header.base_timestamp_ms(), 1_700_000_000_123);
        assert_eq!((header.producer_id(), header.base_sequence()), (9, 15));
    }

    #[test]
    fn any_other_byte_in_the_records_is_noticed() {
        let templates = Templates::of(&scenario(Keys::None));
        let batch = sent(templates.get(1));
        for at in BATCH_HEADER_BYTES..batch.len() {
            let mut changed = batch.clone();
            changed[at] ^= 1;
            assert_ne!(
                templates.recognise(&changed),
                Recognised::Batch(IDENTITY),
                "byte {at}"
            );
        }
    }

    #[test]
    fn records_go_to_the_partitions_of_their_keys() {
        let scenario = scenario(Keys::Uniform { count: 1000 });
        let templates = Templates::of(&scenario);
        for template in &templates.all[..200] {
            let batch = sent(template);
            let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
            let records = Records::of(&batch, &mut buffer, 0, &mut scratch).unwrap();
            let (_, partition) = template.place.unwrap();
            let mut payload_bytes = 0;
            for record in records {
                let record = record.unwrap();
                let (key, value) = (record.key.unwrap(), record.value.unwrap());
                assert_eq!(
                    partition_of_key(key, scenario.partitions as usize),
                    partition
                );
                payload_bytes += (key.len() + value.len()) as u64;
            }
            assert_eq!(payload_bytes, template.payload_bytes);
        }
    }
}

use sillon_buffer::Slice;
use sillon_record::{
    BatchBuilder, BatchHeader, BatchRules, Compression, LeaderEpoch, Offset, Producer, Records,
    Scratch, TopicPartition, ValidBatch, patch_placement, stamp_log_append_time,
};

use super::{Checked, PartitionHistory};
use crate::random::Random;

/// Largest size of one batch's records when decompressed, in bytes: far above what is sent.
const DECOMPRESSED_BYTES_MAX: u64 = 1 << 20;

/// What is known of a batch's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentFate {
    /// It may be in the log, or not.
    Unknown,
    /// It is in the log.
    Acknowledged,
    /// It was refused, and no other send of it has another fate.
    Refused,
}

/// A batch that was sent, perhaps several times.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its number.
    pub number: usize,
    /// Where to.
    pub partition: TopicPartition,
    /// As sent.
    pub batch: ValidBatch,
    /// Number of records.
    pub records_count: i32,
    /// Each record's time, in ms since the Unix epoch.
    pub timestamps_ms: Vec<i64>,
    /// Each record's key, and whether it is a tombstone; empty where keys do not matter.
    pub keys: Vec<(u8, bool)>,
    /// How often it was sent.
    pub sends: u32,
    /// What became of it.
    pub fate: SentFate,
    /// Lives in which it was sent: first and last.
    pub lives: (u32, u32),
    /// Where it was seen.
    pub base_offset: Option<i64>,
}

impl Sent {
    /// Checks that `stored` is this batch with the broker's stamps. Returns the time that the
    /// broker gave it, under LogAppendTime.
    pub fn check_copy(&self, stored: &[u8], history: &PartitionHistory) -> Checked<Option<i64>> {
        let header = BatchHeader::peek(stored).expect("a batch has a header");
        let offset = header.base_offset();
        if self.partition != history.id {
            return Err(history.violation(
                "foreign-record",
                format!(
                    "batch {} was sent to {}-{}, it is at offset {offset}",
                    self.number, self.partition.topic, self.partition.partition
                ),
            ));
        }
        if self.fate == SentFate::Refused {
            return Err(history.violation(
                "aborted-read",
                format!(
                    "batch {} was refused, it is at offset {offset}",
                    self.number
                ),
            ));
        }
        let mut expected = self.batch.bytes().to_vec();
        let time_ms = history
            .is_log_append_time
            .then(|| header.max_timestamp_ms());
        if let Some(time_ms) = time_ms {
            stamp_log_append_time(&mut expected, time_ms);
        }
        patch_placement(&mut expected, offset, header.leader_epoch());
        if expected != stored && history.compaction.is_some() {
            self.check_compacted_copy(stored, history)?;
        } else if expected != stored {
            return Err(history.violation(
                "altered",
                format!("batch {} at offset {offset} has other bytes", self.number),
            ));
        }
        Ok(time_ms)
    }

    /// It is sent once more, in this life.
    pub fn sending(&mut self, life: u32) {
        self.sends += 1;
        self.lives.1 = life;
        if self.fate == SentFate::Refused {
            self.fate = SentFate::Unknown;
        }
    }

    /// A send of it was refused for sure.
    pub fn refused(&mut self) {
        if self.sends == 1 && self.fate == SentFate::Unknown {
            self.fate = SentFate::Refused;
        }
    }

    /// A power cut took it where that is allowed: it may be appended anew by a retry.
    pub(super) fn forget_place(&mut self) {
        self.base_offset = None;
        self.fate = SentFate::Unknown;
    }
}

/// The number in a batch's first record.
pub(super) fn number_of(batch: &[u8], scratch: &mut Scratch) -> Option<usize> {
    let mut buffer = Vec::new();
    let records = Records::of(batch, &mut buffer, DECOMPRESSED_BYTES_MAX, scratch);
    let mut first = records.ok()?.next()?.ok()?;
    let tag = first.headers.find(|header| header.key == TAG.as_bytes());
    let tagged = tag.and_then(|header| header.value).or(first.value)?;
    let number = tagged.first_chunk::<8>()?;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}

/// The header that tells a record of a compacted topic apart from all others.
pub(super) const TAG: &str = "n";

/// Makes batches whose records carry their number.
#[derive(Default)]
pub struct BatchMaker {
    scratch: Scratch,
}

/// What a batch is to be.
#[derive(Clone, Copy, Debug)]
pub struct BatchWish<'a> {
    /// Number of records.
    pub records_count: i32,
    /// Size of each value, in bytes; at least 12.
    pub value_bytes: usize,
    /// Who sends it, and the first sequence number.
    pub producer: Option<(Producer, i32)>,
    /// The time of its records, about, in ms since the Unix epoch.
    pub now_ms: i64,
    /// How its records are compressed.
    pub compression: Compression,
    /// Keys that its records have, for a compacted topic.
    pub keys: Option<u8>,
    /// Bytes that stand in its first value behind the number.
    pub payload: Option<&'a [u8]>,
}

impl BatchMaker {
    /// The batch of that number.
    pub fn make(
        &mut self,
        number: usize,
        partition: TopicPartition,
        wish: BatchWish<'_>,
        life: u32,
        random: &mut Random,
    ) -> Sent {
        let mut builder = BatchBuilder::new(wish.compression);
        if let Some((producer, sequence)) = wish.producer {
            builder.producer(producer, sequence);
        }
        let (mut timestamps_ms, mut keys) = (Vec::new(), Vec::new());
        for index in 0..wish.records_count {
            let timestamp_ms = wish.now_ms - random.below(50) as i64;
            let mut value = vec![number as u8 | 1; wish.value_bytes.max(12)];
            value[..8].copy_from_slice(&(number as u64).to_le_bytes());
            value[8..12].copy_from_slice(&index.to_le_bytes());
            if let Some(payload) = wish.payload.filter(|_| index == 0) {
                value.truncate(12);
                value.extend_from_slice(payload);
            }
            let key = wish.keys.map(|count| random.below(u64::from(count)) as u8);
            let is_tombstone = key.is_some() && random.percent(15);
            let tag = value[..12].to_vec();
            let tagged = [(TAG, Some(&tag[..]))];
            builder
                .append(
                    timestamp_ms,
                    key.as_ref().map(std::slice::from_ref),
                    (!is_tombstone).then_some(&value[..]),
                    if key.is_some() { &tagged[..] } else { &[] },
                )
                .expect("a small batch has room");
            keys.extend(key.map(|key| (key, is_tombstone)));
            timestamps_ms.push(timestamp_ms);
        }
        let mut rules = BatchRules::defaults(wish.now_ms);
        rules.max_message_bytes = u32::MAX;
        let bytes = Slice::copy_of(&builder.build());
        let batch = ValidBatch::check(bytes, &rules, &mut self.scratch)
            .expect("the builder makes valid batches");
        Sent {
            number,
            partition,
            batch,
            records_count: wish.records_count,
            timestamps_ms,
            keys,
            sends: 0,
            fate: SentFate::Unknown,
            lives: (life, life),
            base_offset: None,
        }
    }
}

/// Says what two observations of one place have in common.
pub(super) fn epochs_agree(a: Option<LeaderEpoch>, b: Option<LeaderEpoch>) -> bool {
    a.is_none() || b.is_none() || a == b
}

/// Where a batch was seen, for messages.
pub(super) fn span(base: i64, end: i64) -> String {
    format!("{}..{}", Offset(base), Offset(end))
}

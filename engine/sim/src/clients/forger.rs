//! A malicious producer: its values look like journal rounds that promise what was never written.
//!
//! It knows the format, the journal's id and place, and the incarnations of earlier lives (from a
//! backup, say). What it cannot know is the current incarnation; nothing else may be needed to keep
//! its rounds from being taken for real ones.

use std::collections::BTreeMap;

use sillon_journal::{Incarnation, JournalId, ROUND_HEADER_BYTES};
use sillon_shard::{ShardConfig, ShardId};

use crate::disk::SimDisk;
use crate::random::Random;

const BLOCK: usize = 4096;
const MAGIC: &[u8] = b"\xf1SILLON\n";

/// Size of a forged value: a block, wherever in it the forged header must stand.
pub const FORGED_VALUE_BYTES: usize = BLOCK + 100;

/// Marks the value in a batch before its place is known.
pub const MARKER: u8 = 0xab;

/// Headers before the payload of a round with one entry, in bytes.
const HEADERS_BYTES: usize = ROUND_HEADER_BYTES + sillon_journal::ENTRY_HEADER_BYTES;

/// What the forger has found out.
#[derive(Debug, Default)]
pub struct Forger {
    shards: Vec<ShardConfig>,
    /// Incarnations of each journal's lives before this one.
    past: BTreeMap<JournalId, Vec<Incarnation>>,
}

impl Forger {
    /// A new life of the node begins.
    pub fn learn(&mut self, shards: Vec<ShardConfig>) {
        for config in self.shards.drain(..) {
            let past = self.past.entry(config.journal).or_default();
            past.push(config.incarnation);
        }
        self.shards = shards;
    }

    /// A value for a batch that goes into the next round of a shard's journal, `at` bytes behind
    /// the batch's beginning. None: nothing is known of that journal's place.
    pub fn value(
        &self,
        shard: ShardId,
        at: usize,
        disk: &SimDisk,
        random: &mut Random,
    ) -> Option<Vec<u8>> {
        let config = self.shards.get(usize::from(shard.0))?;
        let (file, offset) = next_round(disk, config)?;
        let begin = HEADERS_BYTES + at;
        let pad = begin.next_multiple_of(BLOCK) - begin;
        let past = self.past.get(&config.journal);
        let incarnation = match past.and_then(|past| past.last()) {
            Some(last) if random.percent(70) => last.0,
            _ => random.next_u128(),
        };
        let place = offset + begin.next_multiple_of(BLOCK) as u64;
        let header = forged_header(config.journal.0, incarnation, file, place);
        let mut value = vec![0; FORGED_VALUE_BYTES];
        value[pad..pad + header.len()].copy_from_slice(&header);
        Some(value)
    }
}

/// Where the next round of a journal will begin.
fn next_round(disk: &SimDisk, config: &ShardConfig) -> Option<(u32, u64)> {
    let mut newest = None;
    for file in 0..config.ring.files {
        let path = format!("journal-{:032x}/ring-{file}", config.journal.0);
        let blocks = disk.contents(&path)?.chunks(BLOCK);
        for (index, block) in blocks.enumerate() {
            let is_ours =
                block.starts_with(MAGIC) && block[32..48] == config.incarnation.0.to_le_bytes();
            if is_ours {
                let sequence = u64::from_le_bytes(block[48..56].try_into().ok()?);
                let len = u32::from_le_bytes(block[80..84].try_into().ok()?) as usize;
                let end = index * BLOCK + len.next_multiple_of(BLOCK);
                newest = newest.max(Some((sequence, file, end as u64)));
            }
        }
    }
    let (_, file, end) = newest?;
    let round_bytes = (2 * BLOCK) as u64;
    Some(if end + round_bytes <= config.ring.file_bytes {
        (file, end)
    } else {
        ((file + 1) % config.ring.files, 0)
    })
}

/// A round without entries, far ahead of the journal, that says all before it was flushed.
fn forged_header(journal: u128, incarnation: u128, file: u32, offset: u64) -> Vec<u8> {
    let sequence: u64 = 1 << 40;
    let mut header = Vec::with_capacity(ROUND_HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&sillon_journal::FORMAT_VERSION.to_le_bytes());
    header.extend_from_slice(&[0; 6]);
    header.extend_from_slice(&journal.to_le_bytes());
    header.extend_from_slice(&incarnation.to_le_bytes());
    header.extend_from_slice(&sequence.to_le_bytes());
    header.extend_from_slice(&offset.to_le_bytes());
    header.extend_from_slice(&(sequence - 1).to_le_bytes());
    header.extend_from_slice(&file.to_le_bytes());
    header.extend_from_slice(&[7; 4]);
    header.extend_from_slice(&(ROUND_HEADER_BYTES as u32).to_le_bytes());
    header.extend_from_slice(&0u32.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header);
    hasher.update(&[0; BLOCK][ROUND_HEADER_BYTES..]);
    header[12..16].copy_from_slice(&hasher.finalize().to_le_bytes());
    header
}

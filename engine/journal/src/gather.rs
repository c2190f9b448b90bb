use sillon_buffer::Slice;

use crate::EntryMeta;
use crate::format::{ENTRY_HEADER_BYTES, EntryHeader, ROUND_HEADER_BYTES};
use crate::ring::BLOCK;

/// Entries that wait for the next round. Its memory is used again for the round after.
#[derive(Debug, Default)]
pub struct Gather {
    pub(crate) headers: Vec<EntryHeader>,
    /// The payloads in order; those that lie next to each other in memory are one piece.
    pub(crate) pieces: Vec<Slice>,
    payloads_bytes: u64,
}

impl Gather {
    /// Nothing yet.
    pub fn new() -> Gather {
        Gather::default()
    }

    /// Adds an entry. For [`crate::EntryKind::Batch`] the payload is one whole batch, stamped with
    /// its offset and epoch: it must not change any more.
    ///
    /// # Panics
    /// When a batch is shorter than its header.
    pub fn push(&mut self, meta: EntryMeta, payload: Slice) {
        self.headers.push(EntryHeader::of(&meta, &payload));
        self.payloads_bytes += payload.len() as u64;
        if payload.is_empty() {
            return;
        }
        let apart = match self.pieces.last_mut() {
            Some(last) => last.join(payload).err(),
            None => Some(payload),
        };
        self.pieces.extend(apart);
    }

    /// What a round of all this takes, in bytes: whole blocks, at least one.
    pub fn len_bytes(&self) -> u64 {
        round_bytes(self.headers.len(), self.payloads_bytes)
    }

    /// What it would take with one more entry of `payload_bytes`.
    pub fn len_bytes_with(&self, payload_bytes: usize) -> u64 {
        round_bytes(
            self.headers.len() + 1,
            self.payloads_bytes + payload_bytes as u64,
        )
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.headers.is_empty()
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.headers.len()
    }

    /// Bytes without the padding.
    pub(crate) fn content_bytes(&self) -> u64 {
        content_bytes(self.headers.len(), self.payloads_bytes)
    }

    /// Forgets all entries, not their memory.
    pub(crate) fn clear(&mut self) {
        self.headers.clear();
        self.pieces.clear();
        self.payloads_bytes = 0;
    }
}

fn content_bytes(entries_count: usize, payloads_bytes: u64) -> u64 {
    (ROUND_HEADER_BYTES + entries_count * ENTRY_HEADER_BYTES) as u64 + payloads_bytes
}

fn round_bytes(entries_count: usize, payloads_bytes: u64) -> u64 {
    content_bytes(entries_count, payloads_bytes).next_multiple_of(BLOCK)
}

#[cfg(test)]
mod tests {
    use sillon_buffer::Pool;
    use sillon_record::{LeaderEpoch, Offset, PartitionIncarnation};

    use super::*;
    use crate::{ChainPoint, EntryKind, Incarnation, JournalId, RingLayout, Writer};

    #[test]
    fn a_sealed_gather_is_empty_and_keeps_its_memory() {
        let layout = RingLayout {
            files: 1,
            file_bytes: 1 << 20,
        };
        let mut writer = Writer::new(layout, JournalId(1), Incarnation(2), ChainPoint::FRESH);
        let (mut gather, pool) = (Gather::new(), Pool::new());
        let meta = EntryMeta {
            kind: EntryKind::TailImage,
            partition: PartitionIncarnation(3),
            segment_base: Offset(0),
            position: 0,
            base_offset: Offset(0),
            leader_epoch: LeaderEpoch(0),
        };
        let mut memory = Vec::new();
        for _ in 0..3 {
            for _ in 0..100 {
                gather.push(meta, Slice::copy_of(b"image"));
            }
            memory.push((gather.headers.as_ptr(), gather.pieces.as_ptr()));
            writer.seal(&mut gather, &pool);
            assert!(gather.is_empty() && gather.pieces.is_empty());
            assert_eq!(gather.len_bytes(), BLOCK);
        }
        assert!(memory.iter().all(|pointers| *pointers == memory[0]));
    }
}

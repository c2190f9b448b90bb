use std::collections::VecDeque;

use sillon_buffer::{Pool, Slice};
use zerocopy::IntoBytes;

use crate::format::{ROUND_HEADER_BYTES, RoundHeader};
use crate::ring::BLOCK;
use crate::{ChainPoint, Gather, Incarnation, JournalId, RingLayout};

/// Where gathering for one round stops, in bytes, unless a quarter of a ring file is less: 4 MiB
/// take about 4 ms at the 1 GB/s of one good disk, and nobody's flush shall wait longer for the
/// bytes of others.
pub const ROUND_BYTES_MAX: u64 = 4 << 20;

/// This part of the ring is kept for control entries, so that a ring that is full of batches can
/// still be checkpointed.
const CONTROL_SHARE: u64 = 8;

/// The ring of a live journal: where the next round goes and what may be overwritten. Owned by
/// the shard; all of it that survives a crash is in the rounds and in the checkpoint.
#[derive(Debug)]
pub struct Writer {
    layout: RingLayout,
    id: JournalId,
    incarnation: Incarnation,
    next_sequence: u64,
    previous_checksum: u32,
    durable_through: u64,
    /// Where the last sealed round ends, counted on from file 0, lap after lap.
    head: u64,
    /// Where the last recycled round ends, counted in the same way.
    tail: u64,
    /// Ends of the rounds between the two, oldest first. At most one per block of the ring: 256
    /// KiB of memory for a ring of 128 MiB.
    ends: VecDeque<u64>,
}

/// A sealed round: one write, to be flushed.
#[derive(Debug)]
pub struct Round {
    /// Its number, counted from 1 over the journal's life.
    pub sequence: u64,
    /// The ring file.
    pub file: u32,
    /// Where in it, in bytes: a multiple of 4,096.
    pub offset: u64,
    /// How much is written, in bytes: whole blocks.
    pub len_bytes: u64,
    /// What is written: the headers, then the payloads. They end within the last block, the rest
    /// of which the disk fills with zeros.
    pub pieces: Vec<Slice>,
}

impl Writer {
    /// A ring that goes on at `from`; everything before is recycled.
    ///
    /// # Panics
    /// When the layout is not valid or does not contain `from`.
    pub fn new(
        layout: RingLayout,
        id: JournalId,
        incarnation: Incarnation,
        from: ChainPoint,
    ) -> Writer {
        let head = layout.ring_byte(from.position);
        assert!(
            from.durable_through < from.next_sequence,
            "a round cannot be flushed before it is written: {from:?}"
        );
        Writer {
            layout,
            id,
            incarnation,
            next_sequence: from.next_sequence,
            previous_checksum: from.previous_checksum,
            durable_through: from.durable_through,
            head,
            tail: head,
            ends: VecDeque::new(),
        }
    }

    /// Stop gathering before a round gets larger than this, in bytes. A single entry that needs
    /// more (up to a quarter of a ring file and its headers) makes a round of its own.
    pub fn round_bytes_max(&self) -> u64 {
        let quarter = self.layout.file_bytes / 4;
        ROUND_BYTES_MAX.min(quarter - quarter % BLOCK)
    }

    /// Whether a round of `bytes` can be sealed; one of batches leaves an eighth of the ring to
    /// those that are `control`.
    pub fn has_room(&self, bytes: u64, control: bool) -> bool {
        let capacity = self.layout.capacity_bytes();
        let usable = match control {
            true => capacity,
            false => capacity - capacity / CONTROL_SHARE,
        };
        bytes <= self.layout.file_bytes
            && self.layout.place(self.head, bytes) + bytes - self.tail <= usable
    }

    /// Makes the next round of what was gathered. `gather` is left empty, its memory kept.
    ///
    /// # Panics
    /// When the ring has no room for it.
    pub fn seal(&mut self, gather: &mut Gather, pool: &Pool) -> Round {
        let len_bytes = gather.len_bytes();
        assert!(
            self.has_room(len_bytes, true),
            "a round of {len_bytes} bytes is sealed only when the ring has room"
        );
        let start = self.layout.place(self.head, len_bytes);
        let position = self.layout.position(start);
        let sequence = self.next_sequence;

        let entry_headers = gather.headers.as_bytes();
        let mut header = RoundHeader::blank();
        header.journal_id.set(self.id.0);
        header.incarnation.set(self.incarnation.0);
        header.sequence.set(sequence);
        header.offset.set(position.offset);
        header.durable_through.set(self.durable_through);
        header.file.set(position.file);
        header.previous_checksum.set(self.previous_checksum);
        header.length_bytes.set(gather.content_bytes() as u32);
        header.entries_count.set(gather.entries() as u32);
        let checksum = header.checksum_of(entry_headers, header.padding());
        header.checksum.set(checksum);

        let mut chunk = pool.chunk(ROUND_HEADER_BYTES + entry_headers.len());
        chunk.append(header.as_bytes());
        chunk.append(entry_headers);
        let mut pieces = Vec::with_capacity(1 + gather.pieces.len());
        pieces.push(chunk.slice(0..chunk.len()));
        pieces.append(&mut gather.pieces);
        gather.clear();

        self.next_sequence += 1;
        self.previous_checksum = checksum;
        self.head = start + len_bytes;
        self.ends.push_back(self.head);
        Round {
            sequence,
            file: position.file,
            offset: position.offset,
            len_bytes,
            pieces,
        }
    }

    /// Round `sequence` and all before it are on stable storage. (Those before it may lie in
    /// another file, which then has to be flushed as well.) Later rounds say so.
    ///
    /// # Panics
    /// When the round was not sealed, or a later one is said to be flushed already.
    pub fn flushed(&mut self, sequence: u64) {
        assert!(
            self.durable_through <= sequence && sequence < self.next_sequence,
            "round {sequence} flushed, after {} and before {}",
            self.durable_through,
            self.next_sequence
        );
        self.durable_through = sequence;
    }

    /// A durable checkpoint covers the rounds up to `through`: they may be overwritten.
    ///
    /// # Panics
    /// When the round was not sealed.
    pub fn recycle(&mut self, through: u64) {
        assert!(
            through < self.next_sequence,
            "round {through} recycled, the last is {}",
            self.last_sequence()
        );
        let oldest = self.next_sequence - self.ends.len() as u64;
        let count = (through + 1).saturating_sub(oldest) as usize;
        if let Some(end) = self.ends.drain(..count).next_back() {
            self.tail = end;
        }
    }

    /// Where the chain goes on behind the last sealed round.
    pub fn chain_point(&self) -> ChainPoint {
        ChainPoint {
            next_sequence: self.next_sequence,
            position: self.layout.position(self.head),
            previous_checksum: self.previous_checksum,
            durable_through: self.durable_through,
        }
    }

    /// Bytes from the oldest round that is not recycled to the last, file ends that were left out
    /// included.
    pub fn used_bytes(&self) -> u64 {
        self.head - self.tail
    }

    /// Bytes of the ring.
    pub fn capacity_bytes(&self) -> u64 {
        self.layout.capacity_bytes()
    }

    /// Sequence of the last sealed round; that before the first when there is none.
    pub fn last_sequence(&self) -> u64 {
        self.next_sequence - 1
    }

    /// Every round up to this one is flushed.
    pub fn durable_through(&self) -> u64 {
        self.durable_through
    }
}

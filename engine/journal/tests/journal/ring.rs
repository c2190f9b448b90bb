//! A ring in memory, and a journal that writes to it.

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{BLOCK_BYTES, Pool, Slice};
use sillon_journal::{
    ChainPoint, EntryKind, EntryMeta, Gap, Gather, Incarnation, JournalId, Replay, ReplayedRound,
    RingLayout, RingPosition, RingReader, Round, Writer,
};
use sillon_record::{
    BatchBuilder, Compression, LeaderEpoch, Offset, PartitionIncarnation, patch_placement,
};

pub const ID: JournalId = JournalId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
pub const LIFE: Incarnation = Incarnation(0xfeed_beef_0000_0000_1111_2222_3333_4444);
pub const BLOCK: u64 = BLOCK_BYTES as u64;
/// 3 files of 64 KiB: laps come soon.
pub const LAYOUT: RingLayout = RingLayout {
    files: 3,
    file_bytes: 64 << 10,
};

pub type Entry = (EntryMeta, Slice);

/// Ring files. A file that was never written is missing; bytes never written read as zeros.
#[derive(Clone, Default)]
pub struct MemoryRing {
    pub files: Vec<Vec<u8>>,
    /// Length of every read so far, in bytes.
    pub reads: Vec<u64>,
}

impl MemoryRing {
    pub fn write(&mut self, position: RingPosition, bytes: &[u8]) {
        let file = position.file as usize;
        if self.files.len() <= file {
            self.files.resize(file + 1, Vec::new());
        }
        let (begin, end) = (
            position.offset as usize,
            position.offset as usize + bytes.len(),
        );
        if self.files[file].len() < end {
            self.files[file].resize(end, 0);
        }
        self.files[file][begin..end].copy_from_slice(bytes);
    }

    pub fn bytes(&self, position: RingPosition, len: u64) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        if let Some(file) = self.files.get(position.file as usize) {
            let begin = (position.offset as usize).min(file.len());
            let end = (begin + len as usize).min(file.len());
            bytes[..end - begin].copy_from_slice(&file[begin..end]);
        }
        bytes
    }

    pub fn flip(&mut self, position: RingPosition, byte: u64) {
        self.files[position.file as usize][(position.offset + byte) as usize] ^= 0x40;
    }
}

impl RingReader for MemoryRing {
    type Error = Infallible;

    async fn read(&mut self, file: u32, offset: u64, len: u64) -> Result<Vec<u8>, Infallible> {
        self.reads.push(len);
        let file = self.files.get(file as usize).map_or(&[][..], |file| file);
        let begin = (offset as usize).min(file.len());
        let end = (begin + len as usize).min(file.len());
        Ok(file[begin..end].to_vec())
    }
}

/// A journal with its ring.
pub struct Journal {
    pub layout: RingLayout,
    pub writer: Writer,
    pub ring: MemoryRing,
    gather: Gather,
    pool: Pool,
}

/// A round as it was written.
#[derive(Clone)]
pub struct Written {
    pub sequence: u64,
    pub position: RingPosition,
    /// Its bytes, padding included.
    pub image: Vec<u8>,
    pub entries: Vec<Entry>,
}

impl Journal {
    pub fn new(layout: RingLayout, life: Incarnation, from: ChainPoint) -> Journal {
        Journal {
            layout,
            writer: Writer::new(layout, ID, life, from),
            ring: MemoryRing::default(),
            gather: Gather::new(),
            pool: Pool::new(),
        }
    }

    pub fn fresh() -> Journal {
        Journal::new(LAYOUT, LIFE, ChainPoint::FRESH)
    }

    /// Seals a round and writes it.
    pub fn round(&mut self, entries: &[Entry]) -> Written {
        for (meta, payload) in entries {
            self.gather.push(*meta, payload.clone());
        }
        let round = self.writer.seal(&mut self.gather, &self.pool);
        assert!(self.gather.is_empty());
        let position = RingPosition {
            file: round.file,
            offset: round.offset,
        };
        let image = image(&round);
        self.ring.write(position, &image);
        Written {
            sequence: round.sequence,
            position,
            image,
            entries: entries.to_vec(),
        }
    }

    /// A round of one batch that takes `blocks` blocks, written and flushed.
    pub fn flushed_round(&mut self, blocks: u64) -> Written {
        let written = self.round(&[batch_of_blocks(self.writer.last_sequence() + 1, blocks)]);
        assert_eq!(written.image.len() as u64, blocks * BLOCK);
        self.writer.flushed(written.sequence);
        written
    }

    pub fn replay(&self, from: ChainPoint) -> (Vec<ReplayedRound>, Result<ChainPoint, Gap>) {
        replay(&mut self.ring.clone(), self.layout, LIFE, from)
    }
}

/// What a round puts on the disk.
pub fn image(round: &Round) -> Vec<u8> {
    let mut image = round.pieces.iter().fold(Vec::new(), |mut bytes, piece| {
        bytes.extend_from_slice(piece);
        bytes
    });
    assert!(image.len() as u64 <= round.len_bytes);
    assert!(image.len() as u64 > round.len_bytes - BLOCK);
    image.resize(round.len_bytes as usize, 0);
    image
}

/// Walks a ring to its end and finishes.
pub fn replay(
    ring: &mut MemoryRing,
    layout: RingLayout,
    life: Incarnation,
    from: ChainPoint,
) -> (Vec<ReplayedRound>, Result<ChainPoint, Gap>) {
    let mut replay = Replay::new(layout, ID, life, from);
    let mut rounds = Vec::new();
    while let Some(round) = infallible(replay.next(ring)) {
        rounds.push(round);
    }
    let end = infallible(replay.finish(ring));
    (rounds, end)
}

/// Runs a future that never waits.
pub fn infallible<T>(future: impl Future<Output = Result<T, Infallible>>) -> T {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(Ok(value)) => value,
        Poll::Pending => panic!("a ring in memory is always ready"),
    }
}

pub fn meta(kind: EntryKind, number: u64) -> EntryMeta {
    EntryMeta {
        kind,
        partition: PartitionIncarnation(number * 3 + 1),
        segment_base: Offset(number as i64 * 1000),
        position: number * 61,
        base_offset: Offset(number as i64 * 1000 + 7),
        leader_epoch: LeaderEpoch(number as i32 % 5),
    }
}

/// A batch whose one record has a value of `value`, in its place in the log.
pub fn batch(number: u64, value: &[u8]) -> Entry {
    let meta = meta(EntryKind::Batch, number);
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .append(1_700_000_000_000, None, Some(value), &[])
        .expect("the value is small");
    let mut bytes = builder.build();
    patch_placement(&mut bytes, meta.base_offset, meta.leader_epoch);
    (meta, Slice::copy_of(&bytes))
}

/// A batch that makes a round of just `blocks` blocks when it is the only entry.
pub fn batch_of_blocks(number: u64, blocks: u64) -> Entry {
    // 88 + 48 + 61 bytes of headers, less than 100 of a record's own fields.
    batch(number, &vec![number as u8; (blocks * BLOCK) as usize - 300])
}

pub fn entries(rounds: &[ReplayedRound]) -> Vec<Vec<Entry>> {
    rounds.iter().map(|round| round.entries.clone()).collect()
}

pub fn entries_written(rounds: &[Written]) -> Vec<Vec<Entry>> {
    rounds.iter().map(|round| round.entries.clone()).collect()
}

/// Plants a bug as long as it lives.
pub struct Planted;

impl Planted {
    pub fn new(bug: Bug) -> Planted {
        planted::plant(Some(bug));
        Planted
    }
}

impl Drop for Planted {
    fn drop(&mut self) {
        planted::plant(None);
    }
}

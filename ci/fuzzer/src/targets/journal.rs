//! A journal's ring as a restart finds it.

use std::convert::Infallible;

use futures_lite::future::block_on;
use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{BLOCK_BYTES, Pool, Slice};
use sillon_journal::{
    ChainPoint, EntryKind, EntryMeta, Gather, Incarnation, JournalId, Replay, RingLayout,
    RingReader, Writer,
};
use sillon_record::{
    BatchBuilder, Compression, LeaderEpoch, Offset, PartitionIncarnation, patch_placement,
};

use crate::target::{Outcome, Target, about, outcome};

const ID: JournalId = JournalId(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
const LIFE: Incarnation = Incarnation(0xfeed_beef_0000_0000_1111_2222_3333_4444);

/// The smallest ring there can be: laps come soon.
const LAYOUT: RingLayout = RingLayout {
    files: 3,
    file_bytes: RingLayout::FILE_BYTES_MIN,
};

/// Ring files one behind the other; their end may be missing.
struct Files<'a>(&'a [u8]);

impl RingReader for Files<'_> {
    type Error = Infallible;

    async fn read(&mut self, file: u32, offset: u64, len: u64) -> Result<Vec<u8>, Infallible> {
        let begin = u64::from(file) * LAYOUT.file_bytes + offset;
        let end = (begin + len).min(u64::from(file + 1) * LAYOUT.file_bytes);
        let at = |place: u64| (place as usize).min(self.0.len());
        Ok(self.0[at(begin)..at(end)].to_vec())
    }
}

fn meta(kind: EntryKind, number: u64) -> EntryMeta {
    EntryMeta {
        kind,
        partition: PartitionIncarnation(number % 3),
        segment_base: Offset(0),
        position: number * 100,
        base_offset: Offset(number as i64),
        leader_epoch: LeaderEpoch(1),
    }
}

fn batch(number: u64, len: usize) -> Slice {
    let mut builder = BatchBuilder::new(Compression::None);
    let added = builder.append(1, None, Some(&vec![number as u8; len]), &[]);
    added.expect("a small batch has room");
    let mut bytes = builder.build();
    patch_placement(&mut bytes, Offset(number as i64), LeaderEpoch(1));
    Slice::copy_of(&bytes)
}

/// A ring after some rounds of all kinds, of which all but the last few are flushed.
fn ring(rounds: u64) -> Vec<u8> {
    let mut image = vec![0; LAYOUT.capacity_bytes() as usize];
    let mut writer = Writer::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    let (mut gather, pool) = (Gather::new(), Pool::new());
    for number in 0..rounds {
        if writer.used_bytes() > LAYOUT.capacity_bytes() / 2 {
            writer.recycle(writer.last_sequence());
        }
        gather.push(
            meta(EntryKind::Batch, number),
            batch(number, (number * 97 % 1500) as usize),
        );
        let block = vec![number as u8; (number * 60 % 4000) as usize];
        gather.push(meta(EntryKind::TailImage, number), Slice::copy_of(&block));
        for kind in EntryKind::ALL {
            if !matches!(kind, EntryKind::Batch | EntryKind::TailImage) {
                gather.push(meta(kind, number), Slice::default());
            }
        }
        let round = writer.seal(&mut gather, &pool);
        let mut at = u64::from(round.file) * LAYOUT.file_bytes + round.offset;
        for piece in &round.pieces {
            image[at as usize..at as usize + piece.len()].copy_from_slice(piece);
            at += piece.len() as u64;
        }
        if number + 3 < rounds {
            writer.flushed(round.sequence);
        }
    }
    image
}

/// The first byte of an input says which checks are left out, so that damage gets behind them.
#[derive(Default)]
pub struct Ring {}

impl Target for Ring {
    fn name(&self) -> String {
        "journal".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = Vec::new();
        for rounds in [0, 1, 4, 9, 30] {
            for checks in 0..4 {
                seeds.push([vec![checks], ring(rounds)].concat());
            }
        }
        seeds
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let Some((checks, image)) = bytes.split_first() else {
            return outcome("empty");
        };
        let left_out = [
            None,
            Some(Bug::PayloadTakenForRound),
            Some(Bug::ChainUnchecked),
            Some(Bug::GapIgnored),
        ];
        planted::plant(left_out[usize::from(checks % 4)]);
        let walked = walk(image);
        planted::plant(None);
        outcome((checks % 4, walked))
    }

    fn memory_max(&self, len: usize) -> usize {
        // The window, and a round of the densest entries.
        16 * len + (4 << 20)
    }
}

fn walk(image: &[u8]) -> (u32, bool, u32, u32) {
    let mut files = Files(image);
    let mut replay = Replay::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    let blocks = LAYOUT.capacity_bytes() / BLOCK_BYTES as u64;
    let (mut rounds, mut entries) = (0, 0);
    while let Ok(Some(round)) = block_on(replay.next(&mut files)) {
        rounds += 1;
        entries += round.entries.len();
        assert!(rounds <= blocks, "a walk ends");
        assert!(
            round.len_bytes <= LAYOUT.file_bytes,
            "a round lies in one file"
        );
    }
    let finished = block_on(replay.finish(&mut files)).is_ok_and(|ended| ended.is_ok());
    let mut behind = 0;
    while let Ok(Some(_)) = block_on(replay.next_behind_gap(&mut files)) {
        behind += 1;
        assert!(behind <= blocks, "a search ends");
    }
    (
        about(rounds as usize),
        finished,
        about(behind as usize),
        about(entries),
    )
}

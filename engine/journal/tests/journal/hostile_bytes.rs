use proptest::prelude::*;
use sillon_buffer::Slice;
use sillon_buffer::planted::Bug;
use sillon_journal::{ChainPoint, EntryKind, Replay, RingPosition};

use crate::ring::*;

/// Walks, finishes and looks behind the gap.
fn walk(ring: &mut MemoryRing, from: ChainPoint) {
    let mut replay = Replay::new(LAYOUT, ID, LIFE, from);
    let mut rounds_count = 0;
    while infallible(replay.next(ring)).is_some() {
        rounds_count += 1;
    }
    let _ = infallible(replay.finish(ring));
    while infallible(replay.next_behind_gap(ring)).is_some() {
        rounds_count += 1;
    }
    assert!(rounds_count <= LAYOUT.capacity_bytes() / BLOCK);
}

/// A ring with rounds of all kinds in its second lap, and its checkpoint.
fn ring() -> (MemoryRing, ChainPoint) {
    let mut journal = Journal::fresh();
    let mut checkpoint = ChainPoint::FRESH;
    for number in 0..60u64 {
        if journal.writer.used_bytes() > 30 * BLOCK {
            checkpoint = journal.writer.chain_point();
            journal.writer.recycle(journal.writer.last_sequence());
        }
        let image = vec![number as u8; (number * 60) as usize];
        let written = journal.round(&[
            batch(number, &vec![3; (number * 97 % 5000) as usize]),
            (meta(EntryKind::TailImage, number), Slice::copy_of(&image)),
            (meta(EntryKind::Truncate, number), Slice::default()),
        ]);
        journal.writer.flushed(written.sequence);
    }
    (journal.ring, checkpoint)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_a_walk_panic_or_run_for_ever(
        damage in prop::collection::vec(
            // A block, a byte that is most often in its headers, and what it becomes.
            (0..48u64, prop_oneof![4 => 8..240u64, 1 => 0..4096u64], any::<u8>()),
            1..40,
        ),
        // Skipping the checksum lets the damage reach what lies behind it.
        bug in prop_oneof![
            1 => Just(None),
            3 => Just(Some(Bug::PayloadTakenForRound)),
            1 => Just(Some(Bug::ChainUnchecked)),
            1 => Just(Some(Bug::GapIgnored)),
        ],
    ) {
        let (mut ring, checkpoint) = ring();
        for (block, byte, value) in damage {
            let position = RingPosition {
                file: (block / 16) as u32,
                offset: block % 16 * BLOCK + byte,
            };
            ring.write(position, &[value]);
        }
        let _planted = bug.map(Planted::new);
        walk(&mut ring, checkpoint);
        walk(&mut ring, ChainPoint::FRESH);
    }

    #[test]
    fn a_block_of_anything_behind_a_true_header_is_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..4096),
        keep in 0..200usize,
    ) {
        let mut journal = Journal::fresh();
        let written = journal.flushed_round(2);
        let mut block = written.image[..keep].to_vec();
        block.extend(bytes);
        journal.ring.write(written.position, &block);
        let _planted = Planted::new(Bug::PayloadTakenForRound);
        walk(&mut journal.ring, ChainPoint::FRESH);
    }
}

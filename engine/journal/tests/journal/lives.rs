//! A journal through many lives: written, checkpointed, cut off in the middle, recovered.

use proptest::prelude::*;
use sillon_buffer::Slice;
use sillon_journal::{ChainPoint, EntryKind, Gap, Incarnation, Replay, RingPosition};

use crate::ring::*;

/// What happens to a journal.
#[derive(Clone, Debug)]
enum Step {
    /// A round with batches of these sizes, a tail image of that size, and a control entry.
    Round(Vec<usize>, Option<usize>, Option<EntryKind>),
    /// All rounds so far are flushed.
    Flush,
    /// All flushed rounds are covered by a checkpoint.
    Checkpoint,
    /// Power is lost: every sector of what was not flushed is new, old or garbage; then recovery.
    Crash(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sizes = prop::collection::vec(prop_oneof![3 => 0..600usize, 1 => 0..16_000usize], 0..4);
    let control = prop::option::of(prop::sample::select(vec![
        EntryKind::Truncate,
        EntryKind::LogStart,
        EntryKind::Roll,
        EntryKind::PartitionDeleted,
        EntryKind::CleanStop,
    ]));
    let round = (sizes, prop::option::of(1..4096usize), control);
    let step = prop_oneof![
        12 => round.prop_map(|(sizes, image, control)| Step::Round(sizes, image, control)),
        6 => Just(Step::Flush),
        2 => Just(Step::Checkpoint),
        2 => any::<u64>().prop_map(Step::Crash),
    ];
    prop::collection::vec(step, 1..80)
}

/// xorshift64*: the fate of sectors from one number.
struct Fates(u64);

impl Fates {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    }
}

struct Lives {
    journal: Journal,
    life: Incarnation,
    checkpoint: ChainPoint,
    /// Chain points right behind each sealed round that the checkpoint does not cover.
    points: Vec<ChainPoint>,
    /// Those rounds, and what lay in their place before.
    rounds: Vec<(Written, Vec<u8>)>,
    /// What was written since the last flush.
    unflushed_bytes: u64,
    number: u64,
}

impl Lives {
    fn new() -> Lives {
        Lives {
            journal: Journal::fresh(),
            life: LIFE,
            checkpoint: ChainPoint::FRESH,
            points: Vec::new(),
            rounds: Vec::new(),
            unflushed_bytes: 0,
            number: 0,
        }
    }

    fn round(&mut self, sizes: &[usize], image: Option<usize>, control: Option<EntryKind>) {
        let mut entries = Vec::new();
        // Gathering stops before a quarter of a file.
        let mut room = LAYOUT.file_bytes as usize / 4;
        for size in sizes {
            let Some(left) = room.checked_sub(*size) else {
                break;
            };
            room = left;
            self.number += 1;
            entries.push(batch(self.number, &vec![self.number as u8; *size]));
        }
        if let Some(size) = image {
            entries.push((
                meta(EntryKind::TailImage, 5),
                Slice::copy_of(&vec![6; size]),
            ));
        }
        if let Some(kind) = control {
            entries.push((meta(kind, self.number), Slice::default()));
        }
        // A quarter of a file, an image and their headers.
        if !self.journal.writer.has_room(BLOCK * 6, false) {
            return;
        }
        if self.unflushed_bytes >= LAYOUT.unflushed_bytes_max() {
            self.flush();
        }
        let before = self.journal.ring.clone();
        let written = self.journal.round(&entries);
        self.unflushed_bytes += written.image.len() as u64;
        let old = before.bytes(written.position, written.image.len() as u64);
        self.rounds.push((written, old));
        self.points.push(self.journal.writer.chain_point());
    }

    fn flush(&mut self) {
        let last = self.journal.writer.last_sequence();
        self.journal.writer.flushed(last);
        self.unflushed_bytes = 0;
    }

    fn checkpoint(&mut self) {
        let flushed = self.journal.writer.durable_through();
        let count = self
            .rounds
            .iter()
            .take_while(|(written, _)| written.sequence <= flushed)
            .count();
        if let Some(point) = self.points.drain(..count).next_back() {
            self.checkpoint = point;
        }
        self.rounds.drain(..count);
        self.journal.writer.recycle(flushed);
    }

    /// Gives every sector that is not flushed its fate.
    fn lose_power(&mut self, seed: u64) {
        const SECTOR: usize = 512;
        let mut fates = Fates(seed | 1);
        let flushed = self.journal.writer.durable_through();
        for (written, old) in self.rounds.iter().filter(|(w, _)| w.sequence > flushed) {
            let harm = fates.next(4);
            for at in (0..old.len()).step_by(SECTOR) {
                let position = RingPosition {
                    file: written.position.file,
                    offset: written.position.offset + at as u64,
                };
                let garbage = [fates.next(256) as u8; SECTOR];
                let bytes = match (harm, fates.next(3)) {
                    (0, _) | (1 | 2, 0) => &written.image[at..at + SECTOR],
                    (1, _) | (2, 1) | (3, _) => &old[at..at + SECTOR],
                    _ => &garbage,
                };
                self.journal.ring.write(position, bytes);
            }
        }
    }

    /// Rounds from the checkpoint on that lie there as they were written.
    fn whole_count(&self) -> usize {
        let is_whole = |(written, _): &&(Written, Vec<u8>)| {
            let len = written.image.len() as u64;
            self.journal.ring.bytes(written.position, len) == written.image
        };
        self.rounds.iter().take_while(is_whole).count()
    }

    fn crash(&mut self, seed: u64) {
        self.lose_power(seed);
        let flushed = self.journal.writer.durable_through();
        let whole = self.whole_count();
        let (found, end) = replay(&mut self.journal.ring, LAYOUT, self.life, self.checkpoint);
        let written: Vec<_> = self.rounds[..whole]
            .iter()
            .map(|(w, _)| w.clone())
            .collect();
        assert_eq!(entries(&found), entries_written(&written));
        let end = end.expect("nothing that was flushed is damaged");
        let last = self.points[..whole].last().unwrap_or(&self.checkpoint);
        assert_eq!(
            ChainPoint {
                durable_through: 0,
                ..end
            },
            ChainPoint {
                durable_through: 0,
                ..*last
            }
        );
        assert!(end.next_sequence > flushed, "what was flushed is there");

        self.life = Incarnation(
            self.life
                .0
                .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
        );
        let mut next = Journal::new(LAYOUT, self.life, end);
        next.ring = std::mem::take(&mut self.journal.ring);
        self.journal = next;
        self.checkpoint = end;
        self.rounds.clear();
        self.points.clear();
        self.unflushed_bytes = 0;
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Round(sizes, image, control) => self.round(sizes, *image, *control),
            Step::Flush => self.flush(),
            Step::Checkpoint => self.checkpoint(),
            Step::Crash(seed) => self.crash(*seed),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn through_any_lives_just_the_whole_rounds_come_back_and_all_that_were_flushed(
        steps in steps(),
        last in any::<u64>(),
    ) {
        let mut lives = Lives::new();
        for step in &steps {
            lives.step(step);
        }
        lives.crash(last);
    }

    #[test]
    fn one_damaged_byte_is_a_gap_exactly_when_a_later_round_knows_better(
        steps in steps(),
        pick in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
    ) {
        let mut lives = Lives::new();
        for step in &steps {
            lives.step(step);
        }
        prop_assume!(!lives.rounds.is_empty());
        let index = pick.index(lives.rounds.len());
        let damaged = lives.rounds[index].0.clone();
        let expected_at = match index {
            0 => lives.checkpoint,
            _ => lives.points[index - 1],
        };
        let mut ring = lives.journal.ring.clone();
        ring.flip(damaged.position, byte.index(damaged.image.len()) as u64);

        let mut replay = Replay::new(LAYOUT, ID, lives.life, lives.checkpoint);
        let mut found = Vec::new();
        let mut promised = lives.checkpoint.durable_through;
        while let Some(round) = infallible(replay.next(&mut ring)) {
            found.push(round);
        }
        let before: Vec<_> = lives.rounds[..index].iter().map(|(w, _)| w.clone()).collect();
        prop_assert_eq!(entries(&found), entries_written(&before));
        // What a walk over the undamaged ring says that each round knew.
        let (all, _) = crate::ring::replay(
            &mut lives.journal.ring, LAYOUT, lives.life, lives.checkpoint,
        );
        for round in &all {
            if round.sequence != damaged.sequence {
                promised = promised.max(round.durable_through);
            }
        }
        let end = infallible(replay.finish(&mut ring));
        if promised >= damaged.sequence {
            let gap = end.unwrap_err();
            // The largest promise near the damage, which need not be the last of all.
            prop_assert!((damaged.sequence..=promised).contains(&gap.durable_through));
            let expected = Gap {
                position: expected_at.position,
                sequence: damaged.sequence,
                durable_through: gap.durable_through,
            };
            prop_assert_eq!(gap, expected);
        } else {
            prop_assert_eq!(end.unwrap().next_sequence, damaged.sequence);
        }
    }
}

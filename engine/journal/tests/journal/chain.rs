use sillon_buffer::Slice;
use sillon_journal::{
    ChainPoint, EntryKind, Incarnation, JournalId, READ_AHEAD_BYTES, Replay, RingLayout,
    RingPosition,
};

use crate::ring::*;

#[test]
fn an_empty_or_missing_ring_is_an_empty_chain() {
    for ring in [
        MemoryRing::default(),
        MemoryRing {
            files: vec![vec![0; 64 << 10], Vec::new(), vec![0; 5000]],
            reads: Vec::new(),
        },
    ] {
        let (rounds, end) = replay(&mut ring.clone(), LAYOUT, LIFE, ChainPoint::FRESH);
        assert_eq!(rounds, []);
        assert_eq!(end, Ok(ChainPoint::FRESH));
    }
}

#[test]
fn every_kind_of_entry_comes_back_as_it_was_pushed() {
    let mut journal = Journal::fresh();
    let written: Vec<_> = EntryKind::ALL
        .iter()
        .zip(1..)
        .map(|(kind, number)| match kind {
            EntryKind::Batch => batch(number, b"value"),
            EntryKind::TailImage => (meta(*kind, number), Slice::copy_of(&[5; 4095])),
            _ => (meta(*kind, number), Slice::default()),
        })
        .collect();
    journal.round(&written);
    journal.round(&[]);
    let (rounds, end) = journal.replay(ChainPoint::FRESH);
    assert_eq!(entries(&rounds), [written, vec![]]);
    assert_eq!(rounds[1].len_bytes, BLOCK);
    assert_eq!(end, Ok(journal.writer.chain_point()));
}

#[test]
fn a_chain_is_walked_over_file_ends_and_laps_from_the_checkpoint_on() {
    let mut journal = Journal::fresh();
    let mut written = Vec::new();
    let mut checkpoint = journal.writer.chain_point();
    for lap in 0..40u64 {
        if journal.writer.used_bytes() > 20 * BLOCK {
            checkpoint = journal.writer.chain_point();
            journal.writer.recycle(journal.writer.last_sequence());
            written.clear();
        }
        written.push(journal.flushed_round(1 + lap * 5 % 7));
        let (rounds, end) = journal.replay(checkpoint);
        assert_eq!(entries(&rounds), entries_written(&written));
        let sequences: Vec<_> = rounds.iter().map(|round| round.sequence).collect();
        let expected: Vec<_> = written.iter().map(|round| round.sequence).collect();
        assert_eq!(sequences, expected);
        let end = end.expect("nothing is damaged");
        let live = journal.writer.chain_point();
        assert_eq!(
            (end.next_sequence, end.position),
            (live.next_sequence, live.position)
        );
        assert_eq!(end.previous_checksum, live.previous_checksum);
    }
}

#[test]
fn a_ring_that_is_full_to_the_last_block_is_walked_once_round() {
    let mut journal = Journal::fresh();
    journal.flushed_round(7);
    let checkpoint = journal.writer.chain_point();
    journal.writer.recycle(1);
    let written: Vec<_> = [9, 16, 16, 7]
        .map(|blocks| journal.flushed_round(blocks))
        .into();
    assert_eq!(journal.writer.used_bytes(), journal.writer.capacity_bytes());
    let (rounds, end) = journal.replay(checkpoint);
    assert_eq!(entries(&rounds), entries_written(&written));
    assert_eq!(end.map(|end| end.next_sequence), Ok(6));
}

#[test]
fn a_torn_last_round_is_dropped_and_everything_before_it_survives() {
    let mut journal = Journal::fresh();
    let first = journal.flushed_round(2);
    let end = journal.writer.chain_point().next_sequence;
    let last = journal.round(&[batch(7, &[7; 9000]), batch(8, &[8; 100])]);
    for byte in [
        0, 9, 13, 20, 40, 50, 57, 70, 77, 80, 84, 88, 100, 140, 180, 190, 4096, 12000,
    ] {
        let mut ring = journal.ring.clone();
        ring.flip(last.position, byte);
        let (rounds, found) = replay(&mut ring, LAYOUT, LIFE, ChainPoint::FRESH);
        assert_eq!(
            entries(&rounds),
            entries_written(std::slice::from_ref(&first)),
            "byte {byte}"
        );
        assert_eq!(found.map(|end| end.next_sequence), Ok(end), "byte {byte}");
    }
}

#[test]
fn dirt_in_the_padding_makes_a_round_invalid() {
    let mut journal = Journal::fresh();
    let last = journal.round(&[batch(1, b"short")]);
    journal.ring.flip(last.position, BLOCK - 1);
    assert_eq!(journal.replay(ChainPoint::FRESH).0, []);
}

#[test]
fn a_file_that_ends_within_a_round_ends_the_chain() {
    let mut journal = Journal::fresh();
    journal.flushed_round(2);
    journal.round(&[batch_of_blocks(2, 3)]);
    for len in [8192, 8193, 8192 + 60, 8192 + 4096, 5 * 4096 - 1] {
        let mut ring = journal.ring.clone();
        ring.files[0].truncate(len);
        let (rounds, end) = replay(&mut ring, LAYOUT, LIFE, ChainPoint::FRESH);
        assert_eq!(rounds.len(), 1);
        assert_eq!(end.map(|end| end.next_sequence), Ok(2));
    }
}

#[test]
fn a_round_of_an_earlier_lap_does_not_continue_the_chain() {
    let mut journal = Journal::fresh();
    for _ in 0..12 {
        journal.flushed_round(4);
    }
    let checkpoint = journal.writer.chain_point();
    journal.writer.recycle(12);
    let last = journal.flushed_round(4);
    // Behind it lies round 2, whole, of the same incarnation.
    let (rounds, end) = journal.replay(checkpoint);
    assert_eq!(entries(&rounds), entries_written(&[last]));
    assert_eq!(end.map(|end| end.next_sequence), Ok(14));
}

#[test]
fn a_round_of_an_earlier_life_does_not_continue_the_chain() {
    let mut journal = Journal::fresh();
    journal.flushed_round(1);
    let after_first = journal.writer.chain_point();
    journal.round(&[batch_of_blocks(2, 2)]);
    let third = journal.round(&[batch_of_blocks(3, 1)]);
    // Round 2 was torn. The next life writes another one of the same length in its place.
    let next_life = Incarnation(LIFE.0 + 1);
    let mut second_life = Journal::new(LAYOUT, next_life, after_first);
    second_life.ring = journal.ring;
    let second = second_life.flushed_round(2);
    assert_eq!(second_life.ring.bytes(third.position, BLOCK), third.image);
    let (rounds, end) = replay(&mut second_life.ring, LAYOUT, next_life, after_first);
    assert_eq!(entries(&rounds), entries_written(&[second]));
    assert_eq!(end.map(|end| end.next_sequence), Ok(3));
}

#[test]
fn rounds_of_another_journal_id_are_strangers() {
    let mut journal = Journal::fresh();
    journal.flushed_round(1);
    let mut replay = Replay::new(LAYOUT, JournalId(ID.0 ^ 1), LIFE, ChainPoint::FRESH);
    assert_eq!(infallible(replay.next(&mut journal.ring)), None);
    assert_eq!(
        infallible(replay.finish(&mut journal.ring)),
        Ok(ChainPoint::FRESH)
    );
}

#[test]
fn rounds_of_another_incarnation_are_strangers_even_in_their_right_place() {
    let mut journal = Journal::fresh();
    journal.flushed_round(1);
    journal.flushed_round(1);
    let stranger = Incarnation(LIFE.0 ^ 1);
    let (rounds, end) = replay(&mut journal.ring, LAYOUT, stranger, ChainPoint::FRESH);
    assert_eq!(rounds, []);
    assert_eq!(end, Ok(ChainPoint::FRESH));
}

#[test]
fn a_round_follows_by_its_sequence_and_by_the_checksum_before_it() {
    let from = ChainPoint {
        next_sequence: 8,
        previous_checksum: 5,
        ..ChainPoint::FRESH
    };
    let mut journal = Journal::new(LAYOUT, LIFE, from);
    journal.round(&[batch(1, b"x")]);
    assert_eq!(journal.replay(from).0.len(), 1);
    for other in [
        ChainPoint {
            next_sequence: 7,
            ..from
        },
        ChainPoint {
            next_sequence: 9,
            ..from
        },
        ChainPoint {
            previous_checksum: 6,
            ..from
        },
    ] {
        assert_eq!(journal.replay(other).0, []);
    }
}

#[test]
fn a_round_that_lies_in_another_file_than_it_says_is_no_witness() {
    let from = ChainPoint {
        next_sequence: 5,
        position: RingPosition { file: 1, offset: 0 },
        durable_through: 4,
        ..ChainPoint::FRESH
    };
    let round = Journal::new(LAYOUT, LIFE, from).round(&[]);
    for (file, is_witness) in [(1, true), (2, false)] {
        let mut ring = MemoryRing::default();
        ring.write(RingPosition { file, offset: 0 }, &round.image);
        let (_, end) = replay(&mut ring, LAYOUT, LIFE, ChainPoint::FRESH);
        assert_eq!(end.is_err(), is_witness);
    }
}

#[test]
fn a_payload_that_holds_a_copy_of_a_true_round_is_not_taken_for_one() {
    let mut journal = Journal::fresh();
    journal.flushed_round(1);
    let end = journal.writer.chain_point();
    // A round of this very incarnation that promises what would be a gap, in the payload of a
    // round that is then torn: at blocks 2 and 4, whereas it says that it lies at block 3.
    let mut twin = Journal::new(LAYOUT, LIFE, end);
    let mut image = Vec::new();
    for _ in 0..3 {
        image = twin.flushed_round(1).image;
    }
    let payload = [&[0; 4096 - 88 - 48][..], &image, &[0; 4096], &image].concat();
    let torn = journal.round(&[(meta(EntryKind::TailImage, 1), Slice::copy_of(&payload))]);
    assert_eq!(&torn.image[4096..8192], &image);
    journal.ring.flip(torn.position, 100);
    let (rounds, found) = journal.replay(ChainPoint::FRESH);
    assert_eq!(rounds.len(), 1);
    assert_eq!(found.map(|end| end.next_sequence), Ok(end.next_sequence));
}

#[test]
fn a_round_as_large_as_a_ring_file_comes_back() {
    let layout = RingLayout {
        files: 2,
        file_bytes: 3 << 20,
    };
    let mut journal = Journal::new(layout, LIFE, ChainPoint::FRESH);
    let first = journal.flushed_round(1);
    let second = journal.flushed_round(3 << 8);
    assert_eq!(second.position, RingPosition { file: 1, offset: 0 });
    let (rounds, end) = journal.replay(ChainPoint::FRESH);
    assert_eq!(entries(&rounds), entries_written(&[first, second]));
    assert_eq!(end.map(|end| end.position), Ok(RingPosition::default()));
}

#[test]
fn a_round_of_very_many_entries_comes_back() {
    let layout = RingLayout {
        files: 2,
        file_bytes: 4 << 20,
    };
    let mut journal = Journal::new(layout, LIFE, ChainPoint::FRESH);
    let written: Vec<_> = (0..20_000).map(|number| batch(number, b"")).collect();
    journal.round(&written);
    let (rounds, _) = journal.replay(ChainPoint::FRESH);
    assert_eq!(entries(&rounds), [written]);
}

#[test]
fn the_ring_is_read_in_pieces_of_a_mebibyte_and_hardly_a_byte_twice() {
    let layout = RingLayout {
        files: 2,
        file_bytes: 4 << 20,
    };
    let mut journal = Journal::new(layout, LIFE, ChainPoint::FRESH);
    for blocks in [3, 200, 1, 500, 77, 130, 80] {
        journal.flushed_round(blocks);
    }
    for file in &mut journal.ring.files {
        file.resize(4 << 20, 0);
    }
    replay(&mut journal.ring, layout, LIFE, ChainPoint::FRESH)
        .1
        .unwrap();
    let longest = journal.ring.reads.iter().max();
    assert!(longest <= Some(&READ_AHEAD_BYTES), "{longest:?}");
    let total: u64 = journal.ring.reads.iter().sum();
    assert!(
        total <= layout.capacity_bytes() + 4 * READ_AHEAD_BYTES,
        "{total}"
    );
}

use sillon_buffer::Slice;
use sillon_journal::{ChainPoint, EntryKind, Gap, Replay, RingLayout};

use crate::ring::*;

#[test]
fn a_hole_in_what_was_promised_is_named_with_its_place_and_the_way_out() {
    let mut journal = Journal::fresh();
    let written: Vec<_> = (0..6).map(|_| journal.flushed_round(2)).collect();
    journal.ring.flip(written[2].position, 5000);
    let (rounds, end) = journal.replay(ChainPoint::FRESH);
    assert_eq!(entries(&rounds), entries_written(&written[..2]));
    let gap = end.unwrap_err();
    let expected = Gap {
        position: written[2].position,
        sequence: 3,
        // That of round 6.
        durable_through: 5,
    };
    assert_eq!(gap, expected);
    let text = gap.to_string();
    for part in [
        "round 3",
        "file 0",
        "byte 16384",
        "up to 5",
        "restore the file",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_hole_in_what_was_only_written_drops_everything_behind_it() {
    let mut journal = Journal::fresh();
    let first = journal.flushed_round(1);
    let end = journal.writer.chain_point();
    let lost = journal.round(&[batch(2, b"lost")]);
    journal.round(&[batch(3, b"survives, in vain")]);
    journal.ring.write(lost.position, &[0; 4096]);
    let (rounds, found) = journal.replay(ChainPoint::FRESH);
    assert_eq!(entries(&rounds), entries_written(&[first]));
    assert_eq!(found, Ok(end));
}

#[test]
fn the_headers_of_a_torn_round_are_witness_enough() {
    let mut journal = Journal::fresh();
    let first = journal.flushed_round(2);
    let second = journal.round(&[batch(2, &[2; 6000])]);
    journal.ring.flip(first.position, 6000);
    // The payload and the padding of the second are torn as well; its headers say that the
    // first had been flushed.
    journal.ring.flip(second.position, 5000);
    journal.ring.flip(second.position, 8191);
    let gap = journal.replay(ChainPoint::FRESH).1.unwrap_err();
    assert_eq!((gap.sequence, gap.durable_through), (1, 1));
}

#[test]
fn the_checkpoints_own_promise_counts() {
    let mut journal = Journal::fresh();
    let first = journal.flushed_round(1);
    let from = ChainPoint {
        durable_through: 1,
        ..ChainPoint::FRESH
    };
    journal.ring.flip(first.position, 0);
    assert_eq!(journal.replay(from).1.unwrap_err().durable_through, 1);
}

/// A ring so long that recovery does not look through all of it.
const LONG: RingLayout = RingLayout {
    files: 6,
    file_bytes: 64 << 10,
};

#[test]
fn a_witness_is_found_right_up_to_where_the_ring_was_begun() {
    let mut journal = Journal::fresh();
    for _ in 0..10 {
        journal.flushed_round(4);
    }
    let checkpoint = journal.writer.chain_point();
    journal.writer.recycle(10);
    let first = journal.flushed_round(8);
    // The next four are damaged too: the fifth says what it knows.
    for _ in 0..4 {
        let position = journal.flushed_round(4).position;
        journal.ring.flip(position, 1);
    }
    journal.flushed_round(4);
    journal.ring.flip(first.position, 1);
    let gap = journal.replay(checkpoint).1.unwrap_err();
    assert_eq!((gap.sequence, gap.durable_through), (11, 15));
    assert_eq!(gap.position, first.position);
}

#[test]
fn a_ring_file_that_is_lost_shows_at_the_start_of_the_next() {
    let mut journal = Journal::new(LONG, LIFE, ChainPoint::FRESH);
    let mut written = Vec::new();
    loop {
        let round = journal.flushed_round(2);
        let file = round.position.file;
        written.push(round);
        if file == 4 {
            break;
        }
    }
    // The third file and all of the fourth: far more than what is looked through block by block.
    for round in &written {
        if (2..4).contains(&round.position.file) {
            journal.ring.flip(round.position, 1);
        }
    }
    let mut replay = Replay::new(LONG, ID, LIFE, ChainPoint::FRESH);
    while infallible(replay.next(&mut journal.ring)).is_some() {}
    let gap = infallible(replay.finish(&mut journal.ring)).unwrap_err();
    let first = written.iter().position(|round| round.position.file == 2);
    let lost = written[first.expect("the ring was filled")].clone();
    assert_eq!(gap.sequence, lost.sequence);
    let last = written.last().expect("the ring was filled");
    assert_eq!(gap.durable_through, last.sequence - 1);
}

#[test]
fn what_lies_behind_a_gap_can_be_listed_and_the_chain_taken_up_before_it() {
    let mut journal = Journal::fresh();
    let written: Vec<_> = (0..6).map(|_| journal.flushed_round(3)).collect();
    journal.ring.flip(written[1].position, 0);
    journal.ring.flip(written[3].position, 9000);
    let mut replay = Replay::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    while infallible(replay.next(&mut journal.ring)).is_some() {}
    assert!(infallible(replay.finish(&mut journal.ring)).is_err());
    let repaired = replay.chain_point();
    assert_eq!((repaired.next_sequence, repaired.durable_through), (2, 1));
    let (mut given_up, mut torn) = (Vec::new(), Vec::new());
    while let Some(straggler) = infallible(replay.next_behind_gap(&mut journal.ring)) {
        match straggler.round {
            Some(round) => given_up.push(round),
            None => torn.push(straggler.sequence),
        }
    }
    assert_eq!(torn, [4]);
    let survivors = [written[2].clone(), written[4].clone(), written[5].clone()];
    assert_eq!(entries(&given_up), entries_written(&survivors));
}

#[test]
fn damage_to_the_last_flushed_round_alone_cannot_be_told_from_a_torn_write() {
    let mut journal = Journal::fresh();
    journal.flushed_round(1);
    let last = journal.flushed_round(1);
    journal.ring.flip(last.position, 100);
    assert_eq!(
        journal
            .replay(ChainPoint::FRESH)
            .1
            .map(|end| end.next_sequence),
        Ok(2)
    );
}

#[test]
fn a_bit_in_the_part_of_a_batch_that_its_own_checksum_does_not_cover_is_seen() {
    for byte in 0..21 {
        let mut journal = Journal::fresh();
        let written = journal.flushed_round(1);
        journal.round(&[(meta(EntryKind::CleanStop, 0), Slice::default())]);
        journal.ring.flip(written.position, 88 + 48 + byte);
        let gap = journal.replay(ChainPoint::FRESH).1.unwrap_err();
        assert_eq!(gap.sequence, 1, "byte {byte}");
    }
}

use sillon_buffer::Slice;
use sillon_buffer::planted::Bug;
use sillon_journal::{ChainPoint, EntryKind, Incarnation};

use crate::ring::*;

#[test]
fn with_the_chain_unchecked_a_round_of_an_earlier_lap_comes_back() {
    let mut journal = Journal::fresh();
    for _ in 0..12 {
        journal.flushed_round(4);
    }
    let checkpoint = journal.writer.chain_point();
    journal.writer.recycle(12);
    journal.flushed_round(4);
    let _planted = Planted::new(Bug::ChainUnchecked);
    let (rounds, _) = journal.replay(checkpoint);
    let sequences: Vec<_> = rounds.iter().map(|round| round.sequence).collect();
    assert_eq!(sequences[..3], [13, 2, 3]);
    assert_eq!(rounds.len(), 12, "and the walk still ends after a lap");
}

#[test]
fn with_the_gap_ignored_what_lies_behind_it_comes_back() {
    let mut journal = Journal::fresh();
    let lost = journal.round(&[batch(1, b"lost")]);
    let behind = journal.round(&[batch(2, b"behind")]);
    journal.ring.flip(lost.position, 0);
    let _planted = Planted::new(Bug::GapIgnored);
    let (rounds, end) = journal.replay(ChainPoint::FRESH);
    assert_eq!(entries(&rounds), entries_written(&[behind]));
    assert!(end.is_ok());
}

#[test]
fn with_payloads_taken_for_rounds_a_forged_promise_stops_recovery() {
    let stranger = Incarnation(1);
    let from = ChainPoint {
        next_sequence: 1000,
        durable_through: 999,
        ..ChainPoint::FRESH
    };
    let forged = Journal::new(LAYOUT, stranger, from).round(&[]).image;
    let mut journal = Journal::fresh();
    journal.flushed_round(1);
    let payload = [&[0; 4096 - 88 - 48][..], &forged].concat();
    let torn = journal.round(&[(meta(EntryKind::TailImage, 1), Slice::copy_of(&payload))]);
    journal.ring.flip(torn.position, 150);
    assert!(journal.replay(ChainPoint::FRESH).1.is_ok());
    let _planted = Planted::new(Bug::PayloadTakenForRound);
    assert_eq!(
        journal
            .replay(ChainPoint::FRESH)
            .1
            .unwrap_err()
            .durable_through,
        999
    );
}

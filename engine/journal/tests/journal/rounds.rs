use sillon_buffer::{ChunkWriter, Pool, Slice};
use sillon_journal::{
    ChainPoint, ENTRY_HEADER_BYTES, EntryKind, Gather, ROUND_BYTES_MAX, ROUND_HEADER_BYTES,
    RingLayout, RingPosition, Writer,
};

use crate::ring::*;

#[test]
fn the_first_round_of_a_journal_is_round_one_at_the_start_of_file_zero() {
    let mut journal = Journal::fresh();
    let written = journal.round(&[batch(1, b"x")]);
    assert_eq!(written.sequence, 1);
    assert_eq!(written.position, RingPosition { file: 0, offset: 0 });
    assert_eq!(journal.writer.last_sequence(), 1);
    assert_eq!(journal.writer.durable_through(), 0);
}

#[test]
fn a_round_is_one_header_chunk_and_the_payloads_where_they_were() {
    let (first, second) = (batch(1, b"first"), batch(2, b"second"));
    let mut gather = Gather::new();
    gather.push(first.0, first.1.clone());
    gather.push(meta(EntryKind::Roll, 3), Slice::default());
    gather.push(second.0, second.1.clone());
    assert_eq!(gather.entries(), 3);

    let mut writer = Writer::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    let round = writer.seal(&mut gather, &Pool::new());
    assert_eq!(round.pieces.len(), 3);
    assert_eq!(
        round.pieces[0].len(),
        ROUND_HEADER_BYTES + 3 * ENTRY_HEADER_BYTES
    );
    assert_eq!(round.pieces[1].as_ptr(), first.1.as_ptr());
    assert_eq!(round.pieces[2].as_ptr(), second.1.as_ptr());
}

#[test]
fn batches_that_lie_side_by_side_in_a_chunk_are_one_piece() {
    let mut chunk = ChunkWriter::unpooled(4096);
    let mut gather = Gather::new();
    for number in 1..=3 {
        let (meta, payload) = batch(number, b"side by side");
        gather.push(meta, chunk.append(&payload));
    }
    let mut writer = Writer::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    assert_eq!(writer.seal(&mut gather, &Pool::new()).pieces.len(), 2);
}

#[test]
fn the_length_of_a_gather_is_foretold_and_in_whole_blocks() {
    let (meta, payload) = batch(1, &[7; 1200]);
    let mut gather = Gather::new();
    assert_eq!(gather.len_bytes(), BLOCK);
    for _ in 0..10 {
        let foretold = gather.len_bytes_with(payload.len());
        gather.push(meta, payload.clone());
        assert_eq!(gather.len_bytes(), foretold);
    }
    let exact = ROUND_HEADER_BYTES + 10 * (ENTRY_HEADER_BYTES + payload.len());
    assert_eq!(gather.len_bytes(), exact.next_multiple_of(4096) as u64);
    let mut writer = Writer::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    let round = writer.seal(&mut gather, &Pool::new());
    assert_eq!(round.len_bytes, exact.next_multiple_of(4096) as u64);
}

#[test]
fn a_round_that_ends_with_its_block_has_no_padding() {
    let spare = 4096 - ROUND_HEADER_BYTES - 2 * ENTRY_HEADER_BYTES;
    let (batch_meta, payload) = batch(1, &[1; 500]);
    let image_bytes = vec![9; spare - payload.len()];
    let entries = [
        (batch_meta, payload),
        (meta(EntryKind::TailImage, 2), Slice::copy_of(&image_bytes)),
    ];
    let mut journal = Journal::fresh();
    let written = journal.round(&entries);
    assert_eq!(written.image.len(), 4096);
    assert_eq!(written.image.last(), Some(&9));
    let (rounds, _) = journal.replay(ChainPoint::FRESH);
    assert_eq!(rounds[0].entries, entries);
}

#[test]
fn a_round_never_crosses_a_file_end() {
    let mut journal = Journal::fresh();
    let positions = [10, 5, 2, 16, 1].map(|blocks| {
        let position = journal.flushed_round(blocks).position;
        journal.writer.recycle(journal.writer.last_sequence());
        (position.file, position.offset / BLOCK)
    });
    assert_eq!(positions, [(0, 0), (0, 10), (1, 0), (2, 0), (0, 0)]);
}

#[test]
fn a_full_ring_has_room_again_when_its_oldest_rounds_are_recycled() {
    let mut journal = Journal::fresh();
    for _ in 0..10 {
        journal.flushed_round(4);
    }
    // 40 of 48 blocks are used, an eighth (6) is kept for control entries.
    assert!(journal.writer.has_room(2 * BLOCK, false));
    assert!(!journal.writer.has_room(3 * BLOCK, false));
    assert!(journal.writer.has_room(3 * BLOCK, true));
    assert!(journal.writer.has_room(8 * BLOCK, true));
    assert!(!journal.writer.has_room(9 * BLOCK, true));
    assert_eq!(journal.writer.used_bytes(), 40 * BLOCK);

    journal.writer.recycle(1);
    assert_eq!(journal.writer.used_bytes(), 36 * BLOCK);
    assert!(journal.writer.has_room(6 * BLOCK, false));
    journal.writer.recycle(1);
    journal.writer.recycle(10);
    assert_eq!(journal.writer.used_bytes(), 0);
    assert!(!journal.writer.has_room(17 * BLOCK, true));
}

#[test]
fn a_file_end_that_is_left_out_counts_as_used() {
    let mut journal = Journal::fresh();
    for _ in 0..3 {
        journal.flushed_round(13);
    }
    assert_eq!(journal.writer.used_bytes(), (16 + 16 + 13) * BLOCK);
    assert!(journal.writer.has_room(3 * BLOCK, true));
    assert!(!journal.writer.has_room(4 * BLOCK, true));
    journal.writer.recycle(1);
    assert!(journal.writer.has_room(13 * BLOCK, true));
}

#[test]
#[should_panic(expected = "has room")]
fn a_round_is_not_sealed_into_a_full_ring() {
    let mut journal = Journal::fresh();
    for _ in 0..13 {
        journal.flushed_round(4);
    }
}

#[test]
fn gathering_stops_at_four_mebibytes_or_a_quarter_of_a_ring_file() {
    for (file_bytes, expected) in [
        (16 << 10, 4 << 10),
        (20 << 10, 4 << 10),
        (1 << 20, 256 << 10),
        (64 << 20, ROUND_BYTES_MAX),
    ] {
        let layout = RingLayout {
            files: 2,
            file_bytes,
        };
        let writer = Writer::new(layout, ID, LIFE, ChainPoint::FRESH);
        assert_eq!(writer.round_bytes_max(), expected);
        assert_eq!(writer.capacity_bytes(), 2 * file_bytes);
    }
}

#[test]
fn the_header_chunk_goes_back_to_the_pool_with_the_round() {
    let pool = Pool::new();
    let mut writer = Writer::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    let mut gather = Gather::new();
    gather.push(meta(EntryKind::CleanStop, 0), Slice::default());
    let round = writer.seal(&mut gather, &pool);
    assert_eq!(pool.outstanding_bytes(), 4096);
    drop(round);
    assert_eq!(pool.outstanding_bytes(), 0);
}

#[test]
fn the_incarnation_does_not_get_into_logs() {
    let writer = Writer::new(LAYOUT, ID, LIFE, ChainPoint::FRESH);
    let text = format!("{writer:?}");
    assert!(!text.contains(&format!("{}", LIFE.0)) && !text.contains(&format!("{:x}", LIFE.0)));
}

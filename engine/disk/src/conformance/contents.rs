//! What is in a file.

use sillon_buffer::{BLOCK_BYTES, ChunkWriter, Slice};
use sillon_shard::{Access, DiskOp, IoClass};

use super::user::{A, B, BLOCK, BOTH, User, pattern, write};
use crate::Disk;

pub(super) async fn a_new_file_is_empty_and_keeps_what_is_written<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        assert_eq!(user.open(A, path, access).await, 0, "{path}");
        assert_eq!(user.read(A, 0, 10).await, b"");
        let bytes = pattern(1, 2 * BLOCK_BYTES);
        user.done(write(A, 0, &bytes)).await;
        user.done(DiskOp::Close { file: A }).await;
        assert_eq!(user.open(A, path, access).await, 2 * BLOCK);
        assert_eq!(user.read(A, 0, 2 * BLOCK).await, bytes);
        user.done(DiskOp::Close { file: A }).await;
    }
}

pub(super) async fn a_direct_write_fills_its_last_block_with_zeros<D: Disk>(
    user: &mut User<'_, D>,
) {
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &pattern(1, 3 * BLOCK_BYTES))).await;
    user.done(write(A, BLOCK, b"short")).await;
    let mut expected = pattern(1, 3 * BLOCK_BYTES);
    expected[BLOCK_BYTES..2 * BLOCK_BYTES].fill(0);
    expected[BLOCK_BYTES..BLOCK_BYTES + 5].copy_from_slice(b"short");
    assert_eq!(user.read(A, 0, 4 * BLOCK).await, expected);
    user.done(write(A, 3 * BLOCK, b"end")).await;
    assert_eq!(user.read(A, 3 * BLOCK, 2 * BLOCK).await.len(), BLOCK_BYTES);
}

pub(super) async fn pieces_of_any_length_land_one_behind_the_other<D: Disk>(
    user: &mut User<'_, D>,
) {
    let mut chunk = ChunkWriter::unpooled(3 * BLOCK_BYTES);
    let all = chunk.append(&pattern(7, 3 * BLOCK_BYTES));
    let cuts = [0, 1, 62, 62, 4096, 4097, 9000, 9001, 12_288];
    let pieces: Vec<Slice> = cuts.windows(2).map(|w| all.slice(w[0]..w[1])).collect();
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(DiskOp::Write {
            file: A,
            position: BLOCK,
            pieces: pieces.clone(),
            class: IoClass::Journal,
        })
        .await;
        assert_eq!(user.read(A, BLOCK, 4 * BLOCK).await, all[..], "{path}");
        user.done(DiskOp::Close { file: A }).await;
    }
}

pub(super) async fn a_direct_file_is_read_at_any_position_and_length<D: Disk>(
    user: &mut User<'_, D>,
) {
    let bytes = pattern(3, 5 * BLOCK_BYTES);
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &bytes)).await;
    let end = bytes.len();
    for (position, len) in [
        (0, 1),
        (1, 1),
        (4095, 2),
        (4096, 4096),
        (4097, 8191),
        (100, end),
        (end - 1, 10),
        (end, 1),
        (end + 1, 1),
        (end + 10_000, 5000),
        (7, 0),
    ] {
        let from = position.min(end);
        let expected = &bytes[from..(position + len).clamp(from, end)];
        let read = user.read(A, position as u64, len as u64).await;
        assert_eq!(read, expected, "{len} bytes at {position}");
    }
}

pub(super) async fn a_buffered_file_is_written_at_any_position<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Buffered).await;
    user.done(write(A, 0, b"a furrow in the field")).await;
    user.done(write(A, 2, b"groove")).await;
    user.done(write(A, 16, b"record, long")).await;
    let text = user.read(A, 0, 100).await;
    assert_eq!(text, b"a groove in the record, long");
}

pub(super) async fn a_write_behind_the_end_leaves_zeros_between<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(write(A, 3 * BLOCK, &pattern(1, BLOCK_BYTES)))
            .await;
        let read = user.read(A, 0, 10 * BLOCK).await;
        assert_eq!(read.len(), 4 * BLOCK_BYTES);
        assert!(read[..3 * BLOCK_BYTES].iter().all(|byte| *byte == 0));
        assert_eq!(read[3 * BLOCK_BYTES..], pattern(1, BLOCK_BYTES));
        user.done(DiskOp::Close { file: A }).await;
    }
}

pub(super) async fn a_write_of_nothing_changes_nothing<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        for pieces in [Vec::new(), vec![Slice::default()]] {
            user.done(DiskOp::Write {
                file: A,
                position: BLOCK,
                pieces,
                class: IoClass::Background,
            })
            .await;
        }
        assert_eq!(user.read(A, 0, BLOCK).await, b"", "{path}");
        user.done(DiskOp::Close { file: A }).await;
    }
}

pub(super) async fn a_rewritten_block_leaves_its_neighbours_alone<D: Disk>(user: &mut User<'_, D>) {
    let mut expected = pattern(1, 4 * BLOCK_BYTES);
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &expected)).await;
    for block in [2, 0, 3, 1, 2] {
        let bytes = pattern(block as u8 + 50, BLOCK_BYTES);
        let position = block * BLOCK_BYTES;
        user.done(write(A, position as u64, &bytes)).await;
        expected[position..position + BLOCK_BYTES].copy_from_slice(&bytes);
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, expected);
    }
}

pub(super) async fn allocation_extends_with_zeros_and_never_shrinks<D: Disk>(
    user: &mut User<'_, D>,
) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(write(A, 0, &pattern(1, BLOCK_BYTES))).await;
        let allocate = |position, len| DiskOp::Allocate {
            file: A,
            position,
            len,
        };
        user.done(allocate(0, 4 * BLOCK)).await;
        let read = user.read(A, 0, 10 * BLOCK).await;
        assert_eq!(read.len(), 4 * BLOCK_BYTES);
        assert_eq!(read[..BLOCK_BYTES], pattern(1, BLOCK_BYTES));
        assert!(read[BLOCK_BYTES..].iter().all(|byte| *byte == 0));
        user.done(allocate(BLOCK, BLOCK)).await;
        assert_eq!(user.list("").await.last().unwrap().len, 4 * BLOCK);
        user.done(allocate(6 * BLOCK, 2 * BLOCK)).await;
        assert_eq!(user.list("").await.last().unwrap().len, 8 * BLOCK);
        user.done(DiskOp::Close { file: A }).await;
        user.done(DiskOp::Remove { path: path.into() }).await;
    }
}

pub(super) async fn truncation_cuts_for_good<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(write(A, 0, &pattern(9, 3 * BLOCK_BYTES))).await;
        user.done(DiskOp::Truncate { file: A, len: 5000 }).await;
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, pattern(9, 5000));
        assert_eq!(user.list("").await.last().unwrap().len, 5000);
        user.done(DiskOp::Truncate {
            file: A,
            len: 2 * BLOCK,
        })
        .await;
        let mut expected = pattern(9, 5000);
        expected.resize(2 * BLOCK_BYTES, 0);
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, expected, "{path}");
        user.done(DiskOp::Truncate { file: A, len: 0 }).await;
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, b"");
        user.done(DiskOp::Close { file: A }).await;
        user.done(DiskOp::Remove { path: path.into() }).await;
    }
}

pub(super) async fn a_buffered_reader_sees_direct_writes<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Direct).await;
    user.done(DiskOp::Allocate {
        file: A,
        position: 0,
        len: 4 * BLOCK,
    })
    .await;
    user.open(B, "file", Access::Buffered).await;
    for round in 0..4 {
        let bytes = pattern(round, BLOCK_BYTES);
        user.done(write(A, u64::from(round) * BLOCK, &bytes)).await;
        let read = user.read(B, u64::from(round) * BLOCK, BLOCK).await;
        assert_eq!(read, bytes);
    }
}

pub(super) async fn a_large_write_arrives_whole<D: Disk>(user: &mut User<'_, D>) {
    let bytes = pattern(5, (4 << 20) + 100);
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &bytes)).await;
    let mut expected = bytes;
    expected.resize((4 << 20) + BLOCK_BYTES, 0);
    assert_eq!(user.read(A, 0, 8 << 20).await, expected);
}

//! Several operations at the same time.

use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_shard::{Access, DiskOp, DiskOutput, FileId, IoClass, OpId};

use super::user::{A, B, BLOCK, User, pattern, write};
use crate::Disk;

pub(super) async fn names_of_operations_and_files_are_used_again<D: Disk>(user: &mut User<'_, D>) {
    for turn in 0..20u8 {
        user.next_op = 5;
        let path = format!("file-{turn}");
        user.open(A, &path, Access::Direct).await;
        user.done(write(A, 0, &pattern(turn, BLOCK_BYTES))).await;
        assert_eq!(user.read(A, 0, BLOCK).await, pattern(turn, BLOCK_BYTES));
        user.done(DiskOp::Close { file: A }).await;
    }
    assert_eq!(user.list("").await.len(), 20);
}

pub(super) async fn many_operations_in_flight_each_complete_once<D: Disk>(user: &mut User<'_, D>) {
    const FILES: u64 = 8;
    const WRITES: u64 = 16;
    for file in 0..FILES {
        user.open(FileId(file), &format!("f{file}"), Access::Direct)
            .await;
    }
    let mut writes = Vec::new();
    for block in 0..WRITES {
        for file in 0..FILES {
            let bytes = pattern((block * FILES + file) as u8, BLOCK_BYTES);
            writes.push(user.submit(write(FileId(file), block * BLOCK, &bytes)));
        }
    }
    let syncs: Vec<OpId> = (0..FILES)
        .map(|file| user.submit(DiskOp::Sync { file: FileId(file) }))
        .collect();
    for op in writes.into_iter().chain(syncs).rev() {
        assert_eq!(user.completion(op).await, Ok(DiskOutput::Done), "{op:?}");
    }
    assert!(user.completed.is_empty(), "{:?}", user.completed);
    for file in 0..FILES {
        let read = user.read(FileId(file), 0, (WRITES + 1) * BLOCK).await;
        let expected: Vec<u8> = (0..WRITES)
            .flat_map(|block| pattern((block * FILES + file) as u8, BLOCK_BYTES))
            .collect();
        assert_eq!(read, expected, "file {file}");
    }
}

pub(super) async fn rounds_complete_behind_a_crowd_of_background_writes<D: Disk>(
    user: &mut User<'_, D>,
) {
    user.open(A, "segment", Access::Direct).await;
    user.open(B, "journal", Access::Direct).await;
    let crowd: Vec<OpId> = (0..32u64)
        .map(|block| {
            user.submit(DiskOp::Write {
                file: A,
                position: block * BLOCK,
                pieces: vec![Slice::copy_of(&pattern(block as u8, BLOCK_BYTES))],
                class: IoClass::Background,
            })
        })
        .collect();
    user.done(write(B, 0, &pattern(99, BLOCK_BYTES))).await;
    user.done(DiskOp::Sync { file: B }).await;
    for op in crowd {
        assert_eq!(user.completion(op).await, Ok(DiskOutput::Done), "{op:?}");
    }
    assert_eq!(user.read(B, 0, BLOCK).await, pattern(99, BLOCK_BYTES));
    let last = user.read(A, 31 * BLOCK, 2 * BLOCK).await;
    assert_eq!(last, pattern(31, BLOCK_BYTES));
}

pub(super) async fn rounds_complete_behind_a_crowd_of_background_reads<D: Disk>(
    user: &mut User<'_, D>,
) {
    user.open(A, "segment", Access::Direct).await;
    user.open(B, "journal", Access::Direct).await;
    user.done(write(A, 0, &pattern(7, 32 * BLOCK_BYTES))).await;
    let crowd: Vec<OpId> = (0..32u64)
        .map(|block| {
            user.submit(DiskOp::Read {
                file: A,
                position: block * BLOCK,
                len: BLOCK,
                class: IoClass::Background,
            })
        })
        .collect();
    user.done(write(B, 0, &pattern(99, BLOCK_BYTES))).await;
    user.done(DiskOp::Sync { file: B }).await;
    for (block, op) in crowd.into_iter().enumerate() {
        let expected = pattern(7, 32 * BLOCK_BYTES)[block * BLOCK_BYTES..][..BLOCK_BYTES].to_vec();
        let read = user.completion(op).await;
        assert_eq!(read, Ok(DiskOutput::Bytes(expected)), "block {block}");
    }
}

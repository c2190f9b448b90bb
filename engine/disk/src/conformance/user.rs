//! Who uses the disk in the cases.

use std::collections::BTreeMap;

use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_shard::{
    Access, DiskError, DiskOp, DiskOutput, DiskResult, FileId, FolderEntry, IoClass, OpId,
};

use crate::Disk;

/// A block, as file positions count.
pub(super) const BLOCK: u64 = BLOCK_BYTES as u64;

/// Submits operations and sorts their completions.
pub(super) struct User<'a, D> {
    disk: &'a D,
    pub(super) next_op: u64,
    pub(super) completed: BTreeMap<OpId, DiskResult>,
}

impl<'a, D: Disk> User<'a, D> {
    pub(super) fn new(disk: &'a D) -> User<'a, D> {
        User {
            disk,
            next_op: 0,
            completed: BTreeMap::new(),
        }
    }

    pub(super) fn submit(&mut self, io: DiskOp) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.disk.submit(op, io);
        op
    }

    pub(super) async fn completion(&mut self, op: OpId) -> DiskResult {
        let mut arrived = Vec::new();
        loop {
            if let Some(result) = self.completed.remove(&op) {
                return result;
            }
            self.disk.completions(&mut arrived).await;
            assert!(!arrived.is_empty(), "completions() ended without any");
            for (op, result) in arrived.drain(..) {
                let twice = self.completed.insert(op, result);
                assert_eq!(twice, None, "{op:?} completed twice");
            }
        }
    }

    pub(super) async fn run(&mut self, io: DiskOp) -> DiskResult {
        let op = self.submit(io);
        self.completion(op).await
    }

    pub(super) async fn done(&mut self, io: DiskOp) {
        let what = format!("{io:?}");
        let result = self.run(io).await;
        assert_eq!(result, Ok(DiskOutput::Done), "{what}");
    }

    /// Opens, creating, and gives the length.
    pub(super) async fn open(&mut self, file: FileId, path: &str, access: Access) -> u64 {
        match self.run(open(file, path, true, access)).await {
            Ok(DiskOutput::Opened { len }) => len,
            other => panic!("open {path}: {other:?}"),
        }
    }

    pub(super) async fn read(&mut self, file: FileId, position: u64, len: u64) -> Vec<u8> {
        let io = DiskOp::Read {
            file,
            position,
            len,
            class: IoClass::Foreground,
        };
        match self.run(io).await {
            Ok(DiskOutput::Bytes(bytes)) => bytes,
            other => panic!("read {len} at {position}: {other:?}"),
        }
    }

    pub(super) async fn list(&mut self, path: &str) -> Vec<FolderEntry> {
        match self.run(DiskOp::List { path: path.into() }).await {
            Ok(DiskOutput::Entries(entries)) => entries,
            other => panic!("list {path:?}: {other:?}"),
        }
    }

    pub(super) async fn names(&mut self, path: &str) -> Vec<String> {
        let entries = self.list(path).await;
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

pub(super) fn open(file: FileId, path: &str, create: bool, access: Access) -> DiskOp {
    DiskOp::Open {
        file,
        path: path.into(),
        create,
        access,
    }
}

pub(super) fn write(file: FileId, position: u64, bytes: &[u8]) -> DiskOp {
    DiskOp::Write {
        file,
        position,
        pieces: vec![Slice::copy_of(bytes)],
        class: IoClass::Journal,
    }
}

pub(super) fn rename(from: &str, to: &str) -> DiskOp {
    DiskOp::Rename {
        from: from.into(),
        to: to.into(),
    }
}

pub(super) fn exchange(from: &str, to: &str) -> DiskOp {
    DiskOp::Exchange {
        from: from.into(),
        to: to.into(),
    }
}

pub(super) fn make_folder(path: &str) -> DiskOp {
    DiskOp::MakeFolder { path: path.into() }
}

/// Bytes that differ from block to block and are never zero.
pub(super) fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| ((i + i / BLOCK_BYTES + usize::from(seed)) % 255) as u8 + 1)
        .collect()
}

pub(super) fn is_not_found(result: &DiskResult, path: &str) {
    match result {
        Err(DiskError::NotFound(named)) => assert_eq!(&named[..], path),
        other => panic!("{path} is missing, yet: {other:?}"),
    }
}

pub(super) const A: FileId = FileId(1);
pub(super) const B: FileId = FileId(2);
pub(super) const BOTH: [Access; 2] = [Access::Direct, Access::Buffered];

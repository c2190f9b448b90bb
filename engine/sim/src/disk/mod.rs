//! A disk in memory that does what the real one may do at its worst.
//!
//! Operations complete in whatever order the world picks. What has not been synced survives the
//! death of the process, but not surely that of the power: contents, lengths, truncations, names
//! and renames are then lost independently of each other, and writes in flight leave each 512-byte
//! sector old, new or garbage. Nothing here knows what a log is.

mod crash;
mod file;
mod handle;
mod names;
mod operation;

use std::collections::BTreeMap;

use sillon_shard::{Access, DiskOp, DiskResult, FileId, FilePath, OpId};

use crate::random::Random;
pub use crash::Crash;
pub use file::CrashCounts;
use file::File;
pub use handle::SimDiskHandle;
use names::{Names, Node};
pub use operation::{OP_KINDS, OpKind};

/// Unit of space and of direct writes, in bytes.
pub(crate) const BLOCK: usize = sillon_buffer::BLOCK_BYTES;

/// One disk, shared by the executors of a node, each with its own names for operations and files.
pub struct SimDisk {
    names: Names,
    files: Vec<File>,
    handles: BTreeMap<(u16, FileId), Handle>,
    in_flight: Vec<InFlight>,
    /// How many blocks there are in all.
    budget_blocks: u64,
    used_blocks: u64,
    random: Random,
}

/// An open file.
#[derive(Clone, Debug)]
struct Handle {
    file: usize,
    path: FilePath,
    access: Access,
}

/// An operation that has been submitted.
#[derive(Debug)]
struct InFlight {
    executor: u16,
    op: OpId,
    io: DiskOp,
    /// The open file it works on, found when it was submitted.
    handle: Option<Handle>,
    /// For the two syncs: the number of the first change that they do not cover.
    sync_end: u64,
}

/// How an operation is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Normal,
    /// EIO.
    Error,
    /// A write stops in the middle; anything else ends as it should.
    Short,
}

/// An operation that has ended.
#[derive(Debug)]
pub struct Completion {
    /// On whose behalf.
    pub executor: u16,
    /// Which.
    pub op: OpId,
    /// What it was.
    pub kind: OpKind,
    /// How it ended.
    pub result: DiskResult,
}

/// What is known of an operation in flight.
#[derive(Clone, Copy, Debug)]
pub struct Pending<'a> {
    /// On whose behalf.
    pub executor: u16,
    /// What it is.
    pub kind: OpKind,
    /// What it works on.
    pub path: &'a str,
    /// Where in the file, in bytes.
    pub position: u64,
}

impl SimDisk {
    /// An empty disk of `budget_bytes`, whose chance comes from `seed`.
    pub fn new(seed: u64, budget_bytes: u64) -> SimDisk {
        SimDisk {
            names: Names::new(),
            files: Vec::new(),
            handles: BTreeMap::new(),
            in_flight: Vec::new(),
            budget_blocks: budget_bytes / BLOCK as u64,
            used_blocks: 0,
            random: Random::new(seed),
        }
    }

    /// Starts an operation.
    ///
    /// # Panics
    /// When the shard breaks the rules of disks: an operation's name is in use, a file is not open,
    /// a direct write is not aligned.
    pub fn submit(&mut self, executor: u16, op: OpId, io: DiskOp) {
        let is_used = self
            .in_flight
            .iter()
            .any(|other| other.executor == executor && other.op == op);
        assert!(!is_used, "executor {executor}: {op:?} is in flight already");
        let handle = operation::file_of(&io).map(|file| {
            let handle = self.handles.get(&(executor, file)).cloned();
            handle.unwrap_or_else(|| panic!("executor {executor}: {file:?} is not open: {io:?}"))
        });
        if let (DiskOp::Write { position, .. }, Some(handle)) = (&io, &handle) {
            assert!(
                handle.access == Access::Buffered || position % BLOCK as u64 == 0,
                "{}: direct write at {position}",
                handle.path
            );
        }
        let sync_end = match (&io, &handle) {
            (DiskOp::Sync { .. }, Some(handle)) => self.files[handle.file].changes_end(),
            _ => self.names.changes_end(),
        };
        self.in_flight.push(InFlight {
            executor,
            op,
            io,
            handle,
            sync_end,
        });
    }

    /// How many operations are in flight.
    pub fn in_flight_count(&self) -> usize {
        self.in_flight.len()
    }

    /// The operations in flight, in the order of their submission.
    pub fn pending(&self) -> impl Iterator<Item = Pending<'_>> {
        self.in_flight.iter().map(|flight| Pending {
            executor: flight.executor,
            kind: OpKind::of(&flight.io),
            path: flight
                .handle
                .as_ref()
                .map_or_else(|| operation::path_of(&flight.io), |handle| &handle.path),
            position: match &flight.io {
                DiskOp::Write { position, .. } | DiskOp::Read { position, .. } => *position,
                _ => 0,
            },
        })
    }

    /// Ends the `index`th operation in flight.
    pub fn complete(&mut self, index: usize, verdict: Verdict) -> Completion {
        let flight = self.in_flight.remove(index);
        let result = self.perform(&flight, verdict);
        Completion {
            executor: flight.executor,
            op: flight.op,
            kind: OpKind::of(&flight.io),
            result,
        }
    }

    /// Changes how much the disk holds, in bytes.
    pub fn set_budget(&mut self, budget_bytes: u64) {
        self.budget_blocks = budget_bytes / BLOCK as u64;
    }

    /// How much of it is used, in bytes.
    pub fn used_bytes(&self) -> u64 {
        self.used_blocks * BLOCK as u64
    }

    /// What reads of the file at `path` see now.
    pub fn contents(&self, path: &str) -> Option<&[u8]> {
        match self.names.find(path)? {
            Node::File(file) => Some(&self.files[file].now),
            Node::Folder(_) => None,
        }
    }

    /// A name for the file at `path` that outlives its path, as an open descriptor does.
    pub fn pin(&self, path: &str) -> Option<PinnedFile> {
        match self.names.find(path)? {
            Node::File(file) => Some(PinnedFile(file)),
            Node::Folder(_) => None,
        }
    }

    /// What reads of a pinned file see now.
    pub fn pinned(&self, file: PinnedFile) -> &[u8] {
        &self.files[file.0].now
    }

    /// The paths of all files, in order.
    pub fn paths(&self) -> Vec<String> {
        let files = self.names.files();
        files.into_iter().map(|(path, _)| path).collect()
    }
}

/// A file of a [`SimDisk`], whatever its name is now. Void after a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PinnedFile(usize);

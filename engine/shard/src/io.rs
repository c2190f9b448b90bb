//! What a shard asks of a disk, and what it hears back.
//!
//! Paths are relative to the data folder and use `/`. Operations that are in flight at the same
//! time complete in any order; whoever needs an order waits for a completion.

use std::sync::Arc;

use sillon_buffer::Slice;

/// Names one operation until it completes. Chosen by who submits, unique among what is in flight
/// on one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Names an open file. Chosen by who opens, unique among the open files of one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

/// A path below the data folder.
pub type FilePath = Arc<str>;

/// How a file is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// O_DIRECT: past the page cache. Positions are multiples of 4,096.
    Direct,
    /// Through the page cache, at any position.
    Buffered,
}

/// One operation on the disk.
#[derive(Clone, Debug)]
pub enum DiskOp {
    /// Makes a folder; succeeds when it exists. Its parent must exist.
    MakeFolder {
        /// Which.
        path: FilePath,
    },
    /// Lists a folder, sorted by name. Answers [`DiskOutput::Entries`].
    List {
        /// Which; "" is the data folder itself.
        path: FilePath,
    },
    /// Opens a file for reading and writing. Answers [`DiskOutput::Opened`].
    Open {
        /// The name it gets.
        file: FileId,
        /// Which.
        path: FilePath,
        /// Make it, empty, when it does not exist; otherwise that is [`DiskError::NotFound`].
        create: bool,
        /// How.
        access: Access,
    },
    /// Reserves space and extends the file to at least `position + len` (fallocate, mode 0).
    /// Fresh bytes read as zeros.
    Allocate {
        /// Which.
        file: FileId,
        /// Where, in bytes.
        position: u64,
        /// How much, in bytes.
        len: u64,
    },
    /// Writes the pieces one behind the other. With [`Access::Direct`] the last block is filled
    /// up with zeros. A short write is an error.
    Write {
        /// Which.
        file: FileId,
        /// Where, in bytes.
        position: u64,
        /// What.
        pieces: Vec<Slice>,
        /// Whether it may wait behind foreground operations.
        class: IoClass,
    },
    /// Reads up to `len` bytes, fewer only at the end of the file. Answers [`DiskOutput::Bytes`].
    Read {
        /// Which.
        file: FileId,
        /// Where, in bytes.
        position: u64,
        /// How much, in bytes.
        len: u64,
        /// Whether it may wait behind foreground operations.
        class: IoClass,
    },
    /// Makes all completed writes of the file, and its length, durable (fdatasync). Its *name* is
    /// durable after [`DiskOp::SyncFolder`] only.
    Sync {
        /// Which.
        file: FileId,
    },
    /// Sets the length, in bytes.
    Truncate {
        /// Which.
        file: FileId,
        /// To how many bytes.
        len: u64,
    },
    /// Closes the file. Makes nothing durable.
    Close {
        /// Which.
        file: FileId,
    },
    /// Renames a file or folder, replacing a file of the new name.
    Rename {
        /// Old path.
        from: FilePath,
        /// New path.
        to: FilePath,
    },
    /// Gives two files that exist each the other's name, at once. On a file system that cannot do
    /// that, [`DiskOp::Rename`] instead: the file at `to` is gone then.
    Exchange {
        /// One path.
        from: FilePath,
        /// The other.
        to: FilePath,
    },
    /// Removes a file.
    Remove {
        /// Which.
        path: FilePath,
    },
    /// Removes an empty folder.
    RemoveFolder {
        /// Which.
        path: FilePath,
    },
    /// Makes the names in a folder durable (fsync of the folder).
    SyncFolder {
        /// Which; "" is the data folder itself.
        path: FilePath,
    },
}

/// Who waits for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoClass {
    /// A journal round: clients wait for it.
    Journal,
    /// Clients or a start wait for it: it goes at once.
    Foreground,
    /// Nobody waits: write-back, zeroing, compaction. Bounded by the disk, and yields to rounds.
    Background,
}

/// What a completed operation gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOutput {
    /// Nothing but success.
    Done,
    /// The file is open and this long, in bytes.
    Opened {
        /// Its length, in bytes.
        len: u64,
    },
    /// What was read.
    Bytes(Vec<u8>),
    /// What a folder holds.
    Entries(Vec<FolderEntry>),
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// Its last path component.
    pub name: String,
    /// Length in bytes; 0 for a folder.
    pub len: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

/// Why an operation failed. Everything but `NoSpace` and `NotFound` is final for what it touched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// ENOSPC or EDQUOT.
    #[error("no space left")]
    NoSpace,
    /// ENOENT.
    #[error("{0}: no such file or folder")]
    NotFound(FilePath),
    /// Fewer bytes were written than asked for.
    #[error("{path}: short write of {written} of {len} bytes at {position}")]
    ShortWrite {
        /// The file.
        path: FilePath,
        /// Where, in bytes.
        position: u64,
        /// How many were to be written.
        len: u64,
        /// How many were.
        written: u64,
    },
    /// Any other error of the system.
    #[error("{path}: {operation}: {message}")]
    Io {
        /// The file or folder.
        path: FilePath,
        /// Which system operation.
        operation: &'static str,
        /// The system's words.
        message: String,
    },
}

/// Result of a [`DiskOp`].
pub type DiskResult = Result<DiskOutput, DiskError>;

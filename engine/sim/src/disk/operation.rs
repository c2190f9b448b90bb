use sillon_shard::{Access, DiskError, DiskOp, DiskOutput, DiskResult, FileId, FolderEntry};

use super::file::sectors;
use super::names::Node;
use super::{BLOCK, Handle, InFlight, SimDisk, Verdict};

/// Kinds of operations, for counting and for choosing where to crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OpKind {
    /// [`DiskOp::MakeFolder`]
    MakeFolder,
    /// [`DiskOp::List`]
    List,
    /// [`DiskOp::Open`]
    Open,
    /// [`DiskOp::Allocate`]
    Allocate,
    /// [`DiskOp::Write`]
    Write,
    /// [`DiskOp::Read`]
    Read,
    /// [`DiskOp::Sync`]
    Sync,
    /// [`DiskOp::Truncate`]
    Truncate,
    /// [`DiskOp::Close`]
    Close,
    /// [`DiskOp::Rename`], [`DiskOp::Exchange`]
    Rename,
    /// [`DiskOp::Remove`]
    Remove,
    /// [`DiskOp::RemoveFolder`]
    RemoveFolder,
    /// [`DiskOp::SyncFolder`]
    SyncFolder,
}

/// All of them.
pub const OP_KINDS: [OpKind; 13] = [
    OpKind::MakeFolder,
    OpKind::List,
    OpKind::Open,
    OpKind::Allocate,
    OpKind::Write,
    OpKind::Read,
    OpKind::Sync,
    OpKind::Truncate,
    OpKind::Close,
    OpKind::Rename,
    OpKind::Remove,
    OpKind::RemoveFolder,
    OpKind::SyncFolder,
];

impl OpKind {
    /// The kind of an operation.
    pub fn of(io: &DiskOp) -> OpKind {
        match io {
            DiskOp::MakeFolder { .. } => OpKind::MakeFolder,
            DiskOp::List { .. } => OpKind::List,
            DiskOp::Open { .. } => OpKind::Open,
            DiskOp::Allocate { .. } => OpKind::Allocate,
            DiskOp::Write { .. } => OpKind::Write,
            DiskOp::Read { .. } => OpKind::Read,
            DiskOp::Sync { .. } => OpKind::Sync,
            DiskOp::Truncate { .. } => OpKind::Truncate,
            DiskOp::Close { .. } => OpKind::Close,
            DiskOp::Rename { .. } | DiskOp::Exchange { .. } => OpKind::Rename,
            DiskOp::Remove { .. } => OpKind::Remove,
            DiskOp::RemoveFolder { .. } => OpKind::RemoveFolder,
            DiskOp::SyncFolder { .. } => OpKind::SyncFolder,
        }
    }

    /// What the system calls it.
    pub fn name(self) -> &'static str {
        match self {
            OpKind::MakeFolder => "mkdir",
            OpKind::List => "readdir",
            OpKind::Open => "open",
            OpKind::Allocate => "fallocate",
            OpKind::Write => "write",
            OpKind::Read => "read",
            OpKind::Sync => "fdatasync",
            OpKind::Truncate => "ftruncate",
            OpKind::Close => "close",
            OpKind::Rename => "rename",
            OpKind::Remove => "unlink",
            OpKind::RemoveFolder => "rmdir",
            OpKind::SyncFolder => "fsync folder",
        }
    }
}

/// The open file that an operation works on.
pub(super) fn file_of(io: &DiskOp) -> Option<FileId> {
    match io {
        DiskOp::Allocate { file, .. }
        | DiskOp::Write { file, .. }
        | DiskOp::Read { file, .. }
        | DiskOp::Sync { file }
        | DiskOp::Truncate { file, .. }
        | DiskOp::Close { file } => Some(*file),
        _ => None,
    }
}

/// The path in an operation that has one.
pub(super) fn path_of(io: &DiskOp) -> &str {
    match io {
        DiskOp::MakeFolder { path }
        | DiskOp::List { path }
        | DiskOp::Open { path, .. }
        | DiskOp::Remove { path }
        | DiskOp::RemoveFolder { path }
        | DiskOp::SyncFolder { path } => path,
        DiskOp::Rename { from, .. } | DiskOp::Exchange { from, .. } => from,
        _ => "",
    }
}

/// The bytes that a write puts down, the zeros that fill its last block included.
pub(super) fn bytes_of(io: &DiskOp, access: Access) -> Vec<u8> {
    let DiskOp::Write { pieces, .. } = io else {
        return Vec::new();
    };
    let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.len()).sum());
    for piece in pieces {
        bytes.extend_from_slice(piece);
    }
    if access == Access::Direct {
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    bytes
}

impl SimDisk {
    pub(super) fn perform(&mut self, flight: &InFlight, verdict: Verdict) -> DiskResult {
        if verdict == Verdict::Error {
            return self.fail(flight);
        }
        if let Some(handle) = &flight.handle {
            return self.perform_on_file(flight, handle, verdict);
        }
        match &flight.io {
            DiskOp::MakeFolder { path } => self.make_folder(path),
            DiskOp::List { path } => self.list(path),
            DiskOp::Open {
                file,
                create,
                path,
                access,
            } => {
                let key = (flight.executor, *file);
                let is_open = self.handles.contains_key(&key);
                assert!(!is_open, "{key:?} is open already; now {path}");
                self.open(key, path, *create, *access)
            }
            DiskOp::Rename { from, to } => self.rename(from, to),
            DiskOp::Exchange { from, to } => self.exchange(from, to),
            DiskOp::Remove { path } => self.remove(path),
            DiskOp::RemoveFolder { path } => self.remove_folder(path),
            DiskOp::SyncFolder { path } => match self.names.find(path) {
                Some(Node::Folder(folder)) => {
                    self.names.sync(folder, flight.sync_end);
                    Ok(DiskOutput::Done)
                }
                Some(Node::File(_)) => Err(error(path, "fsync folder", "not a folder")),
                None => Err(DiskError::NotFound(path.clone())),
            },
            other => unreachable!("{other:?} is on an open file"),
        }
    }

    fn perform_on_file(
        &mut self,
        flight: &InFlight,
        handle: &Handle,
        verdict: Verdict,
    ) -> DiskResult {
        match &flight.io {
            DiskOp::Allocate { position, len, .. } => {
                self.reserve(handle.file, *position, *len)?;
                self.files[handle.file].grow((position + len) as usize);
            }
            DiskOp::Write { position, .. } => {
                let bytes = bytes_of(&flight.io, handle.access);
                return self.write(handle, *position, bytes, verdict);
            }
            DiskOp::Read { position, len, .. } => {
                return Ok(DiskOutput::Bytes(self.read(handle.file, *position, *len)));
            }
            DiskOp::Sync { .. } => self.files[handle.file].sync(flight.sync_end),
            DiskOp::Truncate { len, .. } => {
                self.used_blocks -= self.files[handle.file].set_len(*len as usize);
            }
            DiskOp::Close { file } => {
                let was_open = self.handles.remove(&(flight.executor, *file));
                assert!(was_open.is_some(), "{} is closed twice", handle.path);
                self.files[handle.file].opens -= 1;
                self.release_if_gone(handle.file);
            }
            other => unreachable!("{other:?} is on no open file"),
        }
        Ok(DiskOutput::Done)
    }

    /// An operation fails with EIO, having done some of its work, all of it or none.
    fn fail(&mut self, flight: &InFlight) -> DiskResult {
        let kind = OpKind::of(&flight.io);
        let path = match &flight.handle {
            Some(handle) => &handle.path[..],
            None => path_of(&flight.io),
        };
        match (&flight.io, &flight.handle) {
            // Past the page cache there are no pages to be marked clean: a later sync counts.
            (DiskOp::Sync { .. }, Some(handle)) if handle.access == Access::Direct => {}
            (DiskOp::Sync { .. }, Some(handle)) => {
                self.files[handle.file].sync_failed(flight.sync_end, &mut self.random);
            }
            (DiskOp::Write { position, .. }, Some(handle)) => {
                let bytes = bytes_of(&flight.io, handle.access);
                if self
                    .reserve(handle.file, *position, bytes.len() as u64)
                    .is_ok()
                {
                    for (at, sector) in sectors(*position as usize, &bytes) {
                        if self.random.percent(50) {
                            self.files[handle.file].write(at, sector.to_vec());
                        }
                    }
                }
            }
            (DiskOp::Open { .. } | DiskOp::Read { .. } | DiskOp::List { .. }, _) => {}
            _ => {
                if self.random.percent(50) {
                    // Done, though it says otherwise.
                    let _ = self.perform(flight, Verdict::Normal);
                }
            }
        }
        Err(error(path, kind.name(), "input/output error"))
    }

    fn reserve(&mut self, file: usize, position: u64, len: u64) -> Result<(), DiskError> {
        let missing = self.files[file].blocks_missing(position, len);
        if missing > 0 && self.used_blocks + missing > self.budget_blocks {
            return Err(DiskError::NoSpace);
        }
        self.used_blocks += self.files[file].reserve(position, len);
        Ok(())
    }

    fn write(
        &mut self,
        handle: &Handle,
        position: u64,
        mut bytes: Vec<u8>,
        verdict: Verdict,
    ) -> DiskResult {
        let len = bytes.len() as u64;
        let blocks = bytes.len().div_ceil(BLOCK);
        if verdict == Verdict::Short && blocks > 0 {
            bytes.truncate(self.random.index(blocks) * BLOCK);
        }
        let mut reserved = self.reserve(handle.file, position, bytes.len() as u64);
        if reserved.is_err() && self.random.percent(50) && bytes.len() > BLOCK {
            // A part may still fit; the kernel writes it.
            let part = self.random.index(blocks) * BLOCK;
            if self.reserve(handle.file, position, part as u64).is_ok() {
                bytes.truncate(part);
                self.files[handle.file].write(position as usize, std::mem::take(&mut bytes));
            }
            reserved = Err(DiskError::NoSpace);
        }
        reserved?;
        let written = bytes.len() as u64;
        self.files[handle.file].write(position as usize, bytes);
        if written < len {
            return Err(DiskError::ShortWrite {
                path: handle.path.clone(),
                position,
                len,
                written,
            });
        }
        Ok(DiskOutput::Done)
    }

    /// A read sees each sector of a write in flight old or new.
    fn read(&mut self, file: usize, position: u64, len: u64) -> Vec<u8> {
        let now = &self.files[file].now;
        let from = (position as usize).min(now.len());
        let to = (position.saturating_add(len) as usize).min(now.len());
        let mut bytes = now[from..to].to_vec();
        for other in &self.in_flight {
            let (DiskOp::Write { position, .. }, Some(handle)) = (&other.io, &other.handle) else {
                continue;
            };
            if handle.file != file || *position as usize >= to {
                continue;
            }
            let written = bytes_of(&other.io, handle.access);
            for (at, sector) in sectors(*position as usize, &written) {
                if at >= from && at + sector.len() <= to && self.random.percent(50) {
                    bytes[at - from..at - from + sector.len()].copy_from_slice(sector);
                }
            }
        }
        bytes
    }

    fn make_folder(&mut self, path: &std::sync::Arc<str>) -> DiskResult {
        match self.names.find(path) {
            Some(Node::Folder(_)) => return Ok(DiskOutput::Done),
            Some(Node::File(_)) => return Err(error(path, "mkdir", "a file is in the way")),
            None => {}
        }
        let Some((parent, name)) = self.names.parent(path) else {
            return Err(DiskError::NotFound(path.clone()));
        };
        self.names.make_folder(parent, name);
        Ok(DiskOutput::Done)
    }

    fn list(&self, path: &std::sync::Arc<str>) -> DiskResult {
        let folder = match self.names.find(path) {
            Some(Node::Folder(folder)) => folder,
            Some(Node::File(_)) => return Err(error(path, "readdir", "not a folder")),
            None => return Err(DiskError::NotFound(path.clone())),
        };
        let entries = self.names.list(folder).iter().map(|(name, node)| {
            let (len, is_folder) = match node {
                Node::File(file) => (self.files[*file].now.len() as u64, false),
                Node::Folder(_) => (0, true),
            };
            FolderEntry {
                name: name.clone(),
                len,
                is_folder,
            }
        });
        Ok(DiskOutput::Entries(entries.collect()))
    }

    fn open(
        &mut self,
        key: (u16, FileId),
        path: &std::sync::Arc<str>,
        create: bool,
        access: Access,
    ) -> DiskResult {
        let file = match self.names.find(path) {
            Some(Node::File(file)) => file,
            Some(Node::Folder(_)) => return Err(error(path, "open", "is a folder")),
            None => {
                let parent = self.names.parent(path);
                let Some((folder, name)) = parent.filter(|_| create) else {
                    return Err(DiskError::NotFound(path.clone()));
                };
                // A file takes a block for itself.
                if self.used_blocks + 1 > self.budget_blocks {
                    return Err(DiskError::NoSpace);
                }
                self.used_blocks += 1;
                let file = self.files.len();
                self.names.create(folder, name, Node::File(file));
                self.files.push(super::File::linked());
                file
            }
        };
        self.files[file].opens += 1;
        let handle = Handle {
            file,
            path: path.clone(),
            access,
        };
        self.handles.insert(key, handle);
        Ok(DiskOutput::Opened {
            len: self.files[file].now.len() as u64,
        })
    }

    fn rename(&mut self, from: &std::sync::Arc<str>, to: &std::sync::Arc<str>) -> DiskResult {
        if self.names.find(from).is_none() {
            return Err(DiskError::NotFound(from.clone()));
        }
        let old = self.names.parent(from).expect("what exists has a parent");
        let Some(new) = self.names.parent(to) else {
            return Err(DiskError::NotFound(to.clone()));
        };
        if let Some(Node::Folder(target)) = self.names.find(to)
            && !self.names.list(target).is_empty()
        {
            return Err(error(
                to,
                "rename",
                "a folder with something in it is in the way",
            ));
        }
        if let Some(Node::File(replaced)) = self.names.rename(old, new) {
            self.files[replaced].is_linked = false;
            self.release_if_gone(replaced);
        }
        Ok(DiskOutput::Done)
    }

    fn exchange(&mut self, from: &std::sync::Arc<str>, to: &std::sync::Arc<str>) -> DiskResult {
        for path in [from, to] {
            if !matches!(self.names.find(path), Some(Node::File(_))) {
                return Err(DiskError::NotFound(from.clone()));
            }
        }
        let parent = |path| self.names.parent(path).expect("what exists has a parent");
        let (one, other) = (parent(from), parent(to));
        self.names.exchange(one, other);
        Ok(DiskOutput::Done)
    }

    fn remove(&mut self, path: &std::sync::Arc<str>) -> DiskResult {
        let file = match self.names.find(path) {
            Some(Node::File(file)) => file,
            Some(Node::Folder(_)) => return Err(error(path, "unlink", "is a folder")),
            None => return Err(DiskError::NotFound(path.clone())),
        };
        let (folder, name) = self.names.parent(path).expect("what exists has a parent");
        self.names.remove(folder, name);
        self.files[file].is_linked = false;
        self.release_if_gone(file);
        Ok(DiskOutput::Done)
    }

    fn remove_folder(&mut self, path: &std::sync::Arc<str>) -> DiskResult {
        match self.names.find(path) {
            Some(Node::Folder(folder)) if self.names.list(folder).is_empty() => {}
            Some(Node::Folder(_)) => return Err(error(path, "rmdir", "not empty")),
            Some(Node::File(_)) => return Err(error(path, "rmdir", "not a folder")),
            None => return Err(DiskError::NotFound(path.clone())),
        }
        let (parent, name) = self.names.parent(path).expect("what exists has a parent");
        self.names.remove(parent, name);
        Ok(DiskOutput::Done)
    }

    /// Gives back the space of a file without a name that nobody has open.
    pub(super) fn release_if_gone(&mut self, file: usize) {
        let file = &self.files[file];
        if file.opens == 0 && !file.is_linked {
            self.used_blocks -= file.blocks_count + 1;
        }
    }
}

pub(super) fn error(path: &str, operation: &'static str, message: &str) -> DiskError {
    DiskError::Io {
        path: path.into(),
        operation,
        message: message.to_owned(),
    }
}

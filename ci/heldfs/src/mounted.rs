//! The tree as a mounted file system.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::faults::{Faults, Operation};
use crate::syncs::{Syncs, Waiting};
use crate::tree::{Kind, TOP, Tree};

/// How long the kernel may keep names and attributes: all changes pass through it.
const TTL: Duration = Duration::from_secs(60);

const BLOCK_BYTES: u32 = 4096;

/// Size of the file system as statfs(2) tells it, in blocks: 64 GiB, all of it free.
const BLOCKS: u64 = 16 << 20;

/// fallocate(2) that does not change the length: nothing to do, as space never runs out.
const KEEP_SIZE: i32 = 1;

const NAME_BYTES_MAX: u32 = 255;

/// Everything, behind one lock.
pub struct World {
    pub tree: Tree,
    pub syncs: Syncs<ReplyEmpty>,
    pub faults: Faults,
}

impl World {
    /// Carries a sync out and answers it.
    pub fn carry_out(&mut self, sync: Waiting<ReplyEmpty>) {
        self.syncs.done += 1;
        answer(sync.reply, self.tree.sync(sync.number));
    }

    /// EIO when that operation is to fail.
    fn check(&mut self, operation: Operation, number: u64) -> Result<(), Errno> {
        let path = self.tree.path(number);
        match self.faults.hits(operation, &path) {
            true => Err(Errno::EIO),
            false => Ok(()),
        }
    }

    fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        let (kind, perm, size) = match &self.tree.node(number)?.kind {
            Kind::File(content) => (FileType::RegularFile, 0o644, content.len()),
            Kind::Folder(_) => (FileType::Directory, 0o755, 0),
        };
        Ok(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK_BYTES,
            flags: 0,
        })
    }
}

/// What the kernel talks to.
#[derive(Clone)]
pub struct Mounted(pub Arc<Mutex<World>>);

impl Mounted {
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().expect("no operation panics with the lock")
    }

    fn sync(&self, number: u64, reply: ReplyEmpty) {
        let mut world = self.world();
        if let Err(error) = world.check(Operation::Sync, number) {
            return reply.error(error);
        }
        let path = world.tree.path(number);
        let sync = Waiting {
            number,
            path,
            reply,
        };
        if let Some(sync) = world.syncs.arrived(sync) {
            world.carry_out(sync);
        }
    }

    fn make(&self, folder: INodeNo, name: &OsStr, is_folder: bool) -> Result<FileAttr, Errno> {
        let mut world = self.world();
        let number = world.tree.make(folder.0, text(name)?, is_folder)?;
        world.attributes(number)
    }
}

fn text(name: &OsStr) -> Result<&str, Errno> {
    name.to_str().ok_or(Errno::EINVAL)
}

fn answer(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn answer_entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let world = self.world();
        let found = text(name).and_then(|name| world.tree.find(parent.0, name));
        answer_entry(reply, found.and_then(|number| world.attributes(number)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.world().attributes(ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut world = self.world();
        let cut = match size {
            Some(len) => world
                .tree
                .content(ino.0)
                .and_then(|content| Ok(content.set_len(len)?)),
            None => Ok(()),
        };
        match cut.and_then(|()| world.attributes(ino.0)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        reply: ReplyEntry,
    ) {
        answer_entry(reply, self.make(parent, name, true));
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.make(parent, name, false) {
            Ok(attributes) => reply.created(
                &TTL,
                &attributes,
                Generation(0),
                FileHandle(0),
                FopenFlags::empty(),
            ),
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = text(name).and_then(|name| self.world().tree.remove(parent.0, name));
        answer(reply, removed);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = text(name).and_then(|name| self.world().tree.remove(parent.0, name));
        answer(reply, removed);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let rename = || {
            if !flags.is_empty() {
                return Err(Errno::EINVAL);
            }
            let (from, to) = ((parent.0, text(name)?), (newparent.0, text(newname)?));
            self.world().tree.rename(from, to)
        };
        answer(reply, rename());
    }

    /// Nothing is asked of the kernel that would make O_DIRECT differ from other file systems.
    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::empty());
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut world = self.world();
        let checked = world.check(Operation::Read, ino.0);
        let content = checked.and_then(|()| world.tree.content(ino.0));
        match content.and_then(|content| Ok(content.read(offset, u64::from(size))?)) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut world = self.world();
        let checked = world.check(Operation::Write, ino.0);
        let content = checked.and_then(|()| world.tree.content(ino.0));
        match content.and_then(|content| Ok(content.write(offset, data)?)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.sync(ino.0, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.sync(ino.0, reply);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let world = self.world();
        let names = match world.tree.names(ino.0) {
            Ok(names) => names,
            Err(error) => return reply.error(error),
        };
        let dots = [(".", ino.0), ("..", TOP)].map(|(name, number)| (name.to_owned(), number));
        let names = names.iter().map(|(name, number)| (name.clone(), *number));
        let entries = dots.into_iter().chain(names).enumerate();
        for (place, (name, number)) in entries.skip(offset as usize) {
            let kind = match world.tree.node(number).map(|node| &node.kind) {
                Ok(Kind::File(_)) => FileType::RegularFile,
                _ => FileType::Directory,
            };
            if reply.add(INodeNo(number), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (files, free) = (1 << 20, 1 << 20);
        reply.statfs(
            BLOCKS,
            BLOCKS,
            BLOCKS,
            files,
            free,
            BLOCK_BYTES,
            NAME_BYTES_MAX,
            BLOCK_BYTES,
        );
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let extend = || {
            let mut world = self.world();
            let content = world.tree.content(ino.0)?;
            match mode {
                0 => Ok(content.set_len(content.len().max(offset + length))?),
                KEEP_SIZE => Ok(()),
                _ => Err(Errno::EOPNOTSUPP),
            }
        };
        answer(reply, extend());
    }
}

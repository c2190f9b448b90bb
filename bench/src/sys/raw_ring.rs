//! The least that a durable write can cost: io_uring without anything around it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use io_uring::{IoUring, opcode, squeue, types};
use rustix::fs::OFlags;
use sillon_buffer::{BLOCK_BYTES, ChunkWriter};

/// Written at a time when a file is prepared, in bytes.
const STEP_BYTES: usize = 128 << 10;

/// Of pwritev2(2): this write alone is as if the file were open with O_DSYNC.
const RWF_DSYNC: i32 = 2;

/// How a write becomes durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A write, and when it has ended fdatasync: the baseline.
    TwoTrips,
    /// Both submitted at once, the fdatasync linked behind the write.
    Linked,
    /// One write that is durable when it ends (RWF_DSYNC).
    Dsync,
}

/// A file of blocks that were written before, and a ring of its own.
pub struct RawFile {
    ring: IoUring,
    file: File,
    buffer: ChunkWriter,
    position: u64,
    file_bytes: u64,
}

impl RawFile {
    /// Makes the file, `file_bytes` long, all of it written and flushed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn create(path: &Path, file_bytes: u64, write_bytes_max: usize) -> io::Result<RawFile> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .custom_flags(OFlags::DIRECT.bits() as i32)
            .open(path)?;
        let mut buffer = ChunkWriter::unpooled(STEP_BYTES.max(write_bytes_max));
        for step in 0..file_bytes / STEP_BYTES as u64 {
            let zeros = &buffer.spare_mut()[..STEP_BYTES];
            file.write_all_at(zeros, step * STEP_BYTES as u64)?;
        }
        file.sync_all()?;
        buffer.spare_mut().fill(0x5a);
        Ok(RawFile {
            ring: IoUring::new(8)?,
            file,
            buffer,
            position: 0,
            file_bytes,
        })
    }

    /// Writes the next `len` bytes of the file, whole blocks, and waits until they are durable.
    ///
    /// # Errors
    /// Those of the system, and a short write.
    pub fn append(&mut self, len: usize, way: Way) -> io::Result<()> {
        assert!(len.is_multiple_of(BLOCK_BYTES) && len as u64 <= self.file_bytes);
        if self.position + len as u64 > self.file_bytes {
            self.position = 0;
        }
        let fd = types::Fd(self.file.as_raw_fd());
        let memory = self.buffer.spare_mut()[..len].as_ptr();
        let write = opcode::Write::new(fd, memory, len as u32).offset(self.position);
        let fsync = || opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC);
        self.position += len as u64;
        match way {
            Way::TwoTrips => {
                self.submit(&[write.build()])?;
                self.submit(&[fsync().build()])
            }
            Way::Linked => {
                let write = write.build().flags(squeue::Flags::IO_LINK);
                self.submit(&[write, fsync().build()])
            }
            Way::Dsync => self.submit(&[write.rw_flags(RWF_DSYNC).build()]),
        }
    }

    fn submit(&mut self, entries: &[squeue::Entry]) -> io::Result<()> {
        {
            let mut queue = self.ring.submission();
            for entry in entries {
                // SAFETY: the entries refer to this value's file and buffer, which live at least
                // until `submit_and_wait` below has seen all of them complete.
                unsafe { queue.push(entry) }.map_err(io::Error::other)?;
            }
        }
        self.ring.submit_and_wait(entries.len())?;
        let mut completed = 0;
        while completed < entries.len() {
            let completion = self.ring.completion().next();
            match completion {
                Some(completion) if completion.result() < 0 => {
                    return Err(io::Error::from_raw_os_error(-completion.result()));
                }
                Some(_) => completed += 1,
                None => {
                    self.ring.submit_and_wait(1)?;
                }
            }
        }
        Ok(())
    }
}

//! Reads a journal's ring.

use sillon_journal::RingReader;

use super::Source;
use crate::layout::ring_file;
use crate::procedure::{Io, bytes, done};
use crate::{Access, DiskError, DiskOp, FileId, IoClass};

/// The ring's files, open for replay.
pub(super) struct Ring<'a> {
    io: &'a Io,
    files: Vec<FileId>,
}

impl Ring<'_> {
    pub(super) async fn open<'a>(source: &Source<'a>) -> Result<Ring<'a>, DiskError> {
        let mut files = Vec::new();
        for number in 0..source.ring.files {
            let path = ring_file(source.journal, number);
            let (file, _) = source.io.open(path, false, Access::Direct).await?;
            files.push(file);
        }
        Ok(Ring {
            io: source.io,
            files,
        })
    }

    pub(super) async fn close(self) -> Result<(), DiskError> {
        for file in self.files {
            done(self.io.call(DiskOp::Close { file }).await)?;
        }
        Ok(())
    }
}

impl RingReader for Ring<'_> {
    type Error = DiskError;

    async fn read(&mut self, file: u32, offset: u64, len: u64) -> Result<Vec<u8>, DiskError> {
        let read = self.io.call(DiskOp::Read {
            file: self.files[file as usize],
            position: offset,
            len,
            class: IoClass::Foreground,
        });
        bytes(read.await)
    }
}

//! One open file.

use std::path::PathBuf;
use std::rc::Rc;

use glommio::GlommioError;
use glommio::io::{BufferedFile, DmaFile, OpenOptions, ReadResult};
use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_shard::{Access, DiskError, DiskOutput, DiskResult, FilePath};

use super::error::{failed, glommio};

/// Largest single read, in bytes: a buffer of this size comes from the executor's registered
/// memory, and copying it takes about 40 us of the core.
const READ_PIECE_BYTES: usize = 256 << 10;

/// An open file and its name for error messages.
pub(super) struct OpenFile {
    path: FilePath,
    kind: Kind,
}

enum Kind {
    Direct(DmaFile),
    Buffered(BufferedFile),
}

/// Does the same to both kinds of file.
macro_rules! either {
    ($self:ident, $file:ident => $call:expr) => {
        match &$self.kind {
            Kind::Direct($file) => $call,
            Kind::Buffered($file) => $call,
        }
    };
}

impl OpenFile {
    pub(super) async fn open(
        place: PathBuf,
        path: FilePath,
        create: bool,
        access: Access,
    ) -> Result<OpenFile, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(create);
        let opened = match access {
            Access::Direct => options.dma_open(&place).await.map(Kind::Direct),
            Access::Buffered => options.buffered_open(&place).await.map(Kind::Buffered),
        };
        let kind = opened.map_err(|source| glommio(&path, "open", &source))?;
        Ok(OpenFile { path, kind })
    }

    /// Length in bytes.
    pub(super) async fn len(&self) -> Result<u64, DiskError> {
        let size = either!(self, file => file.file_size().await);
        size.map_err(|source| glommio(&self.path, "stat", &source))
    }

    /// glommio's fallocate always begins at 0: what lies below `position` is there already, and
    /// walking over it is cheap.
    pub(super) async fn allocate(&self, position: u64, len: u64) -> DiskResult {
        let end = position.saturating_add(len);
        let result = either!(self, file => file.pre_allocate(end, false).await);
        self.done("fallocate", result)
    }

    pub(super) async fn write(&self, position: u64, pieces: &[Slice]) -> DiskResult {
        let data_len: usize = pieces.iter().map(|piece| piece.len()).sum();
        if data_len == 0 {
            return Ok(DiskOutput::Done);
        }
        let (len, written) = match &self.kind {
            Kind::Direct(file) => {
                if !position.is_multiple_of(BLOCK_BYTES as u64) {
                    let message = format!("position {position} is not that of a whole block");
                    return Err(failed(&self.path, "write", &message));
                }
                let len = data_len.next_multiple_of(BLOCK_BYTES);
                let mut buffer = file.alloc_dma_buffer(len);
                let (data, padding) = buffer.as_bytes_mut().split_at_mut(data_len);
                copy(pieces, data);
                padding.fill(0);
                (len, file.write_at(buffer, position).await)
            }
            Kind::Buffered(file) => {
                let mut buffer = vec![0; data_len];
                copy(pieces, &mut buffer);
                (data_len, file.write_at(buffer, position).await)
            }
        };
        let written = written.map_err(|source| glommio(&self.path, "write", &source))?;
        if written != len {
            return Err(DiskError::ShortWrite {
                path: self.path.clone(),
                position,
                len: len as u64,
                written: written as u64,
            });
        }
        Ok(DiskOutput::Done)
    }

    pub(super) async fn read(&self, position: u64, len: u64) -> DiskResult {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < len {
            let at = position.saturating_add(bytes.len() as u64);
            // A direct read begins at a whole block, before the first byte that is wanted.
            let skip = match &self.kind {
                Kind::Direct(_) => at as usize % BLOCK_BYTES,
                Kind::Buffered(_) => 0,
            };
            let wanted = len - bytes.len() as u64;
            let size = wanted
                .saturating_add(skip as u64)
                .min(READ_PIECE_BYTES as u64) as usize;
            let piece = self.read_piece(at - skip as u64, size).await;
            let piece = piece.map_err(|source| glommio(&self.path, "read", &source))?;
            let end = piece.len().min(size);
            if end <= skip {
                break;
            }
            bytes.extend_from_slice(&piece[skip..end]);
        }
        Ok(DiskOutput::Bytes(bytes))
    }

    async fn read_piece(&self, position: u64, size: usize) -> Result<ReadResult, GlommioError<()>> {
        match &self.kind {
            Kind::Direct(file) => {
                let size = size.next_multiple_of(BLOCK_BYTES);
                file.read_at_aligned(position, size).await
            }
            Kind::Buffered(file) => file.read_at(position, size).await,
        }
    }

    pub(super) async fn sync(&self) -> DiskResult {
        let result = either!(self, file => file.fdatasync().await);
        self.done("fdatasync", result)
    }

    pub(super) async fn truncate(&self, len: u64) -> DiskResult {
        let result = either!(self, file => file.truncate(len).await);
        self.done("truncate", result)
    }

    /// Closes the file now, or when the last operation on it ends.
    pub(super) async fn close(file: Rc<OpenFile>) -> DiskResult {
        let Some(OpenFile { path, kind }) = Rc::into_inner(file) else {
            return Ok(DiskOutput::Done);
        };
        let result = match kind {
            Kind::Direct(file) => file.close().await,
            Kind::Buffered(file) => file.close().await,
        };
        match result {
            Ok(()) => Ok(DiskOutput::Done),
            Err(source) => Err(glommio(&path, "close", &source)),
        }
    }

    fn done(&self, operation: &'static str, result: Result<(), GlommioError<()>>) -> DiskResult {
        match result {
            Ok(()) => Ok(DiskOutput::Done),
            Err(source) => Err(glommio(&self.path, operation, &source)),
        }
    }
}

/// Copies the pieces one behind the other into `target`, which is as long as all of them.
fn copy(pieces: &[Slice], mut target: &mut [u8]) {
    for piece in pieces {
        let (head, rest) = target.split_at_mut(piece.len());
        head.copy_from_slice(piece);
        target = rest;
    }
}

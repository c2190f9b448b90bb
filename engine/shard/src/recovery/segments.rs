//! Brings the files of a recovered partition up to its log.

use sillon_buffer::planted::{self, Bug};
use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_log::partition::PartitionLog;
use sillon_log::segment_path;
use sillon_record::Offset;

use super::RecoveredPartition;
use crate::checkpoint::close_segment;
use crate::compaction_swap::settle_files;
use crate::procedure::{Io, bytes, done};
use crate::{Access, DiskError, DiskOp, FileId, IoClass};

/// Largest write to a segment, in bytes.
const PIECE_BYTES_MAX: u64 = 1 << 20;

impl RecoveredPartition {
    /// Writes what is not in the files yet and makes it durable.
    pub(super) async fn write_back(&mut self, io: &Io) -> Result<(), DiskError> {
        if let Some(file) = self.write_pieces(io).await? {
            done(io.call(DiskOp::Sync { file }).await)?;
            done(io.call(DiskOp::Close { file }).await)?;
        }
        Ok(())
    }

    /// Writes what is not in the files yet. Returns the active segment's file, open and not yet
    /// flushed, when there was anything.
    async fn write_pieces(&mut self, io: &Io) -> Result<Option<FileId>, DiskError> {
        let mut open: Option<(Offset, FileId)> = None;
        while let Some(base) = self.log.dirty_segment() {
            let file = match open {
                Some((segment, file)) if segment == base => file,
                _ => {
                    let written = self.log.written_segment();
                    if let Some((segment, file)) = open.take() {
                        self.complete(io, segment, file).await?;
                    } else if written < base {
                        let (file, _) = open_segment(io, &self.folder, written, false).await?;
                        self.complete(io, written, file).await?;
                    }
                    let (file, _) = open_segment(io, &self.folder, base, true).await?;
                    // Also when the file was there: a killed process may have left its name for
                    // the next power cut to take.
                    let path = self.folder.as_str().into();
                    done(io.call(DiskOp::SyncFolder { path }).await)?;
                    open = Some((base, file));
                    file
                }
            };
            if let Some((position, len)) = self.log.missing_prefix()
                && self.log.written_segment() == base
            {
                let read = io.call(DiskOp::Read {
                    file,
                    position,
                    len,
                    class: IoClass::Foreground,
                });
                let mut prefix = bytes(read.await)?;
                prefix.resize(len as usize, 0);
                self.log.set_prefix(Slice::copy_of(&prefix));
            }
            let piece = self.log.write_back_piece(u64::MAX, PIECE_BYTES_MAX);
            let piece = piece.expect("there is something dirty");
            let blocks = piece.end.next_multiple_of(BLOCK_BYTES as u64) - piece.position;
            io.allocate(file, piece.position, blocks).await?;
            let write = io.call(DiskOp::Write {
                file,
                position: piece.position,
                pieces: piece.pieces.clone(),
                class: IoClass::Journal,
            });
            done(write.await)?;
            self.log.written_back(&piece);
            // Readers take it from the file; memory is for what comes.
            while self.log.evict_one().is_some() {}
        }
        Ok(open.map(|(_, file)| file))
    }

    /// Closes a segment that was rolled.
    async fn complete(&mut self, io: &Io, base: Offset, file: FileId) -> Result<(), DiskError> {
        let Some(segment) = self.log.segment(base) else {
            return done(io.call(DiskOp::Close { file }).await);
        };
        let index = segment.index.as_ref();
        let epochs = self.log.epochs();
        match close_segment(io, file, segment.size_bytes, &self.folder, index, epochs).await {
            // They are made in memory when somebody looks for an offset.
            Err(DiskError::NoSpace) => done(io.call(DiskOp::Close { file }).await)?,
            other => other?,
        }
        self.log.set_index(base, None);
        Ok(())
    }

    /// Writes the rest and cuts off what lies behind it.
    pub(super) async fn finish(&mut self, io: &Io) -> Result<(), DiskError> {
        let written = self.write_pieces(io).await?;
        self.offline = truncate(io, &self.folder, &self.log, written).await?;
        Ok(())
    }
}

/// Empties the log of a partition of which the journal knows nothing.
pub(crate) async fn empty_log(io: &Io, folder: String, now_ms: i64) -> Result<(), DiskError> {
    if planted::is(Bug::EndNotTruncated) {
        return Ok(());
    }
    let log = PartitionLog::new(now_ms);
    truncate(io, &folder, &log, None).await.map(|_| ())
}

/// Cuts the files of a log off at its end and makes that durable. `written`: the active segment's
/// file, when it is open and not flushed. Some: the active segment is missing.
async fn truncate(
    io: &Io,
    folder: &str,
    log: &PartitionLog,
    written: Option<FileId>,
) -> Result<Option<String>, DiskError> {
    let (base, size) = {
        let active = log.active();
        (active.base_offset, active.size_bytes)
    };
    settle_files(io, folder, log).await?;
    let file = match written {
        Some(file) => file,
        None => match open_segment(io, folder, base, false).await {
            Ok((file, len)) if len == size => {
                done(io.call(DiskOp::Close { file }).await)?;
                return Ok(None);
            }
            Ok((file, _)) => file,
            Err(DiskError::NotFound(_)) if size == 0 => return Ok(None),
            Err(DiskError::NotFound(path)) => {
                return Ok(Some(format!("{path} is missing: it had {size} bytes")));
            }
            Err(error) => return Err(error),
        },
    };
    done(io.call(DiskOp::Truncate { file, len: size }).await)?;
    done(io.call(DiskOp::Sync { file }).await)?;
    done(io.call(DiskOp::Close { file }).await)?;
    Ok(None)
}

/// Opens a segment. Its file is that long, in bytes.
async fn open_segment(
    io: &Io,
    folder: &str,
    base: Offset,
    create: bool,
) -> Result<(FileId, u64), DiskError> {
    io.open(segment_path(folder, base), create, Access::Direct)
        .await
}

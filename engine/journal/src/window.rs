use std::future::Future;

use sillon_buffer::{ChunkWriter, Slice};

use crate::{RingLayout, RingPosition};

/// Largest read of a replay, in bytes: about a millisecond of one good disk, and what a recovering
/// shard holds besides the round it works on.
pub const READ_AHEAD_BYTES: u64 = 1 << 20;

/// Reads parts of ring files. Recovery is async code over this, so that it runs on any disk.
pub trait RingReader {
    /// Why a file that is there cannot be read.
    type Error;

    /// Up to `len` bytes of a file from `offset` on: fewer only where the file ends, none of a
    /// missing file.
    fn read(
        &mut self,
        file: u32,
        offset: u64,
        len: u64,
    ) -> impl Future<Output = Result<Vec<u8>, Self::Error>>;
}

/// The piece of the ring that was read last.
#[derive(Debug)]
pub(crate) struct Window {
    layout: RingLayout,
    start: RingPosition,
    bytes: Vec<u8>,
}

impl Window {
    pub(crate) fn new(layout: RingLayout) -> Window {
        Window {
            layout,
            start: RingPosition::default(),
            bytes: Vec::new(),
        }
    }

    /// Bytes from `position` on, as many as are in memory; reads the next piece when there are
    /// none. Empty where the file has ended.
    pub(crate) async fn at<R: RingReader>(
        &mut self,
        reader: &mut R,
        position: RingPosition,
    ) -> Result<&[u8], R::Error> {
        let held = self.held(position);
        if held < self.bytes.len() {
            return Ok(&self.bytes[held..]);
        }
        let rest = self.layout.file_bytes.saturating_sub(position.offset);
        let len = rest.min(READ_AHEAD_BYTES);
        self.bytes.clear();
        if len > 0 {
            self.bytes = reader.read(position.file, position.offset, len).await?;
            self.bytes.truncate(len as usize);
        }
        self.start = position;
        Ok(&self.bytes)
    }

    /// Index of `position` in the piece; its length or more when it is not in there.
    fn held(&self, position: RingPosition) -> usize {
        if position.file != self.start.file {
            return usize::MAX;
        }
        match position.offset.checked_sub(self.start.offset) {
            Some(ahead) => usize::try_from(ahead).unwrap_or(usize::MAX),
            None => usize::MAX,
        }
    }

    /// A copy of the `len` bytes from `position` on; `None` when the file ends before.
    pub(crate) async fn copy<R: RingReader>(
        &mut self,
        reader: &mut R,
        position: RingPosition,
        len: usize,
    ) -> Result<Option<Slice>, R::Error> {
        let mut chunk = ChunkWriter::unpooled(len);
        while chunk.len() < len {
            let at = RingPosition {
                file: position.file,
                offset: position.offset + chunk.len() as u64,
            };
            let bytes = self.at(reader, at).await?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let count = bytes.len().min(len - chunk.len());
            chunk.append(&bytes[..count]);
        }
        Ok(Some(chunk.slice(0..len)))
    }
}

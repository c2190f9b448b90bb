use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use sillon_record::{BatchView, Batches, BatchesError};

use super::OfflineError;
use super::folder::file;

/// Bytes that are read at a time.
const WINDOW_BYTES: u64 = 4 << 20;

/// How the batches of a file end.
#[derive(Debug)]
pub enum End {
    /// With the range that was looked at.
    Whole,
    /// With zeros: room that is reserved.
    Zeros {
        /// Where they begin, in bytes.
        position: u64,
    },
    /// With something that is no batch.
    Damaged {
        /// Where it lies, in bytes.
        position: u64,
        /// What is wrong with it.
        error: BatchesError,
    },
}

/// Visits the whole batches of a segment's first `len` bytes with their places, checksums checked.
pub fn walk(
    path: &Path,
    len: u64,
    mut visit: impl FnMut(u64, &BatchView<'_>),
) -> Result<End, OfflineError> {
    let fail = |error| file(path, error);
    let segment = File::open(path).map_err(fail)?;
    let mut window = Vec::new();
    let mut window_bytes = WINDOW_BYTES;
    let mut position = 0;
    while position < len {
        window.resize(window_bytes.min(len - position) as usize, 0);
        segment.read_exact_at(&mut window, position).map_err(fail)?;
        let mut batches = Batches::new(&window).checking_crcs();
        let mut ended = None;
        for batch in &mut batches {
            match batch {
                Ok(batch) => visit(position + batch.position as u64, &batch),
                Err(error) => ended = Some(error),
            }
        }
        let passed = batches.position() as u64;
        let is_last = position + window.len() as u64 == len;
        position += passed;
        window_bytes = WINDOW_BYTES;
        match ended {
            None => {}
            Some(BatchesError::Torn { needed, .. }) if !is_last => {
                window_bytes = window_bytes.max(needed as u64);
            }
            Some(BatchesError::Zeros { .. }) => {
                return zeros_to(&segment, position, len).map_err(fail);
            }
            Some(error) => return Ok(End::Damaged { position, error }),
        }
    }
    Ok(End::Whole)
}

/// Whether all that follows is zeros as well.
fn zeros_to(segment: &File, begin: u64, len: u64) -> std::io::Result<End> {
    let mut window = vec![0; WINDOW_BYTES as usize];
    let mut position = begin;
    while position < len {
        let count = WINDOW_BYTES.min(len - position);
        let part = &mut window[..count as usize];
        segment.read_exact_at(part, position)?;
        if part.iter().any(|byte| *byte != 0) {
            let error = BatchesError::Zeros { position: 0 };
            return Ok(End::Damaged {
                position: begin,
                error,
            });
        }
        position += count;
    }
    Ok(End::Zeros { position: begin })
}

//! The folder that a program measures in.

use std::io;
use std::path::{Path, PathBuf};

use sillon_disk::GlommioDisk;

/// Background writes of the disk: the runtime's figure for one shard.
const BACKGROUND_MAX: usize = 2;

/// Makes a folder in `parent`, gives it to `work`, and removes it.
///
/// # Errors
/// The folder cannot be made or removed.
pub fn within<T>(parent: &Path, work: impl FnOnce(&Path) -> T) -> io::Result<T> {
    let folder: PathBuf = parent.join(format!("sillon-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let done = work(&folder);
    std::fs::remove_dir_all(&folder)?;
    Ok(done)
}

/// The disk of a shard over `folder`, which must exist.
///
/// # Errors
/// Those of [`GlommioDisk::open`].
pub async fn disk(folder: &Path) -> io::Result<GlommioDisk> {
    let opened = GlommioDisk::open(folder, BACKGROUND_MAX).await;
    opened.map_err(io::Error::other)
}

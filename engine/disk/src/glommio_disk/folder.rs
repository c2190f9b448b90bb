//! Folders and names, on the executor's blocking thread.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use sillon_shard::{DiskOutput, DiskResult, FilePath, FolderEntry};

use super::error::system;

pub(super) async fn make(place: PathBuf, path: FilePath) -> DiskResult {
    let make = move || match fs::create_dir(&place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && place.is_dir() => Ok(()),
        result => result,
    };
    done(&path, "make folder", blocking(make).await)
}

pub(super) async fn list(place: PathBuf, path: FilePath) -> DiskResult {
    let entries = blocking(move || entries(&place)).await;
    let mut entries = entries.map_err(|error| system(&path, "list folder", &error))?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(DiskOutput::Entries(entries))
}

fn entries(place: &std::path::Path) -> io::Result<Vec<FolderEntry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Removed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let is_folder = metadata.is_dir();
        entries.push(FolderEntry {
            name: entry.file_name().to_string_lossy().into_owned(),
            len: if is_folder { 0 } else { metadata.len() },
            is_folder,
        });
    }
    Ok(entries)
}

pub(super) async fn rename(from: PathBuf, to: PathBuf, path: FilePath) -> DiskResult {
    let result = blocking(move || fs::rename(from, to)).await;
    done(&path, "rename", result)
}

/// Overlay and network file systems do not exchange names; they say so by one of these.
const CANNOT_EXCHANGE: [Errno; 3] = [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP];

pub(super) async fn exchange(from: PathBuf, to: PathBuf, path: FilePath) -> DiskResult {
    let exchange = move || match renameat_with(CWD, &from, CWD, &to, RenameFlags::EXCHANGE) {
        Err(errno) if CANNOT_EXCHANGE.contains(&errno) => fs::rename(from, to),
        result => Ok(result?),
    };
    done(&path, "exchange names", blocking(exchange).await)
}

pub(super) async fn remove_file(place: PathBuf, path: FilePath) -> DiskResult {
    let result = blocking(move || fs::remove_file(place)).await;
    done(&path, "remove", result)
}

pub(super) async fn remove(place: PathBuf, path: FilePath) -> DiskResult {
    let result = blocking(move || fs::remove_dir(place)).await;
    done(&path, "remove folder", result)
}

/// A whole fsync: fdatasync of a folder may leave out an entry that did not change its size.
pub(super) async fn sync(place: PathBuf, path: FilePath) -> DiskResult {
    let result = blocking(move || File::open(place)?.sync_all()).await;
    done(&path, "fsync folder", result)
}

fn done(path: &FilePath, operation: &'static str, result: io::Result<()>) -> DiskResult {
    match result {
        Ok(()) => Ok(DiskOutput::Done),
        Err(error) => Err(system(path, operation, &error)),
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    glommio::executor().spawn_blocking(call).await
}

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Name of the file in the data folder that a running broker holds locked.
pub const LOCK_FILE: &str = ".lock";

/// A data folder that belongs to this process until this is dropped or the process ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a data folder was not locked.
#[derive(Debug, thiserror::Error)]
pub enum FolderLockError {
    /// Another process has it.
    #[error(
        "the data folder {} is in use by process {process}: stop that broker first, or give this \
         one another folder", folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its process id, as far as it said.
        process: String,
    },
    /// The folder or the lock file cannot be opened or made.
    #[error(
        "cannot lock {}: {source}; the data folder must be one that the broker's user may write",
        path.display()
    )]
    Io {
        /// The lock file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

impl FolderLock {
    /// The process that has the folder, as far as it said; `None`: nobody has. Changes nothing.
    pub fn holder(folder: &Path) -> Option<String> {
        let mut file = File::open(folder.join(LOCK_FILE)).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut process = String::new();
                file.read_to_string(&mut process).ok()?;
                Some(process.trim().to_owned())
            }
            _ => None,
        }
    }

    /// Locks the folder, which must exist.
    ///
    /// # Errors
    /// When another process holds it, or the lock file cannot be written.
    pub fn take(folder: &Path) -> Result<FolderLock, FolderLockError> {
        let path = folder.join(LOCK_FILE);
        let fail = |source| FolderLockError::Io {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut process = String::new();
                file.read_to_string(&mut process).map_err(fail)?;
                return Err(FolderLockError::InUse {
                    folder: folder.to_owned(),
                    process: process.trim().to_owned(),
                });
            }
            Err(error) => return Err(fail(error.into())),
        }
        // For people who wonder: the lock itself is the kernel's.
        file.set_len(0).map_err(fail)?;
        let line = format!("{}\n", std::process::id());
        file.write_all(line.as_bytes()).map_err(fail)?;
        Ok(FolderLock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_broker_on_the_same_folder_is_refused_and_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err().to_string();
        assert!(
            error.contains(&folder.path().display().to_string()),
            "{error}"
        );
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        let holder = FolderLock::holder(folder.path());
        assert_eq!(holder, Some(std::process::id().to_string()));
        drop(first);
        assert_eq!(FolderLock::holder(folder.path()), None);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named_with_the_way_out() {
        let error = FolderLock::take(Path::new("/nowhere/at/all")).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("/nowhere/at/all/.lock"), "{error}");
        assert!(error.contains("may write"), "{error}");
    }
}

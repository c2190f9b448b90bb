//! Looking at, and mending, a data folder while no broker runs on it.

pub mod journal;
pub mod log;

mod folder;
mod rescue;
mod segments;

use std::io;
use std::path::PathBuf;

use sillon_journal::Gap;
use sillon_log::{CheckpointError, ManifestError};
use sillon_runtime::FolderLockError;
use sillon_shard::MetadataLogError;

/// Why a data folder cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A broker runs on it, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] FolderLockError),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// There is no manifest.
    #[error("{} is no data folder of sillon: it has no sillon.manifest", folder.display())]
    NoDataFolder {
        /// As given.
        folder: PathBuf,
    },
    /// The manifest is damaged, or newer.
    #[error("{}: {error}", path.display())]
    Manifest {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: ManifestError,
    },
    /// The metadata log is damaged, or newer.
    #[error(transparent)]
    Metadata(#[from] MetadataLogError),
    /// A checkpoint is damaged, or newer.
    #[error("{}: {error}", path.display())]
    Checkpoint {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: CheckpointError,
    },
    /// The manifest's ring and the checkpoint's place do not fit together.
    #[error("{}: the checkpoint's place is not in the ring that the manifest describes", path.display())]
    Layout {
        /// The journal's folder.
        path: PathBuf,
    },
    /// A journal is damaged.
    #[error("{}: {gap}", path.display())]
    Gap {
        /// The journal's folder.
        path: PathBuf,
        /// What is missing.
        gap: Box<Gap>,
    },
    /// Something is wrong with what the command looked at; it was printed.
    #[error("{count} problems were found")]
    Problems {
        /// How many.
        count: usize,
    },
    /// The loss was not accepted.
    #[error(
        "nothing was changed: the records above are lost for this broker when it goes on; add \
         --accept-loss to have it so"
    )]
    NotAccepted,
}

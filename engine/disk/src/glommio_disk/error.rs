//! The system's errors in the words of a shard.

use std::io;

use glommio::GlommioError;
use sillon_shard::{DiskError, FilePath};

/// An error that no system call gave.
pub(super) fn failed(path: &FilePath, operation: &'static str, message: &str) -> DiskError {
    DiskError::Io {
        path: path.clone(),
        operation,
        message: message.to_owned(),
    }
}

/// An error of a system call.
pub(super) fn system(path: &FilePath, operation: &'static str, source: &io::Error) -> DiskError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::NoSpace,
        io::ErrorKind::NotFound => DiskError::NotFound(path.clone()),
        _ => failed(path, operation, &source.to_string()),
    }
}

/// An error of a system call that glommio made.
pub(super) fn glommio(
    path: &FilePath,
    operation: &'static str,
    source: &GlommioError<()>,
) -> DiskError {
    match (source.raw_os_error(), source) {
        (Some(number), _) => system(path, operation, &io::Error::from_raw_os_error(number)),
        // An error about an error: only its kind has come through. (A file that is renamed while
        // it is opened ends so.)
        (
            None,
            GlommioError::IoError(inner) | GlommioError::EnhancedIoError { source: inner, .. },
        ) => system(
            path,
            operation,
            &io::Error::new(inner.kind(), source.to_string()),
        ),
        (None, _) => failed(path, operation, &source.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_vanishes_while_it_is_opened_is_not_found() {
        let path = FilePath::from("a-0/partition.metadata");
        let number = io::Error::from_raw_os_error(2);
        let nested = io::Error::new(number.kind(), "getting file metadata path");
        let error = GlommioError::IoError(nested);
        let said = glommio(&path, "open", &error);
        assert_eq!(said, DiskError::NotFound(path));
    }

    #[test]
    fn a_full_disk_a_full_quota_and_a_missing_file_are_told_apart_from_the_rest() {
        let path = FilePath::from("a-0/x.log");
        let of = |number| system(&path, "write", &io::Error::from_raw_os_error(number));
        let (enospc, edquot, enoent, eio) = (28, 122, 2, 5);
        assert_eq!(of(enospc), DiskError::NoSpace);
        assert_eq!(of(edquot), DiskError::NoSpace);
        assert_eq!(of(enoent), DiskError::NotFound(path.clone()));
        assert!(matches!(
            of(eio),
            DiskError::Io {
                operation: "write",
                ..
            }
        ));
    }
}

//! Whether the data folder's file system takes O_DIRECT writes, and keeps them.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{OFlags, fstatfs};
use sillon_buffer::{BLOCK_BYTES, ChunkWriter};

use super::Finding;

const SUBJECT: &str = "data folder";

/// `f_type` of tmpfs (statfs(2)).
const TMPFS: u64 = 0x0102_1994;

/// `f_type` of ramfs.
const RAMFS: u64 = 0x8584_58f6;

/// `f_type` of Btrfs, bcachefs and ZFS: a block that is written again lands elsewhere.
const COPY_ON_WRITE: [(u64, &str); 3] = [
    (0x9123_683e, "Btrfs"),
    (0xca45_1a4e, "bcachefs"),
    (0x2fc1_2fc1, "ZFS"),
];

const DISK_MEND: &str = "Put the data folder on ext4 or XFS on a local disk";

pub(super) fn direct_io(folder: &Path) -> Finding {
    let path = folder.join(format!(".probe-{}", std::process::id()));
    let finding = match write_and_sync(&path) {
        Ok(file) => judge(folder, &file),
        Err((step, error)) => failed(folder, step, &error),
    };
    // Nothing is left behind; that it was not there is no news.
    let _ = fs::remove_file(path);
    finding
}

fn write_and_sync(path: &Path) -> Result<File, (&'static str, io::Error)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    let flags = OFlags::DIRECT.bits() as i32;
    drop(
        options
            .open(path)
            .map_err(|error| ("create a file", error))?,
    );
    let file = options.custom_flags(flags).open(path);
    let file = file.map_err(|error| ("open a file with O_DIRECT", error))?;
    let block = ChunkWriter::unpooled(BLOCK_BYTES).append(&[0; BLOCK_BYTES]);
    let written = file.write_all_at(&block, 0);
    written.map_err(|error| ("write 4,096 bytes with O_DIRECT", error))?;
    file.sync_data().map_err(|error| ("fdatasync", error))?;
    Ok(file)
}

fn judge(folder: &Path, file: &File) -> Finding {
    let kind = fstatfs(file).map_or(0, |stat| stat.f_type as u64);
    if kind == TMPFS || kind == RAMFS {
        let detail = format!(
            "{} is in memory: nothing survives a restart",
            folder.display()
        );
        return Finding::poor(SUBJECT, detail, DISK_MEND);
    }
    let copies = COPY_ON_WRITE.iter().find(|(known, _)| *known == kind);
    if let Some((_, name)) = copies {
        let detail = format!(
            "{} is on {name}, which writes each block to a new place: it can be full in the \
             middle of what has its space reserved",
            folder.display()
        );
        return Finding::poor(SUBJECT, detail, DISK_MEND);
    }
    Finding::good(
        SUBJECT,
        format!("{} takes O_DIRECT writes", folder.display()),
    )
}

fn failed(folder: &Path, step: &str, error: &io::Error) -> Finding {
    let detail = format!("cannot {step} in {}: {error}", folder.display());
    let mend = match error.kind() {
        // What was acknowledged has its space, and only a broker that runs can delete topics.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            return Finding::poor(SUBJECT, detail, "Make room on it");
        }
        io::ErrorKind::NotFound => "Make the folder, or give another with --data-dir",
        io::ErrorKind::PermissionDenied => "Make the folder belong to the user that runs sillon",
        io::ErrorKind::ReadOnlyFilesystem => "Mount it writable",
        _ => DISK_MEND,
    };
    Finding::missing(SUBJECT, detail, mend)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_probe_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let finding = direct_io(folder.path());
        assert_ne!(finding.verdict, Verdict::Missing, "{finding}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_missing_is_named_with_what_to_do() {
        let finding = direct_io(Path::new("/nowhere"));
        assert_eq!(finding.verdict, Verdict::Missing);
        assert!(finding.to_string().contains("/nowhere"), "{finding}");
        assert!(finding.to_string().contains("--data-dir"), "{finding}");
    }
}

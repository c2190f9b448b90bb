//! The block device below the data folder: whether a flush has anything to do, and how long that
//! may take.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Finding;

const SUBJECT: &str = "device";

pub(super) fn device(place: &Path) -> Finding {
    let number = fs::metadata(place).map(|metadata| metadata.dev());
    let folder = number.ok().and_then(|number| {
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let link = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
        fs::canonicalize(link).ok()
    });
    judge(folder.as_deref())
}

/// `folder`: the device's in sysfs, when it has one.
fn judge(folder: Option<&Path>) -> Finding {
    let Some((folder, queue)) = folder.and_then(with_queue) else {
        return Finding::good(SUBJECT, "not visible from here, so its cache is not either");
    };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let read = |name: &str| fs::read_to_string(queue.join(name)).unwrap_or_default();
    let cache = match read("write_cache").trim() {
        "write back" => "has a write cache, which each flush empties",
        "write through" => "says that it has no volatile write cache",
        _ => "does not say whether it has a write cache",
    };
    // A virtual disk says that it turns, whatever is below it.
    let is_virtual = ["vd", "xvd", "loop"]
        .iter()
        .any(|kind| name.starts_with(kind));
    match read("rotational").trim() {
        "1" if !is_virtual => Finding::poor(
            SUBJECT,
            format!("{name} {cache}, and says that it turns: a flush takes some 10 ms there"),
            "Put the data folder on an SSD",
        ),
        _ => Finding::good(SUBJECT, format!("{name} {cache}")),
    }
}

/// The device that has a queue: that of a partition is its disk's.
fn with_queue(folder: &Path) -> Option<(&Path, PathBuf)> {
    let places = [Some(folder), folder.parent()];
    let mut places = places.into_iter().flatten();
    let found = places.find(|place| place.join("queue").is_dir())?;
    Some((found, found.join("queue")))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_disk_of_a_partition_tells_its_cache() {
        let sys = tempfile::tempdir().unwrap();
        let disk = sys.path().join("vda");
        let partition = disk.join("vda1");
        fs::create_dir_all(&partition).unwrap();
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::write(disk.join("queue/write_cache"), "write back\n").unwrap();
        fs::write(disk.join("queue/rotational"), "0\n").unwrap();
        let finding = judge(Some(&partition));
        assert_eq!(finding.verdict, Verdict::Good);
        assert!(
            finding.detail.contains("vda has a write cache"),
            "{finding}"
        );
        fs::write(disk.join("queue/rotational"), "1\n").unwrap();
        assert_eq!(judge(Some(&disk)).verdict, Verdict::Good);
        let turning = sys.path().join("sda");
        fs::rename(&disk, &turning).unwrap();
        assert_eq!(judge(Some(&turning)).verdict, Verdict::Poor);
        assert_eq!(judge(None).verdict, Verdict::Good);
    }
}

//! Which mounted file system a folder is on, for messages about it.

use std::fs;
use std::path::Path;

/// The folder, and where its file system is mounted, for people.
pub(crate) fn place_of(folder: &Path) -> String {
    let real = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    match mount_of(&mounts, &real) {
        Some(mount) => format!("{} (mounted at {mount})", real.display()),
        None => real.display().to_string(),
    }
}

/// Mount point and kind of the file system that `folder` is on (proc_pid_mountinfo(5)).
fn mount_of(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        let point = unescaped(mount.split(' ').nth(4)?);
        let kind = source.split(' ').next()?;
        folder.starts_with(&point).then_some((point, kind))
    });
    // Of several at the same place the last one hides the others.
    let nearest = mounts.max_by_key(|(point, _)| point.len());
    nearest.map(|(point, kind)| format!("{point}, {kind}"))
}

/// White space and backslashes are three octal digits behind a backslash.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\134", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
30 22 0:25 / /var/lib rw - tmpfs tmpfs rw
31 22 7:0 / /var/lib\\040too rw,relatime shared:5 - xfs /dev/loop0 rw
32 30 7:1 / /var/lib rw - ext4 /dev/loop1 rw
";

    #[test]
    fn the_nearest_mount_point_counts_and_the_last_one_there() {
        let of = |folder| mount_of(MOUNTS, Path::new(folder));
        assert_eq!(of("/home/a").as_deref(), Some("/, ext4"));
        assert_eq!(of("/var/lib/sillon").as_deref(), Some("/var/lib, ext4"));
        assert_eq!(of("/var/lib too/x").as_deref(), Some("/var/lib too, xfs"));
        assert_eq!(mount_of("", Path::new("/a")), None);
    }
}

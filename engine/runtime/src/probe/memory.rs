//! How much memory this process may use: the host's, or its cgroup's.

use std::fs;
use std::path::Path;

use super::Finding;
use crate::cores::{each_cgroup, own_cgroups};

const SUBJECT: &str = "memory";

/// `needed_bytes`: what the broker may come to take.
pub(super) fn memory(needed_bytes: u64) -> Finding {
    let limit = limit(Path::new("/sys/fs/cgroup"), &own_cgroups());
    judge(needed_bytes, of_host(), limit)
}

fn judge(needed: u64, host: Option<u64>, limit: Option<u64>) -> Finding {
    let mib = |bytes: u64| bytes >> 20;
    let limit = limit.filter(|limit| host.is_none_or(|host| *limit < host));
    let (available, whose, mend) = match (limit, host) {
        (Some(limit), _) => (
            limit,
            "the cgroup's limit",
            "a higher limit (`--memory` for Docker, resources.limits.memory in Kubernetes)",
        ),
        (None, Some(host)) => (host, "the host's memory", "a larger host"),
        (None, None) => {
            let said = format!("up to {} MiB are used; no limit is visible", mib(needed));
            return Finding::good(SUBJECT, said);
        }
    };
    let said = format!(
        "{whose} is {} MiB, up to {} are used",
        mib(available),
        mib(needed)
    );
    match needed <= available {
        true => Finding::good(SUBJECT, said),
        false => Finding::poor(
            SUBJECT,
            format!("{said}: the kernel may kill the broker under load"),
            format!("Give a smaller --memory, or {mend}"),
        ),
    }
}

/// `MemTotal` of meminfo(5), in bytes.
fn of_host() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// The smallest limit of the process' cgroup and those above it, in bytes.
fn limit(root: &Path, own: &str) -> Option<u64> {
    let v2 = |folder: &Path| number(&folder.join("memory.max"));
    let v1 = |folder: &Path| number(&folder.join("memory.limit_in_bytes"));
    each_cgroup(root, own, "memory", v2, v1).min()
}

/// `None` for "max", and for what is not there.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_smaller_of_host_and_cgroup_is_judged() {
        let gib = |count: u64| count << 30;
        assert_eq!(judge(gib(1), Some(gib(8)), None).verdict, Verdict::Good);
        let tight = judge(gib(1), Some(gib(8)), Some(gib(1) - 1)).to_string();
        assert!(
            tight.contains("cgroup") && tight.contains("Kubernetes"),
            "{tight}"
        );
        let small = judge(gib(4), Some(gib(2)), Some(u64::MAX)).to_string();
        assert!(
            small.contains("host") && small.contains("--memory"),
            "{small}"
        );
        assert_eq!(judge(gib(1), None, None).verdict, Verdict::Good);
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("pod/container");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "max\n").unwrap();
        fs::write(root.path().join("pod/memory.max"), "1048576\n").unwrap();
        assert_eq!(limit(root.path(), "0::/pod/container\n"), Some(1 << 20));
        let v1 = root.path().join("memory");
        fs::create_dir_all(&v1).unwrap();
        fs::write(v1.join("memory.limit_in_bytes"), "4096\n").unwrap();
        assert_eq!(limit(root.path(), "7:memory:/docker/a\n"), Some(4096));
        assert_eq!(limit(root.path(), "3:cpu:/docker/a\n"), None);
    }
}

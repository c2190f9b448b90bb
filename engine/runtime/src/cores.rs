//! How many cores this process may use, and which.

use std::fs;
use std::path::Path;

/// Cores of the affinity mask, in ascending order.
pub(crate) fn allowed() -> Vec<usize> {
    let mut cores = affinity::get_thread_affinity().unwrap_or_default();
    cores.sort_unstable();
    if cores.is_empty() {
        cores.push(0);
    }
    cores
}

/// How many shards a node has when nobody says: one for every core of the affinity mask, and no
/// more than whole cores in the CPU quota of the cgroup, because a shard that is throttled stands
/// still for up to 100 ms.
pub fn default_shards() -> u16 {
    shards_for(allowed().len(), own_quota())
}

/// The CPU quota of this process, in cores.
pub(crate) fn own_quota() -> Option<f64> {
    quota(Path::new("/sys/fs/cgroup"), &own_cgroups())
}

fn shards_for(cores: usize, quota: Option<f64>) -> u16 {
    let whole = quota.map_or(cores, |quota| cores.min(quota as usize));
    whole.clamp(1, usize::from(u16::MAX)) as u16
}

/// This process' paths in the cgroup hierarchies (cgroups(7)).
pub(crate) fn own_cgroups() -> String {
    fs::read_to_string("/proc/self/cgroup").unwrap_or_default()
}

/// The smallest CPU quota, in cores, of the process' cgroup and those above it.
fn quota(root: &Path, own: &str) -> Option<f64> {
    each_cgroup(root, own, "cpu", quota_v2, quota_v1).reduce(f64::min)
}

/// What `v2` and `v1` read in the folders of the process' cgroups and of those above them, for a
/// controller of cgroup v1. Inside a container a path often is the host's, which is not there:
/// then what is left at `root` counts.
pub(crate) fn each_cgroup<T>(
    root: &Path,
    own: &str,
    controller: &str,
    v2: impl Fn(&Path) -> Option<T>,
    v1: impl Fn(&Path) -> Option<T>,
) -> impl Iterator<Item = T> {
    let mut found = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let folders = Path::new(path.trim_start_matches('/')).ancestors();
        if controllers.is_empty() {
            found.extend(folders.filter_map(|part| v2(&root.join(part))));
        } else if controllers.split(',').any(|name| name == controller) {
            let root = root.join(controller);
            found.extend(folders.filter_map(|part| v1(&root.join(part))));
        }
    }
    found.into_iter()
}

/// `cpu.max`: "QUOTA PERIOD" in us, or "max PERIOD".
fn quota_v2(folder: &Path) -> Option<f64> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota.parse().ok()?, period.parse().ok()?)
}

/// `cpu.cfs_quota_us` (-1: none) and `cpu.cfs_period_us`.
fn quota_v1(folder: &Path) -> Option<f64> {
    let read = |name| -> Option<f64> {
        let text = fs::read_to_string(folder.join(name)).ok()?;
        text.trim().parse().ok()
    };
    ratio(read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?)
}

fn ratio(quota: f64, period: f64) -> Option<f64> {
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_of_two_and_a_half_cores_makes_two_shards() {
        assert_eq!(shards_for(8, Some(2.5)), 2);
        assert_eq!(shards_for(8, Some(0.3)), 1);
        assert_eq!(shards_for(4, Some(64.0)), 4);
        assert_eq!(shards_for(4, None), 4);
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_counts_in_cgroup_v2() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("pod/container");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.max"), "max 100000\n").unwrap();
        fs::write(root.path().join("pod/cpu.max"), "150000 100000\n").unwrap();
        assert_eq!(quota(root.path(), "0::/pod/container\n"), Some(1.5));
        assert_eq!(quota(root.path(), "0::/not/visible\n"), None);
    }

    #[test]
    fn a_quota_is_found_in_cgroup_v1() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("cpu");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.cfs_quota_us"), "200000\n").unwrap();
        fs::write(group.join("cpu.cfs_period_us"), "100000\n").unwrap();
        let own = "7:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n";
        assert_eq!(quota(root.path(), own), Some(2.0));
        fs::write(group.join("cpu.cfs_quota_us"), "-1\n").unwrap();
        assert_eq!(quota(root.path(), own), None);
    }
}

//! The cores and processor time that this process may use.

use super::Finding;
use crate::cores;

const SUBJECT: &str = "processors";

pub(super) fn processors(shards: u16) -> Finding {
    judge(cores::allowed().len(), cores::own_quota(), shards)
}

fn judge(cores: usize, quota: Option<f64>, shards: u16) -> Finding {
    let said = match quota {
        Some(quota) => format!("{cores} cores and a quota of {quota:.1} for {shards} shards"),
        None => format!("{cores} cores for {shards} shards"),
    };
    if usize::from(shards) > cores {
        return Finding::poor(
            SUBJECT,
            format!("{said}, which take turns"),
            format!("Give --shards {cores} or more cores"),
        );
    }
    match quota {
        Some(quota) if quota < f64::from(shards) => Finding::poor(
            SUBJECT,
            format!("{said}: a shard that has used it up stands still for up to 100 ms"),
            format!(
                "Give --shards {} or a larger quota (`--cpus` for Docker, resources.limits.cpu in \
                 Kubernetes)",
                (quota as u16).max(1)
            ),
        ),
        _ => Finding::good(SUBJECT, said),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn more_shards_than_cores_or_quota_come_with_the_number_that_fits() {
        assert_eq!(judge(4, None, 4).verdict, Verdict::Good);
        assert_eq!(judge(8, Some(4.0), 4).verdict, Verdict::Good);
        let said = judge(2, None, 4).to_string();
        assert!(said.contains("--shards 2"), "{said}");
        let said = judge(8, Some(2.5), 4).to_string();
        assert!(
            said.contains("--shards 2") && said.contains("--cpus"),
            "{said}"
        );
        assert_eq!(judge(8, Some(0.5), 1).verdict, Verdict::Poor);
    }
}

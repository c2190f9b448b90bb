//! Whether the time is right and quick to read.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Finding;

const SUBJECT: &str = "clock";

/// 2025-01-01: this program is younger.
const BORN_S: u64 = 1_735_689_600;

/// Clock sources that a process reads without a system call.
const QUICK: [&str; 5] = [
    "tsc",
    "kvm-clock",
    "hyperv_clocksource_tsc_page",
    "arch_sys_counter",
    "xen",
];

pub(super) fn clock() -> Finding {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(path).unwrap_or_default();
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    judge(now.unwrap_or_default(), source.trim())
}

fn judge(since_epoch: Duration, source: &str) -> Finding {
    if since_epoch.as_secs() < BORN_S {
        return Finding::poor(
            SUBJECT,
            "it is set to a time before this program was made: records get wrong timestamps, and \
             old ones stay",
            "Set it, and keep it right with chrony or systemd-timesyncd",
        );
    }
    match source {
        "" => Finding::good(SUBJECT, "its source is not visible"),
        source if QUICK.contains(&source) => {
            Finding::good(SUBJECT, format!("{source}, read without a system call"))
        }
        source => Finding::poor(
            SUBJECT,
            format!("{source}, which takes a system call for each look at it"),
            "Choose tsc as the host's clock source when the kernel offers it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_clock_that_was_never_set_and_a_slow_one_are_told() {
        let now = Duration::from_secs(BORN_S + 1);
        assert_eq!(judge(now, "tsc").verdict, Verdict::Good);
        assert_eq!(judge(now, "").verdict, Verdict::Good);
        assert_eq!(judge(now, "hpet").verdict, Verdict::Poor);
        assert_eq!(judge(Duration::ZERO, "tsc").verdict, Verdict::Poor);
    }
}

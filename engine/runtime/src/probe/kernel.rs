//! The kernel's version.

use super::Finding;

const SUBJECT: &str = "kernel";

/// The first one that has all that is needed; older ones may have it backported.
const WANTED: (u32, u32) = (5, 10);

const NEWER: &str = "Use Linux 5.10 or newer";

pub(super) fn kernel() -> Finding {
    let name = rustix::system::uname();
    judge(&name.release().to_string_lossy())
}

fn judge(release: &str) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    match (number(), number()) {
        (Some(major), Some(minor)) if (major, minor) < WANTED => {
            Finding::poor(SUBJECT, format!("Linux {release} is old"), NEWER)
        }
        _ => Finding::good(SUBJECT, format!("Linux {release}")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (release, verdict) in [
            ("5.4.0-150-generic", Verdict::Poor),
            ("5.10.0", Verdict::Good),
            ("6.1.0-18-amd64", Verdict::Good),
            ("10.0", Verdict::Good),
            ("strange", Verdict::Good),
        ] {
            assert_eq!(judge(release).verdict, verdict, "{release}");
        }
    }
}

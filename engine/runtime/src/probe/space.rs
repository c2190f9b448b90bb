//! Space on the data folder's file system, against what a start and its first records take.

use std::path::Path;

use rustix::fs::statvfs;
use sillon_shard::{reserve_bytes, ring_layout};

use super::{Finding, Needs};

const SUBJECT: &str = "disk space";

/// Less than this is soon used up, in bytes.
const WANTED_BYTES: u64 = 1 << 30;

const MEND: &str = "Make room, or give another folder with --data-dir";

/// `place`: the data folder, or what is there of the path to it. `is_new`: it has no journals yet.
pub(super) fn space(place: &Path, is_new: bool, needs: &Needs) -> Finding {
    match statvfs(place) {
        Ok(stat) => {
            let total = stat.f_blocks.saturating_mul(stat.f_frsize);
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            judge(place, total, free, is_new, needs)
        }
        Err(error) => Finding::poor(
            SUBJECT,
            format!("{} does not tell: {error}", place.display()),
            MEND,
        ),
    }
}

fn judge(place: &Path, total: u64, free: u64, is_new: bool, needs: &Needs) -> Finding {
    let ring = ring_layout(needs.journal_bytes, needs.shards, total);
    let shards = needs.shards;
    let journals = ring.capacity_bytes() * u64::from(shards.max(1));
    let mib = |bytes: u64| bytes >> 20;
    if !ring.is_valid() {
        return Finding::missing(
            SUBJECT,
            format!(
                "{} has {} MiB in all: 1 % of it are journals too small for {shards} shards",
                place.display(),
                mib(total)
            ),
            "Give their size with --journal, 64KiB a shard at least",
        );
    }
    let reserve = reserve_bytes(ring, shards);
    let said = format!(
        "{} MiB of {} are free on {}",
        mib(free),
        mib(total),
        place.display()
    );
    if is_new && free < journals + reserve {
        return Finding::missing(
            SUBJECT,
            format!(
                "{said}; the journals take {} MiB and the reserve {}",
                mib(journals),
                mib(reserve)
            ),
            format!("{MEND}, or give a smaller --journal"),
        );
    }
    let wanted = WANTED_BYTES + if is_new { journals + reserve } else { 0 };
    match free < wanted {
        true => Finding::poor(
            SUBJECT,
            format!("{said}: appends may soon be refused"),
            MEND,
        ),
        false => Finding::good(SUBJECT, said),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn verdict(total: u64, free: u64, is_new: bool) -> Verdict {
        let needs = Needs {
            shards: 2,
            journal_bytes: Some(64 << 20),
            memory_bytes: 0,
        };
        judge(Path::new("/data"), total, free, is_new, &needs).verdict
    }

    #[test]
    fn a_new_folder_needs_room_for_its_journals_and_an_old_one_for_records() {
        let gib = 1 << 30;
        assert_eq!(verdict(100 * gib, 50 * gib, true), Verdict::Good);
        assert_eq!(verdict(100 * gib, 100 << 20, true), Verdict::Poor);
        assert_eq!(verdict(100 * gib, 65 << 20, true), Verdict::Missing);
        assert_eq!(verdict(100 * gib, 65 << 20, false), Verdict::Poor);
        assert_eq!(verdict(100 * gib, 2 * gib, false), Verdict::Good);
    }

    #[test]
    fn a_file_system_that_is_too_small_for_journals_says_which_option_to_give() {
        let needs = Needs {
            shards: 2,
            journal_bytes: None,
            memory_bytes: 0,
        };
        let finding = judge(Path::new("/data"), 1 << 20, 1 << 20, true, &needs);
        assert_eq!(finding.verdict, Verdict::Missing);
        assert!(finding.to_string().contains("--journal"), "{finding}");
    }
}

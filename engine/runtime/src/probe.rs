//! What a node needs of its host, tried out before anything is started: what is missing, and what
//! mends it. `sillon doctor` shows the same.

mod clock;
mod data_folder;
mod device;
mod kernel;
mod limits;
mod memory;
mod processors;
mod rings;
mod space;

use std::path::Path;

use sillon_shard::METADATA_LOG;

pub use limits::{io_memory_bytes, raise_limits};

/// What a node is going to ask of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Number of shards.
    pub shards: u16,
    /// Size of all journals together, in bytes; `None`: by the size of the file system.
    pub journal_bytes: Option<u64>,
    /// Memory that it may come to take, in bytes, with everything.
    pub memory_bytes: u64,
}

/// Something that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was tried, in a few words.
    pub subject: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What the operator can do about it, unless it went well.
    pub mend: Option<String>,
}

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The node starts, and is slower or smaller than it could be.
    Poor,
    /// The node cannot start.
    Missing,
}

impl Finding {
    fn good(subject: &'static str, detail: impl Into<String>) -> Finding {
        Finding {
            subject,
            verdict: Verdict::Good,
            detail: detail.into(),
            mend: None,
        }
    }

    fn poor(subject: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Poor,
            mend: Some(mend.into()),
            ..Finding::good(subject, detail)
        }
    }

    fn missing(
        subject: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Finding {
        Finding {
            verdict: Verdict::Missing,
            ..Finding::poor(subject, detail, mend)
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.subject, self.detail)?;
        match &self.mend {
            Some(mend) => write!(f, ". {mend}"),
            None => Ok(()),
        }
    }
}

/// Tries everything that a node over `data_folder` needs. Makes nothing and leaves nothing behind:
/// while the folder is not there, the one that it would be made in is looked at.
pub fn probe(data_folder: &Path, needs: &Needs) -> Vec<Finding> {
    let place = existing(data_folder);
    let is_new = !data_folder.join(METADATA_LOG).exists();
    let mut findings = vec![kernel::kernel(), rings::io_uring()];
    findings.extend(limits::limits(needs.shards));
    findings.push(processors::processors(needs.shards));
    findings.push(memory::memory(needs.memory_bytes));
    findings.push(data_folder::direct_io(place));
    findings.push(space::space(place, is_new, needs));
    findings.push(device::device(place));
    findings.push(clock::clock());
    findings
}

/// The folder, or the nearest one above it that is there.
fn existing(folder: &Path) -> &Path {
    let mut above = folder.ancestors().filter(|part| part.is_dir());
    match above.next() {
        Some(place) => place,
        None if folder.is_absolute() => folder,
        None => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_is_judged_by_the_one_above_it_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("a/b");
        assert_eq!(existing(&missing), folder.path());
        assert_eq!(existing(Path::new("no/such")), Path::new("."));
        let needs = Needs {
            shards: 1,
            journal_bytes: Some(1 << 20),
            memory_bytes: 1 << 20,
        };
        let findings = probe(&missing, &needs);
        let subjects: std::collections::BTreeSet<_> = findings.iter().map(|f| f.subject).collect();
        assert_eq!(subjects.len(), findings.len(), "each thing is told once");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

//! What a node needs of its host, tried out before anything is started: what is missing, and what
//! mends it. `sillon doctor` shows the same.

mod data_folder;
mod limits;
mod rings;

use std::path::Path;

pub(crate) use limits::io_memory_bytes;
pub use limits::raise_limits;

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

/// Tries everything that a node with `shards` shards over `data_folder` needs. Leaves nothing
/// behind.
pub fn probe(data_folder: &Path, shards: u16) -> Vec<Finding> {
    let mut findings = vec![rings::io_uring()];
    findings.extend(limits::limits(shards));
    findings.push(data_folder::direct_io(data_folder));
    findings
}

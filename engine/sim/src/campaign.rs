use std::panic::{AssertUnwindSafe, catch_unwind};

use sillon_buffer::planted::{self, Bug};

use crate::coverage::Coverage;
use crate::history::Violation;
use crate::world::{Report, World};

/// Runs one seed. A panic of the node counts as a violation.
pub fn run_seed(seed: u64, is_printed: bool) -> Report {
    let mut world = World::new(seed, is_printed);
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(report) => report,
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let detail = text.unwrap_or_else(|| "without a message".to_owned());
            if is_printed {
                println!("PANIC {detail}");
            }
            Report {
                hash: 0,
                coverage: Coverage::default(),
                lives: 0,
                operations: 0,
                batches: 0,
                violation: Some(Violation::new("panic", detail)),
            }
        }
    }
}

/// Runs one seed with a bug planted.
pub fn run_mutant(bug: Bug, seed: u64) -> Report {
    planted::plant(Some(bug));
    let report = run_seed(seed, false);
    planted::plant(None);
    report
}

/// What many seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Campaign {
    /// Added up.
    pub coverage: Coverage,
    /// Lives in all.
    pub lives: u64,
    /// Client operations in all.
    pub operations: u64,
    /// Batches sent in all.
    pub batches: u64,
    /// The seeds that showed something that must not be.
    pub violations: Vec<(u64, Violation)>,
}

impl Campaign {
    /// Adds a run.
    pub fn add(&mut self, seed: u64, report: Report) {
        self.coverage.merge(&report.coverage);
        self.lives += u64::from(report.lives);
        self.operations += report.operations;
        self.batches += report.batches as u64;
        if let Some(violation) = report.violation {
            self.violations.push((seed, violation));
        }
    }
}

//! Which operations fail with EIO, as on a disk that breaks.

/// What may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
    Sync,
}

impl Operation {
    pub fn named(name: &str) -> Option<Operation> {
        match name {
            "read" => Some(Operation::Read),
            "write" => Some(Operation::Write),
            "sync" => Some(Operation::Sync),
            _ => None,
        }
    }
}

/// Operations on paths that contain a text.
#[derive(Debug, Default)]
pub struct Faults {
    broken: Vec<(Operation, String)>,
    /// How many operations failed.
    pub count: u64,
}

impl Faults {
    /// From now on that fails.
    pub fn fail(&mut self, operation: Operation, text: &str) {
        self.broken.push((operation, text.to_owned()));
    }

    /// From now on nothing does.
    pub fn heal(&mut self) {
        self.broken.clear();
    }

    /// Whether an operation on a path fails.
    pub fn hits(&mut self, operation: Operation, path: &str) -> bool {
        let mut broken = self.broken.iter();
        let is_hit = broken.any(|(what, text)| *what == operation && path.contains(text.as_str()));
        self.count += u64::from(is_hit);
        is_hit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_fails_until_it_is_healed() {
        let mut faults = Faults::default();
        assert!(!faults.hits(Operation::Sync, "journal/ring-0"));
        faults.fail(Operation::Sync, "ring");
        assert!(faults.hits(Operation::Sync, "journal/ring-0"));
        assert!(!faults.hits(Operation::Write, "journal/ring-0"));
        assert!(!faults.hits(Operation::Sync, "a-0/0.log"));
        faults.heal();
        assert!(!faults.hits(Operation::Sync, "journal/ring-0"));
        assert_eq!(faults.count, 1);
    }
}

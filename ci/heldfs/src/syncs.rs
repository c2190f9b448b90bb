//! Which syncs wait.

/// Syncs that arrived and were not carried out, `R` being how each is answered.
pub struct Syncs<R> {
    /// Syncs of paths that contain this wait.
    hold: Option<String>,
    waiting: Vec<Waiting<R>>,
    /// How many were carried out.
    pub done: u64,
}

pub struct Waiting<R> {
    /// What is to be synced.
    pub number: u64,
    /// Its path when the sync arrived.
    pub path: String,
    pub reply: R,
}

impl<R> Syncs<R> {
    pub fn new() -> Syncs<R> {
        Syncs {
            hold: None,
            waiting: Vec::new(),
            done: 0,
        }
    }

    /// From now on syncs of paths that contain `text` wait.
    pub fn hold(&mut self, text: &str) {
        self.hold = Some(text.to_owned());
    }

    /// Takes in a sync. Gives it back when it is to be carried out now.
    pub fn arrived(&mut self, sync: Waiting<R>) -> Option<Waiting<R>> {
        match &self.hold {
            Some(text) if sync.path.contains(text.as_str()) => {
                self.waiting.push(sync);
                None
            }
            _ => Some(sync),
        }
    }

    /// Nothing waits any more. What waited is to be carried out now, in this order.
    pub fn release(&mut self) -> Vec<Waiting<R>> {
        self.hold = None;
        std::mem::take(&mut self.waiting)
    }

    /// Paths of those that wait.
    pub fn waiting(&self) -> impl Iterator<Item = &str> {
        self.waiting.iter().map(|sync| sync.path.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(path: &str) -> Waiting<()> {
        Waiting {
            number: 2,
            path: path.to_owned(),
            reply: (),
        }
    }

    #[test]
    fn syncs_of_matching_paths_wait_until_they_are_released() {
        let mut syncs = Syncs::new();
        assert!(syncs.arrived(sync("journal/ring-0")).is_some());
        syncs.hold("ring");
        assert!(syncs.arrived(sync("journal/ring-0")).is_none());
        assert!(syncs.arrived(sync("metadata.log")).is_some());
        assert_eq!(syncs.waiting().collect::<Vec<_>>(), ["journal/ring-0"]);
        assert_eq!(syncs.release().len(), 1);
        assert!(syncs.arrived(sync("journal/ring-0")).is_some());
        assert_eq!(syncs.waiting().count(), 0);
    }
}

//! What is said when space runs out, and when there is some again: once each, whatever happens in
//! between.

use crate::LogLevel;
use crate::state::State;

/// So long nothing must have been refused before there is said to be space again, in ns: near the
/// end some appends find a little, and retention gives back a segment at a time.
const CALM_NS: u64 = 5_000_000_000;

/// Whether there is space.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// When something was refused last, in ns; `None`: never, or there was space since.
    refused_ns: Option<u64>,
}

impl State {
    /// Something found no space.
    pub(crate) fn found_no_space(&mut self) {
        // Others, as the metadata log, may have met the same and used it.
        self.checkpoint.reserve_is_spent = true;
        let was_full = self.space.refused_ns.replace(self.now.mono_ns).is_some();
        if !was_full {
            let place = self.config.place.clone();
            self.log(
                LogLevel::Warn,
                format!(
                    "no space left on {place}: appends are refused until there is, reads go on. \
                     Make room, or delete topics or records; nothing needs to be restarted"
                ),
            );
        }
    }

    /// Something found space.
    pub(crate) fn found_space(&mut self) {
        let now_ns = self.now.mono_ns;
        let is_calm = |refused_ns: u64| now_ns.saturating_sub(refused_ns) >= CALM_NS;
        if self.space.refused_ns.is_some_and(is_calm) {
            self.space.refused_ns = None;
            let place = self.config.place.clone();
            self.log(
                LogLevel::Info,
                format!("there is space again on {place}: appends are taken"),
            );
        }
    }
}

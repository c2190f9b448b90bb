//! Leader epochs at their simplest. (The log's own cache is held against the same rules in its
//! crate; these two crates do not know each other.)

use sillon_record::{LeaderEpoch, Offset};

#[derive(Default)]
pub struct Epochs {
    starts: Vec<(LeaderEpoch, Offset)>,
}

impl Epochs {
    pub fn assign(&mut self, epoch: LeaderEpoch, offset: Offset) {
        if self.latest() != Some(epoch) {
            self.truncate_from_end(offset);
            self.starts.push((epoch, offset));
        }
    }

    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.starts.last().map(|(epoch, _)| *epoch)
    }

    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        let begun = self.starts.iter().rfind(|(_, start)| *start <= offset);
        begun.map(|(epoch, _)| *epoch)
    }

    pub fn end_offset(
        &self,
        requested: LeaderEpoch,
        log_end: Offset,
    ) -> Option<(LeaderEpoch, Offset)> {
        if self.latest() == Some(requested) {
            return Some((requested, log_end));
        }
        let (_, end) = self.starts.iter().find(|(epoch, _)| *epoch > requested)?;
        let floor = self.starts.iter().rfind(|(epoch, _)| *epoch <= requested);
        Some((floor.map_or(requested, |(epoch, _)| *epoch), *end))
    }

    pub fn truncate_from_end(&mut self, end: Offset) {
        self.starts.retain(|(_, start)| *start < end);
    }
}

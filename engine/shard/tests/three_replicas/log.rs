//! The log of one replica, as far as replication cares: records with the epoch of their leader.

use sillon_record::{LeaderEpoch, Offset};

use sillon_log::LeaderEpochs;

#[derive(Default)]
pub struct Log {
    pub epochs: LeaderEpochs,
    records: Vec<u64>,
    /// Everything below is flushed.
    pub flushed: Offset,
}

impl Log {
    pub fn end(&self) -> Offset {
        Offset(self.records.len() as i64)
    }

    pub fn append(&mut self, epoch: LeaderEpoch, record: u64) {
        self.epochs.assign(epoch, self.end());
        self.records.push(record);
    }

    pub fn truncate(&mut self, end: Offset) {
        self.records.truncate(end.0 as usize);
        self.epochs.truncate_from_end(end);
        self.flushed = self.flushed.min(end);
    }

    /// Up to `count` records from `offset` on, with their epochs.
    pub fn read(&self, offset: Offset, count: usize) -> Vec<(LeaderEpoch, u64)> {
        (offset.0..self.end().0)
            .take(count)
            .map(|offset| {
                let epoch = self.epochs.epoch_of(Offset(offset));
                let epoch = epoch.expect("every record has an epoch");
                (epoch, self.records[offset as usize])
            })
            .collect()
    }
}

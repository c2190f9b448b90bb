use std::cell::RefCell;
use std::rc::Rc;

use sillon_disk::Disk;
use sillon_shard::{DiskOp, DiskResult, OpId};

use super::{SimDisk, Verdict};
use crate::random::Random;

/// One executor's view of a [`SimDisk`] that completes by itself, in an order drawn from a seed:
/// for code that is written against [`Disk`].
#[derive(Clone)]
pub struct SimDiskHandle {
    disk: Rc<RefCell<SimDisk>>,
    random: Rc<RefCell<Random>>,
    executor: u16,
}

impl SimDiskHandle {
    /// A view for `executor`.
    pub fn new(disk: Rc<RefCell<SimDisk>>, executor: u16, seed: u64) -> SimDiskHandle {
        SimDiskHandle {
            disk,
            random: Rc::new(RefCell::new(Random::new(seed))),
            executor,
        }
    }
}

impl Disk for SimDiskHandle {
    fn submit(&self, op: OpId, io: DiskOp) {
        self.disk.borrow_mut().submit(self.executor, op, io);
    }

    async fn completions(&self, completions: &mut Vec<(OpId, DiskResult)>) {
        let before = completions.len();
        self.complete_some(completions);
        if completions.len() == before {
            std::future::pending::<()>().await;
        }
    }
}

impl SimDiskHandle {
    /// Completes a few of this executor's operations; none only when none is in flight.
    fn complete_some(&self, completions: &mut Vec<(OpId, DiskResult)>) {
        let mut disk = self.disk.borrow_mut();
        let mut random = self.random.borrow_mut();
        loop {
            let own: Vec<usize> = disk
                .pending()
                .enumerate()
                .filter(|(_, pending)| pending.executor == self.executor)
                .map(|(index, _)| index)
                .collect();
            if own.is_empty() {
                return;
            }
            let completion = disk.complete(own[random.index(own.len())], Verdict::Normal);
            completions.push((completion.op, completion.result));
            if random.percent(50) {
                return;
            }
        }
    }
}

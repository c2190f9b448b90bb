use sillon_shard::DiskOp;

use super::file::{CrashCounts, Tear};
use super::names::Node;
use super::operation::bytes_of;
use super::{SimDisk, Verdict};

/// How a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is killed: what has completed stays, what is in flight happens or does not.
    Kill,
    /// The power is cut: only what was synced is sure to stay.
    PowerCut {
        /// Chance that an un-synced write or length arrived all the same, in percent.
        data_survives: u64,
        /// Chance of an un-synced name, in percent.
        names_survive: u64,
        /// Whether sectors in flight can become garbage.
        has_garbage: bool,
    },
}

impl SimDisk {
    /// The node dies. Nothing is open or in flight afterwards.
    pub fn crash(&mut self, crash: Crash) -> CrashCounts {
        let mut counts = CrashCounts::default();
        let in_flight = std::mem::take(&mut self.in_flight);
        let mut writes = Vec::new();
        for flight in in_flight {
            let is_write = matches!(flight.io, DiskOp::Write { .. });
            if is_write && crash != Crash::Kill {
                writes.push(flight);
            } else if !matches!(flight.io, DiskOp::Open { .. } | DiskOp::Close { .. })
                && self.random.percent(50)
            {
                let _ = self.perform(&flight, Verdict::Normal);
            }
        }
        if let Crash::PowerCut {
            data_survives,
            names_survive,
            has_garbage,
        } = crash
        {
            self.names
                .power_cut(names_survive, &mut self.random, &mut counts);
            for file in &mut self.files {
                file.power_cut(data_survives, &mut self.random, &mut counts);
            }
            let tears: &[Tear] = if has_garbage {
                &[Tear::Whole, Tear::Lost, Tear::Mixed, Tear::Garbage]
            } else {
                &[Tear::Whole, Tear::Lost, Tear::Mixed]
            };
            for flight in writes {
                let handle = flight.handle.expect("a write is on an open file");
                let DiskOp::Write { position, .. } = flight.io else {
                    unreachable!("only writes are kept");
                };
                let position = position as usize;
                let bytes = bytes_of(&flight.io, handle.access);
                let tear = self.random.pick(tears);
                let file = &mut self.files[handle.file];
                file.tear(position, &bytes, tear, &mut self.random, &mut counts);
                if self.random.percent(50) {
                    file.grow_durable(position + bytes.len());
                }
            }
            for file in &mut self.files {
                file.restart();
            }
        }
        self.forget_what_is_gone();
        counts
    }

    fn forget_what_is_gone(&mut self) {
        self.handles.clear();
        for file in &mut self.files {
            file.opens = 0;
            file.is_linked = false;
        }
        for (_, file) in self.names.files() {
            self.files[file].is_linked = true;
        }
        self.used_blocks = 0;
        for (index, file) in self.files.iter_mut().enumerate() {
            if file.is_linked {
                self.used_blocks += file.blocks_count + 1;
            } else if !self.names.may_lead_to(Node::File(index)) {
                file.forget();
            }
        }
    }
}

//! Reads: from memory at once, from files by reference, and waiting for more.

use sillon_buffer::planted::{self, Bug};
use sillon_log::partition::ReadPlan;
use sillon_record::{LeaderEpoch, Offset};

use crate::procedure::Io;
use crate::state::{Pending, Phase, State};
use crate::{Extent, Fetch, FetchEntry, Fetched, Refusal, Request, Stage, Ticket};

/// What became of a look at a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Answer it.
    Ready,
    /// Not enough yet.
    Wait,
    /// Some of it lies in files at places that must be looked up first.
    Cold,
}

impl State {
    pub(crate) fn fetch(&mut self, io: &Io, ticket: Ticket, mut fetch: Fetch) {
        fetch.stamps.mark(Stage::Owned, self.now.mono_ns);
        fetch.stamps.owner = self.config.shard;
        match self.look(&mut fetch) {
            Look::Ready => self.reply(ticket, Request::Fetch(fetch)),
            Look::Cold => self.spawn_cold_fetch(io, ticket, fetch),
            Look::Wait if self.now.mono_ns >= fetch.deadline_ns => {
                self.reply(ticket, Request::Fetch(fetch));
            }
            Look::Wait => self.park(ticket, fetch),
        }
    }

    fn park(&mut self, ticket: Ticket, fetch: Fetch) {
        let deadline_ns = fetch.deadline_ns;
        let key = self.requests.insert(Pending::Fetch { ticket, fetch });
        self.deadlines.insert((deadline_ns, key));
        let Pending::Fetch { fetch, .. } = &self.requests[key] else {
            unreachable!("inserted above");
        };
        for entry in &fetch.entries {
            if let Some(partition) = self.by_id.get(&entry.partition) {
                self.partitions[*partition].fetchers.push(key);
            }
        }
    }

    /// Takes a waiting fetch out of everything that would wake it.
    pub(crate) fn unpark(&mut self, key: usize) -> (Ticket, Fetch) {
        let Pending::Fetch { ticket, fetch } = self.requests.remove(key) else {
            unreachable!("only fetches are parked");
        };
        self.deadlines.remove(&(fetch.deadline_ns, key));
        for entry in &fetch.entries {
            if let Some(partition) = self.by_id.get(&entry.partition) {
                self.partitions[*partition]
                    .fetchers
                    .retain(|waiting| *waiting != key);
            }
        }
        (ticket, fetch)
    }

    /// Looks again at fetches whose partitions' high watermark has moved.
    pub(crate) fn wake_fetches(&mut self, io: &Io) {
        let mut woken = std::mem::take(&mut self.woken);
        woken.sort_unstable();
        woken.dedup();
        for key in woken.drain(..) {
            let Some(Pending::Fetch { fetch, .. }) = self.requests.get_mut(key) else {
                continue;
            };
            let mut looked = std::mem::take(fetch);
            let look = self.look(&mut looked);
            if let Some(Pending::Fetch { fetch, .. }) = self.requests.get_mut(key) {
                *fetch = looked;
            }
            if look == Look::Wait {
                continue;
            }
            let (ticket, fetch) = self.unpark(key);
            if look == Look::Cold {
                self.spawn_cold_fetch(io, ticket, fetch);
            } else {
                self.reply(ticket, Request::Fetch(fetch));
            }
        }
        self.woken = woken;
    }

    /// Answers fetches that have waited long enough with what there is.
    pub(crate) fn expire_fetches(&mut self, io: &Io) {
        while let Some((deadline_ns, key)) = self.deadlines.first().copied() {
            if deadline_ns > self.now.mono_ns {
                return;
            }
            let (ticket, mut fetch) = self.unpark(key);
            if self.look(&mut fetch) == Look::Cold {
                self.spawn_cold_fetch(io, ticket, fetch);
            } else {
                self.reply(ticket, Request::Fetch(fetch));
            }
        }
    }

    pub(crate) fn refuse_fetches(&mut self, refusal: Refusal) {
        while let Some((_, key)) = self.deadlines.first().copied() {
            let (ticket, mut fetch) = self.unpark(key);
            for entry in &mut fetch.entries {
                entry.outcome = Some(Err(refusal));
            }
            self.reply(ticket, Request::Fetch(fetch));
        }
    }

    /// Fills in what is there.
    fn look(&mut self, fetch: &mut Fetch) -> Look {
        let (mut total, mut is_cold, mut is_urgent) = (0, false, false);
        let max_bytes = fetch.max_bytes;
        for entry in &mut fetch.entries {
            let room = max_bytes.saturating_sub(total);
            match self.read_entry(entry, room, total == 0) {
                Ok(Some(fetched)) => {
                    total += fetched.records_bytes;
                    is_urgent |= fetched.diverging.is_some();
                    entry.outcome = Some(Ok(fetched));
                }
                Ok(None) => {
                    is_cold = true;
                    entry.outcome = None;
                    // Its size is not known yet: what follows gets what it leaves at least.
                    total += room.min(entry.max_bytes).max(1);
                }
                Err(refusal) => {
                    is_urgent = true;
                    entry.outcome = Some(Err(refusal));
                }
            }
        }
        if is_cold {
            Look::Cold
        } else if is_urgent || total >= fetch.min_bytes {
            Look::Ready
        } else {
            Look::Wait
        }
    }

    /// Whether the request's leader epoch is the partition's (KIP-320).
    pub(crate) fn check_epoch(
        &self,
        key: usize,
        current: Option<LeaderEpoch>,
    ) -> Result<(), Refusal> {
        let partition = &self.partitions[key];
        if !partition.replicas.is_leader() {
            return Err(Refusal::NotLeader);
        }
        match current {
            Some(epoch) if epoch < partition.leader_epoch() => Err(Refusal::FencedLeaderEpoch),
            Some(epoch) if epoch > partition.leader_epoch() => Err(Refusal::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Below which offset records may be read.
    pub(crate) fn readable_end(&self, key: usize) -> Offset {
        let partition = &self.partitions[key];
        if planted::is(Bug::ReaderAboveFlushed) {
            partition.log.next_offset()
        } else {
            partition.high_watermark()
        }
    }

    /// Checks a read and gives what is known without I/O; `None` when a file must be looked into.
    fn read_entry(
        &mut self,
        entry: &FetchEntry,
        room: u64,
        is_first: bool,
    ) -> Result<Option<Fetched>, Refusal> {
        let key = self
            .partition_key(entry.partition)
            .ok_or(Refusal::UnknownPartition)?;
        if matches!(self.phase, Phase::Failed(_)) {
            return Err(Refusal::Storage);
        }
        self.check_epoch(key, entry.current_leader_epoch)?;
        let end = self.readable_end(key);
        let partition = &mut self.partitions[key];
        let log = &partition.log;
        let mut fetched = Fetched {
            high_watermark: end,
            log_start_offset: log.log_start(),
            ..Fetched::default()
        };
        if let Some(last) = entry.last_fetched_epoch {
            let found = log.epochs().end_offset(last, log.next_offset());
            if let Some((epoch, epoch_end)) = found
                && (epoch < last || epoch_end < entry.offset)
            {
                fetched.diverging = Some((epoch, epoch_end));
                return Ok(Some(fetched));
            }
        }
        if entry.offset < log.log_start() || entry.offset > log.next_offset() {
            return Err(Refusal::OffsetOutOfRange);
        }
        let bytes_max = room.min(entry.max_bytes);
        let records = &mut fetched.records;
        let plan = log.read(entry.offset, end, bytes_max, is_first, |slice| {
            let rest = match records.last_mut() {
                Some(Extent::Memory(last)) => last.join(slice),
                _ => Err(slice),
            };
            if let Err(separate) = rest {
                records.push(Extent::Memory(separate));
            }
        });
        match plan {
            ReadPlan::Empty => Ok(Some(fetched)),
            ReadPlan::Memory(bytes) => {
                fetched.records_bytes = bytes;
                Ok(Some(fetched))
            }
            ReadPlan::File { .. } if bytes_max == 0 && !is_first => Ok(Some(fetched)),
            ReadPlan::File { .. } => Ok(None),
        }
    }
}

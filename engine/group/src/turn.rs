use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::coordinator::InFlight;
use crate::{GroupConfig, GroupResponse};

/// The time, as the shard sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Since some fixed moment, never going back, in nanoseconds: sessions and rebalances.
    pub mono_ns: u64,
    /// Wall clock, in ms since the Unix epoch: commits and their expiry.
    pub wall_ms: i64,
}

impl Now {
    /// The moment in so many ms, in nanoseconds.
    pub(crate) fn in_ms(self, ms: u64) -> u64 {
        self.mono_ns.saturating_add(ms.saturating_mul(1_000_000))
    }
}

/// Names a request until it is answered. Chosen by who asks, unique while it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

/// Whoever asked does not wait any more.
pub(crate) const NOBODY: RequestId = RequestId(u128::MAX);

/// A record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// What it is about.
    pub key: Vec<u8>,
    /// `None`: it is about nothing any more.
    pub value: Option<Vec<u8>>,
}

/// What a coordinator wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer a request. Each is answered once.
    Reply {
        /// Which.
        request: RequestId,
        /// The answer.
        response: GroupResponse,
    },
    /// Append records as one batch, durably. [`crate::Coordinator::appended`] tells how it ended;
    /// appends to one partition end in the order in which they were asked for.
    Append {
        /// Which partition of `__consumer_offsets`.
        partition: i32,
        /// Echoed.
        token: u64,
        /// In order.
        records: Vec<LogRecord>,
    },
}

/// What a coordinator keeps besides its groups.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Groups by the moment (ns) at which something of theirs may be due.
    pub timers: BTreeSet<(u64, Arc<str>)>,
    /// Requests that wait in a group.
    pub parked: BTreeMap<RequestId, Arc<str>>,
    /// Appends by their token.
    pub in_flight: BTreeMap<u64, InFlight>,
    /// What all groups take, in bytes.
    pub memory_bytes: u64,
    /// Times that something was refused because it would have been too much.
    pub memory_refusals: u64,
    next_token: u64,
}

/// One event being handled.
pub(crate) struct Turn<'a> {
    pub now: Now,
    pub config: &'a GroupConfig,
    pub work: &'a mut Work,
    pub effects: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    pub(crate) fn reply(&mut self, request: RequestId, response: GroupResponse) {
        if request != NOBODY {
            self.work.parked.remove(&request);
            self.effects.push(Effect::Reply { request, response });
        }
    }

    pub(crate) fn append(&mut self, partition: i32, records: Vec<LogRecord>, what: InFlight) {
        let token = self.work.next_token;
        self.work.next_token += 1;
        self.work.in_flight.insert(token, what);
        self.effects.push(Effect::Append {
            partition,
            token,
            records,
        });
    }
}

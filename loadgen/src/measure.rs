//! What threads count, and how it gets to whoever reports: a tally per part of the timeline, sent
//! when the next part begins.

use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;

use crate::clock::{Part, Timeline};

/// Longest latency that is told apart, in ns: an hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;
/// Decimal digits that a recorded latency keeps.
const DIGITS: u8 = 3;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Requests to append, until they are acknowledged.
    Produce,
    /// Batches, from when they were due until a tailing consumer has them.
    EndToEnd,
    /// Fetches that bring records.
    Fetch,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Produce, Kind::EndToEnd, Kind::Fetch];

    /// What it is called in reports and logs.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Produce => "produce",
            Kind::EndToEnd => "end-to-end",
            Kind::Fetch => "fetch",
        }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The broker said so.
    Code(i16),
    /// The connection ended, or the answer made no sense.
    Other(String),
}

/// An empty histogram of latencies in ns.
pub fn new_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, DIGITS).expect("the bounds are in order")
}

/// What happened within a part of the timeline.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests answered without an error (end to end: batches).
    pub requests: u64,
    /// Their records.
    pub records: u64,
    /// Bytes of keys and values.
    pub payload_bytes: u64,
    /// How long each took, in ns.
    pub latencies: Histogram<u64>,
    /// How late each was sent, in ns; empty in saturation.
    pub lateness: Option<Histogram<u64>>,
    /// Requests that failed.
    pub errors: BTreeMap<Fault, u64>,
}

impl Tally {
    /// Nothing has happened.
    pub fn new(has_lateness: bool) -> Tally {
        Tally {
            requests: 0,
            records: 0,
            payload_bytes: 0,
            latencies: new_histogram(),
            lateness: has_lateness.then(new_histogram),
            errors: BTreeMap::new(),
        }
    }

    /// Adds what another thread, or another part, has counted.
    pub fn add(&mut self, other: &Tally) {
        self.requests += other.requests;
        self.records += other.records;
        self.payload_bytes += other.payload_bytes;
        let same = "histograms have the same bounds";
        self.latencies.add(&other.latencies).expect(same);
        if let Some(theirs) = &other.lateness {
            let ours = self.lateness.get_or_insert_with(new_histogram);
            ours.add(theirs).expect(same);
        }
        for (fault, count) in &other.errors {
            *self.errors.entry(fault.clone()).or_default() += count;
        }
    }

    fn is_empty(&self) -> bool {
        let late = self.lateness.as_ref();
        self.requests == 0 && self.errors.is_empty() && late.is_none_or(Histogram::is_empty)
    }
}

/// A thread's tally of a part.
#[derive(Debug)]
pub struct Counted {
    /// Of what.
    pub kind: Kind,
    /// When.
    pub part: Part,
    /// How much.
    pub tally: Tally,
}

/// A thread's own counter.
#[derive(Debug)]
pub struct Recorder {
    kind: Kind,
    timeline: Timeline,
    sink: Sender<Counted>,
    part: Part,
    /// Here the part ends, in ns of the run's clock.
    part_end_ns: u64,
    tally: Tally,
}

impl Recorder {
    /// Counts from the beginning of the load on.
    pub fn new(
        kind: Kind,
        timeline: Timeline,
        has_lateness: bool,
        sink: Sender<Counted>,
    ) -> Recorder {
        Recorder {
            kind,
            timeline,
            sink,
            part: timeline.part(timeline.load_ns),
            part_end_ns: timeline.end_of_part(timeline.load_ns),
            tally: Tally::new(has_lateness),
        }
    }

    /// Where the current part ends, in ns of the run's clock: somebody must call [`Self::at`] then.
    pub fn part_end_ns(&self) -> u64 {
        self.part_end_ns
    }

    /// The tally of the part that a time is in. Times must not go back.
    #[inline]
    pub fn at(&mut self, now_ns: u64) -> &mut Tally {
        if now_ns >= self.part_end_ns {
            self.send();
            self.part = self.timeline.part(now_ns);
            self.part_end_ns = self.timeline.end_of_part(now_ns);
        }
        &mut self.tally
    }

    fn send(&mut self) {
        let has_lateness = self.tally.lateness.is_some();
        let tally = std::mem::replace(&mut self.tally, Tally::new(has_lateness));
        if tally.is_empty() {
            return;
        }
        // Nobody listens any more when the run was given up.
        let _ = self.sink.send(Counted {
            kind: self.kind,
            part: self.part,
            tally,
        });
    }

    /// Sends what is left.
    pub fn finish(mut self) {
        self.send();
    }
}

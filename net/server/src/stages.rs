use std::collections::BTreeMap;
use std::fmt::Write;

use hdrhistogram::Histogram;
use sillon_protocol::Api;
use sillon_shard::{STAGES, ShardId, Stage, Stamps};

/// Shortest and longest time that is told apart, in ns: 100 ns to a minute, in steps of 1 %.
const TIME_MIN_NS: u64 = 100;
const TIME_MAX_NS: u64 = 60_000_000_000;
const SIGNIFICANT_DIGITS: u8 = 2;

/// Names of the stages, in their order.
const NAMES: [&str; STAGES] = [
    "received",
    "parsed",
    "owned",
    "appended",
    "submitted",
    "flushed",
    "replicated",
    "queued",
    "written",
];

/// Requests that are kept with all their stamps.
const SLOWEST_MAX: usize = 4;

/// How long the requests of one shard's connections took from stage to stage.
#[derive(Default)]
pub(crate) struct Stages {
    apis: BTreeMap<Api, OfApi>,
    /// The slowest requests but fetches, which wait because they are told to. The slowest first.
    slowest: Vec<Slow>,
}

struct Slow {
    whole_ns: u64,
    api: Api,
    stamps: Stamps,
}

/// Made when an API is first used: a histogram takes about 30 KiB.
#[derive(Default)]
struct OfApi {
    /// Time since the stage before, by stage.
    steps: [Option<Histogram<u64>>; STAGES],
    whole: Option<Histogram<u64>>,
    /// Requests by the shard that owned their (last) partition: how many had to travel.
    owners: BTreeMap<ShardId, u64>,
}

impl Stages {
    /// Takes in a request that has been answered.
    pub(crate) fn record(&mut self, api: Api, stamps: &Stamps) {
        let of_api = self.apis.entry(api).or_default();
        let mut passed = stamps.at_ns.iter().enumerate().filter(|(_, at)| **at != 0);
        let Some((_, first)) = passed.next() else {
            return;
        };
        let mut before = *first;
        for (stage, at) in passed {
            record(&mut of_api.steps[stage], at.saturating_sub(before));
            before = before.max(*at);
        }
        let whole_ns = before - first;
        record(&mut of_api.whole, whole_ns);
        if stamps.at_ns[Stage::Owned as usize] != 0 {
            *of_api.owners.entry(stamps.owner).or_default() += 1;
        }
        if api != Api::Fetch {
            self.keep_if_slow(api, stamps, whole_ns);
        }
    }

    fn keep_if_slow(&mut self, api: Api, stamps: &Stamps, whole_ns: u64) {
        if self.slowest.len() == SLOWEST_MAX {
            if self.slowest[SLOWEST_MAX - 1].whole_ns >= whole_ns {
                return;
            }
            self.slowest.pop();
        }
        let slower = self
            .slowest
            .partition_point(|slow| slow.whole_ns >= whole_ns);
        let stamps = *stamps;
        self.slowest.insert(
            slower,
            Slow {
                whole_ns,
                api,
                stamps,
            },
        );
    }

    /// One line per API: how many requests, the median, 99th and 99.9th percentile of the whole
    /// and of each stage, in us, and how many requests which shard owned. Then one for each of the
    /// slowest requests: what it spent before each stage.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(api, of_api): (&Api, &OfApi)| {
            let whole = of_api.whole.as_ref()?;
            let mut line = format!("{api}: {} requests, whole {}", whole.len(), figures(whole));
            for (name, step) in NAMES.iter().zip(&of_api.steps) {
                if let Some(step) = step {
                    let _ = write!(line, ", {name} {}", figures(step));
                }
            }
            for (owner, requests) in &of_api.owners {
                let _ = write!(line, ", owner {} {requests}", owner.0);
            }
            Some(line)
        };
        let apis = self.apis.iter().filter_map(line);
        apis.chain(self.slowest.iter().map(Slow::line)).collect()
    }
}

impl Slow {
    /// Where the time went, in us.
    fn line(&self) -> String {
        let mut line = format!("slow {}: {} us", self.api, self.whole_ns / 1000);
        let mut before = None;
        for (name, at) in NAMES
            .iter()
            .zip(self.stamps.at_ns)
            .filter(|(_, at)| *at != 0)
        {
            if let Some(before) = before {
                let _ = write!(line, ", {name} {}", at.saturating_sub(before) / 1000);
            }
            before = before.max(Some(at));
        }
        line
    }
}

fn record(histogram: &mut Option<Histogram<u64>>, time_ns: u64) {
    let histogram = histogram.get_or_insert_with(|| {
        Histogram::new_with_bounds(TIME_MIN_NS, TIME_MAX_NS, SIGNIFICANT_DIGITS)
            .expect("the bounds are in order")
    });
    histogram.saturating_record(time_ns);
}

fn figures(histogram: &Histogram<u64>) -> String {
    let us = |quantile| histogram.value_at_quantile(quantile) / 1000;
    format!("{}/{}/{} us", us(0.5), us(0.99), us(0.999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stage_counts_from_the_one_passed_before_it() {
        let mut stamps = Stamps::default();
        stamps.mark(Stage::Received, 1_000_000);
        stamps.mark(Stage::Parsed, 1_010_000);
        stamps.mark(Stage::Flushed, 1_110_000);
        stamps.mark(Stage::Written, 1_120_000);
        let mut stages = Stages::default();
        stages.record(Api::Produce, &stamps);
        stages.record(Api::Metadata, &Stamps::default());
        let lines = stages.lines();
        let expected = "Produce: 1 requests, whole 120/120/120 us, parsed 10/10/10 us, \
                        flushed 100/100/100 us, written 10/10/10 us";
        let slow = "slow Produce: 120 us, parsed 10, flushed 100, written 10";
        assert_eq!(lines, [expected, slow]);
    }

    #[test]
    fn the_slowest_requests_are_kept_slowest_first_and_fetches_are_not() {
        let mut stages = Stages::default();
        for us in (1..=6).rev().chain(1..=6) {
            let mut stamps = Stamps::default();
            stamps.mark(Stage::Received, 1_000_000);
            stamps.mark(Stage::Written, 1_000_000 + us * 1_000);
            stages.record(Api::Metadata, &stamps);
            stamps.mark(Stage::Written, 9_000_000);
            stages.record(Api::Fetch, &stamps);
        }
        let kept: Vec<u64> = stages
            .slowest
            .iter()
            .map(|slow| slow.whole_ns / 1000)
            .collect();
        assert_eq!(kept, [6, 6, 5, 5]);
    }

    #[test]
    fn requests_are_counted_by_the_shard_that_owned_their_partition() {
        let mut stages = Stages::default();
        for owner in [2, 0, 2] {
            let mut stamps = Stamps::default();
            stamps.mark(Stage::Received, 1_000);
            stamps.mark(Stage::Owned, 1_000);
            stamps.owner = ShardId(owner);
            stages.record(Api::Fetch, &stamps);
        }
        let lines = stages.lines();
        assert!(lines[0].ends_with(", owner 0 1, owner 2 2"), "{}", lines[0]);
    }
}

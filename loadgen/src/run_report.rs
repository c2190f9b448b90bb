//! What a run found: the JSON of `sillon bench --format json`.
//!
//! A document is one [`BenchReport`]: `{"format": 1, "runs": [RunReport, ...]}`, one run per
//! scenario in the order in which they ran. Names end in their unit: `_s` seconds, `_ms`, `_us`,
//! `_ns`, `_bytes`, `_mb` (10^6 bytes), `_gb` (10^9 bytes). Rates are per second of the measured
//! time. Payload is the bytes of keys and values, uncompressed, without any header. A field that
//! cannot be known is `null`: broker CPU and memory when the broker is not a process on this
//! machine, latencies with `acks = "0"`.

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// The number of this layout; it rises when a field changes its meaning or goes.
pub const FORMAT: u32 = 1;

/// Everything that one `sillon bench` found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchReport {
    /// [`FORMAT`].
    pub format: u32,
    /// One per scenario, in the order in which they ran.
    pub runs: Vec<RunReport>,
}

/// What one run of a scenario found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// What was done, defaults and overrides included.
    pub scenario: Scenario,
    /// To whom.
    pub target: Target,
    /// On which machine the generator ran.
    pub machine: Machine,
    /// When the measurement began, in ms since the Unix epoch.
    pub started_unix_ms: i64,
    /// How long was measured, in seconds: the scenario's `duration_s`, less when interrupted.
    pub measured_s: f64,
    /// Requests to append, and their acknowledgements; `null` without producers.
    pub produce: Option<Flow>,
    /// What tailing consumers received, a batch at a time: `requests` counts batches, and latency
    /// is from the request's intended send time to the arrival of the answer that holds the batch.
    pub end_to_end: Option<Flow>,
    /// What catching-up and looping consumers received: `requests` counts fetches that brought
    /// records, and latency is from asking to the whole answer.
    pub fetch: Option<Flow>,
    /// Requests that failed, by what went wrong, warm-up included. Empty is how it should be.
    pub errors: Vec<ErrorCount>,
    /// Requests without an answer when waiting for answers ended. Those of an open loop are in the
    /// latencies, with the time that they had waited.
    pub unanswered: u64,
    /// Requests of an open loop that were due and could not even be sent, because the broker did
    /// not read. They are in the latencies in the same way.
    pub unsent: u64,
    /// How late the generator itself was: from a request's intended send time until its bytes were
    /// given to the socket, in an open loop; `null` in saturation. It is part of the latencies.
    pub lateness: Option<Latency>,
    /// One per second of the measured time, in order.
    pub seconds: Vec<Second>,
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Whether what was claimed is true.
    pub verification: Verification,
    /// What the generator can do at most; `null` when it was not measured.
    pub ceiling: Option<Ceiling>,
    /// Of a ramp: how far the broker followed; `null` without a ramp, or when it never did.
    pub knee: Option<Knee>,
}

/// The broker that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// What the report calls it.
    pub name: String,
    /// Where it was reached first, `host:port`.
    pub bootstrap: String,
    /// Started for this run, on an empty folder.
    pub is_embedded: bool,
    /// Its process, when it runs on this machine and is known.
    pub pid: Option<u32>,
    /// Brokers of its cluster.
    pub brokers: u32,
    /// The cluster's id, when it says one.
    pub cluster_id: Option<String>,
}

/// The machine that the generator ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Its cores (logical processors).
    pub cores: u32,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// The kernel's release.
    pub kernel: String,
    /// Load average of the last minute when the run began.
    pub load_average: f64,
}

/// Something that was done again and again within the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Flow {
    /// How many requests, answered without an error.
    pub requests: u64,
    /// Their records.
    pub records: u64,
    /// Their payload in bytes.
    pub payload_bytes: u64,
    /// Requests per second.
    pub requests_per_s: f64,
    /// Records per second.
    pub records_per_s: f64,
    /// Payload in 10^6 bytes per second.
    pub mb_per_s: f64,
    /// How long each took; `null` when none was timed.
    pub latency: Option<Latency>,
}

/// A distribution of latencies, in microseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were recorded.
    pub count: u64,
    /// Mean.
    pub mean_us: f64,
    /// Smallest.
    pub min_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 90th percentile.
    pub p90_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p99_9_us: f64,
    /// 99.99th percentile.
    pub p99_99_us: f64,
    /// Largest.
    pub max_us: f64,
    /// No value is known more precisely than this: 0.001, and 1,000 where the time stamp is that
    /// of Kafka's record (end to end with compressed batches).
    pub resolution_us: f64,
    /// The whole distribution, percentiles rising: what a plot of latency by percentile draws.
    pub percentiles: Vec<Percentile>,
}

/// One point of a distribution: `percentile` percent took `value_us` or less.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentile {
    /// 0 to 100.
    pub percentile: f64,
    /// In microseconds.
    pub value_us: f64,
}

/// Requests that failed for the same reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// `produce` or `fetch`.
    pub kind: String,
    /// Kafka's error code; `null` when the connection failed or the answer made no sense.
    pub code: Option<i16>,
    /// Kafka's name of it, or what happened.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// One second of the measured time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Its end, in seconds from the beginning of the measurement.
    pub end_s: f64,
    /// Its length in seconds: 1, the last one less when `duration_s` is no whole number.
    pub length_s: f64,
    /// Requests per second that the schedule asked for, on average; `null` in saturation.
    pub offered_requests_per_s: Option<f64>,
    /// As in [`RunReport::produce`], of what was answered in this second.
    pub produce: Option<Window>,
    /// As in [`RunReport::end_to_end`].
    pub end_to_end: Option<Window>,
    /// As in [`RunReport::fetch`].
    pub fetch: Option<Window>,
    /// Requests that failed.
    pub errors: u64,
    /// Processor seconds that the broker used in it.
    pub broker_cpu_s: Option<f64>,
    /// The broker's resident memory at its end, in bytes.
    pub broker_rss_bytes: Option<u64>,
}

/// What happened in one second. Latencies are 0 when `requests` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// How many.
    pub requests: u64,
    /// Their records.
    pub records: u64,
    /// Their payload in bytes.
    pub payload_bytes: u64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// 99.9th percentile.
    pub p99_9_us: f64,
    /// Largest.
    pub max_us: f64,
}

/// Processor time within the measured time, user and system, in seconds. The kernel counts it in
/// hundredths of a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// The broker's process.
    pub broker_s: Option<f64>,
    /// The generator's process.
    pub generator_s: f64,
    /// Payload that moved, in 10^9 bytes: produced, tailed and fetched together.
    pub payload_gb: f64,
    /// Broker seconds per 10^9 bytes of payload.
    pub broker_s_per_gb: Option<f64>,
    /// Generator seconds per 10^9 bytes of payload.
    pub generator_s_per_gb: Option<f64>,
    /// Broker microseconds per request (Produce; Fetch in a run without producers).
    pub broker_us_per_request: Option<f64>,
    /// Generator microseconds per request.
    pub generator_us_per_request: Option<f64>,
}

/// The broker's resident memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Before the first record.
    pub broker_rss_before_bytes: Option<u64>,
    /// At the end of the measurement.
    pub broker_rss_bytes: Option<u64>,
    /// The most that was seen, once a second.
    pub broker_rss_max_bytes: Option<u64>,
}

/// Whether what the run claims is true. It has passed when `findings` is empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Nothing is wrong.
    pub passed: bool,
    /// What is wrong, in words, the first of each kind.
    pub findings: Vec<String>,
    /// How many things are wrong: `findings` does not list all of them.
    pub findings_count: u64,
    /// Records that were acknowledged, preload and warm-up included.
    pub acknowledged_records: u64,
    /// Records between the first offset and the end of all partitions.
    pub log_records: u64,
    /// Records that were read back after the run, each compared with what was sent.
    pub read_back_records: u64,
    /// Batches that were read back.
    pub read_back_batches: u64,
    /// Whether everything was read back; else evenly spaced samples were.
    pub is_complete: bool,
    /// Batches that consumers checked during the run: checksum, offsets and every record.
    pub consumed_batches: u64,
    /// Batches of which consumers looked at the offsets only ([`crate::scenario::Consume`]'s
    /// `check_every`).
    pub consumed_batches_unchecked: u64,
    /// How long it took, in seconds.
    pub took_s: f64,
}

/// The generator against a server that answers at once and does nothing else, in the same way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ceiling {
    /// Requests per second that the generator could do at most.
    pub requests_per_s: f64,
    /// The run's requests per second as a part of it: 0 to 1.
    pub share: f64,
    /// The share is above two thirds: the figures may be the generator's, not the broker's.
    pub is_generator_bound: bool,
}

/// How far a broker followed a ramp.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Knee {
    /// The rate offered, in requests per second, in the last second up to which every second's p99
    /// stayed within the scenario's `knee_p99_ms`.
    pub requests_per_s: f64,
    /// The p99 of that second, in microseconds.
    pub p99_us: f64,
    /// Whether the broker fell behind after it; else the ramp ended first.
    pub is_reached: bool,
}

//! Puts the tallies of all threads together: totals, seconds, and the log of histograms.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::clock::{Clock, Part, Timeline};
use crate::measure::{Counted, Fault, Kind, Tally};
use crate::run_report::{ErrorCount, Flow, Latency, Percentile, Window};
use crate::schedule::SECOND_NS;

/// Nanoseconds in a microsecond.
const MICROSECOND_NS: f64 = 1e3;
/// What a log's largest values are divided by: its readers expect milliseconds.
const LOG_VALUE_DIVISOR: f64 = 1e6;
/// Steps of a distribution per halving of the distance to 100 %.
const TICKS_PER_HALVING: u32 = 5;

/// All that was counted so far.
#[derive(Debug)]
pub struct Collected {
    timeline: Timeline,
    /// Parts that threads may still add to.
    open: BTreeMap<(Part, Kind), Tally>,
    /// Parts that are over, without their histograms.
    closed: BTreeMap<(Part, Kind), Window>,
    /// The measured time and what was answered after it.
    totals: BTreeMap<Kind, Tally>,
    /// Everything that failed, whenever it did.
    errors: BTreeMap<(Kind, Fault), u64>,
    /// By second: how many failed.
    errors_by_second: BTreeMap<u32, u64>,
    log: Option<HistogramLog>,
}

impl Collected {
    /// Nothing yet.
    pub fn new(timeline: Timeline, log: Option<HistogramLog>) -> Collected {
        Collected {
            timeline,
            open: BTreeMap::new(),
            closed: BTreeMap::new(),
            totals: BTreeMap::new(),
            errors: BTreeMap::new(),
            errors_by_second: BTreeMap::new(),
            log,
        }
    }

    /// A thread has counted something.
    pub fn add(&mut self, counted: Counted) {
        let Counted { kind, part, tally } = counted;
        for (fault, count) in &tally.errors {
            *self.errors.entry((kind, fault.clone())).or_default() += count;
            if let Part::Measured(second) = part {
                *self.errors_by_second.entry(second).or_default() += count;
            }
        }
        if matches!(part, Part::Measured(_) | Part::Drain) {
            let total = self.totals.entry(kind).or_insert_with(|| Tally::new(false));
            let (requests, records) = (total.requests, total.records);
            let payload_bytes = total.payload_bytes;
            total.add(&tally);
            if part == Part::Drain {
                // Timed, because it was sent in time; not counted, because it came too late.
                total.requests = requests;
                total.records = records;
                total.payload_bytes = payload_bytes;
            }
        }
        match self.closed.get_mut(&(part, kind)) {
            // A consumer that had waited for long tells of its last part late.
            Some(window) => {
                window.requests += tally.requests;
                window.records += tally.records;
                window.payload_bytes += tally.payload_bytes;
            }
            None => match self.open.get_mut(&(part, kind)) {
                Some(open) => open.add(&tally),
                None => {
                    self.open.insert((part, kind), tally);
                }
            },
        }
    }

    /// Parts before this one are over.
    pub fn close_before(&mut self, before: Part) -> io::Result<()> {
        while let Some(entry) = self.open.first_entry() {
            if entry.key().0 >= before {
                break;
            }
            let ((part, kind), tally) = entry.remove_entry();
            self.close(part, kind, &tally)?;
        }
        Ok(())
    }

    /// Everything is over.
    pub fn close_all(&mut self) -> io::Result<()> {
        for ((part, kind), tally) in std::mem::take(&mut self.open) {
            self.close(part, kind, &tally)?;
        }
        match &mut self.log {
            Some(log) => log.finish(),
            None => Ok(()),
        }
    }

    fn close(&mut self, part: Part, kind: Kind, tally: &Tally) -> io::Result<()> {
        self.closed.insert((part, kind), window(tally));
        let (Some(log), Part::Measured(second)) = (&mut self.log, part) else {
            return Ok(());
        };
        let start_ns = self.timeline.measure_ns + u64::from(second) * SECOND_NS;
        let length_ns = self.timeline.end_of_part(start_ns) - start_ns;
        log.write(start_ns, length_ns, kind, &tally.latencies)
    }

    /// What a part has so far.
    pub fn window(&self, part: Part, kind: Kind) -> Option<Window> {
        let closed = self.closed.get(&(part, kind)).copied();
        closed.or_else(|| self.open.get(&(part, kind)).map(window))
    }

    /// How many requests failed in a second.
    pub fn errors_in(&self, second: u32) -> u64 {
        self.errors_by_second.get(&second).copied().unwrap_or(0)
    }

    /// A kind's total over a measured time.
    pub fn flow(&self, kind: Kind, measured_s: f64, resolution_us: f64) -> Option<Flow> {
        let total = self.totals.get(&kind)?;
        Some(Flow {
            requests: total.requests,
            records: total.records,
            payload_bytes: total.payload_bytes,
            requests_per_s: total.requests as f64 / measured_s,
            records_per_s: total.records as f64 / measured_s,
            mb_per_s: total.payload_bytes as f64 / measured_s / 1e6,
            latency: latency(&total.latencies, resolution_us),
        })
    }

    /// How late requests were sent.
    pub fn lateness(&self) -> Option<Latency> {
        let total = self.totals.get(&Kind::Produce)?;
        latency(total.lateness.as_ref()?, 0.001)
    }

    /// What failed, most frequent first.
    pub fn errors(&self) -> Vec<ErrorCount> {
        let mut errors: Vec<ErrorCount> = self
            .errors
            .iter()
            .map(|((kind, fault), count)| ErrorCount {
                kind: match kind {
                    Kind::Produce => "produce".to_string(),
                    Kind::EndToEnd | Kind::Fetch => "fetch".to_string(),
                },
                code: match fault {
                    Fault::Code(code) => Some(*code),
                    Fault::Other(_) => None,
                },
                what: match fault {
                    Fault::Code(code) => code_name(*code),
                    Fault::Other(what) => what.clone(),
                },
                count: *count,
            })
            .collect();
        errors.sort_by_key(|error| std::cmp::Reverse(error.count));
        errors
    }
}

fn code_name(code: i16) -> String {
    let known = sillon_protocol::ErrorCode::from_code(code);
    known.map_or_else(
        || format!("error code {code}"),
        |error| error.name().to_string(),
    )
}

fn window(tally: &Tally) -> Window {
    let at = |quantile: f64| match tally.latencies.is_empty() {
        true => 0.0,
        false => tally.latencies.value_at_quantile(quantile) as f64 / MICROSECOND_NS,
    };
    Window {
        requests: tally.requests,
        records: tally.records,
        payload_bytes: tally.payload_bytes,
        p50_us: at(0.5),
        p99_us: at(0.99),
        p99_9_us: at(0.999),
        max_us: at(1.0),
    }
}

/// A histogram in ns as a report has it; `None` when it is empty.
pub fn latency(histogram: &Histogram<u64>, resolution_us: f64) -> Option<Latency> {
    if histogram.is_empty() {
        return None;
    }
    let us = |value_ns: u64| value_ns as f64 / MICROSECOND_NS;
    let at = |quantile: f64| us(histogram.value_at_quantile(quantile));
    let steps = histogram.iter_quantiles(TICKS_PER_HALVING);
    let percentiles = steps.map(|step| Percentile {
        percentile: step.quantile_iterated_to() * 100.0,
        value_us: us(step.value_iterated_to().min(histogram.max())),
    });
    Some(Latency {
        count: histogram.len(),
        mean_us: histogram.mean() / MICROSECOND_NS,
        min_us: us(histogram.min()),
        p50_us: at(0.5),
        p90_us: at(0.9),
        p99_us: at(0.99),
        p99_9_us: at(0.999),
        p99_99_us: at(0.9999),
        max_us: us(histogram.max()),
        resolution_us,
        percentiles: percentiles.collect(),
    })
}

/// A log of one histogram per second and kind, in the format that HdrHistogram's own tools read.
/// Values are nanoseconds.
#[derive(Debug)]
pub struct HistogramLog {
    clock: Clock,
    out: BufWriter<File>,
    is_begun: bool,
}

impl HistogramLog {
    /// Makes the file.
    pub fn create(path: &Path, clock: Clock) -> io::Result<HistogramLog> {
        Ok(HistogramLog {
            clock,
            out: BufWriter::new(File::create(path)?),
            is_begun: false,
        })
    }

    fn write(
        &mut self,
        start_ns: u64,
        length_ns: u64,
        kind: Kind,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        let start = Duration::from_nanos(self.clock.unix_ns(start_ns));
        let mut serializer = V2DeflateSerializer::new();
        // The writer borrows the file for its whole life, so each line has one of its own; what
        // heads the log is written by the first.
        let mut line = Vec::new();
        let mut builder = IntervalLogWriterBuilder::new();
        builder.with_max_value_divisor(LOG_VALUE_DIVISOR);
        if !self.is_begun {
            builder.with_start_time(UNIX_EPOCH + start);
        }
        let mut writer = builder.begin_log_with(&mut line, &mut serializer)?;
        let length = Duration::from_nanos(length_ns);
        let tag = Tag::new(kind.name()).expect("names of kinds have neither comma nor space");
        writer
            .write_histogram(histogram, start, length, Some(tag))
            .map_err(|error| io::Error::other(format!("{error:?}")))?;
        if self.is_begun {
            // Without the head, which ends at the first line that is no comment.
            let text = String::from_utf8_lossy(&line).into_owned();
            for entry in text.lines().filter(|entry| entry.starts_with("Tag=")) {
                writeln!(self.out, "{entry}")?;
            }
            return Ok(());
        }
        self.is_begun = true;
        self.out.write_all(&line)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Now, in ms since the Unix epoch.
pub fn unix_ms(clock: &Clock, time_ns: u64) -> i64 {
    (clock.unix_ns(time_ns) / 1_000_000) as i64
}

/// A name that no other run has: from the time and the process.
pub fn unique_name(prefix: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis() as u64);
    format!(
        "{prefix}-{:x}",
        millis << 8 | u64::from(std::process::id() & 0xff)
    )
}

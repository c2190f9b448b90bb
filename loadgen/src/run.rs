//! One run of a scenario, from its topics' creation to its report.

mod report;
mod start;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use sillon_client::{Client, ClientError, ClientOptions, OffsetSpec};

use crate::clock::{Clock, Part, Timeline};
use crate::collect::{Collected, HistogramLog, unique_name};
use crate::consumer::Stop;
use crate::ledger::Ledger;
use crate::measure::{Counted, Kind};
use crate::places::Places;
use crate::process::{self, Usage};
use crate::producer::{Limit, Produced};
use crate::run_report::{RunReport, Window};
use crate::scenario::{Produce, Scenario, ScenarioError};
use crate::schedule::SECOND_NS;
use crate::target::TargetOptions;
use crate::template::Templates;
use crate::verify::{offsets, verify};

/// Between the start of the threads and the load, in ns: all are there by then.
const START_NS: u64 = SECOND_NS / 20;

/// After the end of a second, until what threads counted in it has come, in ns.
const LAG_NS: u64 = SECOND_NS / 10;

/// How often it is looked whether the run is to be interrupted.
const LOOK_AROUND: Duration = Duration::from_millis(50);

/// Connections that write what is to be there before the measurement, and requests that each keeps
/// under way: enough to be fast, and not the scenario's, which may be slow on purpose.
const PRELOAD_CONNECTIONS: u32 = 4;
const PRELOAD_IN_FLIGHT: u32 = 8;

/// Requests under way while every partition gets its first batches: most of their time may be a
/// file's creation.
const PRIME_IN_FLIGHT: u32 = 32;

/// What every partition gets before the load, in bytes, and a batch more: Kafka touches its indexes
/// for the first time at the batch behind 4 KiB (`index.interval.bytes`), which has cost 25 ms of
/// processor time per partition where the device reads 8 MiB ahead.
const PRIME_BYTES: u64 = 8 << 10;

/// How a run is done.
#[derive(Debug, Default)]
pub struct RunOptions {
    /// Where histograms go, second by second.
    pub histogram_log: Option<PathBuf>,
    /// Set from elsewhere to end the run early, in order.
    pub interrupted: Arc<AtomicBool>,
    /// Leave the topics there.
    pub keeps_topics: bool,
}

/// How far a run is.
#[derive(Clone, Debug)]
pub struct Progress {
    /// What it does.
    pub stage: Stage,
    /// Seconds of the measurement that are over, negative during the warm-up.
    pub elapsed_s: f64,
    /// Seconds of the whole measurement.
    pub duration_s: f64,
    /// By kind: what happened in the last second.
    pub last: Vec<(Kind, Window)>,
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Creates topics.
    Preparing,
    /// Writes what is to be there before the measurement.
    Preloading,
    /// The load before the measurement.
    WarmingUp,
    /// The measurement.
    Measuring,
    /// Reads back what was acknowledged.
    Verifying,
}

/// A run that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The scenario makes no sense.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The broker said no, or could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A connection could not be made.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// `host:port`.
        address: String,
        /// The system's words.
        source: io::Error,
    },
    /// The operating system refused a generator's thread something.
    #[error("a generator thread failed: {0}")]
    Thread(#[source] io::Error),
    /// A thread panicked.
    #[error("a generator thread panicked: this is a bug")]
    Panicked,
    /// The log of histograms cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// What all stages of a run share.
struct Run<'a> {
    scenario: &'a Scenario,
    target: &'a TargetOptions,
    options: &'a RunOptions,
    clock: Clock,
    client: Client,
    places: Arc<Places>,
    templates: Arc<Templates>,
    ledger: Ledger,
    /// The next connection's number.
    next_connection: u32,
    unanswered: u64,
    unsent: u64,
}

/// What was sampled around the measurement.
#[derive(Clone, Debug, Default)]
struct Sampled {
    broker_before: Option<Usage>,
    /// At the beginning of the measurement and after each of its seconds.
    broker: Vec<Option<Usage>>,
    generator: Vec<Usage>,
    /// How long was measured, in ns.
    measured_ns: u64,
}

/// Runs a scenario against a broker.
pub fn run(
    scenario: &Scenario,
    target: &TargetOptions,
    options: &RunOptions,
    progress: &mut dyn FnMut(&Progress),
) -> Result<RunReport, RunError> {
    scenario.check()?;
    let machine = process::machine();
    let tell = |stage: Stage| Progress {
        stage,
        elapsed_s: 0.0,
        duration_s: scenario.duration_s,
        last: Vec::new(),
    };
    progress(&tell(Stage::Preparing));
    let mut client = Client::connect(&target.bootstrap, ClientOptions::default())?;
    let templates = Arc::new(Templates::of(scenario));
    let broker_before = target.pid.and_then(Usage::of);
    let places = Places::create(&mut client, scenario, &unique_name("sillon-bench"))?;
    let ledger = Ledger::new(places.partitions.len());
    let mut run = Run {
        scenario,
        target,
        options,
        clock: Clock::start(),
        client,
        places: Arc::new(places),
        templates,
        ledger,
        next_connection: 0,
        unanswered: 0,
        unsent: 0,
    };
    let result = run.work(machine, broker_before, progress, &tell);
    if !options.keeps_topics {
        let deleted = run.places.delete(&mut run.client);
        if result.is_ok() {
            deleted?;
        }
    }
    result
}

impl Run<'_> {
    fn work(
        &mut self,
        machine: crate::run_report::Machine,
        broker_before: Option<Usage>,
        progress: &mut dyn FnMut(&Progress),
        tell: &dyn Fn(Stage) -> Progress,
    ) -> Result<RunReport, RunError> {
        if self.scenario.preload_mib > 0 {
            progress(&tell(Stage::Preloading));
            let produce = Produce {
                connections: PRELOAD_CONNECTIONS,
                in_flight: PRELOAD_IN_FLIGHT,
                ..Produce::default()
            };
            self.write_before(&produce, self.scenario.preload_mib << 20)?;
        } else if self.scenario.primes {
            // One connection per leader takes its partitions in turn.
            let produce = Produce {
                connections: self.places.leaders.len() as u32,
                in_flight: PRIME_IN_FLIGHT,
                ..Produce::default()
            };
            let batch_bytes = self.scenario.batch_value_bytes();
            let batches = self.places.partitions.len() as u64 * (PRIME_BYTES / batch_bytes + 2);
            self.write_before(&produce, batches * batch_bytes)?;
        }
        let begins_at = offsets(&mut self.client, &self.places, OffsetSpec::Latest)?;
        let load_ns = self.clock.now_ns() + START_NS;
        let measure_ns = load_ns + in_ns(self.scenario.warm_up_s);
        let timeline = Timeline {
            load_ns,
            measure_ns,
            end_ns: measure_ns + in_ns(self.scenario.duration_s),
        };
        let (sink, source) = mpsc::channel();
        let stop = Arc::new(Stop::default());
        let stop_producing = Arc::new(AtomicBool::new(false));
        let consumers = self.start_consumers(timeline, &begins_at, &sink, &stop)?;
        let producers = self.start_producers(timeline, &sink, &stop_producing)?;
        drop(sink);
        let log = match &self.options.histogram_log {
            None => None,
            Some(path) => Some(HistogramLog::create(path, self.clock).map_err(log_error(path))?),
        };
        let mut collected = Collected::new(timeline, log);
        let mut sampled = Sampled {
            broker_before,
            ..Sampled::default()
        };
        let watched = self.watch(timeline, &source, &mut collected, &mut sampled, progress);
        stop_producing.store(true, Ordering::Relaxed);
        stop.now.store(true, Ordering::Relaxed);
        // Threads are waited for whatever went wrong: they share the sockets' fate.
        let produced = self.join_producers(producers);
        let ends = self
            .ledger
            .partitions
            .iter()
            .map(|known| known.acknowledged_end);
        let _ = stop.ends.set(ends.collect());
        let consumed = join(consumers);
        watched?;
        produced?;
        let checkers = consumed?;
        for counted in source.try_iter() {
            collected.add(counted);
        }
        self.log_result(collected.close_all())?;
        progress(&tell(Stage::Verifying));
        let verification = verify(
            &mut self.client,
            self.scenario,
            &self.places,
            &self.templates,
            &self.ledger,
            checkers,
        )?;
        self.report(machine, timeline, &collected, &sampled, verification)
    }

    /// Writes so many bytes of payload with all the load that the broker takes.
    fn write_before(&mut self, produce: &Produce, payload_bytes: u64) -> Result<(), RunError> {
        let now_ns = self.clock.now_ns();
        let timeline = Timeline {
            load_ns: now_ns,
            measure_ns: now_ns,
            end_ns: u64::MAX / 2,
        };
        let left = Arc::new(AtomicU64::new(payload_bytes));
        // Nobody wants to know how fast it was.
        let (sink, _) = mpsc::channel();
        let stop = self.options.interrupted.clone();
        let limit = Limit::Payload(left);
        let threads = self.start_sending(produce, None, timeline, limit, &sink, &stop)?;
        self.join_producers(threads)
    }

    fn join_producers(&mut self, threads: Threads<io::Result<Produced>>) -> Result<(), RunError> {
        for produced in join(threads)? {
            let produced = produced.map_err(RunError::Thread)?;
            self.unanswered += produced.unanswered;
            self.unsent += produced.unsent;
            self.ledger.add(Ledger {
                connections: produced.connections,
                partitions: produced.partitions,
            });
        }
        Ok(())
    }

    /// Takes what threads counted and samples processes until the measurement is over.
    fn watch(
        &self,
        timeline: Timeline,
        source: &Receiver<Counted>,
        collected: &mut Collected,
        sampled: &mut Sampled,
        progress: &mut dyn FnMut(&Progress),
    ) -> Result<(), RunError> {
        let mut at_ns = timeline.load_ns;
        loop {
            self.take_until(at_ns, source, collected);
            let now_ns = self.clock.now_ns();
            let is_interrupted = self.options.interrupted.load(Ordering::Relaxed);
            if at_ns >= timeline.measure_ns {
                sampled.broker.push(self.target.pid.and_then(Usage::of));
                sampled.generator.push(Usage::own());
                let until_ns = now_ns.min(timeline.end_ns);
                sampled.measured_ns = until_ns.saturating_sub(timeline.measure_ns);
            }
            if at_ns >= timeline.end_ns || is_interrupted {
                return Ok(());
            }
            let part = timeline.part(at_ns);
            let ended = timeline.part(at_ns.saturating_sub(1));
            at_ns = timeline.end_of_part(at_ns);
            self.take_until((now_ns + LAG_NS).min(at_ns), source, collected);
            let closed = collected.close_before(match ended {
                // One second more for those that tell late.
                Part::Measured(second) => Part::Measured(second.saturating_sub(1)),
                other => other,
            });
            self.log_result(closed)?;
            let kinds = Kind::ALL.iter();
            let last = kinds.filter_map(|kind| Some((*kind, collected.window(ended, *kind)?)));
            progress(&Progress {
                stage: match part {
                    Part::WarmUp(_) => Stage::WarmingUp,
                    Part::Measured(_) | Part::Drain => Stage::Measuring,
                },
                elapsed_s: (now_ns as f64 - timeline.measure_ns as f64) / SECOND_NS as f64,
                duration_s: self.scenario.duration_s,
                last: last.collect(),
            });
        }
    }

    /// Takes what threads counted until a time of the run's clock, or an interruption.
    fn take_until(&self, until_ns: u64, source: &Receiver<Counted>, collected: &mut Collected) {
        loop {
            let left_ns = until_ns.saturating_sub(self.clock.now_ns());
            if left_ns == 0 || self.options.interrupted.load(Ordering::Relaxed) {
                return;
            }
            let wait = Duration::from_nanos(left_ns).min(LOOK_AROUND);
            match source.recv_timeout(wait) {
                Ok(counted) => collected.add(counted),
                Err(RecvTimeoutError::Timeout) => {}
                // All threads have ended; what they counted is in.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait),
            }
        }
    }

    fn log_result(&self, result: io::Result<()>) -> Result<(), RunError> {
        match &self.options.histogram_log {
            Some(path) => result.map_err(log_error(path)),
            None => Ok(()),
        }
    }
}

type Threads<T> = Vec<JoinHandle<T>>;

fn join<T>(threads: Threads<T>) -> Result<Vec<T>, RunError> {
    let joined: Vec<_> = threads.into_iter().map(JoinHandle::join).collect();
    let joined = joined.into_iter();
    joined
        .map(|result| result.map_err(|_| RunError::Panicked))
        .collect()
}

fn log_error(path: &std::path::Path) -> impl FnOnce(io::Error) -> RunError {
    let path = path.to_path_buf();
    move |source| RunError::Log { path, source }
}

fn in_ns(seconds: f64) -> u64 {
    (seconds * SECOND_NS as f64) as u64
}

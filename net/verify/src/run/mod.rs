//! Drives a broker and keeps the history of it: producers, members of groups that come and go, a
//! watcher of committed offsets and leader epochs, and a reader of everything in the end.
//!
//! Each of them is a thread with connections of its own, and goes on when the broker is killed and
//! comes back: whatever fails for lack of an answer is unknown, never failed.

mod consumer;
mod drain;
mod member;
mod options;
mod producer;
mod session;
mod tally;
mod watcher;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sillon_client::{Client, ClientError, NewTopic, OffsetSpec};

use crate::checker::Report;
use crate::event::What;
use crate::history::{CheckError, FORMAT, Header, RecordError, Recorder, VERSION, check_file};

pub use options::{Idempotence, Options};
pub use tally::{Progress, Stage};

use session::Place;
use tally::Tally;

/// Between two looks at how far a run is.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What a run found.
#[derive(Debug)]
pub struct Summary {
    /// The topic.
    pub topic: String,
    /// Where the history is.
    pub history: PathBuf,
    /// How many things were done.
    pub progress: Progress,
    /// What the checker says.
    pub report: Report,
    /// Why the final read was not complete.
    pub drain_failed: Option<String>,
    /// Answers that no broker should give, the first few.
    pub surprises: Vec<String>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The broker cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Others' records are there.
    #[error(
        "topic {topic} holds records already: name one that is empty or does not exist, so that \
         every record in it is of this run"
    )]
    NotEmpty {
        /// Its name.
        topic: String,
    },
    /// The history cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The history cannot be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
}

/// What all threads share.
struct Context<'a> {
    options: &'a Options,
    place: Place,
    partitions: i32,
    recorder: &'a Recorder,
    tally: &'a Tally,
    /// Producers are to stop.
    produced: &'a AtomicBool,
    /// Everybody else is to stop.
    consumed: &'a AtomicBool,
    processes: &'a AtomicU32,
}

impl Context<'_> {
    fn process(&self) -> u32 {
        self.processes.fetch_add(1, Ordering::Relaxed)
    }

    fn record(&self, process: u32, what: What) {
        self.recorder.record(process, what);
    }

    fn note(&self, process: u32, text: String) {
        self.record(process, What::Note { text });
    }
}

/// Drives a broker as `options` say and checks what came of it. `stop` ends it early; `progress` is
/// told how far it is.
pub fn run(
    options: &Options,
    stop: &AtomicBool,
    mut progress: impl FnMut(&Progress),
) -> Result<Summary, RunError> {
    let mut client = Client::connect(&options.bootstrap, session::options())?;
    let partitions = prepare(&mut client, options)?;
    let topic_id = client.topic(&options.topic)?.id;
    drop(client);

    let header = header(options);
    let recorder = Recorder::create(&options.history, &header)?;
    let tally = Tally::default();
    let (produced, consumed) = (AtomicBool::new(false), AtomicBool::new(false));
    let processes = AtomicU32::new(1);
    let context = Context {
        options,
        place: Place {
            topic: options.topic.clone(),
            id: topic_id,
        },
        partitions,
        recorder: &recorder,
        tally: &tally,
        produced: &produced,
        consumed: &consumed,
        processes: &processes,
    };
    let began = Instant::now();
    let drain_failed = thread::scope(|scope| {
        let context = &context;
        let mut producers = Vec::new();
        for number in 0..options.producers {
            producers.push(scope.spawn(move || producer::run(context, number)));
        }
        let mut others = Vec::new();
        for group in 0..options.groups {
            for member in 0..options.consumers {
                others.push(scope.spawn(move || consumer::run(context, group, member)));
            }
        }
        others.push(scope.spawn(move || watcher::run(context)));
        let mut show = |stage| progress(&tally.progress(stage, began.elapsed(), options.duration));
        while began.elapsed() < options.duration && !stop.load(Ordering::Relaxed) {
            thread::sleep(PROGRESS_EVERY);
            context.recorder.flush();
            show(Stage::Driving);
        }
        produced.store(true, Ordering::Relaxed);
        wait(&producers, || show(Stage::Settling));
        consumed.store(true, Ordering::Relaxed);
        wait(&others, || show(Stage::Settling));
        let drain = scope.spawn(move || drain::run(context));
        wait(std::slice::from_ref(&drain), || show(Stage::Draining));
        drain.join().expect("the final reader does not panic").err()
    });
    let progress = tally.progress(Stage::Draining, began.elapsed(), options.duration);
    recorder.finish().map_err(|source| RecordError {
        path: options.history.clone(),
        source,
    })?;
    let (_, report) = check_file(&options.history)?;
    Ok(Summary {
        topic: options.topic.clone(),
        history: options.history.clone(),
        progress,
        report,
        drain_failed,
        surprises: tally.surprises(),
    })
}

fn wait<T>(threads: &[thread::ScopedJoinHandle<'_, T>], mut show: impl FnMut()) {
    while !threads.iter().all(|thread| thread.is_finished()) {
        thread::sleep(PROGRESS_EVERY);
        show();
    }
}

fn header(options: &Options) -> Header {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    Header {
        format: FORMAT.to_string(),
        version: VERSION,
        topic: options.topic.clone(),
        has_members: options.groups * options.consumers > 0,
        started_unix_ms: now.map_or(0, |now| now.as_millis() as u64),
        command: options.to_string(),
    }
}

/// Creates the topic where there is none; returns its number of partitions.
fn prepare(client: &mut Client, options: &Options) -> Result<i32, RunError> {
    let metadata = client.metadata()?;
    let deadline = Instant::now() + options.drain_timeout;
    if metadata.topic(&options.topic).is_none() {
        client.create_topic(&NewTopic {
            name: options.topic.clone(),
            partitions: Some(options.partitions),
            ..NewTopic::default()
        })?;
    }
    // A topic that is new may have no leader yet.
    loop {
        match ends(client, &options.topic) {
            Ok((partitions, 0)) => return Ok(partitions),
            Ok(_) => {
                return Err(RunError::NotEmpty {
                    topic: options.topic.clone(),
                });
            }
            Err(error) if Instant::now() >= deadline => return Err(error.into()),
            Err(_) => {
                thread::sleep(session::RETRY_AFTER);
                *client = Client::connect(&options.bootstrap, session::options())?;
            }
        }
    }
}

/// The number of partitions, and the sum of their end offsets.
fn ends(client: &mut Client, topic: &str) -> Result<(i32, i64), ClientError> {
    let count = client.topic(topic)?.partitions.len() as i32;
    let all: Vec<i32> = (0..count).collect();
    let ends = client.list_offsets(topic, &all, OffsetSpec::Latest)?;
    let ends = ends.iter().map(|found| found.offset.unwrap_or(0));
    Ok((count, ends.sum()))
}

/// Deletes the topic of a run.
pub fn delete_topic(options: &Options) -> Result<(), ClientError> {
    let mut client = Client::connect(&options.bootstrap, session::options())?;
    client.delete_topic(&options.topic)
}

/// A name for a topic, such that nobody has it.
pub fn topic_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now_ms = now.map_or(0, |now| now.as_millis());
    format!("sillon-verify-{now_ms}")
}

/// Where the history of a topic's run is kept unless somebody says.
pub fn history_path(topic: &str) -> PathBuf {
    Path::new(&std::env::temp_dir()).join(format!("{topic}.history"))
}

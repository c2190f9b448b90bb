use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use signal_hook::consts::{SIGINT, SIGTERM};
use sillon_client::Acks;
use sillon_verify::run::{Idempotence, Stage, delete_topic, history_path, topic_name};
use sillon_verify::{Options, Progress, run};

use super::{VerifyError, report};
use crate::bench::progress::Line;
use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::Format;

/// Any broker that speaks Kafka's protocol can be driven, and may be killed and restarted
/// meanwhile. The process exits with 0 when nothing was found, with 1 when there are anomalies, and
/// with 2 when nothing can be said.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    /// An empty topic, created when there is none [default: a new one]
    #[arg(long, short, value_name = "NAME")]
    topic: Option<String>,
    /// Partitions of a topic that is created
    #[arg(long, value_name = "COUNT", default_value_t = 4,
          value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Producers, each with one batch on its way at a time
    #[arg(long, value_name = "COUNT", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    producers: u32,
    /// Which producers are idempotent
    #[arg(long, value_enum, default_value_t = IdempotentFlag::Half)]
    idempotent: IdempotentFlag,
    /// When a broker acknowledges; below `all` no producer is idempotent
    #[arg(long, value_enum, default_value_t = AcksFlag::All)]
    acks: AcksFlag,
    /// Records per second of all producers together; 0: as many as there can be
    #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
    rate: u32,
    /// Consumer groups
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(0..=1_000))]
    groups: u32,
    /// Members of each group
    #[arg(long, value_name = "COUNT", default_value_t = 3,
          value_parser = clap::value_parser!(u32).range(0..=1_000))]
    consumers: u32,
    /// How often a member leaves its group and comes back, on average, in ms; 0: never
    #[arg(long, value_name = "MS", default_value_t = 3_000)]
    churn_ms: u32,
    /// Every second time it vanishes without leaving, as a process that is killed
    #[arg(long)]
    kill_consumers: bool,
    /// How often a member commits, in ms
    #[arg(long, value_name = "MS", default_value_t = 500)]
    commit_ms: u32,
    /// After how long a member may be silent, in ms; the broker has to allow it
    #[arg(long, value_name = "MS", default_value_t = 6_000,
          value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    session_timeout_ms: u32,
    /// How long producers produce, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    duration: u32,
    /// How long the final read waits for a broker that is gone, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    drain_timeout: u32,
    /// Keep the history here [default: a temporary file, removed when nothing was found]
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Leave the topic there; it also stays when something was found, or when it was named
    #[arg(long)]
    keep_topic: bool,
    /// What producers and members choose by [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum IdempotentFlag {
    /// Every second one
    Half,
    All,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AcksFlag {
    /// Every in-sync replica has the records
    All,
    /// The leader has them
    #[value(name = "1")]
    Leader,
}

impl RunArgs {
    pub fn run(self) -> Result<(), Failure> {
        let options = self.options();
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The second one ends the process at once.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&stop))
                .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)))
                .map_err(VerifyError::Output)?;
        }
        let mut line = Line::new();
        let ran = run(&options, &stop, |progress| line.say(&say(progress)));
        line.clear();
        let summary = ran.map_err(VerifyError::from)?;
        for surprise in &summary.surprises {
            eprintln!("surprise: {surprise}");
        }
        report::print(
            self.format,
            &summary.topic,
            &summary.history,
            &summary.report,
        )?;
        let verdict = report::verdict(&summary.report, summary.drain_failed.as_deref());
        if self.history.is_none() && verdict.is_ok() {
            remove(&options.history).map_err(VerifyError::Output)?;
        } else {
            eprintln!("history: {}", options.history.display());
        }
        if self.topic.is_none() && !self.keep_topic && verdict.is_ok() {
            // The verdict stands without it.
            if let Err(error) = delete_topic(&options) {
                eprintln!("topic {} stays: {error}", options.topic);
            }
        }
        verdict
    }

    fn options(&self) -> Options {
        let topic = self.topic.clone().unwrap_or_else(topic_name);
        let history = self.history.clone();
        Options {
            bootstrap: self.connect.bootstrap().to_owned(),
            partitions: self.partitions,
            producers: self.producers,
            idempotence: match self.idempotent {
                IdempotentFlag::Half => Idempotence::Half,
                IdempotentFlag::All => Idempotence::All,
                IdempotentFlag::None => Idempotence::None,
            },
            acks: match self.acks {
                AcksFlag::All => Acks::All,
                AcksFlag::Leader => Acks::Leader,
            },
            rate: self.rate,
            groups: self.groups,
            consumers: self.consumers,
            session_timeout: ms(self.session_timeout_ms),
            churn: ms(self.churn_ms),
            kills_consumers: self.kill_consumers,
            commit_every: ms(self.commit_ms),
            duration: Duration::from_secs(self.duration.into()),
            drain_timeout: Duration::from_secs(self.drain_timeout.into()),
            history: history.unwrap_or_else(|| history_path(&topic)),
            seed: self.seed.unwrap_or_else(now_ns),
            topic,
        }
    }
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_nanos() as u64)
}

/// It may have been removed meanwhile.
fn remove(history: &Path) -> io::Result<()> {
    match fs::remove_file(history) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn say(progress: &Progress) -> String {
    let stage = match progress.stage {
        Stage::Driving => {
            let (elapsed, duration) = (progress.elapsed, progress.duration);
            format!("{} of {} s", elapsed.as_secs(), duration.as_secs())
        }
        Stage::Settling => "ending what has begun".to_string(),
        Stage::Draining => "reading everything".to_string(),
    };
    format!(
        "{stage} | acknowledged {}, unknown {}, sent again {} | polled {}, commits {}, \
         assignments {}, departures {} | reconnects {}",
        progress.acknowledged,
        progress.unknown,
        progress.retried,
        progress.polled,
        progress.commits,
        progress.assignments,
        progress.departures,
        progress.reconnects,
    )
}

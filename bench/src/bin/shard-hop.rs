//! How long a request takes to another shard and back when nothing else happens, against the same
//! request to the own shard, and against the least that two pinned threads need to wake each other.
//!
//! All ways take turns within a repetition, on the same two cores.
#![forbid(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use clap::Parser;
use rustix::event::{EventfdFlags, eventfd};
use sillon_bench::folder;
use sillon_bench::report::{Format, Report, percentile};
use sillon_record::{TopicId, TopicPartition};
use sillon_runtime::{Core, NodeOptions, Ready, ServiceFuture, run};
use sillon_shard::{Fetch, FetchEntry, Request, ShardId};

/// Requests of one way before it is the next one's turn.
const TURN: usize = 100;

/// The ways, in their turn.
const WAYS: [&str; 3] = [
    "eventfd to a pinned thread and back",
    "sillon: request to the own shard",
    "sillon: request to another shard",
];

#[derive(Parser)]
#[command(about = "A request to another shard and back, at depth 1", version)]
struct Options {
    /// A folder for the node's data; a folder of its own is made in it and removed
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Requests of each way in a repetition
    #[arg(long, default_value_t = 5000)]
    requests: usize,
    /// Repetitions, of which the median is printed
    #[arg(long, default_value_t = 7)]
    repetitions: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn main() -> io::Result<()> {
    let options = Options::parse();
    let cores = affinity::get_thread_affinity().map_err(|error| failed(&*error))?;
    let &[_, other, ..] = cores.as_slice() else {
        return Err(io::Error::other("two cores are needed"));
    };
    let measured = folder::within(&options.dir, |folder| {
        let (requests, repetitions) = (options.requests, options.repetitions);
        let partner = Arc::new(Partner::start(other)?);
        let (results, measured) = mpsc::channel();
        let node = NodeOptions {
            shards: Some(2),
            journal_bytes: Some(8 << 20),
            memory_bytes: 128 << 20,
            ready: Box::new(|_: &Ready| {}),
            ..NodeOptions::new(folder.join("data"))
        };
        let stop = node.stop.clone();
        let service = move |core: Core| -> ServiceFuture {
            let (results, partner, stop) = (results.clone(), partner.clone(), stop.clone());
            Box::pin(async move {
                if core.id() == ShardId(0) {
                    for _ in 0..=repetitions {
                        let samples = repetition(&core, &partner, requests).await?;
                        results.send(samples)?;
                    }
                    stop.stop();
                }
                core.stopping().await;
                Ok(())
            })
        };
        run(node, service).map_err(|error| failed(&error))?;
        Ok::<_, io::Error>(measured)
    })??;

    let mut report = Report::new("shard hop, depth 1", &["p50 us", "p99 us", "mean us"]);
    report.note(format!(
        "{} requests a repetition of each way, in turns of {TURN}; {} repetitions",
        options.requests, options.repetitions
    ));
    // The first repetition warms up.
    for samples in measured.into_iter().skip(1) {
        for (name, mut samples) in WAYS.into_iter().zip(samples) {
            samples.sort_by(f64::total_cmp);
            let mean = samples.iter().sum::<f64>() / samples.len() as f64;
            let figures = [percentile(&samples, 0.5), percentile(&samples, 0.99), mean];
            report.add(name, &figures);
        }
    }
    report.print(options.format, &options.dir);
    Ok(())
}

fn failed(error: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

/// Times in us, by way.
async fn repetition(
    core: &Core,
    partner: &Partner,
    requests: usize,
) -> io::Result<[Vec<f64>; WAYS.len()]> {
    let mut samples = WAYS.map(|_| Vec::with_capacity(requests));
    for _ in 0..requests.div_ceil(TURN) {
        for (way, samples) in samples.iter_mut().enumerate() {
            for _ in 0..TURN {
                let started = Instant::now();
                match way {
                    0 => partner.there_and_back()?,
                    1 => request(core, ShardId(0)).await?,
                    _ => request(core, ShardId(1)).await?,
                }
                samples.push(started.elapsed().as_nanos() as f64 / 1000.0);
            }
        }
    }
    Ok(samples)
}

/// A read of a partition that is not there: it costs the shard next to nothing.
async fn request(core: &Core, owner: ShardId) -> io::Result<()> {
    let entry = FetchEntry {
        partition: TopicPartition {
            topic: TopicId([7; 16]),
            partition: 0,
        },
        ..FetchEntry::default()
    };
    let request = Request::Fetch(Fetch {
        entries: vec![entry],
        ..Fetch::default()
    });
    core.has_room(owner).await;
    let answered = core.call(owner, request).await;
    answered.map(drop).map_err(|error| failed(&error))
}

/// A thread on another core that sleeps until it is woken, and then wakes who woke it.
struct Partner {
    there: Arc<OwnedFd>,
    back: Arc<OwnedFd>,
}

impl Partner {
    fn start(core: usize) -> io::Result<Partner> {
        let partner = Partner {
            there: Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?),
            back: Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?),
        };
        let (there, back) = (partner.there.clone(), partner.back.clone());
        std::thread::spawn(move || {
            if affinity::set_thread_affinity([core]).is_ok() {
                // It ends with the process.
                while wait(&there).is_ok() && wake(&back).is_ok() {}
            }
        });
        Ok(partner)
    }

    fn there_and_back(&self) -> io::Result<()> {
        wake(&self.there)?;
        wait(&self.back)
    }
}

fn wake(event: &OwnedFd) -> io::Result<()> {
    rustix::io::write(event, &1_u64.to_ne_bytes())?;
    Ok(())
}

fn wait(event: &OwnedFd) -> io::Result<()> {
    rustix::io::read(event, &mut [0; 8])?;
    Ok(())
}

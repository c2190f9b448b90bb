//! Whether many partitions cost more than one: a round of 1 KiB for each of 1,000 partitions
//! against the same bytes for one, from the first event until everything is acknowledged.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use sillon_bench::executor;
use sillon_bench::folder;
use sillon_bench::node::{Node, Size};
use sillon_bench::report::{Format, Report, median};
use sillon_bench::workload::{Connection, TOPIC, batch, produce_frame};
use sillon_buffer::Slice;
use sillon_disk::GlommioDisk;
use sillon_record::Compression;
use sillon_shard::Request;

#[derive(Parser)]
#[command(about = "Many partitions against one, the same bytes", version)]
struct Options {
    /// A folder on the file system to measure; a folder of its own is made in it and removed
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The core to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// How many partitions get a batch in every round
    #[arg(long, default_value_t = 1000)]
    partitions: i32,
    /// Bytes of each partition's batch
    #[arg(long, default_value_t = 1024)]
    batch_bytes: usize,
    /// Rounds of each kind in a repetition
    #[arg(long, default_value_t = 30)]
    rounds: usize,
    /// Repetitions, of which the median is printed
    #[arg(long, default_value_t = 7)]
    repetitions: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let report = folder::within(&options.dir, |folder| {
        executor::run(options.core, measure(&options, folder))
    })?;
    report?.print(options.format, &options.dir);
    Ok(())
}

async fn measure(options: &Options, folder: &Path) -> std::io::Result<Report> {
    let disk = folder::disk(folder).await?;
    let mut node = Node::start(disk, Size::default()).await;
    // The last partition is the one that gets everything.
    let (count, alone) = (options.partitions, options.partitions);
    node.create_topic(TOPIC, count + 1).await;
    let small = batch(1, options.batch_bytes, Compression::None);
    let large = batch(
        count as usize,
        small.len() * count as usize,
        Compression::None,
    );
    let kinds: [(&str, Vec<Slice>); 3] = [
        (
            "each partition a batch",
            (0..count)
                .map(|index| produce_frame(index, &small))
                .collect(),
        ),
        (
            "one partition, as many batches",
            (0..count).map(|_| produce_frame(alone, &small)).collect(),
        ),
        (
            "one partition, one batch",
            vec![produce_frame(alone, &large)],
        ),
    ];
    let mut report = Report::new("many partitions", &["ms a round", "of it: events, ms"]);
    report.note(format!(
        "{count} batches of {} bytes a round, or one of {}; {} rounds of each kind a repetition, \
         by turns, the median of them; {} repetitions; core {}",
        small.len(),
        large.len(),
        options.rounds,
        options.repetitions,
        options.core
    ));
    let mut connection = Connection::default();
    // The first repetition opens segments and warms up.
    for repetition in 0..=options.repetitions {
        let mut samples = [const { (Vec::new(), Vec::new()) }; 3];
        for _ in 0..options.rounds {
            for ((_, frames), samples) in kinds.iter().zip(&mut samples) {
                let (all, events) = round(&mut node, &mut connection, frames).await;
                samples.0.push(all);
                samples.1.push(events);
            }
        }
        if repetition > 0 {
            for ((name, _), samples) in kinds.iter().zip(&samples) {
                report.add(name, &[median(&samples.0), median(&samples.1)]);
            }
        }
    }
    node.idle().await;
    node.into_disk().idle().await;
    report.goal(kinds[0].0, kinds[1].0, "ms a round", 3.0);
    report.goal(kinds[0].0, kinds[2].0, "ms a round", 3.0);
    Ok(report)
}

/// From the first append's event to the last acknowledgement's action, and what of it the appends'
/// events took; both in ms. Decoding and checking are outside.
async fn round(
    node: &mut Node<GlommioDisk>,
    connection: &mut Connection,
    frames: &[Slice],
) -> (f64, f64) {
    let ask = |frame: &Slice| {
        connection.decode_produce(frame);
        connection.check_produce(&node.image())
    };
    let requests: Vec<Request> = frames.iter().map(ask).collect();
    let mut answers = Vec::with_capacity(requests.len());
    let started = Instant::now();
    for (key, request) in requests.into_iter().enumerate() {
        node.request(key as u64, request);
    }
    node.perform();
    let events = started.elapsed();
    while answers.len() < frames.len() {
        answers.push(node.reply().await.1);
    }
    let all = started.elapsed();
    for answer in answers {
        connection.answer_produce(answer);
    }
    (all.as_secs_f64() * 1e3, events.as_secs_f64() * 1e3)
}

//! Whether compaction shows in a producer's latency: durable appends at depth 1, while it rests
//! and while it works on another topic of the same shard, by turns.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use sillon_bench::executor;
use sillon_bench::folder;
use sillon_bench::node::{Node, Size};
use sillon_bench::report::{Format, Report, percentile};
use sillon_bench::workload::{Connection, TOPIC, batch, produce_frame};
use sillon_buffer::Slice;
use sillon_disk::GlommioDisk;
use sillon_record::{
    BatchBuilder, BatchRules, Compression, Scratch, TopicId, TopicPartition, ValidBatch,
};
use sillon_shard::{Produce, ProduceEntry, Request};

/// How long compaction rests, in ms: it begins soon after a topic asks for it.
const BACKOFF_MS: u64 = 20;

/// Keys of a topic that is compacted.
const KEYS: usize = 4_000;

#[derive(Parser)]
#[command(about = "A producer's latency beside compaction", version)]
struct Options {
    /// A folder on the file system to measure; a folder of its own is made in it and removed
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The core to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Bytes of the producer's batch
    #[arg(long, default_value_t = 1024)]
    batch_bytes: usize,
    /// Bytes of a topic that is compacted in a repetition
    #[arg(long, default_value_t = 96 << 20)]
    topic_bytes: usize,
    /// Repetitions, of which the median is printed
    #[arg(long, default_value_t = 5)]
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

const WAYS: [&str; 2] = ["compaction rests", "compaction works"];

async fn measure(options: &Options, folder: &Path) -> std::io::Result<Report> {
    let disk = folder::disk(folder).await?;
    let size = Size {
        compaction_backoff_ms: BACKOFF_MS,
        ..Size::default()
    };
    let mut node = Node::start(disk, size).await;
    node.create_topic(TOPIC, 1).await;
    let frame = produce_frame(0, &batch(1, options.batch_bytes, Compression::None));
    let mut connection = Connection::default();
    let mut report = Report::new(
        "appends beside compaction, depth 1",
        &["p50 us", "p99 us", "p99.9 us", "appends"],
    );
    report.note(format!(
        "a batch of {} bytes; {} MiB of {KEYS} keys are compacted in a repetition; as long \
         without; {} repetitions; core {}",
        options.batch_bytes,
        options.topic_bytes >> 20,
        options.repetitions,
        options.core
    ));
    for repetition in 0..options.repetitions {
        let topic = fill(&mut node, options.topic_bytes, repetition).await;
        node.quiet().await;
        // The topic asks for compaction, and it is over when the disk reads no more.
        node.configure(topic, &[("cleanup.policy", "compact")])
            .await;
        let mut busy = Vec::new();
        let (mut read, mut since) = (node.read_bytes, Instant::now());
        let mut has_begun = false;
        while !has_begun || since.elapsed().as_millis() < 100 {
            let us = append(&mut node, &mut connection, &frame).await;
            if node.read_bytes > read {
                (read, since, has_begun) = (node.read_bytes, Instant::now(), true);
            }
            if has_begun {
                busy.push(us);
            }
        }
        let mut calm = Vec::with_capacity(busy.len());
        while calm.len() < busy.len() {
            calm.push(append(&mut node, &mut connection, &frame).await);
        }
        for (way, samples) in WAYS.iter().zip([&mut calm, &mut busy]) {
            samples.sort_by(f64::total_cmp);
            let count = samples.len() as f64;
            let at = |share| percentile(samples, share);
            report.add(way, &[at(0.5), at(0.99), at(0.999), count]);
        }
    }
    node.stop().await.idle().await;
    report.goal(WAYS[1], WAYS[0], "p99 us", 1.5);
    Ok(report)
}

/// One append from its event to its acknowledgement, in us.
async fn append(node: &mut Node<GlommioDisk>, connection: &mut Connection, frame: &Slice) -> f64 {
    connection.decode_produce(frame);
    let request = connection.check_produce(&node.image());
    let started = Instant::now();
    node.request(0, request);
    node.perform();
    let (_, answer) = node.reply().await;
    let us = started.elapsed().as_secs_f64() * 1e6;
    connection.answer_produce(answer);
    us
}

/// A topic that holds every key many times, in closed segments.
async fn fill(node: &mut Node<GlommioDisk>, bytes: usize, repetition: usize) -> TopicId {
    const RECORDS: usize = 15;
    let name = "x".repeat(20 + repetition);
    let configs = [
        ("segment.bytes", "16777216"),
        ("min.cleanable.dirty.ratio", "0"),
    ];
    let topic = node.create_topic_with(&name, 1, &configs).await;
    let partition = TopicPartition {
        topic,
        partition: 0,
    };
    let value = vec![b'v'; 1000];
    let (mut scratch, mut next) = (Scratch::default(), 0_usize);
    let mut filled = 0;
    while filled < bytes {
        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..RECORDS {
            let key = (next % KEYS).to_be_bytes();
            let appended = builder.append(0, Some(&key), Some(&value), &[]);
            appended.expect("a small batch has room");
            next += 1;
        }
        let batch = Slice::copy_of(&builder.build());
        filled += batch.len();
        let rules = BatchRules::defaults(0);
        let batch = ValidBatch::check(batch, &rules, &mut scratch).expect("it is valid");
        let produce = Produce {
            entries: vec![ProduceEntry {
                partition,
                batch,
                outcome: None,
            }],
            wait: true,
            ..Produce::default()
        };
        node.request(0, Request::Produce(produce));
        node.perform();
        node.reply().await;
    }
    topic
}

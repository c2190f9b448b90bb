//! How long one append takes until it may be acknowledged, against the least that a durable write
//! costs on the same file system: raw io_uring on blocks that were written before.
//!
//! Depth 1, one executor, no socket. All ways take turns within a repetition, so that whatever
//! else the machine does happens to all of them.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use glommio::io::{DmaFile, OpenOptions};
use sillon_bench::executor;
use sillon_bench::folder;
use sillon_bench::node::{Node, Size};
use sillon_bench::report::{Format, Report, percentile};
use sillon_bench::sys::raw_ring::{RawFile, Way};
use sillon_bench::workload::{Connection, TOPIC, batch, produce_frame};
use sillon_buffer::Slice;
use sillon_disk::GlommioDisk;
use sillon_record::Compression;

/// Appends of one way before it is the next one's turn.
const TURN: usize = 50;

/// The raw file: as large as a ring file of the node's journal, in bytes.
const FILE_BYTES: u64 = 32 << 20;

#[derive(Parser)]
#[command(about = "Durable append at depth 1 against raw io_uring", version)]
struct Options {
    /// A folder on the file system to measure; a folder of its own is made in it and removed
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// The core to run on
    #[arg(long, default_value_t = 1)]
    core: usize,
    /// Bytes of the batch
    #[arg(long, default_value_t = 1024)]
    batch_bytes: usize,
    /// Appends of each way in a repetition
    #[arg(long, default_value_t = 2000)]
    appends: usize,
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

/// The ways, in their turn.
const WAYS: [&str; 5] = [
    "raw: write, then fdatasync",
    "raw: write linked to fdatasync",
    "raw: write with RWF_DSYNC",
    "glommio: write, then fdatasync",
    "sillon: append to acknowledgement",
];

async fn measure(options: &Options, folder: &Path) -> std::io::Result<Report> {
    let payload = batch(1, options.batch_bytes, Compression::None);
    let round_bytes = round_bytes(payload.len());
    let frame = produce_frame(0, &payload);
    let disk_folder = folder.join("data");
    std::fs::create_dir(&disk_folder)?;
    let disk = folder::disk(&disk_folder).await?;
    let mut node = Node::start(disk, Size::default()).await;
    node.create_topic(TOPIC, 1).await;
    let mut raw = RawFile::create(&folder.join("raw"), FILE_BYTES, round_bytes)?;
    drop(RawFile::create(
        &folder.join("dma"),
        FILE_BYTES,
        round_bytes,
    )?);
    let mut dma = Dma::open(&folder.join("dma")).await?;
    let mut connection = Connection::default();

    let mut report = Report::new("durable append, depth 1", &["p50 us", "p99 us", "mean us"]);
    report.note(format!(
        "a batch of {} bytes: {round_bytes} bytes a write; {} appends a repetition of each way, \
         in turns of {TURN}; {} repetitions; core {}",
        payload.len(),
        options.appends,
        options.repetitions,
        options.core
    ));
    // The first repetition warms up.
    for repetition in 0..=options.repetitions {
        let mut samples = WAYS.map(|_| Vec::with_capacity(options.appends));
        for _ in 0..options.appends / TURN {
            for (way, samples) in samples.iter_mut().enumerate() {
                for _ in 0..TURN {
                    let started = match way {
                        0 => timed(&mut raw, round_bytes, Way::TwoTrips)?,
                        1 => timed(&mut raw, round_bytes, Way::Linked)?,
                        2 => timed(&mut raw, round_bytes, Way::Dsync)?,
                        3 => dma.append(round_bytes).await?,
                        _ => append(&mut node, &mut connection, &frame).await,
                    };
                    samples.push(started);
                }
            }
            node.idle().await;
        }
        if repetition == 0 {
            continue;
        }
        for (way, samples) in samples.iter_mut().enumerate() {
            samples.sort_by(f64::total_cmp);
            let mean = samples.iter().sum::<f64>() / samples.len() as f64;
            let figures = [percentile(samples, 0.5), percentile(samples, 0.99), mean];
            report.add(WAYS[way], &figures);
        }
    }
    dma.close().await?;
    node.idle().await;
    node.into_disk().idle().await;
    for column in ["p50 us", "p99 us"] {
        report.goal(WAYS[4], WAYS[0], column, 1.6);
    }
    Ok(report)
}

/// Bytes of a round with that batch alone: its header, the entry's, and the batch, in blocks.
fn round_bytes(batch_bytes: usize) -> usize {
    (88 + 48 + batch_bytes).next_multiple_of(sillon_buffer::BLOCK_BYTES)
}

fn us(started: Instant) -> f64 {
    started.elapsed().as_nanos() as f64 / 1000.0
}

fn timed(raw: &mut RawFile, len: usize, way: Way) -> std::io::Result<f64> {
    let started = Instant::now();
    raw.append(len, way)?;
    Ok(us(started))
}

/// From the append's event to its acknowledgement's action. Decoding and checking are outside.
async fn append(node: &mut Node<GlommioDisk>, connection: &mut Connection, frame: &Slice) -> f64 {
    connection.decode_produce(frame);
    let request = connection.check_produce(&node.image());
    let started = Instant::now();
    node.request(0, request);
    node.perform();
    let (_, answer) = node.reply().await;
    let took = us(started);
    connection.answer_produce(answer);
    took
}

/// A file of written blocks through glommio, without a shard.
struct Dma {
    file: DmaFile,
    position: u64,
}

impl Dma {
    async fn open(path: &Path) -> std::io::Result<Dma> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).dma_open(path).await?;
        Ok(Dma { file, position: 0 })
    }

    async fn append(&mut self, len: usize) -> std::io::Result<f64> {
        if self.position + len as u64 > FILE_BYTES {
            self.position = 0;
        }
        let started = Instant::now();
        let mut buffer = self.file.alloc_dma_buffer(len);
        buffer.as_bytes_mut().fill(0x5a);
        let written = self.file.write_at(buffer, self.position).await?;
        assert_eq!(written, len, "a whole write");
        self.file.fdatasync().await?;
        self.position += len as u64;
        Ok(us(started))
    }

    async fn close(self) -> std::io::Result<()> {
        Ok(self.file.close().await?)
    }
}

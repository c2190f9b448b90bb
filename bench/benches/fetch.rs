//! A Fetch of the newest records, which are in memory: decode, plan, encode.
//!
//! `plan and encode` is the budget's subject: `Shard::handle` and the response's frame. The
//! records are not copied: the response refers to the tail.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_lite::future::block_on;
use sillon_bench::memory_disk::MemoryDisk;
use sillon_bench::node::{Node, Size};
use sillon_bench::report::Samples;
use sillon_bench::workload::{Connection, TOPIC, batch, fetch_frame, produce_frame};
use sillon_record::Compression;

/// Batches in the log, with as many records each as `RECORDS` says.
const BATCHES: usize = 1024;
const RECORDS: usize = 16;
const BATCH_BYTES: usize = 16 << 10;

struct Bench {
    node: Node<MemoryDisk>,
    connection: Connection,
}

impl Bench {
    fn new() -> Bench {
        let mut node = block_on(Node::start(MemoryDisk::default(), Size::default()));
        block_on(node.create_topic(TOPIC, 1));
        let mut connection = Connection::default();
        let frame = produce_frame(0, &batch(RECORDS, BATCH_BYTES, Compression::None));
        for key in 0..BATCHES as u64 {
            connection.decode_produce(&frame);
            let request = connection.check_produce(&node.image());
            node.request(key, request);
            node.perform();
            let (_, answer) = block_on(node.reply());
            connection.answer_produce(answer);
        }
        block_on(node.idle());
        Bench { node, connection }
    }

    /// Reads the newest `batches` batches again and again. `is_decoded`: the request's decoding
    /// counts as well.
    fn run(
        &mut self,
        batches: usize,
        is_decoded: bool,
        iterations: u64,
        samples: &mut Samples,
    ) -> Duration {
        let offset = (BATCHES - batches) * RECORDS;
        let frame = fetch_frame(0, offset as i64, 50 << 20);
        let mut total = Duration::ZERO;
        for iteration in 0..iterations {
            let now_ns = self.node.now_ns();
            let started = Instant::now();
            let image = self.node.image();
            let request = self
                .connection
                .decode_fetch(black_box(&frame), &image, now_ns);
            drop(image);
            let decoded = Instant::now();
            self.node.request(iteration, request);
            self.node.perform();
            let (_, answer) = self.node.replies.pop_front().expect("answered at once");
            let bytes = self.connection.answer_fetch(answer);
            let ended = Instant::now();
            assert!(bytes as usize > (batches - 1) * BATCH_BYTES);
            let time = ended - if is_decoded { started } else { decoded };
            samples.push(time);
            total += time;
        }
        total
    }
}

fn fetch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fetch from the tail");
    let mut bench = Bench::new();
    let mut all = Vec::new();
    for batches in [1, 64] {
        for (what, is_decoded) in [("plan and encode", false), ("with decoding", true)] {
            let name = format!("{batches} batches of 16 KiB: {what}");
            let mut samples = Samples::new(&name);
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|iterations| {
                    bench.run(batches, is_decoded, iterations, &mut samples)
                });
            });
            all.push(samples);
        }
    }
    group.finish();
    all.into_iter().for_each(Samples::print);
}

criterion_group!(benches, fetch);
criterion_main!(benches);

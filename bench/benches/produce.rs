//! A Produce request with one batch of 16 KiB on a shard: decode, check, append.
//!
//! `whole` is the budget's subject: decoding the frame, checking the batch and `Shard::handle`,
//! which copies it into the tail and seals the journal round. Its parts stand beside it, and
//! `completion` is what the end of the round's write and flush costs on top. The disk completes
//! at once and forgets everything.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_lite::future::block_on;
use sillon_bench::memory_disk::MemoryDisk;
use sillon_bench::node::{Node, Size};
use sillon_bench::report::Samples;
use sillon_bench::workload::{Connection, TOPIC, batch, produce_frame};
use sillon_buffer::Slice;
use sillon_record::Compression;

/// Bytes of a batch before compression.
const BATCH_BYTES: usize = 16 << 10;

/// Frames that take turns, so that what is decoded has not just been used: 16 are 256 KiB, which
/// is in the second-level cache, as bytes are that the kernel has just copied from a socket.
const FRAMES: usize = 16;

/// Which part of the way is measured.
#[derive(Clone, Copy)]
enum Part {
    Whole,
    Decode,
    Check,
    Append,
    Completion,
}

struct Bench {
    node: Node<MemoryDisk>,
    connection: Connection,
    frames: Vec<Slice>,
}

impl Bench {
    fn new(records: usize, compression: Compression) -> Bench {
        let mut node = block_on(Node::start(MemoryDisk::default(), Size::default()));
        block_on(node.create_topic(TOPIC, 1));
        let batch = batch(records, BATCH_BYTES, compression);
        Bench {
            node,
            connection: Connection::default(),
            frames: (0..FRAMES).map(|_| produce_frame(0, &batch)).collect(),
        }
    }

    fn run(&mut self, part: Part, iterations: u64, samples: &mut Samples) -> Duration {
        let mut total = Duration::ZERO;
        for iteration in 0..iterations {
            let frame = &self.frames[iteration as usize % FRAMES];
            let started = Instant::now();
            self.connection.decode_produce(black_box(frame));
            let decoded = Instant::now();
            let request = self.connection.check_produce(&self.node.image());
            let checked = Instant::now();
            self.node.request(iteration, request);
            let appended = Instant::now();
            self.node.perform();
            let mut completion = Duration::ZERO;
            while self.node.replies.is_empty() {
                block_on(self.node.wait());
                let begun = Instant::now();
                self.node.complete();
                completion += begun.elapsed();
                self.node.perform();
            }
            let (_, answer) = self.node.replies.pop_front().expect("there is one");
            self.connection.answer_produce(answer);
            block_on(self.node.idle());
            let time = match part {
                Part::Whole => appended - started,
                Part::Decode => decoded - started,
                Part::Check => checked - decoded,
                Part::Append => appended - checked,
                Part::Completion => completion,
            };
            samples.push(time);
            total += time;
        }
        total
    }
}

fn produce(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("produce 16 KiB");
    group.throughput(Throughput::Bytes(BATCH_BYTES as u64));
    let mut cases = vec![
        (16, Compression::None, "decode", Part::Decode),
        (16, Compression::None, "check", Part::Check),
        (16, Compression::None, "append", Part::Append),
        (16, Compression::None, "completion", Part::Completion),
        (1, Compression::None, "whole", Part::Whole),
        (160, Compression::None, "whole", Part::Whole),
    ];
    let codecs = Compression::ALL.into_iter();
    cases.extend(codecs.map(|compression| (16, compression, "whole", Part::Whole)));
    let mut all = Vec::new();
    for (records, compression, what, part) in cases {
        let name = format!("{}, {records} records: {what}", compression.name());
        let mut samples = Samples::new(&name);
        let mut bench = Bench::new(records, compression);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|iterations| bench.run(part, iterations, &mut samples));
        });
        all.push(samples);
    }
    group.finish();
    all.into_iter().for_each(Samples::print);
}

criterion_group!(benches, produce);
criterion_main!(benches);

//! What one request allocates and copies in the steady state, and where.
//!
//! Fails when an allocation depends on the number of records: there is to be none per record.

use futures_lite::future::block_on;
use sillon_bench::memory_disk::MemoryDisk;
use sillon_bench::node::{Node, Size, Written};
use sillon_bench::sys::allocator::{Count, CountingAllocator, count, trace};
use sillon_bench::workload::{Connection, TOPIC, batch, fetch_frame, produce_frame};
use sillon_buffer::Slice;
use sillon_record::Compression;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const BATCH_BYTES: usize = 16 << 10;

/// Enough for the tail, the dirty budget and every vector to reach their size: 512 MiB of records
/// in a node of 256 MiB.
const WARM_UP: u64 = 32_768;

const MEASURED: u64 = 8_192;

/// Requests whose allocations are noted with their places.
const TRACED: u64 = 512;

/// Steps of a request, in order.
const STEPS: [&str; 4] = ["decode and check", "event", "completions", "encode"];

struct Bench {
    node: Node<MemoryDisk>,
    connection: Connection,
    frame: Slice,
    steps: [Count; STEPS.len()],
}

impl Bench {
    fn new(records: usize, compression: Compression) -> Bench {
        let size = Size {
            memory_bytes: 256 << 20,
            ..Size::default()
        };
        let mut node = block_on(Node::start(MemoryDisk::default(), size));
        block_on(node.create_topic(TOPIC, 1));
        let frame = produce_frame(0, &batch(records, BATCH_BYTES, compression));
        Bench {
            node,
            connection: Connection::default(),
            frame,
            steps: Default::default(),
        }
    }

    fn step<T>(&mut self, step: usize, work: impl FnOnce(&mut Bench) -> T) -> T {
        let before = count();
        let result = work(self);
        self.steps[step].add(count().since(before));
        result
    }

    fn produce(&mut self, requests: u64) {
        for key in 0..requests {
            let request = self.step(0, |bench| {
                bench.connection.decode_produce(&bench.frame);
                bench.connection.check_produce(&bench.node.image())
            });
            self.step(1, |bench| bench.node.request(key, request));
            self.node.perform();
            while self.node.replies.is_empty() {
                block_on(self.node.wait());
                self.step(2, |bench| bench.node.complete());
                self.node.perform();
            }
            let (_, answer) = self.node.replies.pop_front().expect("there is one");
            self.step(3, |bench| bench.connection.answer_produce(answer));
            while self.node.has_in_flight() {
                block_on(self.node.wait());
                self.step(2, |bench| bench.node.complete());
                self.node.perform();
            }
        }
    }

    fn fetch(&mut self, frame: &Slice, requests: u64) {
        for key in 0..requests {
            let now_ns = self.node.now_ns();
            let request = self.step(0, |bench| {
                let image = bench.node.image();
                bench.connection.decode_fetch(frame, &image, now_ns)
            });
            self.step(1, |bench| bench.node.request(key, request));
            self.node.perform();
            let (_, answer) = self.node.replies.pop_front().expect("answered at once");
            self.step(3, |bench| bench.connection.answer_fetch(answer));
        }
    }
}

fn print(name: &str, steps: &[Count; STEPS.len()]) {
    print!("{name:34}");
    let (mut allocations, mut bytes) = (0.0, 0.0);
    for step in steps {
        print!("  {:>17.3}", step.allocations as f64 / MEASURED as f64);
        allocations += step.allocations as f64 / MEASURED as f64;
        bytes += step.bytes as f64 / MEASURED as f64;
    }
    println!("  {allocations:>8.3}  {bytes:>10.0}");
}

fn places(name: &str, places: &[(String, u64)]) {
    println!("\n{name}: where, per request");
    for (place, times) in places.iter().take(12) {
        println!("  {:>7.3}  {place}", *times as f64 / TRACED as f64);
    }
}

fn main() {
    print!("{:34}", "allocations per request");
    for step in STEPS {
        print!("  {step:>17}");
    }
    println!("  {:>8}  {:>10}", "all", "bytes");
    let mut per_request = Vec::new();
    let mut traced = Vec::new();
    let mut copied = Written::default();
    for records in [1, 16, 160] {
        let mut bench = Bench::new(records, Compression::None);
        bench.produce(WARM_UP);
        bench.steps = Default::default();
        let before = bench.node.written;
        bench.produce(MEASURED);
        print(&format!("produce 16 KiB, {records} records"), &bench.steps);
        per_request.push(bench.steps);
        if records == 16 {
            copied.journal_bytes = bench.node.written.journal_bytes - before.journal_bytes;
            copied.background_bytes = bench.node.written.background_bytes - before.background_bytes;
            traced = trace(|| bench.produce(TRACED));
        }
        if records == 160 {
            let end = (WARM_UP + MEASURED) as i64 * 160;
            let mut places_of_fetch = Vec::new();
            for batches in [1, 64] {
                let frame = fetch_frame(0, end - batches * 160, 50 << 20);
                bench.fetch(&frame, WARM_UP);
                bench.steps = Default::default();
                bench.fetch(&frame, MEASURED);
                print(&format!("fetch {batches} batches of 16 KiB"), &bench.steps);
                places_of_fetch = trace(|| bench.fetch(&frame, TRACED));
            }
            places("produce 16 KiB, 16 records", &traced);
            places("fetch 64 batches of 16 KiB", &places_of_fetch);
        }
    }
    let payload = (MEASURED as usize * batch(16, BATCH_BYTES, Compression::None).len()) as f64;
    let (journal, background) = (copied.journal_bytes as f64, copied.background_bytes as f64);
    println!("\ncopies per payload byte in the engine, produce 16 KiB, 16 records");
    println!("  {:>7.3}  receive buffer to tail", 1.0);
    println!("  {:>7.3}  tail to journal round", journal / payload);
    println!("  {:>7.3}  tail to segment write", background / payload);

    let of_records = |step: usize| per_request.iter().map(move |steps| steps[step].allocations);
    for step in [0, 1, 3] {
        let (least, most) = (of_records(step).min(), of_records(step).max());
        let most_per_request = (most.unwrap_or(0) - least.unwrap_or(0)) as f64 / MEASURED as f64;
        assert!(
            most_per_request < 0.05,
            "{}: the number of records changes what is allocated by {most_per_request} a request",
            STEPS[step]
        );
    }
}

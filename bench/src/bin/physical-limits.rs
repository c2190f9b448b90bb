//! What a comparison of brokers is held against: the same bytes by raw io_uring and by raw loopback
//! TCP, with nothing done to them.
//!
//! Nothing here is an upper bound in the strict sense (a broker may overlap what this does one
//! after the other), but no broker that moves the same bytes over the same ways comes far above.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use sillon_bench::exchange::Exchange;
use sillon_bench::folder;
use sillon_bench::report::{Format, Report, percentile};
use sillon_bench::sys::raw_ring::{RawFile, Way};

/// The raw file, in bytes.
const FILE_BYTES: u64 = 256 << 20;

#[derive(Parser)]
#[command(
    about = "The same bytes by raw io_uring and by raw loopback TCP",
    version
)]
struct Options {
    /// A folder on the file system to measure; a folder of its own is made in it and removed
    #[arg(long, default_value = ".")]
    dir: PathBuf,
    /// Bytes of a request
    #[arg(long, default_value_t = 16 << 10)]
    request_bytes: usize,
    /// Bytes of its response
    #[arg(long, default_value_t = 64)]
    response_bytes: usize,
    /// Connections
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// Requests on their way on each of them
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// Seconds of each way in a repetition
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Repetitions, of which the median is printed
    #[arg(long, default_value_t = 3)]
    repetitions: usize,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let report = folder::within(&options.dir, |folder| measure(&options, folder))?;
    report?.print(options.format, &options.dir);
    Ok(())
}

const COLUMNS: [&str; 5] = ["requests/s", "MB/s", "CPU s/GB", "p50 us", "p99 us"];

fn measure(options: &Options, folder: &Path) -> std::io::Result<Report> {
    let time = Duration::from_secs_f64(options.seconds);
    let in_flight = options.connections * options.in_flight;
    let mut report = Report::new("the same bytes without a broker", &COLUMNS);
    report.note(format!(
        "requests of {} bytes, responses of {} bytes; {} connections with {} in flight; CPU is \
         that of the serving or writing thread",
        options.request_bytes, options.response_bytes, options.connections, options.in_flight,
    ));
    let moved_bytes = options.request_bytes.max(options.response_bytes);
    let round = (in_flight * options.request_bytes).next_multiple_of(sillon_buffer::BLOCK_BYTES);
    let single = options
        .request_bytes
        .next_multiple_of(sillon_buffer::BLOCK_BYTES);
    let mut file = RawFile::create(&folder.join("raw"), FILE_BYTES, round.max(single))?;
    // The last core there is serves: interrupts tend to go to the first.
    let cores = affinity::get_core_num();
    let cores = [cores - 1, 0];
    // The first repetition warms up.
    for repetition in 0..=options.repetitions {
        let all = Exchange {
            connections: options.connections,
            in_flight: options.in_flight,
            request_bytes: options.request_bytes,
            response_bytes: options.response_bytes,
        };
        let one = Exchange {
            connections: 1,
            in_flight: 1,
            ..all
        };
        let rows = [
            ("tcp: all in flight", moved_bytes, tcp(all, time, cores)?),
            ("tcp: one at a time", moved_bytes, tcp(one, time, cores)?),
            (
                "disk: all in flight, one flush",
                options.request_bytes,
                disk(&mut file, round, in_flight as u64, time)?,
            ),
            (
                "disk: one at a time, one flush",
                options.request_bytes,
                disk(&mut file, single, 1, time)?,
            ),
        ];
        if repetition == 0 {
            continue;
        }
        for (name, request_bytes, measured) in rows {
            report.add(name, &measured.figures(request_bytes));
        }
    }
    Ok(report)
}

struct Measured {
    requests: u64,
    seconds: f64,
    cpu_s: f64,
    latencies_us: Vec<f64>,
}

impl Measured {
    fn figures(mut self, request_bytes: usize) -> [f64; 5] {
        self.latencies_us.sort_by(f64::total_cmp);
        let gigabytes = self.requests as f64 * request_bytes as f64 / 1e9;
        [
            self.requests as f64 / self.seconds,
            gigabytes * 1e3 / self.seconds,
            self.cpu_s / gigabytes,
            percentile(&self.latencies_us, 0.5),
            percentile(&self.latencies_us, 0.99),
        ]
    }
}

fn tcp(exchange: Exchange, time: Duration, cores: [usize; 2]) -> std::io::Result<Measured> {
    let exchanged = exchange.run(time, cores)?;
    Ok(Measured {
        requests: exchanged.requests,
        seconds: exchanged.seconds,
        cpu_s: exchanged.server_cpu_s,
        latencies_us: exchanged.latencies_us,
    })
}

/// Writes of `bytes` that stand for `requests` requests each, a flush behind each write.
fn disk(
    file: &mut RawFile,
    bytes: usize,
    requests: u64,
    time: Duration,
) -> std::io::Result<Measured> {
    let started = Instant::now();
    let cpu_before = cpu_s();
    let mut latencies_us = Vec::new();
    while started.elapsed() < time {
        let turn = Instant::now();
        file.append(bytes, Way::TwoTrips)?;
        latencies_us.push(turn.elapsed().as_nanos() as f64 / 1e3);
    }
    Ok(Measured {
        requests: latencies_us.len() as u64 * requests,
        seconds: started.elapsed().as_secs_f64(),
        cpu_s: cpu_s() - cpu_before,
        latencies_us,
    })
}

fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

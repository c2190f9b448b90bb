//! What consumer groups cost: memory, in the coordinator itself; and the time of a rebalance, of any
//! broker over its sockets.
#![forbid(unsafe_code)]

use std::error::Error;

use clap::{Parser, Subcommand};
use sillon_bench::groups::memory;
use sillon_bench::groups::rebalance::{self, Shape};
use sillon_bench::report::Format;
use sillon_bench::sys::allocator::CountingAllocator;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[derive(Parser)]
#[command(about = "Memory and rebalances of consumer groups", version)]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// What the coordinator allocates for groups, without a broker
    Memory,
    /// How long rebalances take on a broker that runs; it must allow a connection for each member
    Rebalance {
        /// Where it is: host:port
        #[arg(long)]
        broker: String,
        /// Groups
        #[arg(long, default_value_t = 200)]
        groups: usize,
        /// Members of each
        #[arg(long, default_value_t = 50)]
        members: usize,
        /// Rebalances of single groups, and of all at once
        #[arg(long, num_args = 2, default_values_t = [400, 5])]
        samples: Vec<usize>,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Options::parse().what {
        What::Memory => memory::print(),
        What::Rebalance {
            broker,
            groups,
            members,
            samples,
            format,
        } => {
            let shape = Shape { groups, members };
            rebalance::measure(&broker, shape, samples[0], samples[1], format)?;
        }
    }
    Ok(())
}

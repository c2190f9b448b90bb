//! Feeds damaged bytes to everything that reads bytes from a client or from a disk.
//!
//! Each [`Target`] brings real encodings as seeds. They are damaged again and again; what behaves
//! in a new way is kept and damaged further. An input must never make a target panic, nor take
//! more memory than the target allows for its length; and what was understood and is written again
//! must read back the same. Everything random follows from `--seed`.
#![forbid(unsafe_code)]

mod corpus;
mod damage;
mod random;
mod run;
mod target;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use peak_alloc::PeakAlloc;

use crate::run::{Failure, Limits, Runner};
use crate::target::Target;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Feeds damaged bytes to everything that reads bytes.
#[derive(Debug, Parser)]
struct Args {
    /// Targets whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// How long all of them together take, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many inputs each gets at most
    #[arg(long, default_value_t = u64::MAX)]
    inputs: u64,
    /// Where everything random comes from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Feed this file to the one target that --only names, and nothing else
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Where inputs are put that break a rule
    #[arg(long, default_value = "target/fuzz")]
    failures: PathBuf,
    /// Print the names of the targets
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut targets = targets::all();
    targets.retain(|target| target.name().contains(&args.only));
    if args.list {
        for target in &targets {
            println!("{}", target.name());
        }
        return ExitCode::SUCCESS;
    }
    if targets.is_empty() {
        eprintln!("sillon-fuzz: no target is called so; --list names them");
        return ExitCode::FAILURE;
    }
    run::keep_panics_silent();
    if let Some(path) = &args.replay {
        return replay(path, targets);
    }
    fuzz(&args, targets)
}

fn replay(path: &std::path::Path, mut targets: Vec<Box<dyn Target>>) -> ExitCode {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("sillon-fuzz: {}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    };
    let [target] = &mut targets[..] else {
        eprintln!("sillon-fuzz: --replay needs --only with the name of one target");
        return ExitCode::FAILURE;
    };
    match run::try_one(&mut **target, &bytes) {
        Ok(outcome) => {
            println!("{}: outcome {outcome:016x}", target.name());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            println!("{}: {fault}", target.name());
            ExitCode::FAILURE
        }
    }
}

fn fuzz(args: &Args, targets: Vec<Box<dyn Target>>) -> ExitCode {
    let limits = Limits {
        time: Duration::from_secs(args.seconds) / targets.len() as u32,
        inputs: args.inputs,
    };
    let (mut passed, mut failed) = (0, 0);
    for target in targets {
        let name = target.name();
        match Runner::new(target, args.seed).run(limits) {
            Ok(done) => {
                passed += 1;
                println!(
                    "ok   {name} {} inputs, {} behaviours, {} kept, at most {} KiB",
                    done.inputs,
                    done.behaviours,
                    done.kept,
                    done.peak_bytes >> 10
                );
            }
            Err(failure) => {
                failed += 1;
                report(args, &name, &failure);
            }
        }
    }
    println!("fuzz: {passed} passed, {failed} failed");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn report(args: &Args, name: &str, failure: &Failure) {
    println!(
        "FAIL {name} after {} inputs: {}",
        failure.inputs, failure.fault
    );
    let file = format!("{name}-{:08x}", crc32fast::hash(&failure.input));
    let path = args.failures.join(file.replace('/', "-"));
    let written = std::fs::create_dir_all(&args.failures)
        .and_then(|()| std::fs::write(&path, &failure.input));
    match written {
        Ok(()) => println!(
            "     its {} bytes: ci/fuzz --only {name} --replay {}",
            failure.input.len(),
            path.display()
        ),
        Err(error) => println!("     {} cannot be written: {error}", path.display()),
    }
}

//! `sillon`: the broker and its tools in one binary.
#![forbid(unsafe_code)]

mod bytes;
mod connect;
mod consume;
mod failure;
mod logging;
mod output;
mod overrides;
mod produce;
mod serve;
mod topic;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::logging::LogArgs;

/// A Kafka-compatible log broker that acknowledges what is on stable storage.
#[derive(Debug, Parser)]
#[command(name = "sillon", version, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    log: LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a broker
    Serve(serve::ServeArgs),
    /// Create, list, describe and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Write records: one per line of standard input
    Produce(produce::ProduceArgs),
    /// Read records and print them
    Consume(consume::ConsumeArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_broker = matches!(cli.command, Command::Serve(_));
    cli.log.start(if is_broker { "info" } else { "warn" });
    let result = match cli.command {
        Command::Serve(args) => args.run(),
        Command::Topic(command) => command.run(),
        Command::Produce(args) => args.run(),
        Command::Consume(args) => args.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has had enough, as `head` has.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("sillon: {failure}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn every_option_is_well_formed() {
        Cli::command().debug_assert();
    }
}

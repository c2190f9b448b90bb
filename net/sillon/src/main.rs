//! `sillon`: the broker and its tools in one binary.
#![forbid(unsafe_code)]

mod bench;
mod broker_args;
mod bytes;
mod config;
mod configuration;
mod connect;
mod consume;
mod doctor;
mod failure;
mod group;
mod interruption;
mod logging;
mod memory_budget;
mod offline;
mod output;
mod pages;
mod produce;
mod serve;
mod topic;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

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
    /// Judge this host for a broker with these options, and say what it will take
    Doctor(Box<doctor::DoctorArgs>),
    /// Create, list, describe, alter and delete topics
    #[command(subcommand)]
    Topic(topic::TopicCommand),
    /// Show and change the configuration of topics and brokers
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// List, describe and delete consumer groups, and change what they have committed
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Write records: one per line of standard input
    Produce(produce::ProduceArgs),
    /// Read records and print them
    Consume(Box<consume::ConsumeArgs>),
    /// Measure a broker: throughput, latency and what they cost, verified
    Bench(Box<bench::BenchArgs>),
    /// Check what a broker promises by what its clients see
    #[command(subcommand)]
    Verify(verify::VerifyCommand),
    /// Look at the journals of a stopped broker, and mend them
    #[command(subcommand)]
    Journal(offline::journal::JournalCommand),
    /// Check and print the segment files of a stopped broker
    #[command(subcommand)]
    Log(offline::log::LogCommand),
    /// Print what makes a shell complete sillon's commands, such as
    /// `source <(sillon completions bash)`
    Completions(pages::CompletionsArgs),
    /// Print the manual page, such as `sillon man | man -l -`
    Man(pages::ManArgs),
}

fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let is_broker = matches!(cli.command, Command::Serve(_));
    cli.log.start(if is_broker { "info" } else { "warn" });
    let result = match cli.command {
        Command::Serve(args) => {
            let given = matches.subcommand_matches("serve");
            args.run(given.expect("this is what was parsed"))
        }
        Command::Doctor(args) => args.run(),
        Command::Topic(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Group(command) => command.run(),
        Command::Produce(args) => args.run(),
        Command::Consume(args) => args.run(),
        Command::Bench(args) => args.run(),
        Command::Verify(command) => command.run(),
        Command::Journal(command) => command.run(),
        Command::Log(command) => command.run(),
        Command::Completions(args) => args.run(Cli::command()),
        Command::Man(args) => args.run(&Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has had enough, as `head` has.
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("sillon: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_well_formed() {
        Cli::command().debug_assert();
    }
}

//! `sillon verify`: drives a broker, keeps the history of it, and says whether it can be.

mod check;
mod report;
mod run;

use std::io;

use clap::Subcommand;
use sillon_verify::{CheckError, RunError};

use self::check::CheckArgs;
use self::run::RunArgs;
use crate::failure::Failure;

/// Check a broker by what its clients see. The process exits with 0 when nothing was found, with 1
/// when there are anomalies, and with 2 when nothing can be said.
#[derive(Debug, Subcommand)]
pub enum VerifyCommand {
    /// Drive a broker with producers and members of groups, and check what came of it
    Run(Box<RunArgs>),
    /// Check a history that was kept
    Check(CheckArgs),
}

/// Why `verify` does not end well.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The broker did what none may do.
    #[error("{0} anomalies were found")]
    Anomalies(u64),
    /// There is no anomaly, and that proves nothing.
    #[error("nothing can be said: {0}")]
    TooLittle(String),
    /// The broker cannot be driven, or its history not be kept.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The history cannot be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Something on this host is in the way.
    #[error("cannot write what was found: {0}")]
    Output(#[source] io::Error),
}

impl VerifyError {
    /// What the process exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            VerifyError::Anomalies(_) => 1,
            VerifyError::TooLittle(_)
            | VerifyError::Run(_)
            | VerifyError::Check(_)
            | VerifyError::Output(_) => 2,
        }
    }
}

impl VerifyCommand {
    /// Runs the command.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            VerifyCommand::Run(args) => args.run(),
            VerifyCommand::Check(args) => args.run(),
        }
    }
}

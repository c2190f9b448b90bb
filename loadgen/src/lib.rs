//! An open-loop load generator for anything that speaks Kafka's protocol.
//!
//! [`Scenario`] says what to do, [`run()`] does it to a broker, [`RunReport`] says what came of
//! it. Producers never wait for an answer before they send what is due; latency
//! counts from when a request was due, so that a broker which stands still shows. What was
//! acknowledged is read back and compared to the last byte.
#![forbid(unsafe_code)]

pub mod ceiling;
mod checker;
mod clock;
mod collect;
mod consumer;
mod inbox;
mod keys;
mod ledger;
mod measure;
pub mod null_server;
mod places;
mod process;
mod producer;
pub mod report;
pub mod run;
pub mod run_report;
pub mod scenario;
pub mod scenarios;
mod schedule;
mod socket;
pub mod target;
mod template;
mod verify;

pub use measure::Kind;
pub use null_server::NullServer;
pub use run::{Progress, RunError, RunOptions, Stage, run};
pub use run_report::{BenchReport, RunReport};
pub use scenario::{Scenario, ScenarioError};
pub use target::{EmbeddedBroker, StartError, TargetOptions};

/// Tells nobody.
pub fn progress_nothing(_: &Progress) {}

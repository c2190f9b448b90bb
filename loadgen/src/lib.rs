//! An open-loop load generator for anything that speaks Kafka's protocol.
//!
//! [`Scenario`] says what to do, [`RunReport`] what came of it.
#![forbid(unsafe_code)]

pub mod report;
pub mod run_report;
pub mod scenario;

pub use run_report::{BenchReport, RunReport};
pub use scenario::{Scenario, ScenarioError};

//! A history checker: what clients did and saw, and whether a broker that keeps its promises can
//! have answered so.
//!
//! [`Checker`] is pure: it is given [`Event`]s in the order in which they happened and finds the
//! anomalies ([`Anomaly`]). [`history`] keeps events in a file of JSON lines, [`run()`] makes them:
//! producers and members of groups against any broker that speaks Kafka's protocol.
//! [`synthetic`] invents correct histories, to test what reads them.
#![forbid(unsafe_code)]

mod checker;
mod event;
pub mod history;
pub mod run;
pub mod synthetic;

pub use checker::{Anomaly, Checker, Counts, Finding, Nonsense, Report, Shortcoming};
pub use event::{Event, Run, What};
pub use history::{CheckError, check_file};
pub use run::{Options, Progress, RunError, Summary, run};

//! One core's state machine: [`Event`]s in, [`Action`]s out.
//!
//! A shard owns its partitions, one journal and their memory. It does no I/O, reads no clock and
//! draws no randomness: the runtime performs its actions against a real disk, the simulator
//! against a simulated one, and both run this very code.
#![forbid(unsafe_code)]

mod action;
mod event;
mod io;
mod request;

pub use action::{Action, LogLevel};
pub use event::{Event, Now, TICK_MS};
pub use io::*;
pub use request::*;

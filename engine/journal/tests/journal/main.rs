//! The journal through its public face, on a ring in memory.
#![forbid(unsafe_code)]

mod chain;
mod gaps;
mod hostile_bytes;
mod lives;
mod planted_bugs;
mod ring;
mod rounds;

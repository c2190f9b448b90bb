//! A deterministic simulator of a Sillon node: its real code on a simulated disk and clock, a
//! workload, faults, and a checker of what clients saw. Everything comes from one seed.
#![forbid(unsafe_code)]

mod campaign;
mod clients;
mod coverage;
pub mod disk;
mod files;
pub mod history;
mod host;
mod node;
mod plan;
mod random;
mod trace;
mod world;

pub use campaign::{Campaign, run_mutant, run_seed};
pub use coverage::Coverage;
pub use random::Random;
pub use world::Report;

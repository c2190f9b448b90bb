//! A deterministic simulator of a Sillon node: its real code on a simulated disk and clock, a
//! workload, faults, and a checker of what clients saw. Everything comes from one seed.
#![forbid(unsafe_code)]

pub mod disk;
mod random;

pub use random::Random;

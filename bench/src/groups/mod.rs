//! Consumer groups: what they take in memory, and how long they need to rebalance.

pub mod memory;
pub mod rebalance;

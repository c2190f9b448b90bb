//! Groups through the coordinator's public face: a test per promise that clients rely on.

mod expiry;
mod house;
mod joining;
mod memory;
mod model;
mod offsets;
mod operators;
mod restart;
mod static_members;

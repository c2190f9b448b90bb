//! The Kafka server: sockets in, requests to the shards, responses out.
//!
//! A connection lives on one executor. It reads frames, hands their partitions to the shards that
//! own them in the order in which they came, and writes the responses in that order, while any
//! number of requests are being worked on. Records are not copied on the way out: they leave from
//! the shards' memory or straight from the segment files.
//!
//! [`Server::bind`] takes the port; [`Server::serve`] runs on every executor.
#![deny(unsafe_code)]

mod accept;
mod addresses;
mod api;
mod connection;
mod context;
mod fetch_sessions;
mod helper;
mod in_flight;
pub mod limits;
mod limits_page;
mod receive;
mod reply;
mod route;
mod send;
mod server;
mod stages;
mod sys;
mod unsent;

pub use limits_page::limits_page;
pub use server::{BindError, ListenerOptions, Server, ServerOptions};

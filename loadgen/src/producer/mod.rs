//! Producers: a thread has some connections, sends what is due over them and never waits for one
//! of them alone.

mod link;
mod requests;
mod thread;

pub use link::Link;
pub use requests::Requests;
pub use thread::{Limit, Load, Produced, ProducerThread};

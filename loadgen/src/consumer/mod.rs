//! Consumers: each has a thread, a connection and some partitions, and looks at what it reads.

mod link;
mod reader;
mod thread;

pub use reader::{Position, ReadError, Reader};
pub use thread::{ConsumerThread, Role, Stop};

//! The parts that need `unsafe`: an allocator that counts, and raw io_uring.

pub mod allocator;
pub mod raw_ring;

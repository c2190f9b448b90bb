//! One pinned executor, as the broker's runtime makes it.

use std::future::Future;

use glommio::{LocalExecutorBuilder, Placement};

/// Registered memory of the executor, in bytes: the runtime's largest.
const IO_MEMORY_BYTES: usize = 1 << 20;

/// Runs `work` to its end on core `core`. The thread for blocking calls is not pinned.
///
/// # Panics
/// When there is no io_uring or no such core.
pub fn run<T>(core: usize, work: impl Future<Output = T>) -> T {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .name("bench")
        .io_memory(IO_MEMORY_BYTES)
        .make()
        .expect("io_uring works");
    affinity::set_thread_affinity([core]).expect("the core exists");
    executor.run(work)
}

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sillon_shard::Now;

/// Where a node's time comes from: one for all its executors, so that times of different cores
/// can be compared.
pub trait Clock: Send + Sync {
    /// The time. Its monotonic part is never 0, which stands for "not yet" in stamps.
    fn now(&self) -> Now;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    pub fn new() -> SystemClock {
        SystemClock {
            started: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Now {
            mono_ns: self.started.elapsed().as_nanos() as u64 + 1,
            // A wall clock before 1970 counts as 1970.
            wall_ms: since_epoch.map_or(0, |time| time.as_millis() as i64),
        }
    }
}

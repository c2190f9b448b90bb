use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::timer::Timer;
use sillon_shard::TICK_MS;

/// Time between two beats: a shard's tick comes every [`TICK_MS`] even when one is late.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(TICK_MS / 2);

/// A timer that every executor has. It gives the shard its ticks, and it ends a sleep that
/// glommio has begun although tasks could run: when the preempt timer fires between its
/// installation and the first check, which happens to a thread that loses its core just there,
/// the executor takes that for "nothing to do" and parks until some event comes.
pub(crate) struct Heartbeat {
    timer: Timer,
}

impl Heartbeat {
    pub(crate) fn new() -> Heartbeat {
        Heartbeat {
            timer: Timer::new(HEARTBEAT),
        }
    }

    /// Ready once a beat; registered for the next one in either case.
    pub(crate) fn poll_beat(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.timer).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timer.reset(HEARTBEAT);
        let again = Pin::new(&mut self.timer).poll(context);
        debug_assert!(again.is_pending(), "a beat takes some ms");
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Instant;

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;

    /// The fault itself cannot be provoked: it needs the thread to lose its core at one spot. Its
    /// remedy is that an executor on which nothing happens wakes up by itself, again and again.
    #[test]
    fn an_executor_on_which_nothing_happens_beats_on() {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 16);
        let executor = builder.spawn(|| async {
            let started = Instant::now();
            let mut heartbeat = Heartbeat::new();
            for _ in 0..20 {
                poll_fn(|context| heartbeat.poll_beat(context)).await;
            }
            started.elapsed()
        });
        let elapsed = executor.unwrap().join().unwrap();
        assert!(elapsed >= HEARTBEAT * 20, "{elapsed:?}: it does not sleep");
    }
}

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use glommio::timer::Timer;
use sillon_shard::TICK_MS;

/// Time between two beats of an executor that has something to do: a shard's tick comes every
/// [`TICK_MS`] even when a beat is late.
pub(crate) const BEAT: Duration = Duration::from_millis(TICK_MS - 2);

/// Time between two beats of one that has not. A beat costs 30 to 80 us of the core, so this is
/// 0.1 % of it instead of 1 %.
pub(crate) const IDLE_BEAT: Duration = Duration::from_millis(50);

/// A timer that every executor has. It gives the shard its ticks, and it ends a sleep that
/// glommio has begun although tasks could run: when the preempt timer fires between its
/// installation and the first check, which happens to a thread that loses its core just there,
/// the executor takes that for "nothing to do" and parks until some event comes.
pub(crate) struct Heartbeat {
    timer: Timer,
    period: Duration,
}

impl Heartbeat {
    pub(crate) fn new() -> Heartbeat {
        Heartbeat {
            timer: Timer::new(BEAT),
            period: BEAT,
        }
    }

    /// Ready once a beat; registered for the next one in either case.
    pub(crate) fn poll_beat(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if Pin::new(&mut self.timer).poll(context).is_pending() {
            return Poll::Pending;
        }
        self.timer.reset(self.period);
        let again = Pin::new(&mut self.timer).poll(context);
        debug_assert!(again.is_pending(), "a beat takes some ms");
        Poll::Ready(())
    }

    /// Beats slowly or not: the former from the next beat on, the latter at once.
    pub(crate) fn idle(&mut self, is_idle: bool) {
        let period = if is_idle { IDLE_BEAT } else { BEAT };
        if period < self.period {
            self.timer.reset(period);
        }
        self.period = period;
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
        assert!(elapsed >= BEAT * 20, "{elapsed:?}: it does not sleep");
    }

    #[test]
    fn a_slow_beat_quickens_at_once() {
        let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 16);
        let executor = builder.spawn(|| async {
            let mut heartbeat = Heartbeat::new();
            heartbeat.idle(true);
            let begun = Instant::now();
            poll_fn(|context| heartbeat.poll_beat(context)).await;
            let slow = Instant::now();
            poll_fn(|context| heartbeat.poll_beat(context)).await;
            assert!(
                slow.elapsed() >= IDLE_BEAT,
                "the first beat was still {:?}",
                slow - begun
            );
            let quick = Instant::now();
            heartbeat.idle(false);
            poll_fn(|context| heartbeat.poll_beat(context)).await;
            assert!(heartbeat.period == BEAT && quick.elapsed() >= BEAT);
        });
        executor.unwrap().join().unwrap();
    }
}

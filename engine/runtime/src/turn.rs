use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use glommio::timer::Timer;

/// Longer than anything waits.
const FAR: Duration = Duration::from_secs(3600);

/// Gives way until the executor has looked at its I/O once.
///
/// glommio polls I/O only when no task can run, or when its preempt timer fires (100 ms), and
/// its own yields do not poll: with busy tasks, completions and messages of other cores wait that
/// long. A timer, in contrast, fires at a poll only. It must be registered before it is due, as
/// one that is due when it is first polled is ready on the spot; hence far away first.
pub(crate) async fn reactor_turn() {
    let mut timer = pin!(Timer::new(FAR));
    let mut is_registered = false;
    poll_fn(|context| {
        if is_registered {
            return timer.as_mut().poll(context).map(drop);
        }
        is_registered = true;
        let polled = timer.as_mut().poll(context);
        assert!(polled.is_pending(), "an hour has not passed");
        timer.as_mut().get_mut().reset(Duration::ZERO);
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;
    use std::time::Instant;

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;

    /// A task that takes the core for `slice` at a time until `done`, with turns in between.
    async fn busy(done: Rc<Cell<bool>>, slice: Duration) {
        while !done.get() {
            let started = Instant::now();
            while started.elapsed() < slice {
                std::hint::spin_loop();
            }
            reactor_turn().await;
        }
    }

    #[test]
    fn io_goes_on_beside_tasks_that_never_run_dry() {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 16);
        let test = || async {
            let done = Rc::new(Cell::new(false));
            for _ in 0..4 {
                glommio::spawn_local(busy(done.clone(), Duration::from_micros(20))).detach();
            }
            let started = Instant::now();
            let file = glommio::io::BufferedFile::open("/proc/self/stat")
                .await
                .unwrap();
            for _ in 0..20 {
                file.read_at(0, 16).await.unwrap();
            }
            file.close().await.unwrap();
            done.set(true);
            started.elapsed()
        };
        // Without turns each of the 22 operations waits for the preempt timer of 100 ms.
        let elapsed = executor.spawn(test).unwrap().join().unwrap();
        assert!(elapsed < Duration::from_millis(1000), "{elapsed:?}");
    }
}

use std::io;
use std::thread;

use crate::limits::HELPER_JOBS_MAX;

type Job = Box<dyn FnOnce() + Send>;

/// Threads beside the shards for what would hold up a core: decompression of large batches, and
/// reading what is not in the page cache. They end with the last handle.
#[derive(Clone)]
pub(crate) struct Helpers {
    jobs: flume::Sender<Job>,
}

/// The job panicked.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a helper thread's job panicked: see the log")]
pub(crate) struct JobLost;

impl Helpers {
    /// Starts threads of that name. To be called from a thread that is not pinned to a core, as
    /// they inherit where they may run.
    pub(crate) fn start(name: &str, threads: usize) -> io::Result<Helpers> {
        let (jobs, waiting) = flume::bounded::<Job>(HELPER_JOBS_MAX);
        for number in 0..threads {
            let waiting = waiting.clone();
            let work = move || {
                for job in waiting {
                    // The panic is reported by the hook, and whoever waits hears of it.
                    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                }
            };
            let builder = thread::Builder::new().name(format!("{name}-{number}"));
            builder.spawn(work)?;
        }
        Ok(Helpers { jobs })
    }

    /// Runs `work` on a helper thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JobLost> {
        let (answer, answered) = flume::bounded(1);
        let job = move || {
            // Nobody waits any more when the connection is gone.
            let _ = answer.send(work());
        };
        let sent = self.jobs.send_async(Box::new(job)).await;
        sent.map_err(|_| JobLost)?;
        answered.recv_async().await.map_err(|_| JobLost)
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn a_job_that_panics_is_reported_and_the_next_one_is_done() {
        let helpers = Helpers::start("test", 1).unwrap();
        assert!(block_on(helpers.run(|| panic!("planned"))).is_err());
        assert_eq!(block_on(helpers.run(|| 6 * 7)).unwrap(), 42);
    }
}

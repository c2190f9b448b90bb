//! The thread beside the shards that compacts: it filters what they have read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Weak};
use std::time::Duration;
use std::{io, thread};

use sillon_log::compaction::{Compaction, CompactionError};
use sillon_shard::{Event, OpId, ShardId};

use crate::local::Node;
use crate::mail::Mail;

/// How much less than the shards' threads it gets of a core that both want: the least there is.
const NICENESS: i32 = 19;

/// Pause before a full mailbox is tried again: its executor reads at every heartbeat.
const RETRY: Duration = Duration::from_millis(1);

/// A piece of work and whose it is.
struct Job {
    shard: ShardId,
    op: OpId,
    work: Box<Compaction>,
}

/// Hands work to the thread, which ends with the last of these.
#[derive(Clone)]
pub(crate) struct Compactor {
    jobs: Sender<Job>,
}

impl Compactor {
    /// One for the node: compaction takes a core at most, and each shard has one piece with it at
    /// a time. To be called from a thread that is not pinned to a core.
    pub(crate) fn start(node: &Arc<Node>) -> io::Result<Compactor> {
        let (jobs, waiting) = mpsc::channel();
        let node = Arc::downgrade(node);
        let builder = thread::Builder::new().name("compactor".to_owned());
        builder.spawn(move || work(&node, &waiting))?;
        Ok(Compactor { jobs })
    }

    /// Runs a piece of work; the shard hears of it.
    pub(crate) fn run(&self, shard: ShardId, op: OpId, work: Box<Compaction>) {
        let sent = self.jobs.send(Job { shard, op, work });
        sent.expect("the thread lives as long as anybody may send");
    }
}

fn work(node: &Weak<Node>, waiting: &Receiver<Job>) {
    if let Err(error) = rustix::process::nice(NICENESS) {
        tracing::debug!(%error, "compaction runs at the shards' priority");
    }
    for Job { shard, op, work } in waiting {
        let mut mail = Mail::Event(Event::Computed {
            op,
            work: run(work),
        });
        // Until it is sent or nobody is left to read it.
        while let Some(node) = node.upgrade()
            && let Err(back) = node.mailboxes[usize::from(shard.0)].push(mail)
        {
            mail = back;
            drop(node);
            thread::sleep(RETRY);
        }
    }
}

/// The panic is reported by the hook, and the pass ends.
fn run(mut work: Box<Compaction>) -> Box<Compaction> {
    let ran = catch_unwind(AssertUnwindSafe(|| work.run()));
    if ran.is_err() {
        work = Box::default();
        work.error = Some(CompactionError::Lost);
    }
    work
}

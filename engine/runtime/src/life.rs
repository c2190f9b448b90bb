//! The steps of a node's life, as its main thread takes the executors through them: boot, open,
//! serve; then drain, stop, end.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::local::Node;
use crate::mail::{Mail, Order, Report, Step};
use crate::{NodeError, Ready};

/// How long shards may take to write back and checkpoint when a node stops, in ms. Their data is
/// safe without it; the next start is faster with it.
const STOP_SHARDS_MS: u64 = 60_000;

/// Pause before a full mailbox is tried again: its executor reads at every heartbeat.
const RETRY: Duration = Duration::from_millis(1);

pub(crate) struct Life {
    node: Arc<Node>,
    inbound: Receiver<Report>,
    threads: Vec<JoinHandle<()>>,
    shards: Vec<Progress>,
    cluster_id: Option<String>,
    /// The first thing that went wrong.
    failure: Option<NodeError>,
    is_stop_asked: bool,
}

/// How far an executor is.
#[derive(Default)]
struct Progress {
    has_disk: bool,
    is_open: bool,
    replayed_bytes: u64,
    is_drained: bool,
    is_stopped: bool,
    is_gone: bool,
}

impl Life {
    pub(crate) fn new(node: Arc<Node>, inbound: Receiver<Report>) -> Life {
        let shards = node.mailboxes.iter().map(|_| Progress::default()).collect();
        Life {
            node,
            inbound,
            threads: Vec::new(),
            shards,
            cluster_id: None,
            failure: None,
            is_stop_asked: false,
        }
    }

    /// Takes the next executor's thread.
    pub(crate) fn started(&mut self, thread: io::Result<JoinHandle<()>>) {
        let shard = self.threads.len();
        match thread {
            Ok(thread) => self.threads.push(thread),
            Err(source) => {
                self.shards[shard..]
                    .iter_mut()
                    .for_each(|shard| shard.is_gone = true);
                self.fail(NodeError::Executor {
                    shard: shard as u16,
                    message: source.to_string(),
                });
            }
        }
    }

    /// Lives until the node is asked to stop, or fails.
    pub(crate) fn live(
        mut self,
        ready: Box<dyn FnOnce(&Ready) + Send>,
        drain_ms: u64,
    ) -> Result<(), NodeError> {
        if self.start(ready) {
            self.run_while(|_| true);
            self.drain(drain_ms);
        }
        self.stop();
        match self.failure {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Whether the services were started.
    fn start(&mut self, ready: Box<dyn FnOnce(&Ready) + Send>) -> bool {
        if !self.run_while(|life| life.shards.iter().any(|shard| !shard.has_disk)) {
            return false;
        }
        self.order(0, Order::Boot);
        if !self.run_while(|life| {
            life.cluster_id.is_none() || life.shards.iter().any(|shard| !shard.is_open)
        }) {
            return false;
        }
        let ready_node = Ready {
            cluster_id: self.cluster_id.clone().unwrap_or_default(),
            shards: self.shards.len() as u16,
            replayed_bytes: self.shards.iter().map(|shard| shard.replayed_bytes).sum(),
        };
        self.order_all(|| Order::Serve);
        ready(&ready_node);
        true
    }

    fn drain(&mut self, drain_ms: u64) {
        self.order_all(|| Order::Drain);
        let is_drained = self.wait(drain_ms, |shard| shard.is_drained);
        if !is_drained {
            tracing::warn!(drain_ms, "connections are cut that did not finish in time");
        }
    }

    fn stop(&mut self) {
        self.order_all(|| Order::StopShard);
        let has_stopped = self.wait(STOP_SHARDS_MS, |shard| shard.is_stopped);
        self.order_all(|| Order::Exit);
        if !has_stopped {
            let shards = self.shards.iter().enumerate();
            let late = shards.filter(|(_, shard)| !shard.is_stopped && !shard.is_gone);
            let shards = late.map(|(shard, _)| shard as u16).collect();
            // Their threads may hang in the kernel, and end with the process.
            return self.fail(NodeError::StopTimeout {
                shards,
                waited_ms: STOP_SHARDS_MS,
            });
        }
        for thread in self.threads.drain(..) {
            // A panic has been reported by its thread.
            let _ = thread.join();
        }
        // What went wrong at the very end counts as well.
        while let Ok(report) = self.inbound.try_recv() {
            self.take_in(report);
        }
    }

    /// Takes in reports while `condition` holds. False when the node has to stop instead.
    fn run_while(&mut self, condition: impl Fn(&Life) -> bool) -> bool {
        while self.failure.is_none() && !self.is_stop_asked {
            if !condition(self) {
                return true;
            }
            match self.inbound.recv() {
                Ok(report) => self.take_in(report),
                Err(_) => return false,
            }
        }
        false
    }

    /// Takes in reports until every executor is that far or gone. False when time is up.
    fn wait(&mut self, wait_ms: u64, is_there: impl Fn(&Progress) -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_millis(wait_ms);
        while !self
            .shards
            .iter()
            .all(|shard| is_there(shard) || shard.is_gone)
        {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.inbound.recv_timeout(left) {
                Ok(report) => self.take_in(report),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }

    fn take_in(&mut self, report: Report) {
        match report {
            Report::StopAsked => self.is_stop_asked = true,
            Report::Failed(error) => self.fail(error),
            Report::Gone(shard, error) => {
                self.shards[usize::from(shard.0)].is_gone = true;
                self.fail(error);
            }
            Report::Done(shard, step) => {
                let shard = &mut self.shards[usize::from(shard.0)];
                match step {
                    Step::DiskReady => shard.has_disk = true,
                    Step::Booted { cluster_id } => self.cluster_id = Some(cluster_id),
                    Step::Opened { replayed_bytes } => {
                        shard.is_open = true;
                        shard.replayed_bytes = replayed_bytes;
                    }
                    Step::Drained => shard.is_drained = true,
                    Step::Broken | Step::Stopped => shard.is_stopped = true,
                }
            }
        }
    }

    fn fail(&mut self, error: NodeError) {
        tracing::error!("{error}");
        self.failure.get_or_insert(error);
    }

    fn order_all(&mut self, order: impl Fn() -> Order) {
        for shard in 0..self.shards.len() {
            self.order(shard, order());
        }
    }

    fn order(&mut self, shard: usize, order: Order) {
        let mut mail = Mail::Order(order);
        while !self.shards[shard].is_gone {
            match self.node.mailboxes[shard].push(mail) {
                Ok(()) => return,
                Err(back) => mail = back,
            }
            // An executor that has ended meanwhile says so here.
            if let Ok(report) = self.inbound.recv_timeout(RETRY) {
                self.take_in(report);
            }
        }
    }
}

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};
use sillon_disk::GlommioDisk;
use sillon_shard::ShardId;

use crate::compactor::Compactor;
use crate::executor::{self, Service};
use crate::local::{Local, Node};
use crate::mail::Report;
use crate::{NodeError, probe};

/// Background writes in flight on the device, over all shards: a journal round's p99 beside
/// write-back was 0.5 ms at depth 2 and 2.2 ms at depth 16. Each shard gets one at least.
const BACKGROUND_WRITES_MAX: usize = 2;

/// What an executor's thread starts with.
pub(crate) struct ExecutorStart {
    pub(crate) shard: ShardId,
    /// The core that it runs on; `None`: any.
    pub(crate) core: Option<usize>,
    pub(crate) node: Arc<Node>,
    pub(crate) compactor: Compactor,
    pub(crate) data_dir: PathBuf,
    pub(crate) reports: Sender<Report>,
    pub(crate) service: Service,
}

impl ExecutorStart {
    pub(crate) fn spawn(self) -> io::Result<JoinHandle<()>> {
        let name = format!("shard-{}", self.shard.0);
        thread::Builder::new().name(name).spawn(|| self.run())
    }

    fn run(self) {
        let _watch = PanicWatch {
            shard: self.shard,
            reports: self.reports.clone(),
        };
        let (shard, reports) = (self.shard, self.reports.clone());
        let outcome = self
            .executor()
            .and_then(|executor| executor.run(self.live()));
        if let Err(error) = outcome {
            let _ = reports.send(Report::Gone(shard, error));
        }
    }

    /// glommio's thread for blocking calls starts with the executor and before the pinning, so
    /// that it may run on every core: a long truncation must not take this one.
    fn executor(&self) -> Result<LocalExecutor, NodeError> {
        let fail = |message: String| NodeError::Executor {
            shard: self.shard.0,
            message,
        };
        let shards = self.node.mailboxes.len() as u16;
        let made = LocalExecutorBuilder::new(Placement::Unbound)
            .name(&format!("shard-{}", self.shard.0))
            .io_memory(probe::io_memory_bytes(shards))
            .make();
        let executor = made.map_err(|error| fail(error.to_string()))?;
        if let Some(core) = self.core {
            let pinned = affinity::set_thread_affinity([core]);
            pinned.map_err(|error| fail(format!("cannot pin it to core {core}: {error}")))?;
        }
        Ok(executor)
    }

    async fn live(self) -> Result<(), NodeError> {
        let background = (BACKGROUND_WRITES_MAX / self.node.mailboxes.len()).max(1);
        let disk = GlommioDisk::open(&self.data_dir, background).await;
        let disk = disk.map_err(|source| NodeError::Disk {
            shard: self.shard.0,
            source,
        })?;
        let local = Local::new(self.shard, self.node, disk, self.compactor, self.reports);
        executor::run(Rc::new(local), self.service).await;
        Ok(())
    }
}

/// Tells the main thread when the executor's thread unwinds; otherwise the node would wait for
/// it for ever.
struct PanicWatch {
    shard: ShardId,
    reports: Sender<Report>,
}

impl Drop for PanicWatch {
    fn drop(&mut self) {
        if thread::panicking() {
            let shard = self.shard.0;
            let error = NodeError::Panicked { shard };
            let _ = self.reports.send(Report::Gone(self.shard, error));
        }
    }
}

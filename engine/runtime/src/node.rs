//! A node: checks the host, takes the data folder, starts the executors.

use std::fs::{self, File};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;

use sillon_shard::{NodeConfig, ShardId};

use crate::compactor::Compactor;
use crate::core::Core;
use crate::life::Life;
use crate::local::Node;
use crate::mail::MAILBOX_CAPACITY;
use crate::mailbox::Mailbox;
use crate::probe::{self, Needs, Verdict};
use crate::stop::SignalWatch;
use crate::thread::ExecutorStart;
use crate::{FolderLock, NodeError, NodeOptions, ServiceError, cores, mount};

/// What a service returns: it ends after [`Core::stopping`], or with what it cannot bear.
pub type ServiceFuture = Pin<Box<dyn Future<Output = Result<(), ServiceError>>>>;

/// Runs a node until it is stopped: by SIGTERM or SIGINT, its [`crate::StopHandle`], or an error.
/// `service` is started on every executor once all shards have recovered.
///
/// # Errors
/// When the node cannot start, or ended otherwise than by being stopped.
pub fn run<S>(options: NodeOptions, service: S) -> Result<(), NodeError>
where
    S: Fn(Core) -> ServiceFuture + Send + Clone + 'static,
{
    probe::raise_limits();
    let shards = options.shards.unwrap_or_else(cores::default_shards).max(1);
    make_durable(&options.data_dir)?;
    let _lock = FolderLock::take(&options.data_dir)?;
    let needs = Needs {
        shards,
        journal_bytes: options.journal_bytes,
        memory_bytes: options.memory_needed_bytes.unwrap_or(options.memory_bytes),
    };
    check_host(&options.data_dir, &needs)?;
    let (reports, inbound) = mpsc::channel();
    let _signals = match options.catches_signals {
        true => Some(SignalWatch::start(reports.clone()).map_err(NodeError::Signals)?),
        false => None,
    };
    options.stop.attach(reports.clone());
    let node = Arc::new(Node {
        broker: options.broker,
        clock: options.clock.clone(),
        controller: options.controller,
        mailboxes: (0..shards)
            .map(|_| Mailbox::new(MAILBOX_CAPACITY))
            .collect(),
        boot: node_config(&options, shards)?,
    });
    let compactor = Compactor::start(&node).map_err(NodeError::Compactor)?;
    let mut life = Life::new(node.clone(), inbound);
    let cores = cores::allowed();
    for shard in 0..shards {
        let start = ExecutorStart {
            shard: ShardId(shard),
            core: (usize::from(shards) <= cores.len()).then(|| cores[usize::from(shard)]),
            node: node.clone(),
            compactor: compactor.clone(),
            data_dir: options.data_dir.clone(),
            reports: reports.clone(),
            service: Box::new(service.clone()),
        };
        life.started(start.spawn());
    }
    drop(compactor);
    life.live(options.ready, options.drain_ms)
}

fn node_config(options: &NodeOptions, shards: u16) -> Result<NodeConfig, NodeError> {
    let file_system = rustix::fs::statvfs(&options.data_dir);
    let file_system = file_system.map_err(|source| NodeError::DataFolder {
        path: options.data_dir.clone(),
        source: source.into(),
    })?;
    Ok(NodeConfig {
        shards,
        broker: options.broker,
        host: options.host.clone(),
        port: options.port,
        memory_bytes: options.memory_bytes,
        journal_bytes: options.journal_bytes,
        place: mount::place_of(&options.data_dir).into(),
        file_system_bytes: file_system.f_blocks.saturating_mul(file_system.f_frsize),
        recovery_bytes_max: options.recovery_bytes_max,
        retention_check_ms: options.retention_check_ms,
        compaction: options.compaction,
        topic_defaults: options.topic_defaults,
        settings: Arc::new(options.settings.clone()),
        groups: options.groups,
    })
}

/// Makes the data folder, and its name and those above it durable.
fn make_durable(folder: &Path) -> Result<(), NodeError> {
    let fail = |source| NodeError::DataFolder {
        path: folder.to_owned(),
        source,
    };
    let missing = folder.ancestors().take_while(|part| !part.exists());
    let made: Vec<&Path> = missing
        .filter(|part| !part.as_os_str().is_empty())
        .collect();
    fs::create_dir_all(folder).map_err(fail)?;
    for part in made {
        let parent = match part.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(fail)?;
    }
    Ok(())
}

fn check_host(folder: &Path, needs: &Needs) -> Result<(), NodeError> {
    let findings = probe::probe(folder, needs);
    for finding in &findings {
        match finding.verdict {
            Verdict::Good => tracing::debug!("{finding}"),
            Verdict::Poor => tracing::warn!("{finding}"),
            Verdict::Missing => tracing::error!("{finding}"),
        }
    }
    let missing = findings
        .into_iter()
        .filter(|finding| finding.verdict == Verdict::Missing);
    let missing: Vec<_> = missing.collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(NodeError::Host(missing)),
    }
}

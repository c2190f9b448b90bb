//! A signal concerns the whole process, so this test has one of its own.

use rustix::process::{Signal, getpid, kill_process};
use sillon_runtime::{NodeOptions, ServiceFuture, run};

#[test]
fn sigterm_stops_a_node_in_order() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = NodeOptions {
        shards: Some(2),
        journal_bytes: Some(8 << 20),
        ready: Box::new(|_| kill_process(getpid(), Signal::TERM).unwrap()),
        ..NodeOptions::new(folder.path())
    };
    run(options, |core| -> ServiceFuture {
        Box::pin(async move {
            core.stopping().await;
            Ok(())
        })
    })
    .unwrap();
}

//! A signal concerns the whole process, so this test has one of its own.

use rustix::process::{Signal, getpid, kill_process};
use sillon_runtime::{NodeOptions, ServiceFuture, run};

#[test]
fn a_signal_that_comes_twice_stops_a_node_in_order() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = NodeOptions {
        shards: Some(2),
        journal_bytes: Some(8 << 20),
        ready: Box::new(|_| {
            // As when it is sent to the process and to its group. Two kinds, for the kernel keeps
            // one of each only.
            kill_process(getpid(), Signal::TERM).unwrap();
            kill_process(getpid(), Signal::INT).unwrap();
        }),
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

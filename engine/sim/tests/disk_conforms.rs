//! The simulated disk does what every disk does, in whatever order its operations complete, and
//! a crash takes what it may take and nothing else.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sillon_disk::conformance::conforms;
use sillon_sim::disk::{SimDisk, SimDiskHandle};

/// Runs a future that never waits for anything but simulated completions.
fn run<F: Future>(future: F) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("waits for a completion although nothing is in flight"),
    }
}

#[test]
fn the_simulated_disk_conforms_whatever_the_order_of_completions() {
    for seed in 0..50 {
        run(conforms(async |_case: &'static str| {
            let disk = Rc::new(RefCell::new(SimDisk::new(seed, 64 << 20)));
            SimDiskHandle::new(disk, 0, seed)
        }));
    }
}

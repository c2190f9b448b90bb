use std::io;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::mail::Report;

/// How long a signal counts as the first one again: timeout(1), and shells with a wrapper between,
/// send it to the process and to its group.
const ECHO: Duration = Duration::from_secs(1);

/// Stops a node in order, from any thread. Asking twice, or before it runs, is fine.
#[derive(Clone, Default)]
pub struct StopHandle {
    state: Arc<Mutex<StopState>>,
}

#[derive(Default)]
struct StopState {
    is_asked: bool,
    node: Option<Sender<Report>>,
}

impl StopHandle {
    /// Asks the node to stop; [`crate::run`] returns when it has.
    pub fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_asked = true;
        if let Some(node) = &state.node {
            // A node that has ended needs no stop.
            let _ = node.send(Report::StopAsked);
        }
    }

    pub(crate) fn attach(&self, node: Sender<Report>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_asked {
            let _ = node.send(Report::StopAsked);
        }
        state.node = Some(node);
    }
}

/// Watches SIGTERM and SIGINT until it is dropped: the first one stops the node, one that comes
/// later than [`ECHO`] ends the process on the spot.
pub(crate) struct SignalWatch {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalWatch {
    pub(crate) fn start(node: Sender<Report>) -> io::Result<SignalWatch> {
        let mut signals = Signals::new([SIGTERM, SIGINT])?;
        let handle = signals.handle();
        let watch = move || {
            let mut first: Option<Instant> = None;
            for signal in signals.forever() {
                match first {
                    None => {
                        first = Some(Instant::now());
                        tracing::info!(signal, "stopping");
                        let _ = node.send(Report::StopAsked);
                    }
                    Some(first) if first.elapsed() < ECHO => {}
                    Some(_) => {
                        tracing::warn!(signal, "second signal: ending at once");
                        std::process::exit(128 + signal);
                    }
                }
            }
        };
        let thread = thread::Builder::new().name("signals".into()).spawn(watch)?;
        Ok(SignalWatch {
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

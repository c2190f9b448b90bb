//! Ctrl-C and SIGTERM, for commands that have something to end in order.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};

/// Set by the first signal, after which the command ends in order; the second ends it on the spot.
pub fn interruption() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 1, interrupted.clone())?;
        register(signal, interrupted.clone())?;
    }
    Ok(interrupted)
}

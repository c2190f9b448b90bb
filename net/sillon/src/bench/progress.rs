//! The line that says how far a run is: on a terminal it is written over and over, elsewhere
//! there is one every five seconds.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use sillon_loadgen::{Kind, Progress, Stage};

use super::summary::{count, time};

/// Between two lines that stay.
const STAYING_EVERY: Duration = Duration::from_secs(5);

pub struct Line {
    is_terminal: bool,
    last: Option<Instant>,
}

impl Line {
    pub fn new() -> Line {
        Line {
            is_terminal: io::stderr().is_terminal(),
            last: None,
        }
    }

    /// Shows how far a scenario's run is.
    pub fn show(&mut self, name: &str, progress: &Progress) {
        let what = match progress.stage {
            Stage::Preparing => "creating topics".to_string(),
            Stage::Preloading => "writing what is to be read".to_string(),
            Stage::Verifying => "reading back what was acknowledged".to_string(),
            Stage::WarmingUp => format!("warming up, {:.0} s left", -progress.elapsed_s),
            Stage::Measuring => {
                format!("{:.0} of {:.0} s", progress.elapsed_s, progress.duration_s)
            }
        };
        let mut text = format!("{name}: {what}");
        for (kind, window) in &progress.last {
            text += &format!(
                " | {} {}/s, {:.0} MB/s, p50 {} p99 {}",
                match kind {
                    Kind::Produce => "produce",
                    Kind::EndToEnd => "end to end",
                    Kind::Fetch => "fetch",
                },
                count(window.requests as f64),
                window.payload_bytes as f64 / 1e6,
                time(window.p50_us),
                time(window.p99_us),
            );
        }
        self.say(&text);
    }

    /// Shows some text.
    pub fn say(&mut self, text: &str) {
        let mut out = io::stderr().lock();
        // What nobody can see is no reason to fail.
        if self.is_terminal {
            let _ = write!(out, "\r\x1b[K{text}");
            let _ = out.flush();
        } else if self.last.is_none_or(|last| last.elapsed() >= STAYING_EVERY) {
            self.last = Some(Instant::now());
            let _ = writeln!(out, "{text}");
        }
    }

    /// Makes room for what comes.
    pub fn clear(&self) {
        if self.is_terminal {
            let mut out = io::stderr().lock();
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }
}

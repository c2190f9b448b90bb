use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::reader::{Answer, Position, ReadError, Reader};
use crate::checker::{Checker, Seen};
use crate::clock::Clock;
use crate::measure::{Fault, Recorder};
use crate::schedule::SECOND_NS;

/// How long a consumer lets a broker alone that refuses it.
const PAUSE_AFTER_FAULT: Duration = Duration::from_millis(10);

/// How long a tailing consumer looks for what was acknowledged after the last acknowledgement.
const CATCH_UP_NS_MAX: u64 = 15 * SECOND_NS;

/// What tells consumers to stop.
#[derive(Debug, Default)]
pub struct Stop {
    /// Looping and catching-up consumers end now.
    pub now: AtomicBool,
    /// By the partition's number in the run: what was acknowledged. Tailing consumers end here.
    pub ends: OnceLock<Vec<i64>>,
}

/// What a consumer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Waits at the end of the log.
    Tailing,
    /// Reads from the beginning of the measurement on until it is at the end.
    CatchingUp,
    /// Reads again and again what is there; one answer in so many is checked whole.
    Looping(u32),
}

/// One consumer.
#[derive(Debug)]
pub struct ConsumerThread {
    /// What it is for.
    pub role: Role,
    /// The run's clock.
    pub clock: Clock,
    /// When it begins, in ns of the run's clock.
    pub from_ns: u64,
    /// Its partitions.
    pub reader: Reader,
    /// What it compares with.
    pub checker: Checker,
    /// Where it counts.
    pub recorder: Recorder,
    /// Whose time stamps are in whole milliseconds.
    pub is_coarse: bool,
    /// What ends it.
    pub stop: Arc<Stop>,
}

impl ConsumerThread {
    /// Consumes until it is told to stop. Returns what it found.
    pub fn run(mut self) -> Checker {
        let starts: Vec<i64> = self.reader.positions.iter().map(|at| at.next).collect();
        self.wait_for_start();
        let mut answers = 0_u32;
        let mut deadline_ns = None;
        while !self.is_over(&mut deadline_ns) {
            let is_checked = match self.role {
                Role::Looping(every) => answers.is_multiple_of(every),
                Role::Tailing | Role::CatchingUp => true,
            };
            answers = answers.wrapping_add(1);
            match self.poll(is_checked) {
                Ok(answer) if answer.faults.is_empty() => {}
                Ok(answer) => self.count(answer.faults),
                Err(error) => {
                    self.count(vec![Fault::Other(error.to_string())]);
                    break;
                }
            }
            if matches!(self.role, Role::Looping(_)) {
                for (position, start) in self.reader.positions.iter_mut().zip(&starts) {
                    if position.next >= position.high_watermark {
                        position.next = *start;
                    }
                }
            }
        }
        self.recorder.finish();
        self.checker
    }

    fn wait_for_start(&self) {
        let left_ns = self.from_ns.saturating_sub(self.clock.now_ns());
        std::thread::sleep(Duration::from_nanos(left_ns));
    }

    fn count(&mut self, faults: Vec<Fault>) {
        let tally = self.recorder.at(self.clock.now_ns());
        for fault in faults {
            *tally.errors.entry(fault).or_default() += 1;
        }
        std::thread::sleep(PAUSE_AFTER_FAULT);
    }

    fn is_over(&mut self, deadline_ns: &mut Option<u64>) -> bool {
        let positions = &self.reader.positions;
        if positions.iter().all(|at| at.is_broken) {
            return true;
        }
        match self.role {
            Role::Looping(_) => self.stop.now.load(Ordering::Relaxed),
            Role::CatchingUp => {
                let is_at_end = |at: &Position| {
                    at.is_broken || at.high_watermark >= 0 && at.next >= at.high_watermark
                };
                self.stop.now.load(Ordering::Relaxed) || positions.iter().all(is_at_end)
            }
            Role::Tailing => {
                let Some(ends) = self.stop.ends.get() else {
                    return false;
                };
                let is_there = |at: &Position| at.is_broken || at.next >= ends[at.partition];
                if positions.iter().all(is_there) {
                    return true;
                }
                let now_ns = self.clock.now_ns();
                let deadline_ns = *deadline_ns.get_or_insert(now_ns + CATCH_UP_NS_MAX);
                if now_ns < deadline_ns {
                    return false;
                }
                for at in positions.iter().filter(|at| !is_there(at)) {
                    self.checker.findings.add(format!(
                        "partition {} of the run: acknowledged up to offset {}, and a consumer \
                         was given records up to {} only",
                        at.partition, ends[at.partition], at.next
                    ));
                }
                true
            }
        }
    }

    fn poll(&mut self, is_checked: bool) -> Result<Answer, ReadError> {
        let clock = self.clock;
        let asked_ns = clock.now_ns();
        let arrived_ns = std::cell::Cell::new(asked_ns);
        let (is_tailing, is_coarse) = (self.role == Role::Tailing, self.is_coarse);
        let recorder = &mut self.recorder;
        let (mut records, mut payload_bytes) = (0, 0);
        let each = |seen: Seen| {
            records += seen.records;
            payload_bytes += seen.payload_bytes;
            if is_tailing {
                let tally = recorder.at(arrived_ns.get());
                tally.requests += 1;
                tally.records += seen.records;
                tally.payload_bytes += seen.payload_bytes;
                let due_unix_ns = match seen.identity {
                    Some(identity) => identity.due_unix_ns,
                    None if is_coarse => seen.timestamp_ms.max(0) as u64 * 1_000_000,
                    None => return,
                };
                let due_ns = clock.of_unix_ns(due_unix_ns);
                let latency_ns = arrived_ns.get().saturating_sub(due_ns).max(1);
                tally.latencies.saturating_record(latency_ns);
            }
        };
        let answer = self.reader.poll(
            &mut self.checker,
            is_checked,
            |_| true,
            || arrived_ns.set(clock.now_ns()),
            each,
        )?;
        if !is_tailing && answer.bytes > 0 {
            let tally = self.recorder.at(arrived_ns.get());
            tally.requests += 1;
            tally.records += records;
            tally.payload_bytes += payload_bytes;
            let latency_ns = (arrived_ns.get() - asked_ns).max(1);
            tally.latencies.saturating_record(latency_ns);
        }
        Ok(answer)
    }
}

use sillon_shard::{DiskError, DiskOp, Now, OpId};

use crate::coverage::{Coverage, crash_point};
use crate::disk::{Completion, OpKind, SimDisk, Verdict};
use crate::plan::{CrashAt, Fault};
use crate::random::Random;
use crate::trace::Trace;

/// Longest time that an operation takes, in ns.
const OPERATION_NS_MAX: u64 = 30_000_000;

/// The machine that a node runs on: disk and clock, with their faults, and what is written down
/// about both.
pub struct Host {
    /// The disk.
    pub disk: SimDisk,
    /// The time.
    pub now: Now,
    /// What happened.
    pub trace: Trace,
    /// How often what happened.
    pub coverage: Coverage,
    /// Chance of this host.
    pub random: Random,
    /// Crash at the next operation of a kind.
    pub crash_at: Option<CrashAt>,
    /// Crash after this many events of the disk.
    pub crash_after: Option<u64>,
    /// The next operation to fail.
    pub fault: Option<Fault>,
    /// Operations on paths with this in them take as long as they can.
    pub slow: Option<&'static str>,
    /// There was no space in this life, and now there is.
    pub has_space_again: bool,
    /// The node has not become ready yet.
    pub is_starting: bool,
    /// The node is to die now.
    pub is_dying: bool,
    /// An operation has failed in this life.
    pub has_failed: bool,
    /// How long the node has stood still so far, in ns.
    stalled_ns: u64,
    /// [`Self::awake_ns`] while the node does not work.
    asleep_since_ns: Option<u64>,
    /// When each operation in flight was submitted, in ns; in the disk's order.
    submitted_ns: Vec<u64>,
}

impl Host {
    /// A machine with an empty disk.
    pub fn new(random: &mut Random, budget_bytes: u64, trace: Trace) -> Host {
        Host {
            disk: SimDisk::new(random.next(), budget_bytes),
            now: Now {
                mono_ns: 1_000_000_000,
                wall_ms: 1_700_000_000_000,
            },
            trace,
            coverage: Coverage::default(),
            random: random.fork(),
            crash_at: None,
            crash_after: None,
            fault: None,
            slow: None,
            has_space_again: false,
            is_starting: true,
            is_dying: false,
            has_failed: false,
            stalled_ns: 0,
            asleep_since_ns: None,
            submitted_ns: Vec::new(),
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, ns: u64) {
        let before_ms = self.now.mono_ns / 1_000_000;
        self.now.mono_ns += ns;
        self.now.wall_ms += (self.now.mono_ns / 1_000_000 - before_ms) as i64;
        self.trace.set_time(self.now.mono_ns);
    }

    /// Lets time pass without the node.
    pub fn stall(&mut self, ns: u64) {
        self.advance(ns);
        self.stalled_ns += ns;
    }

    /// Time in which the node could work, in ns.
    pub fn awake_ns(&self) -> u64 {
        self.asleep_since_ns
            .unwrap_or(self.now.mono_ns - self.stalled_ns)
    }

    /// The node has died or failed: it keeps no promises that are due later.
    pub fn fall_asleep(&mut self) {
        self.asleep_since_ns = Some(self.awake_ns());
    }

    /// The node works again.
    pub fn wake_up(&mut self) {
        if let Some(since_ns) = self.asleep_since_ns.take() {
            self.stalled_ns = self.now.mono_ns - since_ns;
        }
    }

    /// Starts a disk operation of an executor.
    pub fn submit(&mut self, executor: u16, op: OpId, io: DiskOp) {
        let kind = OpKind::of(&io);
        self.trace
            .note("submit", &[u64::from(executor), op.0, kind as u64], || {
                format!("{executor} {} {}", kind.name(), describe(&io))
            });
        self.disk.submit(executor, op, io);
        self.submitted_ns.push(self.now.mono_ns);
        let pending = self.disk.pending().last().expect("it was just submitted");
        note_milestones(&mut self.coverage, &pending, self.is_starting);
        self.check_crash(kind, false);
    }

    /// Whether an operation has been in flight for as long as one can be.
    pub fn is_overdue(&self) -> bool {
        let oldest = self.submitted_ns.first();
        oldest.is_some_and(|at| self.now.mono_ns - at >= OPERATION_NS_MAX)
    }

    /// How many operations in flight may end now.
    pub fn ready_count(&self) -> usize {
        match self.slow {
            None => self.disk.in_flight_count(),
            Some(part) => {
                let quick = self.disk.pending().filter(|p| !p.path.contains(part));
                quick.count() + usize::from(self.is_overdue())
            }
        }
    }

    /// Which operation ends next: usually one of the older ones.
    fn pick_operation(&mut self) -> usize {
        if self.is_overdue() {
            return 0;
        }
        let quick: Vec<usize> = self
            .disk
            .pending()
            .enumerate()
            .filter(|(_, p)| self.slow.is_none_or(|part| !p.path.contains(part)))
            .map(|(index, _)| index)
            .collect();
        match quick.first() {
            None => 0,
            Some(oldest) if self.random.percent(30) => *oldest,
            Some(_) => self.random.pick(&quick),
        }
    }

    /// Ends one operation in flight.
    pub fn complete_one(&mut self) -> Completion {
        let index = self.pick_operation();
        let pending = self.disk.pending().nth(index).expect("index is in flight");
        let kind = pending.kind;
        let path = pending.path.to_owned();
        let verdict = self.verdict(kind);
        self.submitted_ns.remove(index);
        let completion = self.disk.complete(index, verdict);
        self.trace.note(
            "complete",
            &[
                u64::from(completion.executor),
                completion.op.0,
                u64::from(completion.result.is_ok()),
            ],
            || match &completion.result {
                Ok(_) => format!("{} {} {path}", completion.executor, kind.name()),
                Err(error) => format!("{} {}: {error}", completion.executor, kind.name()),
            },
        );
        if completion.result == Err(DiskError::NoSpace) {
            self.coverage.hit("disk full");
            self.has_failed = true;
        }
        self.check_crash(kind, true);
        completion
    }

    fn verdict(&mut self, kind: OpKind) -> Verdict {
        match &mut self.fault {
            Some(fault) if fault.kind == kind && fault.after > 0 => {
                fault.after -= 1;
                Verdict::Normal
            }
            Some(fault) if fault.kind == kind => {
                let is_short = fault.is_short;
                self.fault = None;
                self.has_failed = true;
                if is_short {
                    self.coverage.hit("short write");
                    Verdict::Short
                } else {
                    self.coverage.hit("EIO");
                    self.coverage.hit(&format!("EIO on {}", kind.name()));
                    Verdict::Error
                }
            }
            _ => Verdict::Normal,
        }
    }

    fn check_crash(&mut self, kind: OpKind, is_completed: bool) {
        if let Some(left) = &mut self.crash_after {
            *left = left.saturating_sub(1);
            self.is_dying |= *left == 0;
        }
        let is_here = self
            .crash_at
            .is_some_and(|at| at.kind == kind && at.is_completed == is_completed);
        if is_here && !self.is_dying {
            self.is_dying = true;
            let stage = if is_completed {
                "done, untold"
            } else {
                "in flight"
            };
            self.coverage.hit(&crash_point(kind.name(), stage));
        }
    }

    /// Forgets what was to happen in the life that has ended.
    pub fn end_life(&mut self) {
        self.crash_at = None;
        self.crash_after = None;
        self.fault = None;
        self.slow = None;
        self.has_space_again = false;
        self.is_dying = false;
        self.has_failed = false;
        self.submitted_ns.clear();
    }
}

/// Counts what shows in the operations of a disk.
fn note_milestones(coverage: &mut Coverage, pending: &crate::disk::Pending<'_>, is_starting: bool) {
    let (path, kind) = (pending.path, pending.kind);
    if kind == OpKind::Write && path.ends_with("/ring-0") && pending.position == 0 {
        coverage.hit("ring wrapped");
    }
    if kind == OpKind::Rename && path.ends_with("/checkpoint.new") {
        coverage.hit("checkpoint published");
    }
    if kind == OpKind::Open && path.ends_with(".timeindex") {
        coverage.hit("index written");
    }
    if kind == OpKind::Remove && path.ends_with(".log.deleted") {
        coverage.hit("segment removed by retention");
    }
    if path.ends_with(".swap") {
        match (kind, is_starting) {
            (OpKind::Rename, true) => coverage.hit("swap finished by a start"),
            (OpKind::Rename, false) => coverage.hit("compacted segment took its place"),
            (OpKind::Remove, true) => coverage.hit("swap undone by a start"),
            _ => {}
        }
    }
    let is_log = kind == OpKind::Open && path.ends_with(".log") && path.contains('/');
    if is_log && !path.ends_with("/00000000000000000000.log") {
        coverage.hit("segment rolled");
    }
}

fn describe(io: &DiskOp) -> String {
    match io {
        DiskOp::MakeFolder { path }
        | DiskOp::List { path }
        | DiskOp::Remove { path }
        | DiskOp::RemoveFolder { path }
        | DiskOp::SyncFolder { path } => path.to_string(),
        DiskOp::Open {
            file, path, create, ..
        } => format!(
            "{path} as {:x}{}",
            file.0,
            if *create { ", create" } else { "" }
        ),
        DiskOp::Rename { from, to } => format!("{from} to {to}"),
        DiskOp::Exchange { from, to } => format!("{from} against {to}"),
        DiskOp::Allocate {
            file,
            position,
            len,
        }
        | DiskOp::Read {
            file,
            position,
            len,
            ..
        } => format!("{:x}: {len} at {position}", file.0),
        DiskOp::Write {
            file,
            position,
            pieces,
            ..
        } => {
            let len: usize = pieces.iter().map(|piece| piece.len()).sum();
            format!("{:x}: {len} at {position}", file.0)
        }
        DiskOp::Truncate { file, len } => format!("{:x} to {len}", file.0),
        DiskOp::Sync { file } | DiskOp::Close { file } => format!("{:x}", file.0),
    }
}

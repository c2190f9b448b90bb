use sillon_controller::TopicConfig;

use crate::disk::{Crash, OP_KINDS, OpKind};
use crate::random::Random;

/// Client operations of one run.
const OPERATIONS_MIN: u64 = 300;
const OPERATIONS_MAX: u64 = 450;

/// Most shards of a node.
pub const SHARDS_MAX: u64 = 3;

/// What a seed stands for: sizes and rates that hold for the whole run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Client operations in all.
    pub operations: u64,
    /// Shards of the first start.
    pub shards: u16,
    /// Size of a node's journals, in bytes.
    pub journal_bytes: u64,
    /// A node's `--memory`, in bytes.
    pub memory_bytes: u64,
    /// `recovery.bytes.max`
    pub recovery_bytes_max: u64,
    /// How often retention looks for what may go, in ms.
    pub retention_check_ms: u64,
    /// How long compaction rests, in ms.
    pub compaction_backoff_ms: u64,
    /// What a pass of compaction remembers of keys at most, in bytes.
    pub compaction_map_bytes: u64,
    /// What topics have that say nothing themselves.
    pub topic_defaults: TopicConfig,
    /// Largest batch that clients send, in bytes of values.
    pub value_bytes_max: usize,
    /// Chance of a start with another number of shards, in percent.
    pub reshard_percent: u64,
    /// Chance of a life with an I/O error or a short write, in percent.
    pub fault_percent: u64,
    /// Chance of a life with a full disk, in percent.
    pub full_percent: u64,
}

/// Largest `segment.bytes` of a run; small, so that segments roll.
const SEGMENT_BYTES: [u32; 4] = [12 << 10, 20 << 10, 48 << 10, 100 << 10];

impl Plan {
    /// Draws a plan.
    pub fn draw(random: &mut Random) -> Plan {
        let segment_bytes = random.pick(&SEGMENT_BYTES);
        let topic_defaults = TopicConfig {
            segment_bytes,
            segment_ms: random.pick(&[2_000, 3_600_000]),
            ..TopicConfig::default()
        };
        let journal_bytes = random.pick(&[512 << 10, 1 << 20]);
        // A batch of four values fits a segment, and a round of the smallest ring: a quarter of
        // one of its four files, when three shards share the journal.
        let round_bytes = journal_bytes / SHARDS_MAX / 4 / 4 - 4096;
        let value_bytes_max = (round_bytes / 4).min(u64::from(segment_bytes) / 4 - 200);
        Plan {
            operations: random.between(OPERATIONS_MIN, OPERATIONS_MAX),
            shards: random.pick(&[1, 1, 2, 3]),
            journal_bytes,
            // Less would have no room for the producers of a run.
            memory_bytes: random.pick(&[1 << 20, 2 << 20, 4 << 20]),
            recovery_bytes_max: random.pick(&[64 << 10, 1 << 20]),
            retention_check_ms: random.pick(&[20, 200, 2_000]),
            compaction_backoff_ms: random.pick(&[1, 20, 200]),
            // A few keys, and more than there are.
            compaction_map_bytes: random.pick(&[120, 1 << 20]),
            topic_defaults,
            value_bytes_max: random.pick(&[200, 1500, 6000]).min(value_bytes_max) as usize,
            reshard_percent: random.pick(&[0, 30]),
            fault_percent: random.pick(&[0, 25]),
            full_percent: random.pick(&[0, 20]),
        }
    }
}

/// How a life ends.
#[derive(Clone, Debug)]
pub struct LifePlan {
    /// Client operations until its end begins.
    pub operations: u64,
    /// It is asked to stop.
    pub is_clean: bool,
    /// Where it crashes; for a clean end, perhaps, while it stops.
    pub crash_at: Option<CrashAt>,
    /// How it crashes.
    pub crash: Crash,
    /// Crashes while it starts, after this many disk events.
    pub crash_in_start: Option<u64>,
    /// An operation that fails, and how.
    pub fault: Option<Fault>,
    /// Operations on paths with this in them are slow.
    pub slow: Option<&'static str>,
    /// The disk is full from this operation on, for a while.
    pub full_at: Option<u64>,
}

/// A moment of a crash: the next operation of a kind.
#[derive(Clone, Copy, Debug)]
pub struct CrashAt {
    /// Which.
    pub kind: OpKind,
    /// Submitted, or completed without anybody having been told.
    pub is_completed: bool,
}

/// An operation that fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Its kind.
    pub kind: OpKind,
    /// How many of that kind succeed before it.
    pub after: u64,
    /// A short write instead of EIO.
    pub is_short: bool,
}

/// What can be slow: segments, checkpoints, rings, the metadata log, or all folders of topics.
const SLOW_PATHS: [&str; 6] = [
    ".log",
    "checkpoint",
    "checkpoint",
    "/ring-",
    "metadata.log",
    "t0-",
];

impl LifePlan {
    /// Draws how a life goes.
    pub fn draw(plan: &Plan, operations_left: u64, random: &mut Random) -> LifePlan {
        let operations = random.between(5, 160).min(operations_left);
        let is_clean = random.percent(20);
        let crash_at = CrashAt {
            kind: random.pick(&OP_KINDS),
            is_completed: random.percent(50),
        };
        let does_crash = !is_clean || random.percent(40);
        let fault = random.percent(plan.fault_percent).then(|| {
            let is_short = random.percent(25);
            let kind = random.pick(&[
                OpKind::Write,
                OpKind::Write,
                OpKind::Sync,
                OpKind::Sync,
                OpKind::Read,
                OpKind::Allocate,
                OpKind::Truncate,
                OpKind::Rename,
                OpKind::SyncFolder,
                OpKind::Open,
                OpKind::MakeFolder,
                OpKind::Remove,
            ]);
            Fault {
                kind: if is_short { OpKind::Write } else { kind },
                after: random.below(match kind {
                    OpKind::Write | OpKind::Sync => 150,
                    _ => 20,
                }),
                is_short,
            }
        });
        LifePlan {
            operations,
            is_clean,
            crash_at: does_crash.then_some(crash_at),
            crash: draw_crash(random),
            crash_in_start: random.percent(15).then(|| random.below(120)),
            fault,
            slow: random.percent(30).then(|| random.pick(&SLOW_PATHS)),
            full_at: random
                .percent(plan.full_percent)
                .then(|| random.below(operations.max(1))),
        }
    }
}

/// Draws how a node dies.
pub fn draw_crash(random: &mut Random) -> Crash {
    if random.percent(25) {
        return Crash::Kill;
    }
    Crash::PowerCut {
        data_survives: random.pick(&[0, 20, 50, 80, 100]),
        names_survive: random.pick(&[0, 20, 50, 80, 100]),
        has_garbage: random.percent(50),
    }
}

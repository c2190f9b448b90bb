//! Resource limits: locked memory and open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::Finding;

/// What glommio asks of RLIMIT_MEMLOCK at least, in bytes.
const MEMLOCK_NEEDED_BYTES: u64 = 512 << 10;

/// Descriptors below which a node soon runs out: its segments and journals take some hundreds,
/// the rest is for connections.
const OPEN_FILES_WANTED: u64 = 10_000;

/// Descriptors without which a node does not come up, beside [`OPEN_FILES_OF_A_SHARD`].
const OPEN_FILES_NEEDED: u64 = 64;

/// Descriptors of a shard's rings, journal and first connections.
const OPEN_FILES_OF_A_SHARD: u64 = 32;

/// Registered memory of an executor, in bytes: at most enough for two background writes of
/// 256 KiB and some rounds; beyond it buffers come from the heap.
const IO_MEMORY_MAX_BYTES: u64 = 1 << 20;

/// glommio makes this many rings per executor and registers the memory with each of them.
const RINGS: u64 = 3;

pub(super) const MEMLOCK_MEND: &str = "Raise it: `ulimit -l 8192` in the shell, LimitMEMLOCK=8M in \
     a systemd unit, `--ulimit memlock=8388608` for Docker";

const OPEN_FILES_MEND: &str = "Raise it: `ulimit -n 100000` in the shell, LimitNOFILE=100000 in a \
     systemd unit, `--ulimit nofile=100000` for Docker";

/// Raises the soft limits of open files and locked memory to the hard ones, as any process may.
/// A limit that cannot be raised stays; [`super::probe`] shows what came of it.
pub fn raise_limits() {
    for resource in [Resource::Nofile, Resource::Memlock] {
        let limit = getrlimit(resource);
        if limit.current != limit.maximum {
            let raised = Rlimit {
                current: limit.maximum,
                maximum: limit.maximum,
            };
            if let Err(error) = setrlimit(resource, raised) {
                tracing::debug!(?resource, %error, "the soft limit stays");
            }
        }
    }
}

pub(super) fn limits(shards: u16) -> Vec<Finding> {
    vec![
        locked_memory(getrlimit(Resource::Memlock).current, shards),
        open_files(getrlimit(Resource::Nofile).current, shards),
    ]
}

/// Memory that each of `shards` executors registers for its I/O, in bytes: half of what may be
/// locked, over all rings, as other processes of the user count as well.
pub fn io_memory_bytes(shards: u16) -> usize {
    io_memory_under(getrlimit(Resource::Memlock).current, shards) as usize
}

fn io_memory_under(limit: Option<u64>, shards: u16) -> u64 {
    let share = limit.unwrap_or(u64::MAX) / 2 / RINGS / u64::from(shards.max(1));
    // A power of two, as glommio's allocator halves it again and again; 64 KiB is its minimum.
    let largest = share.clamp(64 << 10, IO_MEMORY_MAX_BYTES);
    1 << largest.ilog2()
}

fn locked_memory(limit: Option<u64>, shards: u16) -> Finding {
    let subject = "locked memory";
    let Some(limit) = limit else {
        return Finding::good(subject, "no limit");
    };
    let detail = format!("RLIMIT_MEMLOCK is {limit} bytes");
    if limit < MEMLOCK_NEEDED_BYTES {
        return Finding::missing(
            subject,
            format!("{detail}, at least {MEMLOCK_NEEDED_BYTES} are needed"),
            MEMLOCK_MEND,
        );
    }
    let needed = io_memory_under(Some(limit), shards) * RINGS * u64::from(shards);
    match needed <= limit {
        true => Finding::good(subject, format!("{detail}, {needed} are used")),
        false => Finding::poor(
            subject,
            format!("{detail}, {shards} shards would register {needed}; they copy instead"),
            MEMLOCK_MEND,
        ),
    }
}

fn open_files(limit: Option<u64>, shards: u16) -> Finding {
    let subject = "open files";
    let needed = OPEN_FILES_NEEDED + OPEN_FILES_OF_A_SHARD * u64::from(shards);
    match limit {
        Some(limit) if limit < needed => Finding::missing(
            subject,
            format!("RLIMIT_NOFILE is {limit}, at least {needed} are needed"),
            OPEN_FILES_MEND,
        ),
        Some(limit) if limit < OPEN_FILES_WANTED => Finding::poor(
            subject,
            format!("RLIMIT_NOFILE is {limit}, {OPEN_FILES_WANTED} are wanted"),
            OPEN_FILES_MEND,
        ),
        Some(limit) => Finding::good(subject, format!("RLIMIT_NOFILE is {limit}")),
        None => Finding::good(subject, "no limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn the_executors_of_a_small_machine_fit_into_the_usual_limit_of_8_mib() {
        assert_eq!(io_memory_under(Some(8 << 20), 2), 512 << 10);
        assert_eq!(io_memory_under(Some(8 << 20), 16), 64 << 10);
        assert_eq!(io_memory_under(None, 2), 1 << 20);
        for shards in 1..=16 {
            assert_eq!(locked_memory(Some(8 << 20), shards).verdict, Verdict::Good);
        }
    }

    #[test]
    fn a_limit_that_is_too_low_comes_with_the_way_to_raise_it() {
        let finding = locked_memory(Some(64 << 10), 1);
        assert_eq!(finding.verdict, Verdict::Missing);
        assert!(finding.to_string().contains("LimitMEMLOCK=8M"), "{finding}");
        let finding = open_files(Some(100), 2);
        assert_eq!(finding.verdict, Verdict::Missing);
        assert!(finding.to_string().contains("LimitNOFILE"), "{finding}");
        let finding = open_files(Some(1024), 2);
        assert_eq!(finding.verdict, Verdict::Poor);
        assert!(finding.to_string().contains("LimitNOFILE"), "{finding}");
    }
}

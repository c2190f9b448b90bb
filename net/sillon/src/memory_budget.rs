//! What `--memory` is for: its parts, and what a broker takes beside it. `sillon serve` splits it
//! so, and `sillon doctor` prints it.

use sillon_runtime::io_memory_bytes;
use sillon_server::limits as server;
use sillon_shard::ShardMemory;

use crate::broker_args::BrokerArgs;
use crate::configuration::ConnectionLimits;

/// The parts of `--memory` that belong to the server; those of the shards are
/// [`ShardMemory::of`]. Together with those they are 63/64: a part for what is counted one by one
/// (waiting requests) stays free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBudget {
    /// Frames of requests that have not been worked on yet, in bytes: 3/16.
    pub receive_bytes: u64,
    /// What responses on their way out hold, in bytes: an eighth.
    pub send_bytes: u64,
}

impl MemoryBudget {
    /// Splits `--memory`.
    pub fn of(memory_bytes: u64) -> MemoryBudget {
        MemoryBudget {
            receive_bytes: memory_bytes / 16 * 3,
            send_bytes: memory_bytes / 8,
        }
    }
}

/// The largest request that has a place in the memory for requests, in bytes.
pub fn frame_bytes_max(memory_bytes: u64, shards: u16) -> u64 {
    let of_shard = MemoryBudget::of(memory_bytes).receive_bytes / u64::from(shards.max(1));
    // As the server halves it.
    (of_shard - of_shard / 2).max(server::USUAL_FRAME_BYTES_MAX as u64)
}

/// A line of the arithmetic.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// How much it takes at most, in bytes.
    pub bytes: u64,
    /// How that comes about.
    pub derivation: String,
}

/// What a broker may take at most.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryNeeds {
    /// `--memory`, in bytes.
    pub budget_bytes: u64,
    /// Its parts; they make up all of it.
    pub within: Vec<Part>,
    /// What comes on top.
    pub beside: Vec<Part>,
    /// Both together, in bytes: the least that a container should be allowed.
    pub total_bytes: u64,
    /// What a partition takes on top at most, in bytes, while it is idle.
    pub per_partition_bytes: u64,
}

/// The program, its threads and what the allocator keeps, in bytes. Measured by
/// `ci/many-partitions`: an idle broker with two shards has 10 MiB resident, of which 8 are the
/// program, and at most 20 while it starts; the rest is what the allocator may keep.
const PROGRAM_BYTES: u64 = 32 << 20;

/// An idle partition's state, in bytes. Measured by `ci/many-partitions` with 2,000 of them: 12 to 15
/// KiB after their creation, 6 after a restart.
const PARTITION_BYTES: u64 = 16 << 10;

/// The index of a partition's active segment when it is full, in bytes.
const INDEX_BYTES: u64 =
    (sillon_log::INDEX_ENTRIES_MAX * size_of::<sillon_log::IndexEntry>()) as u64;

/// A fetch session's partition, in bytes.
const SESSION_PARTITION_BYTES: u64 = 250;

/// An idle connection, in bytes.
const CONNECTION_BYTES: u64 = 2 << 10;

impl MemoryNeeds {
    /// The arithmetic of a broker with these options.
    pub fn of(args: &BrokerArgs, connections: &ConnectionLimits) -> MemoryNeeds {
        let (memory, shards) = (args.memory, u64::from(args.shards()));
        let within = within(memory, args.shards());
        let connections_max = connections.max.unwrap_or(server::CONNECTIONS_MAX) as u64;
        let beside = beside(memory, shards, connections_max);
        let sum = |parts: &[Part]| parts.iter().map(|part| part.bytes).sum::<u64>();
        MemoryNeeds {
            budget_bytes: memory,
            total_bytes: sum(&within) + sum(&beside),
            within,
            beside,
            per_partition_bytes: PARTITION_BYTES + INDEX_BYTES,
        }
    }
}

fn part(name: &'static str, bytes: u64, derivation: impl Into<String>) -> Part {
    Part {
        name,
        bytes,
        derivation: derivation.into(),
    }
}

fn within(memory: u64, shards: u16) -> Vec<Part> {
    let of_shard = ShardMemory::of(memory, shards);
    let budget = MemoryBudget::of(memory);
    let count = u64::from(shards);
    let mut parts = vec![
        part(
            "records not in their segments yet",
            of_shard.dirty_bytes * count,
            "1/4; beyond it producers wait",
        ),
        part(
            "newest records, for readers",
            of_shard.tail_bytes * count,
            "1/4; the oldest go first",
        ),
        part(
            "requests",
            budget.receive_bytes,
            "3/16; beyond it connections are not read",
        ),
        part(
            "responses",
            budget.send_bytes,
            "1/8; beyond it those of Fetch become small, and at half of it others wait",
        ),
        part(
            "idempotent producers",
            of_shard.producers_max as u64 * ShardMemory::PRODUCER_BYTES * count,
            format!(
                "1/16: {} producers of {} bytes; beyond it the oldest idle one is forgotten",
                of_shard.producers_max as u64 * count,
                ShardMemory::PRODUCER_BYTES
            ),
        ),
    ];
    parts.push(part(
        "compaction",
        of_shard.compaction_bytes * count,
        "1/16: keys of a pass, while one runs",
    ));
    parts.push(part(
        "consumer groups",
        of_shard.groups_bytes * count,
        "3/64: members, assignments, offsets; beyond it no group grows",
    ));
    let taken: u64 = parts.iter().map(|part| part.bytes).sum();
    parts.push(part(
        "waiting requests",
        memory - taken,
        "what is left: 1/64",
    ));
    parts
}

fn beside(memory: u64, shards: u64, connections_max: u64) -> Vec<Part> {
    let idle = 2 * sillon_buffer::POOL_IDLE_BYTES_MAX as u64;
    let indexes = sillon_shard::READ_INDEXES_BYTES_MAX;
    let registered = io_memory_bytes(shards as u16) as u64;
    let round = sillon_shard::ROUND_BYTES_MAX;
    let sessions = server::FETCH_SESSION_PARTITIONS_MAX as u64;
    let loose = MemoryBudget::of(memory).receive_bytes / server::LOOSE_SHARE;
    let per_shard = |bytes: u64| format!("{shards} shards with {} KiB each", bytes >> 10);
    vec![
        part(
            "program and threads",
            PROGRAM_BYTES,
            "as measured, and twice of it",
        ),
        part(
            "memory kept for the next records",
            idle * shards,
            format!("{}: two pools", per_shard(idle)),
        ),
        part(
            "journal round being written",
            round * shards,
            per_shard(round),
        ),
        part(
            "memory registered for I/O",
            registered * shards,
            format!("{}, by RLIMIT_MEMLOCK", per_shard(registered)),
        ),
        part(
            "indexes of old segments",
            indexes * shards,
            format!("{}: the 256 that were read last", per_shard(indexes)),
        ),
        part(
            "fetch sessions",
            sessions * SESSION_PARTITION_BYTES,
            format!("{sessions} partitions of {SESSION_PARTITION_BYTES} bytes"),
        ),
        part(
            "connections",
            connections_max * CONNECTION_BYTES,
            format!("{connections_max} (max.connections) of {CONNECTION_BYTES} bytes"),
        ),
        part(
            "requests that have just begun",
            loose + connections_max * server::RECEIVE_ROOM_MIN_BYTES as u64,
            format!(
                "{} KiB, and 4 KiB for each of {connections_max} connections",
                loose >> 10
            ),
        ),
    ]
}

/// File descriptors that a broker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DescriptorNeeds {
    /// Whatever it does: threads, rings, journals, listeners.
    pub base: u64,
    /// For each partition that is appended to: its active segment.
    pub per_active_partition: u64,
    /// For each connection.
    pub per_connection: u64,
    /// Of segments that readers read, at most.
    pub readers_max: u64,
    /// Connections at most (max.connections).
    pub connections_max: u64,
}

/// Descriptors of a shard, whatever it does: its rings, eventfds, timers and journal files.
const SHARD_DESCRIPTORS: u64 = 24;

/// Descriptors of the process besides those of its shards.
const PROCESS_DESCRIPTORS: u64 = 16;

impl DescriptorNeeds {
    /// The arithmetic of a broker with these options.
    pub fn of(args: &BrokerArgs, connections: &ConnectionLimits) -> DescriptorNeeds {
        let shards = u64::from(args.shards());
        DescriptorNeeds {
            base: PROCESS_DESCRIPTORS + SHARD_DESCRIPTORS * shards,
            per_active_partition: 1,
            per_connection: 1,
            readers_max: 2 * sillon_shard::RECENTLY_READ_MAX as u64 * shards,
            connections_max: connections.max.unwrap_or(server::CONNECTIONS_MAX) as u64,
        }
    }

    /// With all connections and all readers, and so many partitions, in descriptors.
    pub fn with_partitions(&self, partitions: u64) -> u64 {
        self.base
            + self.readers_max
            + self.connections_max * self.per_connection
            + partitions * self.per_active_partition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_within_are_all_of_the_memory() {
        for memory in [128 << 20, 1 << 30, (1 << 30) + 12_345] {
            for shards in [1, 2, 3, 64] {
                let parts = within(memory, shards);
                let sum: u64 = parts.iter().map(|part| part.bytes).sum();
                assert_eq!(sum, memory);
                let last = parts.last().unwrap().bytes;
                assert!(last >= memory / 64, "{last}");
            }
        }
    }
}

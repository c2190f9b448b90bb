//! Histories that a correct broker could have given rise to, invented from a seed: what a checker
//! must not complain about, and what anomalies are planted in.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::event::{Event, Run, What};

const PARTITIONS: i32 = 3;
const PRODUCERS: u32 = 4;
const GROUPS: u32 = 2;
const MEMBERS: u32 = 3;
/// Processes: producers, the watcher, the final reader, then members of groups, life by life.
const WATCHER: u32 = PRODUCERS;
/// Reads everything when all is over.
pub const FINAL_READER: u32 = PRODUCERS + 1;
const FIRST_MEMBER: u32 = PRODUCERS + 2;
const BROKER: i32 = 1;
const FIRST_EPOCH: i32 = 5;
/// Values of one producer begin here, times its number and one.
const VALUES: u64 = 1_000_000_000_000;
/// Records of one batch and of one poll.
const BATCH_RECORDS_MAX: u32 = 5;
const POLL_RECORDS_MAX: usize = 8;

/// A correct history of about `events` events, the same for the same seed.
pub fn history(seed: u64, events: usize) -> Vec<Event> {
    let mut world = World::new(seed);
    while world.events.len() < events {
        world.step();
    }
    world.end();
    world.events
}

struct World {
    random: StdRng,
    events: Vec<Event>,
    /// By partition: the value and the leader epoch at each offset.
    logs: Vec<Vec<(u64, i32)>>,
    epochs: Vec<i32>,
    /// By producer: values sent so far.
    sent: Vec<u64>,
    groups: Vec<Group>,
    next_process: u32,
    /// What has begun and not ended, by process.
    doing: BTreeMap<u32, Doing>,
}

struct Group {
    name: String,
    generation: i32,
    /// By member: the process, and the positions in what it owns.
    members: Vec<(u32, BTreeMap<i32, i64>)>,
    committed: BTreeMap<i32, i64>,
}

#[derive(Clone)]
enum Doing {
    Send {
        partition: i32,
        first: u64,
        count: u32,
        is_idempotent: bool,
        /// Where it already is.
        placed: Option<i64>,
        is_retried: bool,
    },
    Commit {
        group: usize,
        generation: i32,
        offsets: Vec<(i32, i64)>,
        is_done: bool,
    },
    Fetch {
        group: usize,
        /// What the broker read early, when it did.
        found: Option<Vec<(i32, i64)>>,
    },
}

impl World {
    fn new(seed: u64) -> World {
        let members = |group: u32| {
            let first = FIRST_MEMBER + group * MEMBERS;
            (first..first + MEMBERS).map(|process| (process, BTreeMap::new()))
        };
        let groups = (0..GROUPS).map(|group| Group {
            name: format!("group-{group}"),
            generation: 0,
            members: members(group).collect(),
            committed: BTreeMap::new(),
        });
        let mut world = World {
            random: StdRng::seed_from_u64(seed),
            events: Vec::new(),
            logs: vec![Vec::new(); PARTITIONS as usize],
            epochs: vec![FIRST_EPOCH; PARTITIONS as usize],
            sent: vec![0; PRODUCERS as usize],
            groups: groups.collect(),
            next_process: FIRST_MEMBER + GROUPS * MEMBERS,
            doing: BTreeMap::new(),
        };
        for group in 0..world.groups.len() {
            world.rebalance(group);
        }
        world
    }

    fn emit(&mut self, process: u32, what: What) {
        let time_ns = self.events.len() as u64 * 1_000;
        self.events.push(Event {
            time_ns,
            process,
            what,
        });
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..25 => self.begin_send(),
            25..55 => self.end_something(),
            55..85 => self.poll(),
            85..91 => self.begin_commit(),
            91..96 => self.begin_fetch(),
            96..98 => {
                let group = self.random.random_range(0..self.groups.len());
                self.rebalance(group);
            }
            _ => self.raise_epoch(),
        }
    }

    fn begin_send(&mut self) {
        let process = self.random.random_range(0..PRODUCERS);
        if self.doing.contains_key(&process) {
            return;
        }
        let partition = self.random.random_range(0..PARTITIONS);
        let count = self.random.random_range(1..=BATCH_RECORDS_MAX);
        let sent = &mut self.sent[process as usize];
        let first = VALUES * u64::from(process + 1) + *sent;
        *sent += u64::from(count);
        let is_idempotent = process.is_multiple_of(2);
        self.emit(
            process,
            What::SendBegins {
                partition,
                first,
                count,
                is_idempotent,
            },
        );
        let placed = self
            .random
            .random_bool(0.5)
            .then(|| self.append(partition, first, count));
        let doing = Doing::Send {
            partition,
            first,
            count,
            is_idempotent,
            placed,
            is_retried: false,
        };
        self.doing.insert(process, doing);
    }

    fn append(&mut self, partition: i32, first: u64, count: u32) -> i64 {
        let epoch = self.epochs[partition as usize];
        let log = &mut self.logs[partition as usize];
        let base = log.len() as i64;
        log.extend((first..first + u64::from(count)).map(|value| (value, epoch)));
        base
    }

    fn end_something(&mut self) {
        if self.doing.is_empty() {
            return;
        }
        let nth = self.random.random_range(0..self.doing.len());
        let process = *self.doing.keys().nth(nth).expect("there are as many");
        let doing = self.doing.remove(&process).expect("it was found");
        match doing {
            Doing::Send {
                partition,
                first,
                count,
                is_idempotent,
                placed,
                is_retried,
            } => {
                let fate = self.random.random_range(0..10);
                if fate == 0 && placed.is_none() && !is_retried {
                    self.emit(process, What::SendFailed { partition, first });
                } else if fate == 1 {
                    self.emit(process, What::SendUnknown { partition, first });
                } else if fate <= 3 {
                    self.emit(process, What::SendRetried { partition, first });
                    let placed = match placed {
                        // A copy: only a producer that is not idempotent makes one.
                        Some(_) if !is_idempotent && self.random.random_bool(0.5) => {
                            Some(self.append(partition, first, count))
                        }
                        placed => placed,
                    };
                    let again = Doing::Send {
                        partition,
                        first,
                        count,
                        is_idempotent,
                        placed,
                        is_retried: true,
                    };
                    self.doing.insert(process, again);
                } else {
                    let offset = placed.unwrap_or_else(|| self.append(partition, first, count));
                    let offset = self.random.random_bool(0.95).then_some(offset);
                    let acknowledged = What::SendAcknowledged {
                        partition,
                        first,
                        offset,
                    };
                    self.emit(process, acknowledged);
                }
            }
            Doing::Commit {
                group,
                generation,
                offsets,
                is_done,
            } => {
                let name = self.groups[group].name.clone();
                let is_fenced = generation != self.groups[group].generation;
                if self.random.random_bool(0.1) {
                    self.emit(process, What::CommitUnknown { group: name });
                } else if !is_done && (is_fenced || self.random.random_bool(0.1)) {
                    self.emit(process, What::CommitFailed { group: name });
                } else {
                    if !is_done {
                        self.groups[group].committed.extend(offsets.iter().copied());
                    }
                    let acknowledged = What::CommitAcknowledged {
                        group: name,
                        offsets,
                    };
                    self.emit(process, acknowledged);
                }
            }
            Doing::Fetch { group, found } => {
                let name = self.groups[group].name.clone();
                if self.random.random_bool(0.1) {
                    self.emit(process, What::FetchFailed { group: name });
                } else {
                    let offsets = found.unwrap_or_else(|| self.committed(group));
                    self.emit(
                        process,
                        What::Fetched {
                            group: name,
                            offsets,
                        },
                    );
                }
            }
        }
    }

    fn committed(&self, group: usize) -> Vec<(i32, i64)> {
        let committed = &self.groups[group].committed;
        let of = |partition| committed.get(&partition).copied().unwrap_or(-1);
        (0..PARTITIONS)
            .map(|partition| (partition, of(partition)))
            .collect()
    }

    fn poll(&mut self) {
        let group = self.random.random_range(0..self.groups.len());
        let member = self
            .random
            .random_range(0..self.groups[group].members.len());
        let (process, positions) = &self.groups[group].members[member];
        let (process, mut positions) = (*process, positions.clone());
        for (partition, position) in &mut positions {
            let records = self.random.random_range(0..=POLL_RECORDS_MAX);
            self.poll_partition(process, *partition, position, records);
        }
        self.groups[group].members[member].1 = positions;
    }

    fn poll_partition(&mut self, process: u32, partition: i32, position: &mut i64, records: usize) {
        let log = &self.logs[partition as usize];
        let mut runs = Vec::new();
        for (value, epoch) in log.iter().skip(*position as usize).take(records) {
            Run::push(&mut runs, *position, *value, *epoch);
            *position += 1;
        }
        if !runs.is_empty() {
            let strangers = Vec::new();
            self.emit(
                process,
                What::Polled {
                    partition,
                    runs,
                    strangers,
                },
            );
        }
    }

    fn begin_commit(&mut self) {
        let group = self.random.random_range(0..self.groups.len());
        let member = self
            .random
            .random_range(0..self.groups[group].members.len());
        let generation = self.groups[group].generation;
        let (process, positions) = &self.groups[group].members[member];
        let process = *process;
        let offsets: Vec<(i32, i64)> = positions.iter().map(|(p, at)| (*p, *at)).collect();
        if offsets.is_empty() || self.doing.contains_key(&process) {
            return;
        }
        let name = self.groups[group].name.clone();
        self.emit(
            process,
            What::CommitBegins {
                group: name,
                generation,
                offsets: offsets.clone(),
            },
        );
        let is_done = self.random.random_bool(0.5);
        if is_done {
            self.groups[group].committed.extend(offsets.iter().copied());
        }
        let doing = Doing::Commit {
            group,
            generation,
            offsets,
            is_done,
        };
        self.doing.insert(process, doing);
    }

    fn begin_fetch(&mut self) {
        if self.doing.contains_key(&WATCHER) {
            return;
        }
        let group = self.random.random_range(0..self.groups.len());
        let name = self.groups[group].name.clone();
        self.emit(WATCHER, What::FetchBegins { group: name });
        let found = self.random.random_bool(0.5).then(|| self.committed(group));
        self.doing.insert(WATCHER, Doing::Fetch { group, found });
    }

    /// A next generation: some members come back in another life.
    fn rebalance(&mut self, group: usize) {
        let count = self.groups[group].members.len();
        let owners: Vec<usize> = (0..PARTITIONS)
            .map(|_| self.random.random_range(0..count))
            .collect();
        self.groups[group].generation += 1;
        let generation = self.groups[group].generation;
        let name = self.groups[group].name.clone();
        for member in 0..count {
            let mut process = self.groups[group].members[member].0;
            if self.random.random_bool(0.3) {
                self.doing.remove(&process);
                process = self.next_process;
                self.next_process += 1;
            }
            let owned = (0..PARTITIONS).filter(|partition| owners[*partition as usize] == member);
            let owned: Vec<i32> = owned.collect();
            self.emit(
                process,
                What::Assigned {
                    group: name.clone(),
                    generation,
                    member: format!("member-{process}"),
                    partitions: owned.clone(),
                },
            );
            let mut positions = BTreeMap::new();
            for partition in owned {
                let offset = self.groups[group].committed.get(&partition);
                let offset = offset.copied().unwrap_or(0);
                self.emit(process, What::Positioned { partition, offset });
                positions.insert(partition, offset);
            }
            self.groups[group].members[member] = (process, positions);
        }
    }

    fn raise_epoch(&mut self) {
        let partition = self.random.random_range(0..PARTITIONS);
        let epoch = &mut self.epochs[partition as usize];
        *epoch += self.random.random_range(0..2);
        let epoch = *epoch;
        self.emit(
            WATCHER,
            What::LeaderEpoch {
                partition,
                broker: BROKER,
                epoch,
            },
        );
    }

    /// Everything that has begun ends, and all is read.
    fn end(&mut self) {
        while !self.doing.is_empty() {
            self.end_something();
        }
        for partition in 0..PARTITIONS {
            let mut position = 0;
            let end = self.logs[partition as usize].len() as i64;
            let seek = What::Positioned {
                partition,
                offset: 0,
            };
            self.emit(FINAL_READER, seek);
            while position < end {
                self.poll_partition(FINAL_READER, partition, &mut position, POLL_RECORDS_MAX);
            }
            self.emit(
                FINAL_READER,
                What::Drained {
                    partition,
                    from: 0,
                    end,
                },
            );
        }
    }
}

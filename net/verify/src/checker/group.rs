use std::collections::{BTreeMap, BTreeSet};

use super::Nonsense;
use super::anomaly::{Anomaly, Findings};

/// What is known of one group.
#[derive(Debug)]
pub(super) struct Group {
    name: String,
    partitions: BTreeMap<i32, Committed>,
    /// Commits that have not ended, by process.
    commits: BTreeMap<u32, OpenCommit>,
    /// Questions that are not answered, by process.
    fetches: BTreeMap<u32, OpenFetch>,
    /// By generation and partition: the owner, and the line that says so.
    owners: BTreeMap<i32, BTreeMap<i32, (String, u32)>>,
}

/// A partition's offset in a group.
#[derive(Debug, Default)]
struct Committed {
    /// What is committed for sure: any offset that a later answer tells is this or a higher one.
    floor: Option<Floor>,
    /// Offsets of commits that may happen at any time. A server may still work on a request whose
    /// connection is gone.
    unsettled: BTreeSet<i64>,
    /// Offsets of commits that have not ended, and how many there are of each.
    open: BTreeMap<i64, u32>,
}

#[derive(Clone, Copy, Debug)]
struct Floor {
    offset: i64,
    line: u32,
}

#[derive(Debug)]
struct OpenCommit {
    line: u32,
    offsets: Vec<(i32, i64)>,
}

#[derive(Debug)]
struct OpenFetch {
    line: u32,
    /// What was committed for sure when the question was asked.
    floors: BTreeMap<i32, Floor>,
}

impl Group {
    pub fn new(name: &str) -> Group {
        Group {
            name: name.to_string(),
            partitions: BTreeMap::new(),
            commits: BTreeMap::new(),
            fetches: BTreeMap::new(),
            owners: BTreeMap::new(),
        }
    }

    /// Generations in which something was assigned.
    pub fn generations(&self) -> u64 {
        self.owners.len() as u64
    }

    pub fn assigned(
        &mut self,
        line: u32,
        generation: i32,
        member: &str,
        partitions: &[i32],
        findings: &mut Findings,
    ) {
        let owners = self.owners.entry(generation).or_default();
        for partition in partitions {
            match owners.get(partition) {
                Some((owner, owner_line)) if owner != member => {
                    findings.add(Anomaly::TwoOwners, [*owner_line, line], || {
                        format!(
                            "group {}, generation {generation}: partition {partition} is \
                             {owner}'s and {member}'s",
                            self.name
                        )
                    });
                }
                Some(_) => {}
                None => {
                    owners.insert(*partition, (member.to_string(), line));
                }
            }
        }
    }

    pub fn commit_begins(
        &mut self,
        line: u32,
        process: u32,
        offsets: &[(i32, i64)],
    ) -> Result<(), Nonsense> {
        for (partition, offset) in offsets {
            let committed = self.partitions.entry(*partition).or_default();
            *committed.open.entry(*offset).or_default() += 1;
        }
        let offsets = offsets.to_vec();
        let commit = OpenCommit { line, offsets };
        match self.commits.insert(process, commit) {
            None => Ok(()),
            Some(_) => Err(Nonsense::NotEnded {
                process,
                what: "a commit",
            }),
        }
    }

    fn take_commit(&mut self, process: u32) -> Result<OpenCommit, Nonsense> {
        let commit = self.commits.remove(&process);
        let commit = commit.ok_or(Nonsense::NotBegun { what: "a commit" })?;
        for (partition, offset) in &commit.offsets {
            let committed = self.partitions.entry(*partition).or_default();
            if let Some(count) = committed.open.get_mut(offset) {
                *count -= 1;
                if *count == 0 {
                    committed.open.remove(offset);
                }
            }
        }
        Ok(commit)
    }

    pub fn commit_failed(&mut self, process: u32) -> Result<(), Nonsense> {
        self.take_commit(process).map(|_| ())
    }

    pub fn commit_unknown(&mut self, process: u32) -> Result<(), Nonsense> {
        let commit = self.take_commit(process)?;
        for (partition, offset) in commit.offsets {
            let committed = self.partitions.entry(partition).or_default();
            committed.unsettled.insert(offset);
        }
        Ok(())
    }

    pub fn commit_acknowledged(
        &mut self,
        line: u32,
        process: u32,
        offsets: &[(i32, i64)],
        findings: &mut Findings,
    ) -> Result<(), Nonsense> {
        let commit = self.take_commit(process)?;
        for (partition, offset) in offsets {
            if !commit.offsets.contains(&(*partition, *offset)) {
                return Err(Nonsense::NotBegun {
                    what: "a commit of this offset",
                });
            }
            let committed = self.partitions.entry(*partition).or_default();
            let floor = Floor {
                offset: *offset,
                line,
            };
            committed.floor = Some(match committed.floor {
                // Another one was acknowledged meanwhile: either may be the later one.
                Some(other) if other.line > commit.line => Floor {
                    offset: other.offset.min(*offset),
                    line,
                },
                Some(other) if other.offset > *offset => {
                    let lines = [other.line, commit.line, line];
                    findings.add(Anomaly::OffsetRegression, lines, || {
                        format!(
                            "group {}, partition {partition}: offset {} was committed, and then \
                             {offset} was",
                            self.name, other.offset
                        )
                    });
                    floor
                }
                _ => floor,
            });
        }
        Ok(())
    }

    pub fn fetch_begins(&mut self, line: u32, process: u32) -> Result<(), Nonsense> {
        let floors = self.partitions.iter().filter_map(|(partition, committed)| {
            let floor = committed.floor?;
            Some((*partition, floor))
        });
        let fetch = OpenFetch {
            line,
            floors: floors.collect(),
        };
        match self.fetches.insert(process, fetch) {
            None => Ok(()),
            Some(_) => Err(Nonsense::NotEnded {
                process,
                what: "a question for offsets",
            }),
        }
    }

    fn take_fetch(&mut self, process: u32) -> Result<OpenFetch, Nonsense> {
        let fetch = self.fetches.remove(&process);
        fetch.ok_or(Nonsense::NotBegun {
            what: "a question for offsets",
        })
    }

    pub fn fetch_failed(&mut self, process: u32) -> Result<(), Nonsense> {
        self.take_fetch(process).map(|_| ())
    }

    pub fn fetched(
        &mut self,
        line: u32,
        process: u32,
        offsets: &[(i32, i64)],
        findings: &mut Findings,
    ) -> Result<(), Nonsense> {
        let fetch = self.take_fetch(process)?;
        for (partition, offset) in offsets {
            let committed = self.partitions.entry(*partition).or_default();
            // What was committed while the question was open may be what is answered, or not.
            let is_quiet = committed.floor.is_none_or(|floor| floor.line < fetch.line);
            let was_higher = fetch.floors.get(partition);
            let was_higher = was_higher.filter(|floor| floor.offset > *offset);
            let is_open = committed.open.contains_key(offset);
            let is_unsettled = committed.unsettled.contains(offset);
            if let Some(floor) = was_higher
                && !is_open
                && !is_unsettled
                && committed.floor.is_some_and(|now| now.offset > *offset)
            {
                let lines = [floor.line, fetch.line, line];
                findings.add(Anomaly::OffsetRegression, lines, || {
                    let told = match offset {
                        -1 => "none".to_string(),
                        offset => offset.to_string(),
                    };
                    format!(
                        "group {}, partition {partition}: offset {} was committed, and then \
                         {told} is",
                        self.name, floor.offset
                    )
                });
            }
            // A late commit has taken effect: from here its offset counts.
            let is_late = was_higher.is_some() && is_unsettled;
            if is_late || (is_quiet && !is_open) {
                committed.floor = (*offset >= 0).then_some(Floor {
                    offset: *offset,
                    line,
                });
            }
        }
        Ok(())
    }

    pub fn reset(&mut self, partition: i32) {
        let committed = self.partitions.entry(partition).or_default();
        committed.floor = None;
        committed.unsettled.clear();
    }
}

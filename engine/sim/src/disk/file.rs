use std::collections::VecDeque;

use super::BLOCK;
use crate::random::Random;

/// What a power cut leaves whole or old, in bytes.
pub(super) const SECTOR: usize = 512;

/// One file's contents: as processes see them, and as they are on the platter.
#[derive(Debug, Default)]
pub(super) struct File {
    /// What reads see. Survives the process, not the power.
    pub now: Vec<u8>,
    /// What is on the platter. May be longer than `durable_len`: sectors behind a length that has
    /// not arrived yet.
    durable: Vec<u8>,
    durable_len: usize,
    /// Completed changes that no sync has covered, in order.
    unsynced: VecDeque<Change>,
    /// Number of the first of `unsynced`.
    unsynced_from: u64,
    /// Which blocks have space.
    blocks: Vec<bool>,
    /// Number of `blocks` that have.
    pub blocks_count: u64,
    /// Open file ids.
    pub opens: u32,
    /// Whether a name leads here now.
    pub is_linked: bool,
}

/// A change of a file. A write and the growth that it causes can be lost independently.
#[derive(Debug)]
enum Change {
    Write {
        position: usize,
        bytes: Vec<u8>,
    },
    Grow {
        to: usize,
    },
    Cut {
        to: usize,
    },
    /// Lost for good by a failed sync: the kernel has marked its pages clean.
    Forgotten,
}

/// What a power cut does to the sectors of one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tear {
    /// All new.
    Whole,
    /// All old.
    Lost,
    /// Each old or new.
    Mixed,
    /// Each old, new or garbage.
    Garbage,
}

/// Counts what a power cut did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrashCounts {
    /// Un-synced writes that vanished as a whole.
    pub writes_lost: u64,
    /// Writes that left old and new sectors.
    pub writes_torn: u64,
    /// Sectors of garbage.
    pub sectors_garbled: u64,
    /// Growths that vanished.
    pub growths_lost: u64,
    /// Truncations that vanished.
    pub cuts_lost: u64,
    /// Creations of files and folders that vanished.
    pub creations_lost: u64,
    /// Renames that vanished.
    pub renames_lost: u64,
    /// Removals that vanished.
    pub removals_lost: u64,
}

impl File {
    /// An empty file with a name.
    pub fn linked() -> File {
        File {
            is_linked: true,
            ..File::default()
        }
    }

    /// The blocks of `[position, position + len)` that have no space yet.
    pub fn blocks_missing(&self, position: u64, len: u64) -> u64 {
        blocks_of(position, len)
            .filter(|block| !self.blocks.get(*block).copied().unwrap_or(false))
            .count() as u64
    }

    /// Gives space to all blocks of `[position, position + len)`. Returns how many had none.
    pub fn reserve(&mut self, position: u64, len: u64) -> u64 {
        let mut fresh = 0;
        for block in blocks_of(position, len) {
            if self.blocks.len() <= block {
                self.blocks.resize(block + 1, false);
            }
            fresh += u64::from(!self.blocks[block]);
            self.blocks[block] = true;
        }
        self.blocks_count += fresh;
        fresh
    }

    /// Number of the next change: everything before it has completed.
    pub fn changes_end(&self) -> u64 {
        self.unsynced_from + self.unsynced.len() as u64
    }

    pub fn write(&mut self, position: usize, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let end = position + bytes.len();
        if end > self.now.len() {
            self.grow(end);
        }
        self.now[position..end].copy_from_slice(&bytes);
        self.unsynced.push_back(Change::Write { position, bytes });
    }

    pub fn grow(&mut self, to: usize) {
        if to > self.now.len() {
            self.now.resize(to, 0);
            self.unsynced.push_back(Change::Grow { to });
        }
    }

    /// Sets the length. Returns how many blocks it freed.
    pub fn set_len(&mut self, len: usize) -> u64 {
        if len > self.now.len() {
            self.grow(len);
            return 0;
        }
        self.now.truncate(len);
        self.unsynced.push_back(Change::Cut { to: len });
        self.free_blocks_behind(len)
    }

    fn free_blocks_behind(&mut self, len: usize) -> u64 {
        let kept = len.div_ceil(BLOCK).min(self.blocks.len());
        let freed = self.blocks[kept..].iter().filter(|used| **used).count() as u64;
        self.blocks.truncate(kept);
        self.blocks_count -= freed;
        freed
    }

    /// Makes the changes before number `end` durable.
    pub fn sync(&mut self, end: u64) {
        while self.unsynced_from < end {
            let change = self.unsynced.pop_front().expect("changes up to the end");
            self.unsynced_from += 1;
            self.apply(change);
        }
    }

    /// A failed sync: of the changes before number `end`, some are durable and the others will
    /// never be, although reads see them and the next sync succeeds.
    pub fn sync_failed(&mut self, end: u64, random: &mut Random) {
        let covered = (end.saturating_sub(self.unsynced_from)) as usize;
        for change in self.unsynced.iter_mut().take(covered) {
            if matches!(change, Change::Write { .. }) && random.percent(50) {
                *change = Change::Forgotten;
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Write { position, bytes } => put(&mut self.durable, position, &bytes),
            Change::Grow { to } => self.durable_len = self.durable_len.max(to),
            Change::Cut { to } => {
                self.durable_len = to;
                self.durable.truncate(to);
            }
            Change::Forgotten => {}
        }
    }

    /// The power is cut: each un-synced change arrived or not, each on its own. `survive` is the
    /// chance of each in percent.
    pub fn power_cut(&mut self, survive: u64, random: &mut Random, counts: &mut CrashCounts) {
        self.unsynced_from = self.changes_end();
        for change in std::mem::take(&mut self.unsynced) {
            if random.percent(survive) {
                self.apply(change);
                continue;
            }
            match change {
                Change::Write { position, bytes } => {
                    let tear = random.pick(&[Tear::Lost, Tear::Lost, Tear::Mixed]);
                    self.tear(position, &bytes, tear, random, counts);
                }
                Change::Grow { .. } => counts.growths_lost += 1,
                Change::Cut { .. } => counts.cuts_lost += 1,
                Change::Forgotten => {}
            }
        }
    }

    /// Puts what a power cut left of a write on the platter.
    pub fn tear(
        &mut self,
        position: usize,
        bytes: &[u8],
        tear: Tear,
        random: &mut Random,
        counts: &mut CrashCounts,
    ) {
        match tear {
            Tear::Whole => return put(&mut self.durable, position, bytes),
            Tear::Lost => counts.writes_lost += 1,
            Tear::Mixed | Tear::Garbage => counts.writes_torn += 1,
        }
        if tear == Tear::Lost {
            return;
        }
        for (at, sector) in sectors(position, bytes) {
            match random.below(if tear == Tear::Garbage { 4 } else { 2 }) {
                0 => {}
                1 | 2 => put(&mut self.durable, at, sector),
                _ => {
                    counts.sectors_garbled += 1;
                    let garbage: Vec<u8> = sector.iter().map(|_| random.next() as u8).collect();
                    put(&mut self.durable, at, &garbage);
                }
            }
        }
    }

    /// The length of a write in flight at the power cut may have arrived.
    pub fn grow_durable(&mut self, to: usize) {
        self.durable_len = self.durable_len.max(to);
    }

    /// Frees the memory of a file that nothing can lead to any more.
    pub fn forget(&mut self) {
        *self = File {
            unsynced_from: self.changes_end(),
            ..File::default()
        };
    }

    /// After a power cut: what is on the platter is what there is.
    pub fn restart(&mut self) {
        self.durable.resize(self.durable_len, 0);
        self.now.clone_from(&self.durable);
        self.free_blocks_behind(self.durable_len);
        self.reserve(0, self.durable_len as u64);
    }
}

/// The sectors of a write: where each lies in the file, and its bytes.
pub(super) fn sectors(position: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let end = position + bytes.len();
    let first = position / SECTOR;
    (first..end.div_ceil(SECTOR)).map(move |sector| {
        let from = (sector * SECTOR).max(position);
        let to = ((sector + 1) * SECTOR).min(end);
        (from, &bytes[from - position..to - position])
    })
}

fn put(platter: &mut Vec<u8>, position: usize, bytes: &[u8]) {
    let end = position + bytes.len();
    if platter.len() < end {
        platter.resize(end, 0);
    }
    platter[position..end].copy_from_slice(bytes);
}

fn blocks_of(position: u64, len: u64) -> std::ops::Range<usize> {
    let block = BLOCK as u64;
    (position / block) as usize..(position + len).div_ceil(block) as usize
}

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use futures_lite::future::block_on;
use serde::Serialize;
use sillon_buffer::{BLOCK_BYTES, Slice};
use sillon_journal::{EntryKind, Gap, RingPosition, Straggler};
use sillon_record::BatchHeader;

use super::OfflineError;
use super::folder::{DataFolder, FileRing, OfflineJournal, file};
use crate::output::Table;

/// What lies behind the damage of a journal: promised, and lost for the broker when it goes on.
pub struct Rescue {
    /// The damage.
    pub gap: Gap,
    path: PathBuf,
    ring: FileRing,
    /// Where rounds lie that promise what is missing.
    rounds: Vec<RingPosition>,
    partitions: BTreeMap<String, GivenUp>,
}

/// What a partition loses.
#[derive(Default, Serialize)]
struct GivenUp {
    /// Where the partition goes on: the first offset that is lost.
    first_lost_offset: i64,
    /// The last offset that is known to be lost; the damaged round may have held more.
    last_lost_offset: i64,
    /// Batches behind the damage that could still be read, and were saved.
    batches_saved: usize,
    #[serde(skip)]
    batches: Vec<(i64, Slice)>,
}

#[derive(Serialize)]
struct Report<'a> {
    journal: &'a Path,
    damage: String,
    rounds_given_up: usize,
    partitions: &'a BTreeMap<String, GivenUp>,
}

impl Rescue {
    /// Nothing, when the journal is whole.
    pub fn of(
        folder: &DataFolder,
        journal: OfflineJournal,
    ) -> Result<Option<Rescue>, OfflineError> {
        if journal.header.is_clean {
            return Ok(None);
        }
        let mut ring = journal.ring.clone();
        let mut replay = journal.replay();
        let ends = journal.partitions.iter();
        let mut ends: BTreeMap<_, i64> = ends
            .map(|partition| (partition.incarnation, partition.next_offset.0))
            .collect();
        while let Some(round) = block_on(replay.next(&mut ring))? {
            for (meta, payload) in &round.entries {
                if let (EntryKind::Batch, Some(header)) = (meta.kind, BatchHeader::peek(payload)) {
                    ends.insert(meta.partition, header.last_offset().0 + 1);
                }
            }
        }
        let Err(gap) = block_on(replay.finish(&mut ring))? else {
            return Ok(None);
        };
        let mut rescue = Rescue {
            gap,
            path: journal.path,
            ring: journal.ring,
            rounds: Vec::new(),
            partitions: BTreeMap::new(),
        };
        while let Some(straggler) = block_on(replay.next_behind_gap(&mut ring))? {
            let Straggler {
                position, round, ..
            } = straggler;
            rescue.rounds.push(position);
            for (meta, payload) in round.into_iter().flat_map(|round| round.entries) {
                let header = BatchHeader::peek(&payload);
                let (EntryKind::Batch, Some(header)) = (meta.kind, header) else {
                    continue;
                };
                let last = header.last_offset().0;
                let end = ends.get(&meta.partition).copied().unwrap_or(0);
                let lost = rescue
                    .partitions
                    .entry(folder.name(meta.partition))
                    .or_default();
                lost.first_lost_offset = end;
                lost.last_lost_offset = lost.last_lost_offset.max(last);
                lost.batches_saved += 1;
                lost.batches.push((meta.base_offset.0, payload));
            }
        }
        Ok(Some(rescue))
    }

    /// What is lost, for people.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&[
            "PARTITION",
            "FIRST LOST",
            "LAST KNOWN LOST",
            "SAVED BATCHES",
        ]);
        for (name, lost) in &self.partitions {
            table.row(vec![
                name.clone(),
                lost.first_lost_offset.to_string(),
                lost.last_lost_offset.to_string(),
                lost.batches_saved.to_string(),
            ]);
        }
        table
    }

    /// Writes a report, and the batches that could still be read as segment files. Gives their
    /// folder.
    pub fn save(&self, folder: &DataFolder) -> Result<PathBuf, OfflineError> {
        let journal = self.path.file_name().unwrap_or_default().to_string_lossy();
        // No partition's folder is called so.
        let name = format!("round-{}-of-{journal}.saved", self.gap.sequence);
        let saved = folder.path.join(name);
        make_folder(&saved)?;
        for (name, lost) in &self.partitions {
            let partition = saved.join(name);
            make_folder(&partition)?;
            let first = lost.batches.iter().map(|(base, _)| *base).min();
            let log = partition.join(format!("{:020}.log", first.unwrap_or(0)));
            write(&log, lost.batches.iter().map(|(_, batch)| &batch[..]))?;
        }
        let report = Report {
            journal: &self.path,
            damage: self.gap.to_string(),
            rounds_given_up: self.rounds.len(),
            partitions: &self.partitions,
        };
        let path = saved.join("report.json");
        let text = serde_json::to_vec_pretty(&report).map_err(|error| file(&path, error.into()))?;
        write(&path, [&text[..]])?;
        let synced = File::open(&saved).and_then(|folder| folder.sync_all());
        synced.map_err(|error| file(&saved, error))?;
        Ok(saved)
    }

    /// Has the journal end before the damage: the rounds behind it are no rounds any more.
    pub fn give_up(self) -> Result<(), OfflineError> {
        for position in self.rounds {
            let path = self.ring.file(position.file);
            let blank = || {
                let ring = OpenOptions::new().write(true).open(path)?;
                ring.write_all_at(&[0; BLOCK_BYTES], position.offset)?;
                ring.sync_all()
            };
            blank().map_err(|error| file(path, error))?;
        }
        Ok(())
    }
}

fn make_folder(path: &Path) -> Result<(), OfflineError> {
    std::fs::create_dir_all(path).map_err(|error| file(path, error))
}

fn write<'a>(path: &Path, parts: impl IntoIterator<Item = &'a [u8]>) -> Result<(), OfflineError> {
    let write = || {
        let mut out = File::create(path)?;
        for part in parts {
            out.write_all(part)?;
        }
        out.sync_all()
    };
    write().map_err(|error| file(path, error))
}

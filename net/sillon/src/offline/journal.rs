//! `sillon journal`: what lies in the journals of a stopped broker.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use futures_lite::future::block_on;
use serde::Serialize;
use sillon_journal::{EntryKind, EntryMeta};

use super::OfflineError;
use super::folder::{DataFolder, OfflineJournal};
use super::rescue::Rescue;
use crate::failure::Failure;
use crate::output::{Format, Table, print, write_json};

#[derive(Debug, Subcommand)]
pub enum JournalCommand {
    /// Walk the journals as a start would, and say whether everything promised is there
    Verify(VerifyArgs),
    /// Print every round that a start would replay, and what is in it
    Dump(DumpArgs),
    /// Show what a damaged journal costs, and go on without it when that is accepted
    Repair(RepairArgs),
}

impl JournalCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            JournalCommand::Verify(args) => args.run(),
            JournalCommand::Dump(args) => args.run(),
            JournalCommand::Repair(args) => args.run(),
        }
    }
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Data folder of a broker that does not run
    dir: PathBuf,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub struct DumpArgs {
    /// Data folder of a broker that does not run
    dir: PathBuf,
    /// Only this shard's journal
    #[arg(long)]
    shard: Option<usize>,
    /// How to print: JSON is one object a round
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Args)]
pub struct RepairArgs {
    /// Data folder of a broker that does not run
    dir: PathBuf,
    /// Give up what lies behind the damage, and have the broker start without it. What can be
    /// saved of it is written to a folder beside the journals first
    #[arg(long)]
    accept_loss: bool,
}

#[derive(Serialize)]
struct Verified {
    shard: usize,
    journal: PathBuf,
    /// Rounds that a start would replay.
    rounds: u64,
    entries: u64,
    bytes: u64,
    /// The next round's number.
    next_sequence: u64,
    /// The broker stopped in order: nothing is replayed.
    is_clean: bool,
    problem: Option<String>,
}

impl VerifyArgs {
    fn run(self) -> Result<(), Failure> {
        let folder = DataFolder::open(&self.dir)?;
        let mut found = Vec::new();
        for journal in folder.journals() {
            found.push(verify(journal?)?);
        }
        let mut table = Table::new(&["SHARD", "ROUNDS", "ENTRIES", "BYTES", "NEXT", "STATE"]);
        for journal in &found {
            let state = match (&journal.problem, journal.is_clean) {
                (Some(_), _) => "DAMAGED",
                (None, true) => "clean stop",
                (None, false) => "good",
            };
            table.row(vec![
                journal.shard.to_string(),
                journal.rounds.to_string(),
                journal.entries.to_string(),
                journal.bytes.to_string(),
                journal.next_sequence.to_string(),
                state.to_owned(),
            ]);
        }
        print(self.format, &found, table)?;
        let problems = found.iter().filter_map(|journal| journal.problem.as_ref());
        let mut count = 0;
        for problem in problems {
            eprintln!("{problem}");
            count += 1;
        }
        match count {
            0 => Ok(()),
            count => Err(OfflineError::Problems { count }.into()),
        }
    }
}

fn verify(journal: OfflineJournal) -> Result<Verified, OfflineError> {
    let mut verified = Verified {
        shard: journal.shard,
        journal: journal.path.clone(),
        rounds: 0,
        entries: 0,
        bytes: 0,
        next_sequence: journal.header.next_sequence,
        is_clean: journal.header.is_clean,
        problem: None,
    };
    if verified.is_clean {
        return Ok(verified);
    }
    let mut ring = journal.ring.clone();
    let mut replay = journal.replay();
    while let Some(round) = block_on(replay.next(&mut ring))? {
        verified.rounds += 1;
        verified.entries += round.entries.len() as u64;
        verified.bytes += round.len_bytes;
        verified.next_sequence = round.sequence + 1;
    }
    if let Err(gap) = block_on(replay.finish(&mut ring))? {
        verified.problem = Some(
            OfflineError::Gap {
                path: journal.path,
                gap: Box::new(gap),
            }
            .to_string(),
        );
    }
    Ok(verified)
}

#[derive(Serialize)]
struct DumpedRound {
    shard: usize,
    sequence: u64,
    file: u32,
    offset: u64,
    bytes: u64,
    durable_through: u64,
    entries: Vec<DumpedEntry>,
}

#[derive(Serialize)]
struct DumpedEntry {
    kind: &'static str,
    partition: String,
    segment: i64,
    position: u64,
    offset: i64,
    leader_epoch: i32,
    bytes: usize,
}

impl DumpArgs {
    fn run(self) -> Result<(), Failure> {
        let folder = DataFolder::open(&self.dir)?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        for journal in folder.journals() {
            let journal = journal?;
            if self.shard.is_some_and(|shard| shard != journal.shard) {
                continue;
            }
            self.dump(&folder, &journal, &mut out)?;
        }
        out.flush().map_err(Failure::Output)
    }

    fn dump(
        &self,
        folder: &DataFolder,
        journal: &OfflineJournal,
        out: &mut impl Write,
    ) -> Result<(), Failure> {
        let mut ring = journal.ring.clone();
        let mut replay = journal.replay();
        while let Some(round) = block_on(replay.next(&mut ring))? {
            let entries = round.entries.iter();
            let dumped = DumpedRound {
                shard: journal.shard,
                sequence: round.sequence,
                file: round.position.file,
                offset: round.position.offset,
                bytes: round.len_bytes,
                durable_through: round.durable_through,
                entries: entries
                    .map(|(meta, payload)| entry(folder, meta, payload.len()))
                    .collect(),
            };
            match self.format {
                Format::Json => write_json(out, &dumped),
                Format::Table => write_round(out, &dumped),
            }
            .map_err(Failure::Output)?;
        }
        if let Err(gap) = block_on(replay.finish(&mut ring))? {
            return Err(OfflineError::Gap {
                path: journal.path.clone(),
                gap: Box::new(gap),
            }
            .into());
        }
        Ok(())
    }
}

fn entry(folder: &DataFolder, meta: &EntryMeta, bytes: usize) -> DumpedEntry {
    DumpedEntry {
        kind: match meta.kind {
            EntryKind::Batch => "batch",
            EntryKind::Truncate => "truncate",
            EntryKind::LogStart => "log-start",
            EntryKind::Roll => "roll",
            EntryKind::TailImage => "tail-image",
            EntryKind::PartitionDeleted => "partition-deleted",
            EntryKind::CleanStop => "clean-stop",
        },
        partition: folder.name(meta.partition),
        segment: meta.segment_base.0,
        position: meta.position,
        offset: meta.base_offset.0,
        leader_epoch: meta.leader_epoch.0,
        bytes,
    }
}

fn write_round(out: &mut impl Write, round: &DumpedRound) -> io::Result<()> {
    writeln!(
        out,
        "round {} of shard {}: ring-{} at {}, {} bytes, all through {} flushed before it",
        round.sequence, round.shard, round.file, round.offset, round.bytes, round.durable_through
    )?;
    for entry in &round.entries {
        writeln!(
            out,
            "  {:<17} {} offset {} epoch {}, segment {} at {}, {} bytes",
            entry.kind,
            entry.partition,
            entry.offset,
            entry.leader_epoch,
            entry.segment,
            entry.position,
            entry.bytes
        )?;
    }
    Ok(())
}

impl RepairArgs {
    fn run(self) -> Result<(), Failure> {
        let folder = DataFolder::open(&self.dir)?;
        let mut damaged = Vec::new();
        for journal in folder.journals() {
            damaged.extend(Rescue::of(&folder, journal?)?);
        }
        if damaged.is_empty() {
            println!("every journal is whole: there is nothing to repair");
            return Ok(());
        }
        for rescue in &damaged {
            println!("{}", rescue.gap);
            rescue
                .table()
                .write(&mut io::stdout().lock())
                .map_err(Failure::Output)?;
        }
        if !self.accept_loss {
            return Err(OfflineError::NotAccepted.into());
        }
        for rescue in damaged {
            let saved = rescue.save(&folder)?;
            println!("what could be read of it is in {}", saved.display());
            rescue.give_up()?;
        }
        println!("the journals are whole again; the broker can be started");
        Ok(())
    }
}

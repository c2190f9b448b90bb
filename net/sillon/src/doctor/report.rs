use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use sillon_runtime::{Finding, Needs, Verdict};
use sillon_shard::{reserve_bytes, ring_layout};

use crate::failure::Failure;
use crate::memory_budget::{DescriptorNeeds, MemoryNeeds, Part};
use crate::output::{Format, Table, write_json};

/// All that the doctor has to say.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The worst of all findings: ok, warn or fail.
    verdict: &'static str,
    host: Vec<Line>,
    memory: MemoryNeeds,
    descriptors: DescriptorNeeds,
    disk: DiskNeeds,
}

#[derive(Debug, Serialize)]
struct Line {
    subject: &'static str,
    verdict: &'static str,
    detail: String,
    mend: Option<String>,
}

/// Space that a node takes before the first record.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct DiskNeeds {
    /// Journals of all shards, in bytes.
    journal_bytes: u64,
    /// Kept for a full disk, in bytes.
    reserve_bytes: u64,
    /// The largest batch that the journal takes, in bytes.
    message_bytes_max: u64,
}

impl DiskNeeds {
    /// For a folder without journals; one that has some keeps them.
    pub fn of(data_dir: &Path, needs: &Needs) -> DiskNeeds {
        let mut above = data_dir.ancestors().chain([Path::new(".")]);
        let stat = above.find_map(|part| rustix::fs::statvfs(part).ok());
        let total = stat.map_or(0, |stat| stat.f_blocks.saturating_mul(stat.f_frsize));
        let ring = ring_layout(needs.journal_bytes, needs.shards, total);
        let journal_bytes = ring.capacity_bytes() * u64::from(needs.shards);
        DiskNeeds {
            journal_bytes,
            reserve_bytes: reserve_bytes(ring, needs.shards),
            message_bytes_max: sillon_runtime::message_bytes_max(journal_bytes, needs.shards),
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Poor => "warn",
        Verdict::Missing => "fail",
    }
}

impl Report {
    pub fn new(
        findings: Vec<Finding>,
        memory: MemoryNeeds,
        descriptors: DescriptorNeeds,
        disk: DiskNeeds,
    ) -> Report {
        let worst = findings.iter().map(|finding| finding.verdict).max();
        let findings = findings.into_iter();
        Report {
            verdict: word(worst.unwrap_or(Verdict::Good)),
            host: findings
                .map(|finding| Line {
                    subject: finding.subject,
                    verdict: word(finding.verdict),
                    detail: finding.detail,
                    mend: finding.mend,
                })
                .collect(),
            memory,
            descriptors,
            disk,
        }
    }

    /// Findings that keep a broker from starting.
    pub fn missing(&self) -> usize {
        let lines = self.host.iter();
        lines.filter(|line| line.verdict == "fail").count()
    }

    pub fn print(&self, format: Format) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        match format {
            Format::Json => write_json(&mut out, self),
            Format::Table => self.write(&mut out),
        }
        .map_err(Failure::Output)
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut host = Table::new(&["HOST", "", "WHAT WAS SEEN"]);
        for line in &self.host {
            host.row(vec![
                line.subject.to_owned(),
                line.verdict.to_owned(),
                line.detail.clone(),
            ]);
            if let Some(mend) = &line.mend {
                host.row(vec![String::new(), String::new(), format!("-> {mend}")]);
            }
        }
        host.write(out)?;
        writeln!(out)?;
        self.memory_table().write(out)?;
        writeln!(out)?;
        self.counts_table().write(out)
    }

    fn memory_table(&self) -> Table {
        let memory = &self.memory;
        let mut table = Table::new(&["MEMORY AT MOST", "KIB", "WHY"]);
        let mut row = |name: &str, bytes: u64, why: &str| {
            table.row(vec![
                name.to_owned(),
                bytes.div_ceil(1024).to_string(),
                why.to_owned(),
            ]);
        };
        row("--memory", memory.budget_bytes, "for records and requests:");
        let mut parts = |parts: &[Part]| {
            for part in parts {
                row(&format!("  {}", part.name), part.bytes, &part.derivation);
            }
        };
        parts(&memory.within);
        let beside = memory.total_bytes - memory.budget_bytes;
        table.row(vec![
            "beside it".to_owned(),
            beside.div_ceil(1024).to_string(),
            String::new(),
        ]);
        for part in &memory.beside {
            table.row(vec![
                format!("  {}", part.name),
                part.bytes.div_ceil(1024).to_string(),
                part.derivation.clone(),
            ]);
        }
        table.row(vec![
            "together".to_owned(),
            memory.total_bytes.div_ceil(1024).to_string(),
            "what a container should be allowed at least".to_owned(),
        ]);
        table.row(vec![
            "each partition".to_owned(),
            memory.per_partition_bytes.div_ceil(1024).to_string(),
            "on top".to_owned(),
        ]);
        table
    }

    fn counts_table(&self) -> Table {
        let (files, disk) = (&self.descriptors, &self.disk);
        let mut table = Table::new(&["DESCRIPTORS AND DISK", "", "WHY"]);
        let mut row = |name: &str, count: u64, why: String| {
            table.row(vec![name.to_owned(), count.to_string(), why]);
        };
        row(
            "descriptors, idle",
            files.base,
            "rings, journals, threads".to_owned(),
        );
        row(
            "  each connection",
            files.per_connection,
            format!("{} at most (max.connections)", files.connections_max),
        );
        row(
            "  each partition",
            files.per_active_partition,
            "its active segment, once it is appended to".to_owned(),
        );
        row(
            "  for readers",
            files.readers_max,
            "of segments, at most".to_owned(),
        );
        row(
            "  with 1000 partitions",
            files.with_partitions(1000),
            "and all connections and readers".to_owned(),
        );
        row(
            "journals, bytes",
            disk.journal_bytes,
            format!(
                "--journal, or by the file system; takes batches of up to {} bytes",
                disk.message_bytes_max
            ),
        );
        row(
            "reserve, bytes",
            disk.reserve_bytes,
            "for checkpoints on a full disk".to_owned(),
        );
        table
    }
}

/// Prints a page.
pub fn print_text(text: &str) -> Result<(), Failure> {
    let written = io::stdout().lock().write_all(text.as_bytes());
    written.map_err(Failure::Output)
}

//! `sillon log`: what lies in the segment files of a stopped broker.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use sillon_log::{
    PartitionCheckpoint, SegmentInfo, decode_offset_index, offset_index_path, partition_folder,
    segment_path, time_index_path,
};
use sillon_record::{BatchView, DECOMPRESSED_BYTES_MAX, Records, Scratch, TimestampType};

use super::OfflineError;
use super::folder::{DataFolder, file};
use super::segments::{End, walk};
use crate::failure::Failure;
use crate::output::{Format, Table, print, write_json};

#[derive(Debug, Subcommand)]
pub enum LogCommand {
    /// Check every batch and index that the last checkpoint knows
    Verify(VerifyArgs),
    /// Print the batches of a segment file
    Inspect(InspectArgs),
}

impl LogCommand {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            LogCommand::Verify(args) => args.run(),
            LogCommand::Inspect(args) => args.run(),
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

#[derive(Serialize)]
struct Verified {
    partition: String,
    log_start_offset: i64,
    log_end_offset: i64,
    segments: usize,
    batches: u64,
    records: u64,
    bytes: u64,
    problems: Vec<String>,
}

impl VerifyArgs {
    fn run(self) -> Result<(), Failure> {
        let folder = DataFolder::open(&self.dir)?;
        let (mut found, mut is_clean) = (Vec::new(), true);
        for journal in folder.journals() {
            let journal = journal?;
            is_clean &= journal.header.is_clean;
            for partition in &journal.partitions {
                found.push(verify(&folder, partition)?);
            }
        }
        found.sort_by(|a, b| a.partition.cmp(&b.partition));
        let headings = [
            "PARTITION",
            "START",
            "END",
            "SEGMENTS",
            "BATCHES",
            "RECORDS",
            "BYTES",
            "STATE",
        ];
        let mut table = Table::new(&headings);
        for partition in &found {
            let state = match partition.problems.is_empty() {
                true => "good",
                false => "DAMAGED",
            };
            table.row(vec![
                partition.partition.clone(),
                partition.log_start_offset.to_string(),
                partition.log_end_offset.to_string(),
                partition.segments.to_string(),
                partition.batches.to_string(),
                partition.records.to_string(),
                partition.bytes.to_string(),
                state.to_owned(),
            ]);
        }
        print(self.format, &found, table)?;
        if !is_clean {
            eprintln!(
                "the broker was not stopped in order: what its last checkpoint knows was checked; \
                 the rest is in the journals (see `sillon journal verify`)"
            );
        }
        let mut count = 0;
        for problem in found.iter().flat_map(|partition| &partition.problems) {
            eprintln!("{problem}");
            count += 1;
        }
        match count {
            0 => Ok(()),
            count => Err(OfflineError::Problems { count }.into()),
        }
    }
}

fn verify(folder: &DataFolder, partition: &PartitionCheckpoint) -> Result<Verified, OfflineError> {
    let name = partition_folder(&partition.topic_name, partition.partition);
    let mut verified = Verified {
        log_start_offset: partition.log_start.0,
        log_end_offset: partition.next_offset.0,
        segments: partition.segments.len(),
        batches: 0,
        records: 0,
        bytes: 0,
        problems: Vec::new(),
        partition: name,
    };
    let may_have_gaps = folder.is_compacted(partition.topic);
    let mut next = partition
        .segments
        .first()
        .map_or(0, |first| first.base_offset.0);
    let last = partition.segments.len().saturating_sub(1);
    for (number, segment) in partition.segments.iter().enumerate() {
        if segment.base_offset.0 != next && !may_have_gaps {
            let base = segment.base_offset;
            let problem = format!(
                "{}: segment {base} follows offset {next}",
                verified.partition
            );
            verified.problems.push(problem);
        }
        segment_of(folder, segment, may_have_gaps, number < last, &mut verified)?;
        next = segment.next_offset.0;
    }
    Ok(verified)
}

/// Checks one segment, and its indexes when it is closed.
fn segment_of(
    folder: &DataFolder,
    segment: &SegmentInfo,
    may_have_gaps: bool,
    is_closed: bool,
    verified: &mut Verified,
) -> Result<(), OfflineError> {
    let base = segment.base_offset;
    let path = folder.path.join(segment_path(&verified.partition, base));
    let mut problem = |text: String| {
        let text = format!("{}: {text}", path.display());
        verified.problems.push(text);
    };
    let len = match std::fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if segment.size_bytes > 0 {
                problem(format!(
                    "it is missing; it had {} bytes",
                    segment.size_bytes
                ));
            }
            return Ok(());
        }
        Err(error) => return Err(file(&path, error)),
    };
    if len < segment.size_bytes {
        problem(format!(
            "it has {len} bytes, the checkpoint knows {}",
            segment.size_bytes
        ));
        return Ok(());
    }
    let (mut next, mut batches, mut records) = (base.0, 0, 0);
    let mut begins = BTreeSet::new();
    let mut faults = Vec::new();
    let end = walk(&path, segment.size_bytes, |position, batch| {
        let at = batch.header.base_offset().0;
        if at < next || (at != next && !may_have_gaps) {
            faults.push(format!("byte {position}: offset {at} follows {next}"));
        }
        next = batch.header.last_offset().0 + 1;
        batches += 1;
        records += u64::from(batch.header.records_count().unsigned_abs());
        begins.insert(position);
    })?;
    match end {
        End::Whole if next == segment.next_offset.0 || may_have_gaps => {}
        End::Whole => faults.push(format!(
            "it ends at offset {next}, the checkpoint knows {}",
            segment.next_offset
        )),
        End::Zeros { position } => faults.push(format!(
            "only zeros from byte {position} on, the checkpoint knows {} bytes",
            segment.size_bytes
        )),
        End::Damaged { position, error } => {
            faults.push(format!("byte {position}: {error} (counted from there)"));
        }
    }
    if is_closed {
        faults.extend(index_faults(folder, &verified.partition, segment, &begins));
    }
    for fault in faults {
        problem(fault);
    }
    verified.batches += batches;
    verified.records += records;
    verified.bytes += segment.size_bytes;
    Ok(())
}

/// What is wrong with a closed segment's indexes. Missing ones are made again when needed.
fn index_faults(
    folder: &DataFolder,
    partition: &str,
    segment: &SegmentInfo,
    begins: &BTreeSet<u64>,
) -> Vec<String> {
    let base = segment.base_offset;
    let read = |path: String| std::fs::read(folder.path.join(path)).ok();
    let offsets = read(offset_index_path(partition, base));
    let times = read(time_index_path(partition, base));
    let (Some(offsets), Some(times)) = (offsets, times) else {
        return Vec::new();
    };
    match decode_offset_index(base, &offsets, &times) {
        Err(error) => vec![format!("its indexes: {error}")],
        Ok(index) => {
            let entries = index.entries().iter();
            let positions = entries.map(|entry| u64::from(entry.position));
            let wrong = positions.filter(|position| !begins.contains(position));
            wrong
                .map(|position| {
                    format!("its index points to byte {position}, where no batch begins")
                })
                .collect()
        }
    }
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A segment file, *.log
    file: PathBuf,
    /// Print the records as well
    #[arg(long)]
    records: bool,
    /// How to print: JSON is one object a batch
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Serialize)]
struct InspectedBatch {
    position: u64,
    bytes: usize,
    base_offset: i64,
    last_offset: i64,
    records: i32,
    compression: &'static str,
    timestamp_type: &'static str,
    max_timestamp_ms: i64,
    leader_epoch: i32,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    is_transactional: bool,
    is_control: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Vec<InspectedRecord>>,
}

#[derive(Serialize)]
struct InspectedRecord {
    offset: i64,
    timestamp_ms: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(String, Option<String>)>,
}

impl InspectArgs {
    fn run(self) -> Result<(), Failure> {
        let len = std::fs::metadata(&self.file).map_err(|error| file(&self.file, error))?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        let mut written = Ok(());
        let end = walk(&self.file, len.len(), |position, batch| {
            if written.is_ok() {
                let batch = inspected(position, batch, self.records);
                written = match self.format {
                    Format::Json => write_json(&mut out, &batch),
                    Format::Table => write_batch(&mut out, &batch),
                };
            }
        })?;
        written.map_err(Failure::Output)?;
        out.flush().map_err(Failure::Output)?;
        match end {
            End::Whole => Ok(()),
            End::Zeros { position } => {
                eprintln!("only zeros from byte {position} on: room that is reserved");
                Ok(())
            }
            End::Damaged { position, error } => {
                let path = self.file.display();
                eprintln!("{path}: byte {position}: {error} (counted from there)");
                Err(OfflineError::Problems { count: 1 }.into())
            }
        }
    }
}

fn inspected(position: u64, batch: &BatchView<'_>, with_records: bool) -> InspectedBatch {
    let header = batch.header;
    InspectedBatch {
        position,
        bytes: batch.bytes.len(),
        base_offset: header.base_offset().0,
        last_offset: header.last_offset().0,
        records: header.records_count(),
        compression: header.compression().map_or("unknown", |codec| codec.name()),
        timestamp_type: match header.timestamp_type() {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        },
        max_timestamp_ms: header.max_timestamp_ms(),
        leader_epoch: header.leader_epoch().0,
        producer_id: header.producer_id(),
        producer_epoch: header.producer_epoch(),
        base_sequence: header.base_sequence(),
        is_transactional: header.is_transactional(),
        is_control: header.is_control(),
        content: with_records.then(|| records(batch.bytes)),
    }
}

fn records(batch: &[u8]) -> Vec<InspectedRecord> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut buffer, mut scratch) = (Vec::new(), Scratch::default());
    let Ok(records) = Records::of(batch, &mut buffer, DECOMPRESSED_BYTES_MAX, &mut scratch) else {
        return Vec::new();
    };
    let read = records.map_while(Result::ok);
    read.map(|record| InspectedRecord {
        offset: record.offset.0,
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(text),
        value: record.value.map(text),
        headers: record
            .headers
            .map(|header| (text(header.key), header.value.map(text)))
            .collect(),
    })
    .collect()
}

fn write_batch(out: &mut impl Write, batch: &InspectedBatch) -> io::Result<()> {
    write!(
        out,
        "offsets {} to {} at byte {}: {} records, {} bytes, {}, epoch {}, {} {} ms",
        batch.base_offset,
        batch.last_offset,
        batch.position,
        batch.records,
        batch.bytes,
        batch.compression,
        batch.leader_epoch,
        batch.timestamp_type,
        batch.max_timestamp_ms
    )?;
    if batch.producer_id >= 0 {
        write!(
            out,
            ", producer {} epoch {} sequence {}",
            batch.producer_id, batch.producer_epoch, batch.base_sequence
        )?;
    }
    let marks = [
        (batch.is_transactional, ", transactional"),
        (batch.is_control, ", control"),
    ];
    for (_, mark) in marks.iter().filter(|(is_set, _)| *is_set) {
        write!(out, "{mark}")?;
    }
    writeln!(out)?;
    for record in batch.content.iter().flatten() {
        let shown = |text: &Option<String>| match text {
            Some(text) => format!("{text:?}"),
            None => "null".to_owned(),
        };
        write!(
            out,
            "  {} at {} ms: key {}, value {}",
            record.offset,
            record.timestamp_ms,
            shown(&record.key),
            shown(&record.value)
        )?;
        for (key, value) in &record.headers {
            write!(out, ", {key}: {}", shown(value))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sillon_record::{BatchBuilder, Compression, LeaderEpoch, Offset, patch_placement};

    fn segment(batches: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in 0..batches {
            let mut builder = BatchBuilder::new(Compression::None);
            builder.append(7, Some(b"k"), Some(b"v"), &[]).unwrap();
            let mut batch = builder.build();
            patch_placement(&mut batch, Offset(number as i64), LeaderEpoch(1));
            bytes.extend_from_slice(&batch);
        }
        bytes
    }

    fn ends(bytes: &[u8]) -> (usize, End) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut count = 0;
        let end = walk(file.path(), bytes.len() as u64, |_, _| count += 1).unwrap();
        (count, end)
    }

    #[test]
    fn a_walk_ends_with_the_file_with_zeros_or_with_the_place_of_the_damage() {
        let whole = segment(3);
        assert!(matches!(ends(&whole), (3, End::Whole)));
        let reserved = [&whole[..], &[0; 10_000]].concat();
        let at = whole.len() as u64;
        assert!(matches!(ends(&reserved), (3, End::Zeros { position }) if position == at));
        let mut damaged = reserved.clone();
        damaged.push(1);
        assert!(matches!(ends(&damaged), (3, End::Damaged { .. })));
        let mut flipped = whole.clone();
        flipped[at as usize - 1] ^= 1;
        let place = at / 3 * 2;
        assert!(matches!(ends(&flipped), (2, End::Damaged { position, .. }) if position == place));
        assert!(matches!(
            ends(&whole[..whole.len() - 5]),
            (2, End::Damaged { .. })
        ));
    }

    #[test]
    fn a_segment_larger_than_what_is_read_at_a_time_is_walked_whole() {
        let bytes = segment(100_000);
        assert!(bytes.len() > 6 << 20);
        assert!(matches!(ends(&bytes), (100_000, End::Whole)));
    }
}

//! After a run: is everything that was acknowledged in the log, once, where it was said to be,
//! and as it was sent?

use std::sync::Arc;
use std::time::Instant;

use sillon_client::{Client, ClientError, OffsetSpec};

use crate::checker::{Checker, Findings};
use crate::consumer::{Position, ReadError, Reader};
use crate::ledger::{BitSet, Ledger};
use crate::places::Places;
use crate::process;
use crate::run_report::Verification;
use crate::scenario::{Consume, Scenario};
use crate::template::Templates;

/// Answers without a byte, one after the other, after which a partition is given up.
const EMPTY_ANSWERS_MAX: u32 = 20;

/// Samples of a partition that is too large to be read back whole.
const SAMPLES: i64 = 8;

/// How the log is read back.
const READ_BACK: ReadBack = ReadBack {
    max_bytes: 16 << 20,
    partition_max_bytes: 4 << 20,
    max_wait_ms: 100,
};

struct ReadBack {
    max_bytes: i32,
    partition_max_bytes: i32,
    max_wait_ms: i32,
}

/// A part of a partition to be read: its number in the run, from an offset to an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    partition: usize,
    from: i64,
    to: i64,
}

/// Checks all that can be checked. `consumed` is what consumers found during the run.
pub fn verify(
    client: &mut Client,
    scenario: &Scenario,
    places: &Arc<Places>,
    templates: &Arc<Templates>,
    ledger: &Ledger,
    consumed: Vec<Checker>,
) -> Result<Verification, ClientError> {
    let began = Instant::now();
    let mut findings = Findings::default();
    let mut verification = Verification::default();
    for checker in consumed {
        verification.consumed_batches += checker.checked_batches;
        verification.consumed_batches_unchecked += checker.unchecked_batches;
        findings.extend(checker.findings);
    }
    let partitions = ledger.partitions.iter();
    verification.acknowledged_records = partitions.map(|known| known.acknowledged_records).sum();
    let starts = offsets(client, places, OffsetSpec::Earliest)?;
    let ends = offsets(client, places, OffsetSpec::Latest)?;
    for (number, (start, end)) in starts.iter().zip(&ends).enumerate() {
        verification.log_records += (end - start).max(0) as u64;
        check_end(ledger, places, number, *end, &mut findings);
    }
    let (spans, is_complete) = spans(scenario, templates, &starts, &ends);
    verification.is_complete = is_complete;
    let checkers = read_back(places, templates, &spans, is_complete, &mut findings);
    let mut whole = Checker::new(templates.clone(), is_complete);
    for checker in checkers {
        merge(&mut whole, checker);
    }
    verification.read_back_batches = whole.checked_batches;
    verification.read_back_records = whole.checked_records;
    if is_complete && !whole.has_anonymous {
        compare(ledger, places, &starts, &whole, &mut findings);
    }
    findings.extend(whole.findings);
    verification.passed = findings.count == 0;
    verification.findings = findings.told;
    verification.findings_count = findings.count;
    verification.took_s = began.elapsed().as_secs_f64();
    Ok(verification)
}

/// By the partition's number in the run.
pub fn offsets(
    client: &mut Client,
    places: &Places,
    spec: OffsetSpec,
) -> Result<Vec<i64>, ClientError> {
    let mut offsets = Vec::with_capacity(places.partitions.len());
    for (topic, place) in places.topics.iter().enumerate() {
        let partitions = places
            .partitions
            .iter()
            .filter(|place| place.topic == topic);
        let partitions: Vec<i32> = partitions.map(|place| place.index).collect();
        let found = client.list_offsets(&place.name, &partitions, spec)?;
        offsets.extend(found.iter().map(|found| found.offset.unwrap_or(0)));
    }
    Ok(offsets)
}

/// The run's topics began empty, so where a log ends is how many records it was given.
fn check_end(ledger: &Ledger, places: &Places, number: usize, end: i64, findings: &mut Findings) {
    let known = &ledger.partitions[number];
    let (least, name) = (known.acknowledged_records, places.name(number));
    let most = least + known.unknown_records;
    if (end.max(0) as u64) < least {
        findings.add(format!(
            "{name}: {least} records were acknowledged, and the log ends at offset {end}: {} are \
             lost",
            least as i64 - end
        ));
    } else if end as u64 > most {
        findings.add(format!(
            "{name}: {most} records were sent, and the log ends at offset {end}: {} too many",
            end as u64 - most
        ));
    } else if known.acknowledged_end > end {
        let told = known.acknowledged_end;
        findings.add(format!(
            "{name}: records up to offset {told} were acknowledged, and the log ends at {end}"
        ));
    }
}

/// What is to be read back, and whether that is everything.
fn spans(
    scenario: &Scenario,
    templates: &Templates,
    starts: &[i64],
    ends: &[i64],
) -> (Vec<Span>, bool) {
    let one = templates.get(0);
    let record_bytes = one.batch_bytes() as f64 / f64::from(one.records_count.max(1));
    let records_max = scenario.verify.read_back_mib_max as f64 * f64::from(1 << 20) / record_bytes;
    let records: i64 = starts
        .iter()
        .zip(ends)
        .map(|(start, end)| (end - start).max(0))
        .sum();
    let whole = starts.iter().zip(ends).enumerate();
    let whole = whole.map(|(partition, (from, to))| Span {
        partition,
        from: *from,
        to: *to,
    });
    let whole = whole.filter(|span| span.from < span.to);
    if records as f64 <= records_max {
        return (whole.collect(), true);
    }
    let share = records_max / records as f64;
    let sampled = whole.flat_map(|span| {
        let length = span.to - span.from;
        let step = length / SAMPLES;
        let sample = ((length as f64 * share) as i64 / SAMPLES).clamp(0, step);
        (0..SAMPLES).map(move |index| Span {
            partition: span.partition,
            from: span.from + index * step,
            to: span.from + index * step + sample,
        })
    });
    (sampled.filter(|span| span.from < span.to).collect(), false)
}

/// Reads spans in as many threads as there are cores.
fn read_back(
    places: &Arc<Places>,
    templates: &Arc<Templates>,
    spans: &[Span],
    is_complete: bool,
    findings: &mut Findings,
) -> Vec<Checker> {
    let threads = process::cores().len().max(1);
    let mut jobs: Vec<(usize, Vec<Span>)> = Vec::new();
    for leader in 0..places.leaders.len() {
        for thread in 0..threads {
            let mine = |span: &&Span| {
                places.partitions[span.partition].leader == leader
                    && span.partition % threads == thread
            };
            jobs.push((leader, spans.iter().filter(mine).copied().collect()));
        }
    }
    let jobs = jobs.into_iter().filter(|(_, spans)| !spans.is_empty());
    std::thread::scope(|scope| {
        let running: Vec<_> = jobs
            .map(|(leader, spans)| {
                let mut checker = Checker::new(templates.clone(), is_complete);
                scope.spawn(move || {
                    if let Err(error) = read_spans(places, leader, &spans, &mut checker) {
                        let what = format!("reading back from {leader}: {error}");
                        checker.findings.add(what);
                    }
                    checker
                })
            })
            .collect();
        let mut checkers = Vec::new();
        for thread in running {
            match thread.join() {
                Ok(checker) => checkers.push(checker),
                Err(_) => findings.add("a thread that reads back has panicked".to_string()),
            }
        }
        checkers
    })
}

/// Reads spans of one leader's partitions: of each partition one at a time.
fn read_spans(
    places: &Arc<Places>,
    leader: usize,
    spans: &[Span],
    checker: &mut Checker,
) -> Result<(), ReadError> {
    let consume = Consume {
        max_bytes: READ_BACK.max_bytes,
        partition_max_bytes: READ_BACK.partition_max_bytes,
        max_wait_ms: READ_BACK.max_wait_ms,
        ..Consume::default()
    };
    let by_partition: Vec<&[Span]> = spans.chunk_by(|a, b| a.partition == b.partition).collect();
    let rounds = by_partition
        .iter()
        .map(|spans| spans.len())
        .max()
        .unwrap_or(0);
    for round in 0..rounds {
        let round = by_partition.iter().filter_map(|spans| spans.get(round));
        let round: Vec<Span> = round.copied().collect();
        let starts: Vec<(usize, i64)> = round
            .iter()
            .map(|span| (span.partition, span.from))
            .collect();
        let mut reader = Reader::open(places.clone(), leader, &consume, &starts)?;
        for (position, span) in reader.positions.iter_mut().zip(&round) {
            position.until = span.to;
        }
        let mut empty_answers = 0;
        let is_wanted = |at: &Position| !at.is_broken && at.next < at.until;
        while reader.positions.iter().any(is_wanted) {
            let answer = reader.poll(checker, true, is_wanted, || {}, |_| {})?;
            empty_answers = if answer.bytes > 0 {
                0
            } else {
                empty_answers + 1
            };
            if empty_answers == EMPTY_ANSWERS_MAX {
                for at in reader.positions.iter().filter(|at| is_wanted(at)) {
                    let (name, end) = (places.name(at.partition), at.until);
                    let faults = &answer.faults;
                    checker.findings.add(format!(
                        "{name}: nothing comes from offset {} on, and there is more up to {end} \
                         {faults:?}",
                        at.next
                    ));
                }
                break;
            }
        }
    }
    Ok(())
}

fn merge(whole: &mut Checker, part: Checker) {
    whole.checked_batches += part.checked_batches;
    whole.checked_records += part.checked_records;
    whole.has_anonymous |= part.has_anonymous;
    whole.findings.extend(part.findings);
    for (partition, sum) in part.placed {
        let total = whole.placed.entry(partition).or_default();
        *total = total.wrapping_add(sum);
    }
    for (connection, seen) in part.seen {
        match whole.seen.get_mut(&connection) {
            None => {
                whole.seen.insert(connection, seen);
            }
            Some(known) => {
                if let Some((number, count)) = known.merge(&seen) {
                    whole.findings.add(format!(
                        "batch {number} of connection {connection} is in more than one partition \
                         ({count} like it)"
                    ));
                }
            }
        }
    }
}

/// Everything was read: what was acknowledged must be there, where it was said to be.
fn compare(
    ledger: &Ledger,
    places: &Places,
    starts: &[i64],
    whole: &Checker,
    findings: &mut Findings,
) {
    if starts.iter().any(|start| *start > 0) {
        // Retention has removed some; those that are left were compared one by one.
        return;
    }
    let none = BitSet::default();
    for (connection, known) in &ledger.connections {
        let seen = whole.seen.get(connection).unwrap_or(&none);
        if let Some((number, count)) = known.acknowledged.missing_in(seen) {
            findings.add(format!(
                "batch {number} of connection {connection} was acknowledged and is not in the log \
                 ({count} like it)"
            ));
        }
    }
    for (number, known) in ledger.partitions.iter().enumerate() {
        let sum = whole.placed.get(&number).copied().unwrap_or(0);
        if known.unknown_records == 0 && sum != known.placed {
            let name = places.name(number);
            findings.add(format!(
                "{name}: batches are not all at the offsets that were acknowledged"
            ));
        }
    }
}

use std::collections::BTreeMap;

use crate::event::Run;

use super::anomaly::{Anomaly, Findings};
use super::log::{Log, Slot, Witness};
use super::report::Counts;
use super::{Nonsense, Told};

/// What is known of one partition.
#[derive(Debug)]
pub(super) struct Partition {
    index: i32,
    log: Log,
    /// In the order in which they began.
    sends: Vec<Sent>,
    /// The sends by their first values.
    by_first: BTreeMap<u64, u32>,
    /// By process.
    readers: BTreeMap<u32, Reader>,
    gaps: Vec<Gap>,
    /// Where each leader epoch is in the log.
    epochs: BTreeMap<i32, EpochSpan>,
    /// What a process was last told by a broker: the epoch, and in which line.
    told_epochs: BTreeMap<(u32, i32), (i32, u32)>,
    /// The highest offset of any value read, and the line.
    read_end: Option<(i64, u32)>,
    drain: Option<Drain>,
}

/// A batch that was sent.
#[derive(Clone, Copy, Debug)]
struct Sent {
    first: u64,
    count: u32,
    process: u32,
    begin_line: u32,
    end_line: u32,
    fate: Fate,
    is_idempotent: bool,
    is_retried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Unknown,
    Failed,
    Acknowledged { offset: Option<i64> },
}

/// Who polls, and how far.
#[derive(Clone, Copy, Debug)]
struct Reader {
    /// The offset that comes next.
    next: i64,
    /// The line that says so.
    line: u32,
}

/// Offsets that a reader did not get.
#[derive(Clone, Copy, Debug)]
struct Gap {
    process: u32,
    from: i64,
    to: i64,
    lines: [u32; 2],
}

#[derive(Clone, Copy, Debug)]
struct EpochSpan {
    min: (i64, u32),
    max: (i64, u32),
}

/// What the final reader read.
#[derive(Clone, Copy, Debug)]
struct Drain {
    process: u32,
    from: i64,
    /// The offset behind the last record that it got.
    read_end: i64,
    line: u32,
}

/// A value at an offset.
type Placed = (i64, Slot);

impl Partition {
    pub fn new(index: i32) -> Partition {
        Partition {
            index,
            log: Log::default(),
            sends: Vec::new(),
            by_first: BTreeMap::new(),
            readers: BTreeMap::new(),
            gaps: Vec::new(),
            epochs: BTreeMap::new(),
            told_epochs: BTreeMap::new(),
            read_end: None,
            drain: None,
        }
    }

    pub fn send_begins(
        &mut self,
        line: u32,
        process: u32,
        (first, count): (u64, u32),
        is_idempotent: bool,
    ) -> Result<(), Nonsense> {
        let last = first.saturating_add(u64::from(count) - 1);
        let before = self.by_first.range(..=last).next_back();
        if let Some(index) = before.map(|(_, index)| *index as usize) {
            let other = self.sends[index];
            if other.first + u64::from(other.count) > first {
                return Err(Nonsense::SentTwice {
                    value: first.max(other.first),
                    line: other.begin_line,
                });
            }
        }
        self.by_first.insert(first, self.sends.len() as u32);
        self.sends.push(Sent {
            first,
            count,
            process,
            begin_line: line,
            end_line: 0,
            fate: Fate::Open,
            is_idempotent,
            is_retried: false,
        });
        Ok(())
    }

    fn open_send(&mut self, first: u64) -> Result<&mut Sent, Nonsense> {
        let index = self.by_first.get(&first).copied();
        let sent = index.map(|index| &mut self.sends[index as usize]);
        let sent = sent.filter(|sent| sent.fate == Fate::Open);
        sent.ok_or(Nonsense::NotBegun { what: "a send" })
    }

    pub fn send_retried(&mut self, first: u64) -> Result<(), Nonsense> {
        self.open_send(first)?.is_retried = true;
        Ok(())
    }

    pub fn send_failed(&mut self, line: u32, first: u64) -> Result<(), Nonsense> {
        let sent = self.open_send(first)?;
        (sent.fate, sent.end_line) = (Fate::Failed, line);
        Ok(())
    }

    pub fn send_unknown(&mut self, line: u32, first: u64) -> Result<(), Nonsense> {
        let sent = self.open_send(first)?;
        (sent.fate, sent.end_line) = (Fate::Unknown, line);
        Ok(())
    }

    pub fn send_acknowledged(
        &mut self,
        line: u32,
        first: u64,
        offset: Option<i64>,
        findings: &mut Findings,
    ) -> Result<(), Nonsense> {
        let sent = self.open_send(first)?;
        (sent.fate, sent.end_line) = (Fate::Acknowledged { offset }, line);
        let count = sent.count;
        if let Some(offset) = offset {
            for (offset, value) in (offset..).zip(first..first + u64::from(count)) {
                self.observe(offset, value, line, Witness::Send, findings);
            }
        }
        Ok(())
    }

    fn observe(
        &mut self,
        offset: i64,
        value: u64,
        line: u32,
        by: Witness,
        findings: &mut Findings,
    ) {
        let Some(other) = self.log.observe(offset, value, line, by) else {
            return;
        };
        let index = self.index;
        findings.add(Anomaly::InconsistentOffset, [other.line(), line], || {
            format!(
                "partition {index}, offset {offset} holds value {} and value {value}",
                other.value
            )
        });
    }

    /// What the process polls next has nothing to do with what it polled before.
    pub fn forget_reader(&mut self, process: u32) {
        self.readers.remove(&process);
    }

    pub fn positioned(&mut self, line: u32, process: u32, offset: i64) {
        self.readers.insert(process, Reader { next: offset, line });
    }

    pub fn polled(
        &mut self,
        line: u32,
        process: u32,
        runs: &[Run],
        strangers: &[i64],
        findings: &mut Findings,
    ) {
        let index = self.index;
        for offset in strangers {
            findings.add(Anomaly::Unwritten, [line], || {
                format!("partition {index}, offset {offset} holds no value of this history")
            });
        }
        for run in runs {
            let end = run.offset + i64::from(run.count);
            if let Some(reader) = self.readers.get(&process).copied() {
                let lines = [reader.line, line];
                if run.offset < reader.next {
                    findings.add(Anomaly::NonmonotonicPoll, lines, || {
                        format!(
                            "partition {index}: process {process} was at offset {}, and was \
                             given offset {}",
                            reader.next, run.offset
                        )
                    });
                } else if run.offset > reader.next {
                    self.gaps.push(Gap {
                        process,
                        from: reader.next,
                        to: run.offset,
                        lines,
                    });
                }
            }
            self.readers.insert(process, Reader { next: end, line });
            let values = run.value..run.value.saturating_add(u64::from(run.count));
            for (offset, value) in (run.offset..).zip(values) {
                self.observe(offset, value, line, Witness::Poll, findings);
            }
            if self.read_end.is_none_or(|(offset, _)| offset < end - 1) {
                self.read_end = Some((end - 1, line));
            }
            let span = self.epochs.entry(run.epoch).or_insert(EpochSpan {
                min: (run.offset, line),
                max: (end - 1, line),
            });
            if run.offset < span.min.0 {
                span.min = (run.offset, line);
            }
            if end - 1 > span.max.0 {
                span.max = (end - 1, line);
            }
        }
    }

    pub fn told_epoch(
        &mut self,
        line: u32,
        process: u32,
        broker: i32,
        epoch: i32,
        findings: &mut Findings,
    ) {
        let told = self.told_epochs.insert((process, broker), (epoch, line));
        if let Some((before, before_line)) = told.filter(|(before, _)| *before > epoch) {
            let index = self.index;
            findings.add(Anomaly::EpochRegression, [before_line, line], || {
                format!("partition {index}: broker {broker} told epoch {before}, then {epoch}")
            });
        }
    }

    pub fn drained(&mut self, line: u32, process: u32, from: i64, end: i64) {
        let reader = self.readers.get(&process);
        // Behind the last record there may be what is none, up to the log's end.
        let read_end = reader.map_or(from, |reader| reader.next).min(end);
        self.drain = Some(Drain {
            process,
            from,
            read_end,
            line,
        });
    }

    /// Whether something was to be read, and was not in the end.
    pub fn lacks_drain(&self) -> bool {
        self.drain.is_none() && !(self.sends.is_empty() && self.read_end.is_none())
    }

    /// The history is over.
    pub fn judge(&self, findings: &mut Findings, counts: &mut Counts) {
        self.count(counts);
        let mut placed: Vec<Placed> = self.log.all().collect();
        placed.sort_unstable_by_key(|(offset, slot)| (slot.value, *offset));
        for same in placed.chunk_by(|a, b| a.1.value == b.1.value) {
            self.judge_value(same, findings, counts);
        }
        self.judge_sends(&placed, findings);
        self.judge_gaps(findings);
        self.judge_epochs(findings);
    }

    fn count(&self, counts: &mut Counts) {
        for sent in &self.sends {
            let values = u64::from(sent.count);
            match sent.fate {
                Fate::Acknowledged { .. } => counts.acknowledged += values,
                Fate::Failed => counts.failed += values,
                Fate::Open | Fate::Unknown => counts.unknown += values,
            }
            counts.retried += u64::from(sent.is_retried);
        }
        counts.drained += u64::from(self.drain.is_some());
        counts.epochs += self.epochs.len() as u64;
    }

    /// The send that a value is from.
    fn send_of(&self, value: u64) -> Option<&Sent> {
        let (_, index) = self.by_first.range(..=value).next_back()?;
        let sent = &self.sends[*index as usize];
        (value - sent.first < u64::from(sent.count)).then_some(sent)
    }

    /// Everywhere that one value was seen.
    fn judge_value(&self, same: &[Placed], findings: &mut Findings, counts: &mut Counts) {
        let (offset, Slot { value, .. }) = same[0];
        let index = self.index;
        let sent = self.send_of(value);
        let polled = same.iter().find(|(_, slot)| slot.polled_line > 0);
        if let Some((offset, slot)) = polled {
            match sent {
                None => findings.add(Anomaly::Unwritten, [slot.polled_line], || {
                    format!("partition {index}, offset {offset}: nobody sent value {value}")
                }),
                Some(sent) if sent.fate == Fate::Failed => {
                    let lines = [sent.begin_line, sent.end_line, slot.polled_line];
                    findings.add(Anomaly::AbortedRead, lines, || {
                        format!(
                            "partition {index}, offset {offset} holds value {value}, whose send \
                             was refused"
                        )
                    });
                }
                Some(_) => {}
            }
        }
        let copies = same.len() as u64 - 1;
        if copies == 0 {
            return;
        }
        if sent.is_some_and(|sent| sent.is_retried && !sent.is_idempotent) {
            counts.copies += copies;
            return;
        }
        let lines = same.iter().map(|(_, slot)| slot.line());
        let lines = lines.chain(sent.map(|sent| sent.begin_line));
        findings.add(Anomaly::Duplicate, lines, || {
            let others: Vec<String> = same[1..].iter().map(|at| at.0.to_string()).collect();
            format!(
                "partition {index}: value {value} is at offset {offset} and at {}",
                others.join(", ")
            )
        });
    }

    fn judge_sends(&self, placed: &[Placed], findings: &mut Findings) {
        let index = self.index;
        let mut told = Told::new();
        let mut last: BTreeMap<u32, (i64, &Sent)> = BTreeMap::new();
        for sent in &self.sends {
            let Fate::Acknowledged { offset: base } = sent.fate else {
                continue;
            };
            let lines = [sent.begin_line, sent.end_line];
            if let Some(base) = base {
                let end = base + i64::from(sent.count);
                let before = last.insert(sent.process, (end, sent));
                if let Some((before_end, before)) = before.filter(|before| before.0 > base) {
                    let all = [before.begin_line, before.end_line, lines[0], lines[1]];
                    findings.add(Anomaly::NonmonotonicSend, all, || {
                        format!(
                            "partition {index}: a send of process {} ended at offset {before_end}, \
                             its next one is at {base}",
                            sent.process
                        )
                    });
                }
            }
            for nth in 0..sent.count {
                let value = sent.first + u64::from(nth);
                let at = base.map(|base| base + i64::from(nth));
                if self.is_polled(value, at, placed) {
                    continue;
                }
                if let (Some(at), Some((read_end, line))) = (at, self.read_end)
                    && at <= read_end
                {
                    findings.add(Anomaly::LostWrite, [lines[0], lines[1], line], || {
                        format!(
                            "partition {index}: value {value} was acknowledged at offset {at}, no \
                             poll returned it, and offset {read_end} was read"
                        )
                    });
                }
                if let Some(drain) = self.drain {
                    told.insert(value);
                    findings.add(Anomaly::Unseen, [lines[0], lines[1], drain.line], || {
                        let at = at.map_or(String::new(), |at| format!(" at offset {at}"));
                        format!(
                            "partition {index}: value {value} was acknowledged{at} and is not \
                             there at the end, nor was it ever read"
                        )
                    });
                }
            }
        }
        if let Some(drain) = self.drain {
            self.judge_drain(drain, &told, findings);
        }
    }

    /// Whether any poll returned a value that was acknowledged at an offset.
    fn is_polled(&self, value: u64, at: Option<i64>, placed: &[Placed]) -> bool {
        let there = at.and_then(|at| self.log.at(at));
        if there.is_some_and(|slot| slot.value == value && slot.polled_line > 0) {
            return true;
        }
        let start = placed.partition_point(|(_, other)| other.value < value);
        let same = placed[start..].iter();
        let mut same = same.take_while(|(_, other)| other.value == value);
        same.any(|(_, slot)| slot.polled_line > 0)
    }

    /// What was known to be in the log must be in what the final reader read.
    fn judge_drain(&self, drain: Drain, told: &Told, findings: &mut Findings) {
        let gaps: Vec<&Gap> = self
            .gaps
            .iter()
            .filter(|gap| gap.process == drain.process)
            .collect();
        let is_read = |offset: i64| {
            drain.from <= offset
                && offset < drain.read_end
                && !gaps.iter().any(|gap| gap.from <= offset && offset < gap.to)
        };
        if gaps.is_empty() && self.log.first_in(i64::MIN / 2, drain.from).is_none() {
            let behind = self.log.first_in(drain.read_end, i64::MAX);
            if behind.is_none() {
                return;
            }
        }
        for (offset, slot) in self.log.all() {
            if is_read(offset) || told.contains(&slot.value) {
                continue;
            }
            let sent = self.send_of(slot.value);
            let is_copy = sent.is_some_and(|sent| sent.is_retried && !sent.is_idempotent);
            let lines = [slot.sent_line, slot.polled_line, drain.line];
            findings.add(Anomaly::Unseen, lines, || {
                let index = self.index;
                let value = slot.value;
                let how = match (slot.sent_line, is_copy) {
                    (0, true) => "was read (a copy by a retry)",
                    (0, false) => "was read",
                    _ => "was acknowledged",
                };
                format!(
                    "partition {index}: value {value} {how} at offset {offset} and is not there \
                     at the end"
                )
            });
        }
    }

    fn judge_gaps(&self, findings: &mut Findings) {
        for gap in &self.gaps {
            let Some((offset, slot)) = self.log.first_in(gap.from, gap.to) else {
                continue;
            };
            let lines = [gap.lines[0], gap.lines[1], slot.line()];
            findings.add(Anomaly::PollSkip, lines, || {
                format!(
                    "partition {}: process {} was at offset {} and was given offset {}; offset \
                     {offset} holds value {}",
                    self.index, gap.process, gap.from, gap.to, slot.value
                )
            });
        }
    }

    fn judge_epochs(&self, findings: &mut Findings) {
        let mut highest: Option<(i32, EpochSpan)> = None;
        for (epoch, span) in &self.epochs {
            if let Some((lower, before)) = highest
                && before.max.0 >= span.min.0
            {
                let lines = [before.max.1, span.min.1];
                findings.add(Anomaly::EpochRegression, lines, || {
                    format!(
                        "partition {}: epoch {epoch} begins at offset {}, and offset {} is of \
                         epoch {lower}",
                        self.index, span.min.0, before.max.0
                    )
                });
            }
            if highest.is_none_or(|(_, before)| before.max.0 < span.max.0) {
                highest = Some((*epoch, *span));
            }
        }
    }
}

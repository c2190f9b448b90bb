use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Run, What};

/// The first line: what the history is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`super::FORMAT`].
    pub format: String,
    /// [`super::VERSION`].
    pub version: u32,
    /// The topic that all partitions are of.
    pub topic: String,
    /// Members of groups took part, so that something must have been assigned and committed.
    #[serde(default)]
    pub has_members: bool,
    /// When it began, in ms since the Unix epoch.
    #[serde(default)]
    pub started_unix_ms: u64,
    /// What was run, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
}

/// A line that is JSON and no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEvent {
    /// No such pair.
    #[error("there is no event of op {op:?} and type {kind:?}")]
    Kind {
        /// Its op.
        op: String,
        /// Its type.
        kind: &'static str,
    },
    /// Something is missing.
    #[error("an event of op {op:?} and type {kind:?} needs {field:?}")]
    Missing {
        /// Its op.
        op: String,
        /// Its type.
        kind: &'static str,
        /// What is missing.
        field: &'static str,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Invoke,
    Retry,
    Ok,
    Fail,
    Info,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Invoke => "invoke",
            Kind::Retry => "retry",
            Kind::Ok => "ok",
            Kind::Fail => "fail",
            Kind::Info => "info",
        }
    }
}

/// All fields that any event has, so that a line is read in one pass.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line<'a> {
    t: u64,
    p: u32,
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotent: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    group: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<i32>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    member: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partitions: Option<Vec<i32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    runs: Option<Vec<(i64, u64, u32, i32)>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    strangers: Vec<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offsets: Option<Vec<(i32, i64)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    broker: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<i64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
}

impl<'a> Line<'a> {
    fn new(event: &Event, op: &'static str, kind: Kind) -> Line<'a> {
        Line {
            t: event.time_ns,
            p: event.process,
            op: Cow::Borrowed(op),
            kind,
            partition: None,
            first: None,
            count: None,
            idempotent: None,
            offset: None,
            group: None,
            generation: None,
            member: None,
            partitions: None,
            runs: None,
            strangers: Vec::new(),
            offsets: None,
            broker: None,
            epoch: None,
            from: None,
            end: None,
            text: None,
        }
    }

    /// An event as it is written.
    pub fn of(event: &'a Event) -> Line<'a> {
        let line = |op, kind| Line::new(event, op, kind);
        let send = |kind, partition: &i32, first: &u64| Line {
            partition: Some(*partition),
            first: Some(*first),
            ..line("send", kind)
        };
        let of_group = |op, kind, group: &'a String| Line {
            group: Some(Cow::Borrowed(group.as_str())),
            ..line(op, kind)
        };
        match &event.what {
            What::SendBegins {
                partition,
                first,
                count,
                is_idempotent,
            } => Line {
                count: Some(*count),
                idempotent: Some(*is_idempotent),
                ..send(Kind::Invoke, partition, first)
            },
            What::SendRetried { partition, first } => send(Kind::Retry, partition, first),
            What::SendAcknowledged {
                partition,
                first,
                offset,
            } => Line {
                offset: *offset,
                ..send(Kind::Ok, partition, first)
            },
            What::SendFailed { partition, first } => send(Kind::Fail, partition, first),
            What::SendUnknown { partition, first } => send(Kind::Info, partition, first),
            What::Assigned {
                group,
                generation,
                member,
                partitions,
            } => Line {
                generation: Some(*generation),
                member: Some(Cow::Borrowed(member.as_str())),
                partitions: Some(partitions.clone()),
                ..of_group("assign", Kind::Ok, group)
            },
            What::Positioned { partition, offset } => Line {
                partition: Some(*partition),
                offset: Some(*offset),
                ..line("seek", Kind::Ok)
            },
            What::Polled {
                partition,
                runs,
                strangers,
            } => {
                let runs = runs.iter();
                let runs = runs.map(|run| (run.offset, run.value, run.count, run.epoch));
                Line {
                    partition: Some(*partition),
                    runs: Some(runs.collect()),
                    strangers: strangers.clone(),
                    ..line("poll", Kind::Ok)
                }
            }
            What::Unreadable { partition, reason } => Line {
                partition: Some(*partition),
                text: Some(Cow::Borrowed(reason.as_str())),
                ..line("poll", Kind::Fail)
            },
            What::CommitBegins {
                group,
                generation,
                offsets,
            } => Line {
                generation: Some(*generation),
                offsets: Some(offsets.clone()),
                ..of_group("commit", Kind::Invoke, group)
            },
            What::CommitAcknowledged { group, offsets } => Line {
                offsets: Some(offsets.clone()),
                ..of_group("commit", Kind::Ok, group)
            },
            What::CommitFailed { group } => of_group("commit", Kind::Fail, group),
            What::CommitUnknown { group } => of_group("commit", Kind::Info, group),
            What::FetchBegins { group } => of_group("committed", Kind::Invoke, group),
            What::Fetched { group, offsets } => Line {
                offsets: Some(offsets.clone()),
                ..of_group("committed", Kind::Ok, group)
            },
            What::FetchFailed { group } => of_group("committed", Kind::Fail, group),
            What::Reset { group, partition } => Line {
                partition: Some(*partition),
                ..of_group("reset", Kind::Ok, group)
            },
            What::LeaderEpoch {
                partition,
                broker,
                epoch,
            } => Line {
                partition: Some(*partition),
                broker: Some(*broker),
                epoch: Some(*epoch),
                ..line("epoch", Kind::Ok)
            },
            What::Drained {
                partition,
                from,
                end,
            } => Line {
                partition: Some(*partition),
                from: Some(*from),
                end: Some(*end),
                ..line("drain", Kind::Ok)
            },
            What::Note { text } => Line {
                text: Some(Cow::Borrowed(text.as_str())),
                ..line("note", Kind::Info)
            },
        }
    }

    /// The event that was written.
    pub fn event(self) -> Result<Event, NotAnEvent> {
        let (time_ns, process) = (self.t, self.p);
        let (op, kind) = (self.op.clone(), self.kind.name());
        match self.what() {
            Ok(Some(what)) => Ok(Event {
                time_ns,
                process,
                what,
            }),
            Ok(None) => Err(NotAnEvent::Kind {
                op: op.into_owned(),
                kind,
            }),
            Err(field) => Err(NotAnEvent::Missing {
                op: op.into_owned(),
                kind,
                field,
            }),
        }
    }

    /// What it tells; `None`: there is no such event. The error is the field that is missing.
    fn what(self) -> Result<Option<What>, &'static str> {
        let partition = self.partition.ok_or("partition");
        let first = self.first.ok_or("first");
        let group = self.group.map(Cow::into_owned).ok_or("group");
        let generation = self.generation.ok_or("generation");
        let offset = self.offset.ok_or("offset");
        let offsets = self.offsets.ok_or("offsets");
        let text = self.text.map(Cow::into_owned).unwrap_or_default();
        Ok(Some(match (self.op.as_ref(), self.kind) {
            ("send", Kind::Invoke) => What::SendBegins {
                partition: partition?,
                first: first?,
                count: self.count.unwrap_or(1),
                is_idempotent: self.idempotent.unwrap_or(false),
            },
            ("send", Kind::Retry) => What::SendRetried {
                partition: partition?,
                first: first?,
            },
            ("send", Kind::Ok) => What::SendAcknowledged {
                partition: partition?,
                first: first?,
                offset: self.offset,
            },
            ("send", Kind::Fail) => What::SendFailed {
                partition: partition?,
                first: first?,
            },
            ("send", Kind::Info) => What::SendUnknown {
                partition: partition?,
                first: first?,
            },
            ("assign", Kind::Ok) => What::Assigned {
                group: group?,
                generation: generation?,
                member: self.member.ok_or("member")?.into_owned(),
                partitions: self.partitions.ok_or("partitions")?,
            },
            ("seek", Kind::Ok) => What::Positioned {
                partition: partition?,
                offset: offset?,
            },
            ("poll", Kind::Ok) => What::Polled {
                partition: partition?,
                runs: runs(self.runs.ok_or("runs")?),
                strangers: self.strangers,
            },
            ("poll", Kind::Fail) => What::Unreadable {
                partition: partition?,
                reason: text,
            },
            ("commit", Kind::Invoke) => What::CommitBegins {
                group: group?,
                generation: self.generation.unwrap_or(-1),
                offsets: offsets?,
            },
            ("commit", Kind::Ok) => What::CommitAcknowledged {
                group: group?,
                offsets: offsets?,
            },
            ("commit", Kind::Fail) => What::CommitFailed { group: group? },
            ("commit", Kind::Info) => What::CommitUnknown { group: group? },
            ("committed", Kind::Invoke) => What::FetchBegins { group: group? },
            ("committed", Kind::Ok) => What::Fetched {
                group: group?,
                offsets: offsets?,
            },
            ("committed", Kind::Fail) => What::FetchFailed { group: group? },
            ("reset", Kind::Ok) => What::Reset {
                group: group?,
                partition: partition?,
            },
            ("epoch", Kind::Ok) => What::LeaderEpoch {
                partition: partition?,
                broker: self.broker.ok_or("broker")?,
                epoch: self.epoch.ok_or("epoch")?,
            },
            ("drain", Kind::Ok) => What::Drained {
                partition: partition?,
                from: self.from.ok_or("from")?,
                end: self.end.ok_or("end")?,
            },
            ("note", Kind::Info) => What::Note { text },
            _ => return Ok(None),
        }))
    }
}

fn runs(runs: Vec<(i64, u64, u32, i32)>) -> Vec<Run> {
    let run = |(offset, value, count, epoch)| Run {
        offset,
        value,
        count,
        epoch,
    };
    runs.into_iter().map(run).collect()
}

mod group;

use std::io::{self, BufWriter, StdoutLock, Write};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use sillon_client::{Client, Consumer, ConsumerOptions, Delivered, OffsetSpec};

use crate::connect::ConnectArgs;
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Debug, Args)]
pub struct ConsumeArgs {
    /// What to read
    topic: String,
    /// Only this partition; may be given several times
    #[arg(
        long = "partition",
        short,
        value_name = "NUMBER",
        conflicts_with = "group"
    )]
    partitions: Vec<i32>,
    /// Start with the first record that is left, not with the next one to come; in a group: where it
    /// has committed nothing
    #[arg(long, conflicts_with = "offset")]
    from_beginning: bool,
    /// Start at this offset
    #[arg(long, value_name = "NUMBER", conflicts_with = "group")]
    offset: Option<i64>,
    #[command(flatten)]
    membership: group::MembershipArgs,
    /// Stop after this many records
    #[arg(long, short = 'n', value_name = "COUNT")]
    max_messages: Option<u64>,
    /// Stop where the log ends now
    #[arg(long)]
    until_end: bool,
    /// Stop when nothing has come for this long
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
    /// Print keys before values
    #[arg(long)]
    keys: bool,
    /// Print partition and offset before everything else
    #[arg(long)]
    offsets: bool,
    /// What to print between them
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "\t",
        hide_default_value = true
    )]
    separator: String,
    /// Leave out records of transactions that are open or aborted
    #[arg(long)]
    read_committed: bool,
    /// How to print: values line by line, or one JSON object a line with all there is
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// A record for scripts. What is not UTF-8 is printed in hexadecimal.
#[derive(Serialize)]
struct Printed<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Printable<'a>>,
    value: Option<Printable<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(Printable<'a>, Option<Printable<'a>>)>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Printable<'a> {
    Text(&'a str),
    Bytes { hex: String },
}

impl<'a> Printable<'a> {
    fn of(bytes: &'a [u8]) -> Printable<'a> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Printable::Text(text),
            Err(_) => Printable::Bytes {
                hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            },
        }
    }
}

impl ConsumeArgs {
    /// Prints records until it is told to stop.
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        if let Some(group) = &self.membership.group {
            return self.run_in_group(group, client);
        }
        let partitions = self.chosen(&mut client)?;
        let mut consumer = Consumer::new(ConsumerOptions {
            is_read_committed: self.read_committed,
            ..ConsumerOptions::default()
        });
        for (partition, offset) in self.starts(&mut client, &partitions)? {
            consumer.assign(&self.topic, partition, offset);
        }
        let ends = match self.until_end {
            true => client.list_offsets(&self.topic, &partitions, OffsetSpec::Latest)?,
            false => Vec::new(),
        };
        let is_at_end = |consumer: &Consumer| {
            let mut ends = ends.iter();
            ends.all(|end| consumer.position(&self.topic, end.partition) >= end.offset)
        };
        let mut out = BufWriter::new(io::stdout().lock());
        let mut left = self.max_messages.unwrap_or(u64::MAX);
        let mut last = Instant::now();
        while left > 0 && !(self.until_end && is_at_end(&consumer)) {
            let mut written = Ok(());
            let count = consumer.poll_retrying(&mut client, |delivered| {
                written = self.print(&mut out, &delivered);
                left -= 1;
                match written.is_ok() && left > 0 {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })?;
            written
                .and_then(|()| out.flush())
                .map_err(Failure::Output)?;
            if count > 0 {
                last = Instant::now();
            }
            let timeout = self.timeout_ms.map(Duration::from_millis);
            if timeout.is_some_and(|timeout| last.elapsed() >= timeout) {
                break;
            }
        }
        Ok(())
    }

    /// The partitions to read, all of which exist.
    fn chosen(&self, client: &mut Client) -> Result<Vec<i32>, Failure> {
        let topic = client.topic(&self.topic)?;
        if self.partitions.is_empty() {
            return Ok(topic.partitions.iter().map(|known| known.index).collect());
        }
        for partition in &self.partitions {
            client.leader(&self.topic, *partition)?;
        }
        Ok(self.partitions.clone())
    }

    /// Where to begin in each of them.
    fn starts(&self, client: &mut Client, partitions: &[i32]) -> Result<Vec<(i32, i64)>, Failure> {
        if let Some(offset) = self.offset {
            return Ok(partitions.iter().map(|index| (*index, offset)).collect());
        }
        let spec = match self.from_beginning {
            true => OffsetSpec::Earliest,
            false => OffsetSpec::Latest,
        };
        let found = client.list_offsets(&self.topic, partitions, spec)?;
        let found = found.into_iter();
        Ok(found
            .map(|found| (found.partition, found.offset.unwrap_or(0)))
            .collect())
    }

    fn print(
        &self,
        out: &mut BufWriter<StdoutLock<'_>>,
        delivered: &Delivered<'_>,
    ) -> io::Result<()> {
        let record = &delivered.record;
        if self.format == Format::Json {
            return output::write_json(out, &printed(delivered));
        }
        if self.offsets {
            let (partition, offset) = (delivered.partition, record.offset);
            write!(out, "{partition}{0}{offset}{0}", self.separator)?;
        }
        if self.keys {
            out.write_all(record.key.unwrap_or(b"null"))?;
            out.write_all(self.separator.as_bytes())?;
        }
        out.write_all(record.value.unwrap_or(b"null"))?;
        out.write_all(b"\n")
    }
}

fn printed<'a>(delivered: &Delivered<'a>) -> Printed<'a> {
    let record = &delivered.record;
    let headers = record.headers.map(|header| {
        let value = header.value.map(Printable::of);
        (Printable::of(header.key), value)
    });
    Printed {
        topic: delivered.topic,
        partition: delivered.partition,
        offset: record.offset.0,
        timestamp_ms: record.timestamp_ms,
        key: record.key.map(Printable::of),
        value: record.value.map(Printable::of),
        headers: headers.collect(),
    }
}

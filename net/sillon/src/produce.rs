use std::io::{self, BufRead};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use sillon_client::{Acks, Client, Producer, ProducerOptions};
use sillon_record::Compression;

use crate::connect::ConnectArgs;
use crate::failure::Failure;

/// Lines that are read ahead of what is being sent.
const LINES_AHEAD: usize = 10_000;

#[derive(Debug, Args)]
pub struct ProduceArgs {
    /// Where to
    topic: String,
    /// Each line is a key, this separator, and a value; without it, lines are values
    #[arg(long, short = 'k', value_name = "TEXT")]
    key_separator: Option<String>,
    /// To this partition, whatever the key
    #[arg(long, short, value_name = "NUMBER")]
    partition: Option<i32>,
    /// When a record counts as written
    #[arg(long, value_enum, default_value_t = AcksArg::All)]
    acks: AcksArg,
    /// How to compress batches
    #[arg(long, value_enum, default_value_t = CompressionArg::None)]
    compression: CompressionArg,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum AcksArg {
    /// When every in-sync replica has it on stable storage.
    All,
    /// When the leader has it.
    Leader,
    /// At once: lost records go unnoticed.
    None,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CompressionArg {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl ProduceArgs {
    /// Writes every line of standard input. What has come is sent at once when nothing more is
    /// there, so that a person at a keyboard need not wait.
    pub fn run(self) -> Result<(), Failure> {
        let mut client = self.connect.connect()?;
        // A topic that does not exist is told before anything is read.
        client.topic(&self.topic)?;
        let options = ProducerOptions {
            acks: match self.acks {
                AcksArg::All => Acks::All,
                AcksArg::Leader => Acks::Leader,
                AcksArg::None => Acks::None,
            },
            compression: match self.compression {
                CompressionArg::None => Compression::None,
                CompressionArg::Gzip => Compression::Gzip,
                CompressionArg::Snappy => Compression::Snappy,
                CompressionArg::Lz4 => Compression::Lz4,
                CompressionArg::Zstd => Compression::Zstd,
            },
            ..ProducerOptions::default()
        };
        let mut producer = Producer::new(&mut client, options)?;
        let lines = read_lines();
        let mut number = 0;
        loop {
            let line = match lines.try_recv() {
                Ok(line) => line,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    producer.flush(&mut client)?;
                    match lines.recv() {
                        Ok(line) => line,
                        Err(_) => break,
                    }
                }
            };
            number += 1;
            let sent = line
                .map_err(Failure::Input)
                .and_then(|line| self.send(&mut client, &mut producer, number, &line));
            if let Err(failure) = sent {
                // The lines before the one that is wrong are written all the same.
                producer.flush(&mut client)?;
                return Err(failure);
            }
        }
        Ok(producer.flush(&mut client)?)
    }

    fn send(
        &self,
        client: &mut Client,
        producer: &mut Producer,
        number: u64,
        line: &[u8],
    ) -> Result<(), Failure> {
        let (key, value) = match &self.key_separator {
            None => (None, line),
            Some(separator) => {
                let (key, value) = split(line, separator.as_bytes()).ok_or(Failure::NoKey {
                    line: number,
                    separator: separator.clone(),
                })?;
                (Some(key), value)
            }
        };
        let topic = &self.topic;
        producer.send(client, topic, self.partition, now_ms(), key, Some(value))?;
        Ok(())
    }
}

/// Reads standard input on a thread of its own, line by line, without their ends.
fn read_lines() -> Receiver<io::Result<Vec<u8>>> {
    let (send, receive) = sync_channel(LINES_AHEAD);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                line
            });
            // Nobody listens any more once sending has failed.
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

fn split<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line
        .windows(separator.len().max(1))
        .position(|part| part == separator)?;
    Some((&line[..at], &line[at + separator.len()..]))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_splits_at_its_first_separator() {
        assert_eq!(split(b"key:a:b", b":"), Some((&b"key"[..], &b"a:b"[..])));
        assert_eq!(split(b":value", b":"), Some((&b""[..], &b"value"[..])));
        assert_eq!(
            split(b"key\t\tvalue", b"\t\t"),
            Some((&b"key"[..], &b"value"[..]))
        );
        assert_eq!(split(b"value", b":"), None);
        assert_eq!(split(b"value", b""), None);
    }
}

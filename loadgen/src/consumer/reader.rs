//! Reads some partitions of one leader from their positions on.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use sillon_protocol::fetch::{
    FIRST_VERSION_BY_ID, FetchHead, FetchPartition, FetchRequestWriter, FetchResponse,
};
use sillon_protocol::frame::read_response_header;
use sillon_protocol::{Api, WireError};

use super::link::FetchLink;
use crate::checker::{Checker, Region, Seen};
use crate::measure::Fault;
use crate::places::Places;
use crate::scenario::Consume;
use crate::socket::CLIENT_ID;

/// Why nothing can be read any more.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The answer cannot be read.
    #[error("a malformed answer: {0}")]
    Wire(#[from] WireError),
    /// The answer is not to what was asked.
    #[error("an answer about other partitions")]
    Other,
}

/// A partition that is read.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// The partition's number in the run.
    pub partition: usize,
    /// The next offset.
    pub next: i64,
    /// Nothing is looked at from here on.
    pub until: i64,
    /// As last told.
    pub high_watermark: i64,
    /// What comes from there cannot be walked over: it is not asked for again.
    pub is_broken: bool,
}

/// What an answer brought.
#[derive(Debug, Default)]
pub struct Answer {
    /// Bytes of record batches.
    pub bytes: u64,
    /// What partitions were refused with.
    pub faults: Vec<Fault>,
}

/// Some partitions of one leader, and a connection to it.
#[derive(Debug)]
pub struct Reader {
    link: FetchLink,
    places: Arc<Places>,
    names: Vec<String>,
    version: i16,
    head: FetchHead,
    partition_max_bytes: i32,
    /// By topic and partition.
    pub positions: Vec<Position>,
    /// Indexes of those that the last request asked for.
    asked: Vec<usize>,
    response: FetchResponse<Bytes>,
}

impl Reader {
    /// Connects to a leader, to read `partitions` (numbers in the run, rising) from `from` on.
    pub fn open(
        places: Arc<Places>,
        leader: usize,
        consume: &Consume,
        partitions: &[(usize, i64)],
    ) -> io::Result<Reader> {
        let positions = partitions.iter().map(|(partition, next)| Position {
            partition: *partition,
            next: *next,
            until: i64::MAX,
            high_watermark: -1,
            is_broken: false,
        });
        Ok(Reader {
            link: FetchLink::open(&places.leaders[leader].address)?,
            names: partitions
                .iter()
                .map(|(number, _)| places.name(*number))
                .collect(),
            version: places.leaders[leader].fetch_version,
            head: FetchHead {
                max_wait_ms: consume.max_wait_ms,
                min_bytes: 1,
                max_bytes: consume.max_bytes,
                ..FetchHead::default()
            },
            partition_max_bytes: consume.partition_max_bytes,
            positions: positions.collect(),
            asked: Vec::new(),
            response: FetchResponse::default(),
            places,
        })
    }

    /// Asks once for the partitions that `wants` chooses, waits for the answer, checks it and
    /// gives every batch to `each` after `arrived` was called.
    pub fn poll(
        &mut self,
        checker: &mut Checker,
        is_checked: bool,
        wants: impl Fn(&Position) -> bool,
        arrived: impl FnOnce(),
        mut each: impl FnMut(Seen),
    ) -> Result<Answer, ReadError> {
        self.asked.clear();
        let positions = self.positions.iter().enumerate();
        let wanted = positions.filter(|(_, position)| !position.is_broken && wants(position));
        self.asked.extend(wanted.map(|(index, _)| index));
        if self.asked.is_empty() {
            return Ok(Answer::default());
        }
        let frame = self.ask()?;
        arrived();
        let (_, body) = read_response_header(&frame, Api::Fetch, self.version)?;
        self.response.decode(&frame, self.version, body)?;
        let mut answer = Answer::default();
        if self.response.head.error.is_error() {
            answer
                .faults
                .push(Fault::Code(self.response.head.error.code()));
        } else if self.response.partitions.len() != self.asked.len() {
            return Err(ReadError::Other);
        }
        for (index, fetched) in self.asked.iter().zip(&self.response.partitions) {
            let position = &mut self.positions[*index];
            if fetched.index != self.places.partitions[position.partition].index {
                return Err(ReadError::Other);
            }
            if fetched.error.is_error() {
                answer.faults.push(Fault::Code(fetched.error.code()));
                continue;
            }
            position.high_watermark = fetched.high_watermark;
            answer.bytes += fetched.records.len() as u64;
            let region = Region {
                partition: position.partition,
                name: &self.names[*index],
                records: &fetched.records,
                position: position.next,
                until: position.until,
                is_checked,
            };
            match checker.walk(region, &mut each) {
                Some(next) => position.next = next,
                None => position.is_broken = true,
            }
        }
        self.response.clear();
        self.link.give_back(frame);
        Ok(answer)
    }

    fn ask(&mut self) -> io::Result<Bytes> {
        let (places, positions) = (&self.places, &self.positions);
        let topic_of = |index: &usize| places.partitions[positions[*index].partition].topic;
        let topics = || self.asked.chunk_by(|a, b| topic_of(a) == topic_of(b));
        let is_by_id = self.version >= FIRST_VERSION_BY_ID;
        self.link.call(|out, correlation_id| {
            let mut writer = FetchRequestWriter::begin(
                out,
                self.version,
                correlation_id,
                Some(CLIENT_ID),
                self.head,
                topics().count(),
            );
            for topic in topics() {
                writer.topic(places.key(topic_of(&topic[0]), is_by_id), topic.len());
                for index in topic {
                    let position = &positions[*index];
                    writer.partition(&FetchPartition {
                        index: places.partitions[position.partition].index,
                        current_leader_epoch: None,
                        offset: position.next,
                        last_fetched_epoch: None,
                        log_start_offset: -1,
                        max_bytes: self.partition_max_bytes,
                    });
                }
            }
            writer.finish(&[], "");
        })
    }
}

//! What a connection sends: its next batch, and the request around it.

use std::sync::Arc;

use bytes::BytesMut;
use sillon_protocol::produce::{FIRST_VERSION_BY_ID, ProduceHead, ProduceRequestWriter};
use sillon_record::{Producer, increment_sequence};

use crate::clock::Clock;
use crate::places::Places;
use crate::scenario::Produce;
use crate::socket::CLIENT_ID;
use crate::template::{Identity, Templates};

/// How long a broker may wait for its replicas, in ms.
const TIMEOUT_MS: i32 = 30_000;

/// A batch that was sent: what its acknowledgement is for.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Counts the connection's batches.
    pub number: u64,
    /// The partition's number in the run.
    pub partition: usize,
    /// Its records.
    pub records: u32,
    /// Bytes of their keys and values.
    pub payload_bytes: u64,
}

/// A run of bytes to be sent.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    /// So many of the bytes that were written for it.
    Written(usize),
    /// A template's tail.
    Tail(usize),
}

/// One connection's requests.
#[derive(Debug)]
pub struct Requests {
    connection: u32,
    places: Arc<Places>,
    templates: Arc<Templates>,
    acks: i16,
    version: i16,
    per_request: usize,
    /// Partitions in turn, for batches without keys.
    turn: Vec<usize>,
    next_turn: usize,
    /// Templates in turn: with keys, those whose partitions this connection's broker leads.
    order: Vec<u32>,
    next_template: usize,
    next_number: u64,
    producer: Option<Producer>,
    /// By the partition's number in the run; empty without idempotence.
    sequences: Vec<i32>,
    correlation_id: i32,
    /// The request without its batches.
    frame: BytesMut,
    gaps: Vec<Gap>,
    /// Template and partition of each.
    batches: Vec<(usize, usize)>,
}

impl Requests {
    /// The requests of connection number `connection` of `connections` to a leader.
    pub fn new(
        connection: u32,
        (position, connections): (usize, usize),
        leader: usize,
        produce: &Produce,
        places: Arc<Places>,
        templates: Arc<Templates>,
        producer: Option<Producer>,
    ) -> Requests {
        let turn = places.led_by(leader);
        let order: Vec<u32> = (0..templates.count())
            .filter(|index| match templates.get(*index).place {
                Some((topic, index)) => {
                    places.partitions[places.number(topic, index)].leader == leader
                }
                None => true,
            })
            .map(|index| index as u32)
            .collect();
        let sequences = producer.map_or(0, |_| places.partitions.len());
        Requests {
            connection,
            acks: produce.acks.number(),
            version: places.leaders[leader].produce_version,
            per_request: (produce.partitions_per_request as usize).min(turn.len()),
            // Connections begin at different places, so that they do not move in step.
            next_turn: turn.len() * position / connections,
            turn,
            next_template: order.len() * position / connections,
            order,
            next_number: 0,
            producer,
            sequences: vec![0; sequences],
            correlation_id: 0,
            frame: BytesMut::new(),
            gaps: Vec::new(),
            batches: Vec::new(),
            places,
            templates,
        }
    }

    /// The version of Produce that is spoken.
    pub fn version(&self) -> i16 {
        self.version
    }

    /// How many batches were written.
    pub fn batches_count(&self) -> u64 {
        self.next_number
    }

    /// Whether there is anything that this connection could send: with few keys a broker may lead
    /// none of their partitions.
    pub fn has_any(&self) -> bool {
        !self.order.is_empty() && !self.turn.is_empty()
    }

    /// Appends the next request: its own bytes to `out`, the order in which bytes are sent to
    /// `pieces`, what is in it to `sent`. Returns its correlation id and how many batches it has.
    pub fn put_next(
        &mut self,
        clock: &Clock,
        due_ns: u64,
        out: &mut BytesMut,
        pieces: &mut impl Extend<Piece>,
        sent: &mut impl Extend<Sent>,
    ) -> (i32, usize) {
        let correlation_id = self.correlation_id;
        self.correlation_id = correlation_id.wrapping_add(1) & i32::MAX;
        self.put_frame(correlation_id, clock.unix_ns(due_ns), sent);
        let mut from = 0;
        let mut written_from = out.len();
        for gap in &self.gaps {
            out.extend_from_slice(&self.frame[from..gap.at]);
            from = gap.at;
            let template = self.templates.get(gap.template);
            template.put_prefix(out, &gap.identity, gap.sequence);
            let written = Piece::Written(out.len() - written_from);
            pieces.extend([written, Piece::Tail(gap.template)]);
            written_from = out.len();
        }
        out.extend_from_slice(&self.frame[from..]);
        pieces.extend([Piece::Written(out.len() - written_from)]);
        (correlation_id, self.gaps.len())
    }

    /// The next batches: template and partition, by partition.
    fn choose(&mut self) {
        self.batches.clear();
        for _ in 0..self.per_request {
            let template = self.order[self.next_template] as usize;
            self.next_template = (self.next_template + 1) % self.order.len();
            let partition = match self.templates.get(template).place {
                Some((topic, index)) => self.places.number(topic, index),
                None => {
                    let partition = self.turn[self.next_turn];
                    self.next_turn = (self.next_turn + 1) % self.turn.len();
                    partition
                }
            };
            self.batches.push((template, partition));
        }
        if self.per_request > 1 {
            // A request names a topic once, and a partition as well: where keys choose the same
            // one twice, the request is the shorter.
            self.batches.sort_by_key(|(_, partition)| *partition);
            self.batches.dedup_by_key(|(_, partition)| *partition);
        }
    }

    fn put_frame(&mut self, correlation_id: i32, due_unix_ns: u64, sent: &mut impl Extend<Sent>) {
        self.choose();
        self.frame.clear();
        self.gaps.clear();
        let head = ProduceHead {
            transactional_id: None,
            acks: self.acks,
            timeout_ms: TIMEOUT_MS,
        };
        let is_by_id = self.version >= FIRST_VERSION_BY_ID;
        let places = &self.places;
        let topic_of = |partition: usize| places.partitions[partition].topic;
        let topics = || self.batches.chunk_by(|a, b| topic_of(a.1) == topic_of(b.1));
        let mut writer = ProduceRequestWriter::begin(
            &mut self.frame,
            self.version,
            correlation_id,
            Some(CLIENT_ID),
            head,
            topics().count(),
        );
        for topic in topics() {
            writer.topic(places.key(topic_of(topic[0].1), is_by_id), topic.len());
            for (template, partition) in topic {
                let made_of = self.templates.get(*template);
                let index = places.partitions[*partition].index;
                let at = writer.partition_elsewhere(index, made_of.batch_bytes());
                let sequence = self.producer.map(|producer| {
                    let next = &mut self.sequences[*partition];
                    let base_sequence = *next;
                    *next = increment_sequence(base_sequence, made_of.records_count);
                    (producer, base_sequence)
                });
                self.gaps.push(Gap {
                    at,
                    template: *template,
                    identity: Identity {
                        connection: self.connection,
                        template: *template as u32,
                        number: self.next_number,
                        due_unix_ns,
                    },
                    sequence,
                });
                sent.extend([Sent {
                    number: self.next_number,
                    partition: *partition,
                    records: made_of.records_count as u32,
                    payload_bytes: made_of.payload_bytes,
                }]);
                self.next_number += 1;
            }
        }
        writer.finish();
    }
}

/// Where in a request's frame a batch belongs, and which.
#[derive(Clone, Copy, Debug)]
struct Gap {
    at: usize,
    template: usize,
    identity: Identity,
    sequence: Option<(Producer, i32)>,
}

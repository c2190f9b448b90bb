//! A connection that never blocks: bytes wait until the socket takes them, and its answers are
//! matched with what was sent, in order.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use sillon_protocol::Api;
use sillon_protocol::frame::read_response_header;
use sillon_protocol::produce::ProduceResponse;

use super::requests::{Piece, Requests, Sent};
use crate::clock::Clock;
use crate::inbox::Inbox;
use crate::ledger::{ConnectionLedger, PartitionLedger};
use crate::measure::Fault;
use crate::template::Templates;

/// Pieces given to the socket at once.
const PIECES_MAX: usize = 64;

/// Bytes that wait for the socket, beyond which no further request is made for now: more than a
/// socket's buffer, so that it never runs dry.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// A request whose answer is due.
#[derive(Clone, Copy, Debug)]
struct Asked {
    correlation_id: i32,
    /// Its batches.
    batches_count: usize,
    /// When it should have been sent, in ns of the run's clock.
    due_ns: u64,
    /// Position in the stream behind its last byte.
    end: u64,
}

/// A request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// When it should have been sent, in ns of the run's clock.
    pub due_ns: u64,
    /// Its records, those that were refused left out.
    pub records: u64,
    /// Bytes of their keys and values.
    pub payload_bytes: u64,
    /// What went wrong with some of its batches.
    pub faults: &'a [Fault],
}

/// One connection of a producer.
#[derive(Debug)]
pub struct Link {
    stream: TcpStream,
    connection: u32,
    requests: Requests,
    templates: Arc<Templates>,
    /// Whether requests are answered at all.
    has_answers: bool,
    /// Bytes of requests, their tails left out.
    out: BytesMut,
    pieces: VecDeque<Piece>,
    /// How much of the first piece is gone, where it is a tail.
    tail_sent: usize,
    waiting_bytes: usize,
    /// Bytes of all requests so far, sent or waiting.
    stream_end: u64,
    inbox: Inbox,
    asked: VecDeque<Asked>,
    sent: VecDeque<Sent>,
    /// Requests that are due and not made yet, in ns of the run's clock.
    pub due: VecDeque<u64>,
    response: ProduceResponse<Bytes>,
    faults: Vec<Fault>,
    ledger: ConnectionLedger,
    is_broken: bool,
    /// Why, until it is told.
    fault: Option<Fault>,
}

impl Link {
    /// Goes on with a connection that has greeted.
    pub fn new(
        stream: TcpStream,
        connection: u32,
        requests: Requests,
        templates: Arc<Templates>,
        has_answers: bool,
    ) -> io::Result<Link> {
        stream.set_nonblocking(true)?;
        Ok(Link {
            stream,
            connection,
            requests,
            templates,
            has_answers,
            out: BytesMut::new(),
            pieces: VecDeque::new(),
            tail_sent: 0,
            waiting_bytes: 0,
            stream_end: 0,
            inbox: Inbox::default(),
            asked: VecDeque::new(),
            sent: VecDeque::new(),
            due: VecDeque::new(),
            response: ProduceResponse::default(),
            faults: Vec::new(),
            ledger: ConnectionLedger::default(),
            is_broken: false,
            fault: None,
        })
    }

    /// The socket, to wait for.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Requests whose answers are due.
    pub fn in_flight(&self) -> usize {
        self.asked.len()
    }

    /// Whether bytes wait for the socket.
    pub fn is_waiting(&self) -> bool {
        self.waiting_bytes > 0
    }

    /// Whether it can take another request now.
    pub fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES_MAX && !self.is_broken
    }

    /// Whether it could send at once and nobody will tell when an answer comes, as none will.
    pub fn is_idle(&self) -> bool {
        !self.has_answers && !self.is_waiting() && !self.is_broken()
    }

    /// Whether it is no longer used.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// Why it is no longer used, once.
    pub fn take_break(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    fn give_up(&mut self, fault: Fault) {
        if !self.is_broken {
            self.is_broken = true;
            self.fault = Some(fault);
            self.waiting_bytes = 0;
        }
    }

    /// Makes a request that was due at `due_ns`. Nothing is sent before [`Self::flush`].
    pub fn ask(&mut self, clock: &Clock, due_ns: u64) {
        let before = self.out.len();
        let pieces_before = self.pieces.len();
        let (correlation_id, batches_count) = self.requests.put_next(
            clock,
            due_ns,
            &mut self.out,
            &mut self.pieces,
            &mut self.sent,
        );
        let mut bytes = self.out.len() - before;
        for piece in self.pieces.range(pieces_before..) {
            if let Piece::Tail(template) = piece {
                bytes += self.templates.get(*template).tail().len();
            }
        }
        self.waiting_bytes += bytes;
        self.stream_end += bytes as u64;
        self.asked.push_back(Asked {
            correlation_id,
            batches_count,
            due_ns,
            end: self.stream_end,
        });
    }

    /// Gives the socket as much as it takes.
    pub fn flush(&mut self) {
        while self.waiting_bytes > 0 {
            match self.write_once() {
                Ok(0) => return self.give_up(closed()),
                Ok(count) => self.written(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.give_up(Fault::Other(error.kind().to_string())),
            }
        }
    }

    fn write_once(&mut self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        let mut at = 0;
        for (index, piece) in self.pieces.iter().take(PIECES_MAX).enumerate() {
            slices[count] = match piece {
                Piece::Written(bytes) => {
                    at += bytes;
                    IoSlice::new(&self.out[at - bytes..at])
                }
                Piece::Tail(template) => {
                    let from = if index == 0 { self.tail_sent } else { 0 };
                    IoSlice::new(&self.templates.get(*template).tail()[from..])
                }
            };
            count += 1;
        }
        self.stream.write_vectored(&slices[..count])
    }

    fn written(&mut self, mut count: usize) {
        self.waiting_bytes -= count;
        while let Some(piece) = self.pieces.front_mut() {
            match piece {
                Piece::Written(bytes) => {
                    let gone = count.min(*bytes);
                    *bytes -= gone;
                    self.out.advance(gone);
                    count -= gone;
                    if *bytes > 0 {
                        return;
                    }
                }
                Piece::Tail(template) => {
                    let left = self.templates.get(*template).tail().len() - self.tail_sent;
                    if count < left {
                        self.tail_sent += count;
                        return;
                    }
                    count -= left;
                    self.tail_sent = 0;
                }
            }
            self.pieces.pop_front();
        }
    }

    /// Reads what has come and gives every request that is answered to `done`, with the time at
    /// which its answer was read, in ns of the run's clock.
    pub fn receive(
        &mut self,
        clock: &Clock,
        partitions: &mut [PartitionLedger],
        mut done: impl FnMut(u64, Answered<'_>),
    ) {
        match self.inbox.read_from(&self.stream) {
            Ok(0) => return self.give_up(closed()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            Err(error) => return self.give_up(Fault::Other(error.kind().to_string())),
        }
        let now_ns = clock.now_ns();
        let mut done = |answered: Answered<'_>| done(now_ns, answered);
        loop {
            let answered = match self.inbox.next_frame() {
                // Small, and cheaper to copy than to share.
                Ok(Some(frame)) => {
                    let frame = Bytes::copy_from_slice(frame);
                    self.answer(&frame, partitions, &mut done)
                }
                Ok(None) => return,
                Err(what) => Err(what),
            };
            if let Err(what) = answered {
                return self.give_up(Fault::Other(what));
            }
        }
    }

    fn answer(
        &mut self,
        frame: &Bytes,
        partitions: &mut [PartitionLedger],
        done: &mut impl FnMut(Answered<'_>),
    ) -> Result<(), String> {
        let version = self.requests.version();
        let (correlation_id, body) = read_response_header(frame, Api::Produce, version)
            .map_err(|error| format!("a malformed answer: {error}"))?;
        let asked = self.asked.front().copied().ok_or("an answer to nothing")?;
        if asked.correlation_id != correlation_id {
            return Err("an answer to another request".to_string());
        }
        self.response
            .decode(frame, version, body)
            .map_err(|error| format!("a malformed answer: {error}"))?;
        if self.response.partitions.len() != asked.batches_count {
            return Err("an answer without some of the partitions".to_string());
        }
        self.asked.pop_front();
        let (mut records, mut payload_bytes) = (0, 0);
        self.faults.clear();
        for produced in &self.response.partitions {
            let sent = self.sent.pop_front().expect("as many as were asked for");
            let ledger = &mut partitions[sent.partition];
            let count = u64::from(sent.records);
            if produced.error.is_error() {
                self.faults.push(Fault::Code(produced.error.code()));
                ledger.unknown_records += count;
            } else if produced.base_offset < 0 {
                self.faults.push(Fault::Other("no base offset".to_string()));
                ledger.unknown_records += count;
            } else {
                self.ledger.acknowledged.insert(sent.number);
                ledger.acknowledge(self.connection, sent.number, produced.base_offset, count);
                records += count;
                payload_bytes += sent.payload_bytes;
            }
        }
        done(Answered {
            due_ns: asked.due_ns,
            records,
            payload_bytes,
            faults: &self.faults,
        });
        self.response.clear();
        Ok(())
    }

    /// Without answers: gives every request that is in the socket to `done`.
    pub fn complete_unanswered(
        &mut self,
        partitions: &mut [PartitionLedger],
        mut done: impl FnMut(Answered<'_>),
    ) {
        let in_socket = self.stream_end - self.waiting_bytes as u64;
        while let Some(asked) = self.asked.front().copied() {
            if self.has_answers || asked.end > in_socket {
                return;
            }
            self.asked.pop_front();
            let (mut records, mut payload_bytes) = (0, 0);
            for sent in self.sent.drain(..asked.batches_count) {
                partitions[sent.partition].unknown_records += u64::from(sent.records);
                records += u64::from(sent.records);
                payload_bytes += sent.payload_bytes;
            }
            done(Answered {
                due_ns: asked.due_ns,
                records,
                payload_bytes,
                faults: &[],
            });
        }
    }

    /// Gives the due times of everything without an answer to `lost`, and what the connection's
    /// batches came to.
    pub fn finish(
        mut self,
        partitions: &mut [PartitionLedger],
        mut lost: impl FnMut(u64, IsSent),
    ) -> (u32, ConnectionLedger) {
        for asked in &self.asked {
            lost(asked.due_ns, IsSent::Yes);
        }
        for due_ns in &self.due {
            lost(*due_ns, IsSent::No);
        }
        for sent in &self.sent {
            partitions[sent.partition].unknown_records += u64::from(sent.records);
        }
        self.ledger.sent = self.requests.batches_count();
        (self.connection, self.ledger)
    }
}

/// Whether a request without an answer went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IsSent {
    /// At least into the connection's own buffer.
    Yes,
    /// The connection had no room for it.
    No,
}

fn closed() -> Fault {
    Fault::Other("the broker closed the connection".to_string())
}

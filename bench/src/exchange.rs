//! The least that requests and responses over loopback TCP can cost: bytes of their size, from one
//! thread to another and back, with nothing done to them.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{ClockId, clock_gettime};

/// Moved by one call at most, in bytes.
const STEP_BYTES: usize = 256 << 10;

/// Latencies that are kept at most: 8 MiB.
const SAMPLES_MAX: usize = 1 << 20;

/// What is exchanged.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// Connections, all served by one thread and driven by another.
    pub connections: usize,
    /// Requests on their way on each of them.
    pub in_flight: usize,
    /// Bytes of a request.
    pub request_bytes: usize,
    /// Bytes of its response.
    pub response_bytes: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Exchanged {
    /// Responses that arrived.
    pub requests: u64,
    /// From the first request to the last response, in seconds.
    pub seconds: f64,
    /// CPU time of the serving thread, in seconds.
    pub server_cpu_s: f64,
    /// From a request's turn to its response, in us; of the first ones only when there are many.
    pub latencies_us: Vec<f64>,
}

impl Exchange {
    /// Runs it for `time`, the server on one core and the client on another.
    ///
    /// # Errors
    /// Those of the system.
    pub fn run(self, time: Duration, cores: [usize; 2]) -> io::Result<Exchanged> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let mut ours = Vec::new();
        let mut theirs = Vec::new();
        for _ in 0..self.connections {
            ours.push(End::new(TcpStream::connect(address)?)?);
            theirs.push(End::new(listener.accept()?.0)?);
        }
        thread::scope(|scope| {
            let server = scope.spawn(move || {
                pin(cores[0])?;
                self.serve(theirs)
            });
            let client = scope.spawn(move || {
                pin(cores[1])?;
                self.drive(ours, time)
            });
            let mut exchanged = client.join().expect("the client does not panic")?;
            exchanged.server_cpu_s = server.join().expect("the server does not panic")?;
            Ok(exchanged)
        })
    }

    /// Answers until every connection was closed. Returns the CPU seconds that it took.
    fn serve(self, mut ends: Vec<End>) -> io::Result<f64> {
        let mut memory = vec![0; STEP_BYTES];
        while !ends.is_empty() {
            wait(&ends)?;
            for end in &mut ends {
                let requests = end.receive(&mut memory, self.request_bytes)?;
                end.outgoing += requests * self.response_bytes;
                end.send(&memory)?;
            }
            ends.retain(|end| !end.is_closed);
        }
        let cpu = clock_gettime(ClockId::ThreadCPUTime);
        Ok(cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9)
    }

    /// Keeps `in_flight` requests on their way on every connection for `time`.
    fn drive(self, mut ends: Vec<End>, time: Duration) -> io::Result<Exchanged> {
        let mut memory = vec![0x5a; STEP_BYTES];
        let started = Instant::now();
        let mut exchanged = Exchanged::default();
        let mut turns = vec![VecDeque::from(vec![started; self.in_flight]); ends.len()];
        for end in &mut ends {
            end.outgoing = self.in_flight * self.request_bytes;
            end.send(&memory)?;
        }
        while turns.iter().any(|turns| !turns.is_empty()) {
            wait(&ends)?;
            for (end, turns) in ends.iter_mut().zip(&mut turns) {
                let responses = end.receive(&mut memory, self.response_bytes)?;
                let now = Instant::now();
                for _ in 0..responses {
                    let turn = turns.pop_front().expect("a response belongs to a request");
                    if exchanged.latencies_us.len() < SAMPLES_MAX {
                        let took = now.duration_since(turn);
                        exchanged.latencies_us.push(took.as_nanos() as f64 / 1e3);
                    }
                    if now.duration_since(started) < time {
                        turns.push_back(now);
                        end.outgoing += self.request_bytes;
                    }
                }
                exchanged.requests += responses as u64;
                end.send(&memory)?;
            }
        }
        exchanged.seconds = started.elapsed().as_secs_f64();
        Ok(exchanged)
    }
}

/// One end of a connection: how far the message that arrives is, and what is still to be sent.
struct End {
    stream: TcpStream,
    incoming: usize,
    outgoing: usize,
    is_closed: bool,
}

impl End {
    fn new(stream: TcpStream) -> io::Result<End> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(End {
            stream,
            incoming: 0,
            outgoing: 0,
            is_closed: false,
        })
    }

    /// Takes what there is. Returns how many messages that completed.
    fn receive(&mut self, memory: &mut [u8], message_bytes: usize) -> io::Result<usize> {
        let mut messages = 0;
        loop {
            match self.stream.read(memory) {
                Ok(0) => {
                    self.is_closed = true;
                    return Ok(messages);
                }
                Ok(bytes) => {
                    self.incoming += bytes;
                    messages += self.incoming / message_bytes;
                    self.incoming %= message_bytes;
                    if bytes < memory.len() {
                        return Ok(messages);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(messages),
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends what the socket takes.
    fn send(&mut self, memory: &[u8]) -> io::Result<()> {
        while self.outgoing > 0 {
            match self
                .stream
                .write(&memory[..self.outgoing.min(memory.len())])
            {
                Ok(bytes) => self.outgoing -= bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Sleeps until one of them has something to read, or takes what it is to send.
fn wait(ends: &[End]) -> io::Result<()> {
    let mut sockets: Vec<PollFd<'_>> = ends
        .iter()
        .map(|end| {
            let writable = if end.outgoing > 0 {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            PollFd::new(&end.stream, PollFlags::IN | writable)
        })
        .collect();
    poll(&mut sockets, None)?;
    Ok(())
}

fn pin(core: usize) -> io::Result<()> {
    affinity::set_thread_affinity([core]).map_err(|error| io::Error::other(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_that_was_sent_gets_its_response_and_is_counted_once() {
        for (request_bytes, response_bytes) in [(1, 1), (100, 600_000), (600_000, 100)] {
            let exchange = Exchange {
                connections: 3,
                in_flight: 4,
                request_bytes,
                response_bytes,
            };
            // No time at all: the first requests of every connection, and no more.
            let exchanged = exchange.run(Duration::ZERO, [0, 0]).unwrap();
            assert_eq!(exchanged.requests, 12);
            assert_eq!(exchanged.latencies_us.len(), 12);
        }
    }
}

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};

use super::link::{Answered, IsSent, Link};
use crate::clock::Clock;
use crate::ledger::{ConnectionLedger, PartitionLedger};
use crate::measure::Recorder;
use crate::schedule::{SECOND_NS, Schedule};

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 64;

/// Longest time without a look at the clock and the stop sign, in ns.
const WAIT_NS_MAX: u64 = SECOND_NS / 10;

/// What ends a thread's sending.
#[derive(Clone, Debug)]
pub enum Limit {
    /// A time, in ns of the run's clock.
    Time(u64),
    /// Bytes of payload that all threads together may still send.
    Payload(Arc<AtomicU64>),
}

/// What decides when requests are made.
#[derive(Clone, Copy, Debug)]
pub enum Load {
    /// Every connection keeps so many under way.
    Saturation(usize),
    /// A schedule, of which this thread does every `threads`-th request from `thread` on.
    Scheduled {
        /// When requests are due, from `from_ns` on.
        schedule: Schedule,
        /// Its beginning, in ns of the run's clock.
        from_ns: u64,
        /// This thread's number.
        thread: u64,
        /// How many threads share the schedule.
        threads: u64,
    },
}

/// One thread of the producers.
#[derive(Debug)]
pub struct ProducerThread {
    /// The run's clock.
    pub clock: Clock,
    /// Its connections.
    pub links: Vec<Link>,
    /// When requests are made.
    pub load: Load,
    /// When no more are.
    pub limit: Limit,
    /// How long answers are waited for after that, in ns.
    pub drain_ns: u64,
    /// Ends it early.
    pub stop: Arc<AtomicBool>,
    /// Partitions of the run.
    pub partitions_count: usize,
    /// Where it counts.
    pub recorder: Recorder,
}

/// What a thread's requests came to.
#[derive(Debug)]
pub struct Produced {
    /// By connection.
    pub connections: BTreeMap<u32, ConnectionLedger>,
    /// By the partition's number in the run.
    pub partitions: Vec<PartitionLedger>,
    /// Requests without an answer.
    pub unanswered: u64,
    /// Requests that could not be sent.
    pub unsent: u64,
}

/// The thread at work.
struct Running {
    clock: Clock,
    links: Vec<Link>,
    load: Load,
    limit: Limit,
    stop: Arc<AtomicBool>,
    recorder: Recorder,
    partitions: Vec<PartitionLedger>,
    /// The next request of the schedule, counted over all threads.
    next: u64,
    /// When it is due, in ns of the run's clock.
    next_due_ns: u64,
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    /// Which links are watched for room as well.
    is_watched_for_room: Vec<bool>,
}

impl ProducerThread {
    /// Works until the limit and then until everything is answered or the time for that is up.
    pub fn run(self) -> io::Result<Produced> {
        // The kernel may delay a timer by 50 us otherwise, and that would be our latency.
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let drain_ns = self.drain_ns;
        let mut running = self.start()?;
        let ended_ns = running.send()?;
        running.drain(ended_ns + drain_ns)?;
        Ok(running.finish())
    }

    fn start(self) -> io::Result<Running> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (index, link) in self.links.iter().enumerate() {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, link.stream(), data, epoll::EventFlags::IN)?;
        }
        let mut running = Running {
            clock: self.clock,
            is_watched_for_room: vec![false; self.links.len()],
            links: self.links,
            load: self.load,
            limit: self.limit,
            stop: self.stop,
            recorder: self.recorder,
            partitions: vec![PartitionLedger::default(); self.partitions_count],
            next: 0,
            next_due_ns: u64::MAX,
            epoll,
            events: Vec::with_capacity(EVENTS_MAX),
        };
        if let Load::Scheduled { thread, .. } = running.load {
            running.next = thread;
            running.next_due_ns = running.due_ns(thread);
        }
        Ok(running)
    }
}

impl Running {
    fn due_ns(&self, number: u64) -> u64 {
        match self.load {
            Load::Scheduled {
                schedule, from_ns, ..
            } => from_ns + schedule.due_ns(number),
            Load::Saturation(_) => u64::MAX,
        }
    }

    /// Sends until the limit. Returns when that was.
    fn send(&mut self) -> io::Result<u64> {
        loop {
            let now_ns = self.clock.now_ns();
            self.recorder.at(now_ns);
            if self.is_over(now_ns) {
                return Ok(now_ns);
            }
            match self.load {
                Load::Saturation(in_flight) => self.fill(in_flight),
                Load::Scheduled { threads, .. } => self.enqueue_due(now_ns, threads),
            }
            for index in 0..self.links.len() {
                self.pump(index)?;
            }
            let mut until_ns = self.next_due_ns.min(self.recorder.part_end_ns());
            if matches!(self.load, Load::Saturation(_)) && self.links.iter().any(Link::is_idle) {
                until_ns = 0;
            }
            self.wait(until_ns)?;
        }
    }

    fn is_over(&self, now_ns: u64) -> bool {
        let is_at_limit = match &self.limit {
            Limit::Time(end_ns) => now_ns >= *end_ns,
            Limit::Payload(left) => left.load(Ordering::Relaxed) == 0,
        };
        is_at_limit
            || self.stop.load(Ordering::Relaxed)
            || self.links.iter().all(|link| link.is_broken())
    }

    /// Saturation: every connection gets what it lacks.
    fn fill(&mut self, in_flight: usize) {
        let now_ns = self.clock.now_ns();
        for link in &mut self.links {
            while link.in_flight() < in_flight && link.has_room() {
                link.ask(&self.clock, now_ns);
            }
        }
    }

    /// A schedule: what is due now is due, whatever became of what was due before.
    fn enqueue_due(&mut self, now_ns: u64, threads: u64) {
        let end_ns = match self.limit {
            Limit::Time(end_ns) => end_ns,
            Limit::Payload(_) => u64::MAX,
        };
        while self.next_due_ns <= now_ns && self.next_due_ns < end_ns {
            let links = self.links.len() as u64;
            let index = (self.next / threads % links) as usize;
            self.links[index].due.push_back(self.next_due_ns);
            self.next += threads;
            self.next_due_ns = self.due_ns(self.next);
        }
    }

    /// Makes the requests that are due on a connection and gives them to its socket.
    fn pump(&mut self, index: usize) -> io::Result<()> {
        let link = &mut self.links[index];
        while link.has_room()
            && let Some(due_ns) = link.due.pop_front()
        {
            let now_ns = self.clock.now_ns();
            if let Some(lateness) = &mut self.recorder.at(now_ns).lateness {
                lateness.saturating_record(now_ns.saturating_sub(due_ns).max(1));
            }
            link.ask(&self.clock, due_ns);
        }
        if link.is_waiting() {
            link.flush();
        }
        self.settle(index)
    }

    /// After a flush: what needs no answer is done, and a full socket is watched.
    fn settle(&mut self, index: usize) -> io::Result<()> {
        let link = &mut self.links[index];
        let (recorder, clock, limit) = (&mut self.recorder, &self.clock, &self.limit);
        let now_ns = clock.now_ns();
        link.complete_unanswered(&mut self.partitions, |answered| {
            record(recorder, limit, now_ns, &answered, false);
        });
        let wants_room = link.is_waiting();
        if wants_room != self.is_watched_for_room[index] {
            self.is_watched_for_room[index] = wants_room;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, wants_room);
            let data = epoll::EventData::new_u64(index as u64);
            epoll::modify(&self.epoll, link.stream(), data, flags)?;
        }
        if let Some(fault) = link.take_break() {
            *recorder.at(now_ns).errors.entry(fault).or_default() += 1;
            epoll::delete(&self.epoll, link.stream())?;
        }
        Ok(())
    }

    /// Waits until something can be read or sent, or it is `until_ns`, and handles what came.
    fn wait(&mut self, until_ns: u64) -> io::Result<()> {
        let now_ns = self.clock.now_ns();
        let left_ns = until_ns.saturating_sub(now_ns).min(WAIT_NS_MAX);
        let timeout = |left_ns: u64| Timespec {
            tv_sec: (left_ns / SECOND_NS) as i64,
            tv_nsec: (left_ns % SECOND_NS) as i64,
        };
        self.events.clear();
        let is_coarse = left_ns == 0 || left_ns == WAIT_NS_MAX;
        if !is_coarse {
            // epoll_wait counts in milliseconds, ppoll in nanoseconds.
            let mut ready = [PollFd::new(&self.epoll, PollFlags::IN)];
            match poll(&mut ready, Some(&timeout(left_ns))) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        let left = timeout(if is_coarse { left_ns } else { 0 });
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&left)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        for at in 0..self.events.len() {
            let event = self.events[at];
            let index = { event.data }.u64() as usize;
            let flags = { event.flags };
            if flags != epoll::EventFlags::OUT {
                self.receive(index);
            }
            self.settle(index)?;
        }
        Ok(())
    }

    fn receive(&mut self, index: usize) {
        let link = &mut self.links[index];
        let (recorder, limit) = (&mut self.recorder, &self.limit);
        link.receive(&self.clock, &mut self.partitions, |now_ns, answered| {
            record(recorder, limit, now_ns, &answered, true);
        });
    }

    /// Takes answers until there are none due or it is `until_ns`.
    fn drain(&mut self, until_ns: u64) -> io::Result<()> {
        self.next_due_ns = u64::MAX;
        loop {
            let now_ns = self.clock.now_ns();
            self.recorder.at(now_ns);
            let is_due =
                |link: &Link| !link.is_broken() && (link.in_flight() > 0 || !link.due.is_empty());
            if now_ns >= until_ns || !self.links.iter().any(is_due) {
                return Ok(());
            }
            for index in 0..self.links.len() {
                self.pump(index)?;
            }
            self.wait(until_ns)?;
        }
    }

    fn finish(mut self) -> Produced {
        let now_ns = self.clock.now_ns();
        let is_timed = matches!(self.load, Load::Scheduled { .. });
        let (mut unanswered, mut unsent) = (0, 0);
        let mut connections = BTreeMap::new();
        for link in self.links {
            let recorder = &mut self.recorder;
            let (number, ledger) = link.finish(&mut self.partitions, |due_ns, is_sent| {
                match is_sent {
                    IsSent::Yes => unanswered += 1,
                    IsSent::No => unsent += 1,
                }
                if is_timed {
                    // It took at least this long.
                    let latency_ns = now_ns.saturating_sub(due_ns).max(1);
                    recorder.at(now_ns).latencies.saturating_record(latency_ns);
                }
            });
            connections.insert(number, ledger);
        }
        self.recorder.finish();
        Produced {
            connections,
            partitions: self.partitions,
            unanswered,
            unsent,
        }
    }
}

fn record(
    recorder: &mut Recorder,
    limit: &Limit,
    now_ns: u64,
    answered: &Answered<'_>,
    is_timed: bool,
) {
    let tally = recorder.at(now_ns);
    for fault in answered.faults {
        *tally.errors.entry(fault.clone()).or_default() += 1;
    }
    if answered.records > 0 {
        tally.requests += 1;
        tally.records += answered.records;
        tally.payload_bytes += answered.payload_bytes;
    }
    if is_timed {
        let latency_ns = now_ns.saturating_sub(answered.due_ns).max(1);
        tally.latencies.saturating_record(latency_ns);
    }
    if let Limit::Payload(left) = limit {
        let less = |left: u64| Some(left.saturating_sub(answered.payload_bytes));
        let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

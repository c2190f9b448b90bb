//! A run's threads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::Sender;
use std::thread;

use super::{Run, RunError, Threads, in_ns};
use crate::checker::Checker;
use crate::clock::Timeline;
use crate::consumer::{ConsumerThread, Reader, Role, Stop};
use crate::measure::{Counted, Kind, Recorder};
use crate::process;
use crate::producer::{Limit, Link, Load, Produced, ProducerThread, Requests};
use crate::scenario::{Acks, Produce};
use crate::schedule::Schedule;
use crate::socket;

impl Run<'_> {
    pub(super) fn start_producers(
        &mut self,
        timeline: Timeline,
        sink: &Sender<Counted>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Threads<io::Result<Produced>>, RunError> {
        let Some(produce) = &self.scenario.produce else {
            return Ok(Vec::new());
        };
        let schedule = produce.rate.map(|rate| {
            let to = produce.ramp_to.unwrap_or(rate);
            Schedule::ramp(rate, to, self.scenario.warm_up_s, self.scenario.duration_s)
        });
        let limit = Limit::Time(timeline.end_ns);
        self.start_sending(&produce.clone(), schedule, timeline, limit, sink, stop)
    }

    pub(super) fn start_sending(
        &mut self,
        produce: &Produce,
        schedule: Option<Schedule>,
        timeline: Timeline,
        limit: Limit,
        sink: &Sender<Counted>,
        stop: &Arc<AtomicBool>,
    ) -> Result<Threads<io::Result<Produced>>, RunError> {
        let cores = process::cores();
        let wanted = self
            .scenario
            .generator
            .threads
            .unwrap_or(cores.len() as u32);
        let count = wanted.clamp(1, produce.connections) as usize;
        let mut links: Vec<Vec<Link>> = (0..count).map(|_| Vec::new()).collect();
        for (position, link) in self.links(produce)?.into_iter().enumerate() {
            links[position % count].push(link);
        }
        let mut threads = Vec::new();
        for (number, links) in links.into_iter().enumerate() {
            let load = match schedule {
                None => Load::Saturation(produce.in_flight as usize),
                Some(schedule) => Load::Scheduled {
                    schedule,
                    from_ns: timeline.load_ns,
                    thread: number as u64,
                    threads: count as u64,
                },
            };
            let has_lateness = schedule.is_some();
            let producer = ProducerThread {
                clock: self.clock,
                links,
                load,
                limit: limit.clone(),
                drain_ns: in_ns(produce.drain_s),
                stop: stop.clone(),
                partitions_count: self.places.partitions.len(),
                recorder: Recorder::new(Kind::Produce, timeline, has_lateness, sink.clone()),
            };
            let core = self
                .scenario
                .generator
                .pin
                .then(|| cores[number % cores.len()]);
            let spawned = thread::Builder::new()
                .name(format!("produce-{number}"))
                .spawn(move || {
                    if let Some(core) = core {
                        // Not being allowed to is no reason not to measure.
                        let _ = affinity::set_thread_affinity([core]);
                    }
                    producer.run()
                });
            threads.push(spawned.map_err(RunError::Thread)?);
        }
        Ok(threads)
    }

    /// The connections of the producers, spread over the leaders.
    fn links(&mut self, produce: &Produce) -> Result<Vec<Link>, RunError> {
        let leaders = self.places.leaders.len();
        let mut links = Vec::new();
        for position in 0..produce.connections as usize {
            let leader = position % leaders;
            let connection = self.next_connection;
            let producer = match produce.idempotent {
                true => Some(self.client.producer_id()?),
                false => None,
            };
            let requests = Requests::new(
                connection,
                (position, produce.connections as usize),
                leader,
                produce,
                self.places.clone(),
                self.templates.clone(),
                producer,
            );
            if !requests.has_any() {
                continue;
            }
            self.next_connection += 1;
            let address = &self.places.leaders[leader].address;
            let link = socket::connect(address).and_then(|stream| {
                let has_answers = produce.acks != Acks::None;
                let templates = self.templates.clone();
                Link::new(stream, connection, requests, templates, has_answers)
            });
            links.push(link.map_err(|source| RunError::Connect {
                address: address.clone(),
                source,
            })?);
        }
        Ok(links)
    }

    pub(super) fn start_consumers(
        &self,
        timeline: Timeline,
        begins_at: &[i64],
        sink: &Sender<Counted>,
        stop: &Arc<Stop>,
    ) -> Result<Threads<Checker>, RunError> {
        let consume = &self.scenario.consume;
        let from_beginning = vec![0; begins_at.len()];
        let mut threads = Vec::new();
        for (role, count) in [
            (Role::Tailing, consume.tailing),
            (Role::CatchingUp, consume.catching_up),
            (Role::Looping(consume.check_every), consume.looping),
        ] {
            let (kind, starts, from_ns) = match role {
                Role::Tailing => (Kind::EndToEnd, begins_at, timeline.load_ns),
                Role::CatchingUp => (Kind::Fetch, &from_beginning[..], timeline.measure_ns),
                Role::Looping(_) => (Kind::Fetch, &from_beginning[..], timeline.load_ns),
            };
            for (number, (leader, partitions)) in self.shares(count as usize).iter().enumerate() {
                let partitions = partitions.iter();
                let partitions: Vec<(usize, i64)> = partitions
                    .map(|number| (*number, starts[*number]))
                    .collect();
                let reader = Reader::open(self.places.clone(), *leader, consume, &partitions);
                let reader = reader.map_err(|source| RunError::Connect {
                    address: self.places.leaders[*leader].address.clone(),
                    source,
                })?;
                let is_once = !matches!(role, Role::Looping(_));
                let consumer = ConsumerThread {
                    role,
                    clock: self.clock,
                    // Tailing consumers wait for the first record, so they are there before it.
                    from_ns: if role == Role::Tailing { 0 } else { from_ns },
                    reader,
                    checker: Checker::new(self.templates.clone(), is_once),
                    recorder: Recorder::new(kind, timeline, false, sink.clone()),
                    is_coarse: self.templates.is_compressed(),
                    stop: stop.clone(),
                };
                let spawned = thread::Builder::new()
                    .name(format!("{}-{number}", kind.name()))
                    .spawn(move || consumer.run());
                threads.push(spawned.map_err(RunError::Thread)?);
            }
        }
        Ok(threads)
    }

    /// What each of `count` consumers of a kind reads: a leader and some of its partitions. More
    /// consumers than partitions share them; each then reads all of the leader's.
    fn shares(&self, count: usize) -> Vec<(usize, Vec<usize>)> {
        let leaders = self.places.leaders.len();
        let of_leader = |leader: usize| (count + leaders - 1 - leader) / leaders;
        let mut shares = Vec::new();
        for position in 0..count {
            let (leader, place) = (position % leaders, position / leaders);
            let partitions = self.places.led_by(leader);
            let consumers = of_leader(leader);
            let mine = match consumers <= partitions.len() {
                true => partitions
                    .into_iter()
                    .skip(place)
                    .step_by(consumers)
                    .collect(),
                false => partitions,
            };
            shares.push((leader, mine));
        }
        // With fewer consumers than leaders somebody has to read from the others.
        for leader in count..leaders {
            if count > 0 {
                shares.push((leader, self.places.led_by(leader)));
            }
        }
        shares
    }
}

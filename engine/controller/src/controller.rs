use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use sillon_buffer::planted::{self, Bug};
use sillon_record::PartitionIncarnation;

use crate::alter_configs::alter_configs;
use crate::append::record_bytes_max;
use crate::create::{Creation, CreationResults, create_topics};
use crate::create_partitions::create_partitions;
use crate::delete::delete_topics;
use crate::{ControlReply, ControlRequest, Image, MetadataRecord};

/// Producer ids that are reserved at once: one durable append for so many producers. Kafka's
/// number.
pub const PRODUCER_ID_BLOCK: i64 = 1000;

/// Records after which no further request joins an append. (The requests wait; their number is
/// bounded by whoever sends them.)
const GATHERED_RECORDS_MAX: usize = 10_000;

/// Bytes after which no further request joins an append.
const GATHERED_BYTES_MAX: usize = 4 << 20;

/// What the controller fills in for requests that leave it to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerOptions {
    /// `num.partitions`
    pub default_partitions: i32,
    /// `default.replication.factor`
    pub default_replication_factor: i16,
}

impl Default for ControllerOptions {
    fn default() -> ControllerOptions {
        ControllerOptions {
            default_partitions: 1,
            default_replication_factor: 1,
        }
    }
}

/// What happens to the controller.
#[derive(Debug)]
pub enum ControllerEvent {
    /// Something is asked.
    Request {
        /// Where the answer goes: echoed.
        ticket: u64,
        /// What is asked.
        request: ControlRequest,
    },
    /// The append in flight is durable. (One that fails is no event: the node stops, and what
    /// became of it shows when the log is read again.)
    Durable,
    /// There is no space for the append in flight, and nothing of it was written: what it holds is
    /// refused.
    NoSpace,
    /// A partition is open, or cannot be opened.
    PartitionReady {
        /// Which.
        incarnation: PartitionIncarnation,
        /// Why it cannot.
        error: Option<String>,
    },
}

/// What the controller wants done.
#[derive(Debug)]
pub enum ControllerAction {
    /// Append to the metadata log, and say [`ControllerEvent::Durable`] when it is, or
    /// [`ControllerEvent::NoSpace`]. One at a time.
    Append(Vec<MetadataRecord>),
    /// Give these durable records to every shard.
    Publish(Arc<[MetadataRecord]>),
    /// Answer a request.
    Reply {
        /// The request's.
        ticket: u64,
        /// The answer.
        reply: ControlReply,
    },
}

/// Decides about the cluster's metadata. Runs beside shard 0; everything it must remember is in
/// the metadata log.
#[derive(Debug)]
pub struct Controller {
    options: ControllerOptions,
    /// Includes the records of the append in flight.
    image: Image,
    /// Does not: what holds when there is no space for them.
    durable_image: Image,
    queue: VecDeque<(u64, ControlRequest)>,
    in_flight: Option<InFlight>,
    /// Creations that wait for their partitions, by ticket.
    opening: BTreeMap<u64, Opening>,
    /// Which creation waits for a partition, and which topic of it that belongs to.
    awaited: BTreeMap<PartitionIncarnation, (u64, usize)>,
    /// Producer ids that are reserved and not handed out.
    producer_ids: std::ops::Range<i64>,
}

/// What happens when the append in flight is durable.
#[derive(Debug, Default)]
struct InFlight {
    records: Vec<MetadataRecord>,
    /// What they take at most.
    bytes: usize,
    replies: Vec<(u64, ControlReply)>,
    creations: Vec<(u64, Creation)>,
    /// Partitions of deleted topics.
    removed: Vec<PartitionIncarnation>,
}

/// A creation that is durable and waits for its partitions.
#[derive(Debug)]
struct Opening {
    results: CreationResults,
    /// The name of each topic.
    names: Vec<String>,
    awaited_count: usize,
}

impl Controller {
    /// A controller of what the metadata log says.
    pub fn new(image: Image, options: ControllerOptions) -> Controller {
        let next = image.next_producer_id();
        Controller {
            options,
            durable_image: image.clone(),
            image,
            queue: VecDeque::new(),
            in_flight: None,
            opening: BTreeMap::new(),
            awaited: BTreeMap::new(),
            producer_ids: next..next,
        }
    }

    /// Takes in an event and appends what is to be done about it, in order.
    ///
    /// # Panics
    /// On a [`ControllerEvent::Durable`] or [`ControllerEvent::NoSpace`] without an append.
    pub fn handle(&mut self, event: ControllerEvent, actions: &mut Vec<ControllerAction>) {
        match event {
            ControllerEvent::Request { ticket, request } => {
                self.queue.push_back((ticket, request));
            }
            ControllerEvent::Durable => {
                let done = self.in_flight.take().expect("an append is in flight");
                self.durable(done, actions);
            }
            ControllerEvent::NoSpace => {
                let refused = self.in_flight.take().expect("an append is in flight");
                self.no_space(refused, actions);
            }
            ControllerEvent::PartitionReady { incarnation, error } => {
                self.partition_ready(incarnation, error, actions);
            }
        }
        while self.in_flight.is_none() && !self.queue.is_empty() {
            self.decide(actions);
        }
    }

    /// The metadata as it will be when the append in flight is durable.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Decides about requests that wait. Nothing is answered before what it rests on is durable,
    /// refusals included.
    fn decide(&mut self, actions: &mut Vec<ControllerAction>) {
        let mut work = InFlight::default();
        while work.records.len() < GATHERED_RECORDS_MAX
            && work.bytes < GATHERED_BYTES_MAX
            && let Some((ticket, request)) = self.queue.pop_front()
        {
            self.decide_one(ticket, request, &mut work, actions);
        }
        if work.records.is_empty() {
            debug_assert!(work.creations.is_empty(), "a creation has records");
            reply_all(work.replies, actions);
        } else {
            actions.push(ControllerAction::Append(work.records.clone()));
            self.in_flight = Some(work);
        }
    }

    fn decide_one(
        &mut self,
        ticket: u64,
        request: ControlRequest,
        work: &mut InFlight,
        actions: &mut Vec<ControllerAction>,
    ) {
        let decided_before = work.records.len();
        match request {
            ControlRequest::CreateTopics {
                topics,
                validate_only,
            } => {
                let creation = create_topics(&self.image, &self.options, topics);
                take_creation(ticket, creation, validate_only, work);
            }
            ControlRequest::CreatePartitions {
                topics,
                validate_only,
            } => {
                let creation = create_partitions(&self.image, topics);
                take_creation(ticket, creation, validate_only, work);
            }
            ControlRequest::AlterConfigs {
                resources,
                validate_only,
            } => {
                let mut alteration = alter_configs(&self.image, &resources);
                if !validate_only {
                    work.records.append(&mut alteration.records);
                }
                let reply = ControlReply::AlterConfigs(alteration.results);
                work.replies.push((ticket, reply));
            }
            ControlRequest::DeleteTopics { topics } => {
                let mut deletion = delete_topics(&self.image, topics);
                work.records.append(&mut deletion.records);
                work.removed.append(&mut deletion.partitions);
                let reply = ControlReply::DeleteTopics(deletion.results);
                work.replies.push((ticket, reply));
            }
            ControlRequest::ProducerId => {
                let id = self.producer_id(&mut work.records);
                let reply = ControlReply::ProducerId(id);
                if planted::is(Bug::ProducerIdReused) {
                    actions.push(ControllerAction::Reply { ticket, reply });
                } else {
                    work.replies.push((ticket, reply));
                }
            }
        }
        for record in &work.records[decided_before..] {
            work.bytes += record_bytes_max(record);
            self.image.apply(record);
        }
    }

    fn producer_id(&mut self, records: &mut Vec<MetadataRecord>) -> i64 {
        if self.producer_ids.is_empty() {
            let next = self.image.next_producer_id();
            self.producer_ids = next..next + PRODUCER_ID_BLOCK;
            records.push(MetadataRecord::ProducerIds {
                next: self.producer_ids.end,
            });
        }
        self.producer_ids.next().expect("a block has ids")
    }

    /// Everything in the append is refused, refusals included: they may rest on what it holds.
    fn no_space(&mut self, refused: InFlight, actions: &mut Vec<ControllerAction>) {
        self.image = self.durable_image.clone();
        let next = self.image.next_producer_id();
        self.producer_ids = next..next;
        let tickets = refused.replies.iter().map(|(ticket, _)| *ticket);
        let tickets = tickets.chain(refused.creations.iter().map(|(ticket, _)| *ticket));
        let reply = ControlReply::NoSpace;
        reply_all(
            tickets.map(|ticket| (ticket, reply.clone())).collect(),
            actions,
        );
    }

    fn durable(&mut self, done: InFlight, actions: &mut Vec<ControllerAction>) {
        for record in &done.records {
            self.durable_image.apply(record);
        }
        actions.push(ControllerAction::Publish(done.records.into()));
        reply_all(done.replies, actions);
        for (ticket, creation) in done.creations {
            self.await_partitions(ticket, creation);
        }
        // A topic that is gone again before it was open is not waited for.
        for incarnation in done.removed {
            self.partition_ready(incarnation, None, actions);
        }
    }

    fn await_partitions(&mut self, ticket: u64, creation: Creation) {
        let opening = Opening {
            results: creation.results,
            names: creation.names,
            awaited_count: creation.partitions.len(),
        };
        assert!(opening.awaited_count > 0, "a new topic has a partition");
        for (incarnation, topic) in creation.partitions {
            self.awaited.insert(incarnation, (ticket, topic));
        }
        let previous = self.opening.insert(ticket, opening);
        assert!(previous.is_none(), "a ticket names one request");
    }

    fn partition_ready(
        &mut self,
        incarnation: PartitionIncarnation,
        error: Option<String>,
        actions: &mut Vec<ControllerAction>,
    ) {
        // Partitions that a restart opens, or that are deleted meanwhile, are not waited for.
        let Some((ticket, topic)) = self.awaited.remove(&incarnation) else {
            return;
        };
        let opening = self.opening.get_mut(&ticket);
        let opening = opening.expect("an awaited partition belongs to a creation");
        if let Some(reason) = error {
            let place = self.image.partition_of(incarnation);
            let partition = place.map_or(-1, |place| place.partition);
            let name = opening.names[topic].clone();
            opening.results.fail(topic, name, partition, reason);
        }
        opening.awaited_count -= 1;
        if opening.awaited_count == 0
            && let Some(opening) = self.opening.remove(&ticket)
        {
            let reply = opening.results.into_reply();
            actions.push(ControllerAction::Reply { ticket, reply });
        }
    }
}

fn take_creation(ticket: u64, mut creation: Creation, validate_only: bool, work: &mut InFlight) {
    if validate_only {
        creation.only_validated();
    }
    if creation.records.is_empty() {
        work.replies.push((ticket, creation.results.into_reply()));
    } else {
        work.records.append(&mut creation.records);
        work.creations.push((ticket, creation));
    }
}

fn reply_all(replies: Vec<(u64, ControlReply)>, actions: &mut Vec<ControllerAction>) {
    let replies = replies.into_iter();
    actions.extend(replies.map(|(ticket, reply)| ControllerAction::Reply { ticket, reply }));
}

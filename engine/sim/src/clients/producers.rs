use std::collections::{BTreeMap, VecDeque};

use sillon_record::{Producer, TopicPartition, increment_sequence};

use crate::random::Random;

/// Batches of one producer and partition that may be unacknowledged, as in Kafka's clients.
const IN_FLIGHT_MAX: usize = 5;

/// Refusals in a row after which a producer starts over with a new id.
const FAILURES_MAX: u32 = 10;

/// An idempotent producer.
#[derive(Debug, Default)]
pub struct IdempotentProducer {
    /// Its id, when it has one.
    pub identity: Option<Producer>,
    /// It has asked for an id.
    pub is_asking: bool,
    streams: BTreeMap<TopicPartition, Stream>,
    /// A batch of an earlier epoch.
    pub zombie: Option<usize>,
}

/// What it sends to one partition.
#[derive(Debug, Default)]
struct Stream {
    next_sequence: i32,
    /// Unacknowledged batches, and the last acknowledged ones.
    window: VecDeque<Slot>,
    /// Batches to be sent again, in order, before any new one.
    retries: VecDeque<usize>,
    failures: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    number: usize,
    in_flight: u32,
    is_acknowledged: bool,
}

/// What a producer sends next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextSend {
    /// A new batch with this first sequence.
    New(i32),
    /// This batch once more.
    Again {
        /// Its number.
        number: usize,
        /// Another send of it waits for its answer.
        is_in_flight: bool,
    },
    /// Nothing now.
    Nothing,
}

/// What an answer other than success says about the promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It can be, and is sent again.
    Explained,
    /// Everything before it was acknowledged: this cannot be.
    Unexplained,
}

impl IdempotentProducer {
    /// Starts over with a new id.
    pub fn identify(&mut self, id: i64) {
        *self = IdempotentProducer {
            identity: Some(Producer { id, epoch: 0 }),
            ..IdempotentProducer::default()
        };
    }

    /// Forgets its id.
    pub fn abandon(&mut self) {
        *self = IdempotentProducer::default();
    }

    /// Goes on in a new epoch (KIP-360), leaving an acknowledged batch behind as a zombie's.
    pub fn raise_epoch(&mut self) {
        let Some(identity) = &mut self.identity else {
            return;
        };
        identity.epoch += 1;
        let mut slots = self.streams.values().flat_map(|stream| &stream.window);
        self.zombie = slots
            .find(|slot| slot.is_acknowledged)
            .map(|slot| slot.number);
        self.streams.clear();
    }

    /// What it sends to a partition next.
    pub fn next(&mut self, partition: TopicPartition, random: &mut Random) -> NextSend {
        let stream = self.streams.entry(partition).or_default();
        if let Some(number) = stream.retries.pop_front() {
            let slot = stream.window.iter().find(|slot| slot.number == number);
            let is_in_flight = slot.is_some_and(|slot| slot.in_flight > 0);
            return NextSend::Again {
                number,
                is_in_flight,
            };
        }
        if !stream.window.is_empty() && random.percent(20) {
            let slot = stream.window[random.index(stream.window.len())];
            return NextSend::Again {
                number: slot.number,
                is_in_flight: slot.in_flight > 0,
            };
        }
        let open = stream.window.iter().filter(|slot| !slot.is_acknowledged);
        if open.count() >= IN_FLIGHT_MAX {
            return NextSend::Nothing;
        }
        NextSend::New(stream.next_sequence)
    }

    /// A new batch is sent.
    pub fn sent_new(&mut self, partition: TopicPartition, number: usize, records_count: i32) {
        let stream = self.streams.entry(partition).or_default();
        stream.next_sequence = increment_sequence(stream.next_sequence, records_count);
        stream.window.push_back(Slot {
            number,
            in_flight: 1,
            is_acknowledged: false,
        });
        while stream.window.len() > IN_FLIGHT_MAX && stream.window[0].is_acknowledged {
            stream.window.pop_front();
        }
    }

    /// A batch is sent once more.
    pub fn sent_again(&mut self, partition: TopicPartition, number: usize) {
        if let Some(slot) = self.slot(partition, number) {
            slot.in_flight += 1;
        }
    }

    fn slot(&mut self, partition: TopicPartition, number: usize) -> Option<&mut Slot> {
        let stream = self.streams.get_mut(&partition)?;
        stream.window.iter_mut().find(|slot| slot.number == number)
    }

    /// A send was acknowledged.
    pub fn acknowledged(&mut self, partition: TopicPartition, number: usize) {
        if let Some(slot) = self.slot(partition, number) {
            slot.in_flight -= 1;
            slot.is_acknowledged = true;
            let stream = self.streams.entry(partition).or_default();
            stream.failures = 0;
        }
    }

    /// A send was refused: everything unacknowledged is sent again.
    pub fn refused(&mut self, partition: TopicPartition, number: usize) -> Refused {
        let Some(slot) = self.slot(partition, number) else {
            return Refused::Explained;
        };
        slot.in_flight -= 1;
        let stream = self.streams.entry(partition).or_default();
        let mut slots = stream.window.iter();
        let is_open_before = slots
            .by_ref()
            .take_while(|slot| slot.number != number)
            .any(|slot| !slot.is_acknowledged);
        // A producer without state may begin anywhere: then what was refused before is lost to it.
        let is_overtaken = slots.any(|slot| slot.is_acknowledged || slot.in_flight > 0);
        let is_explained = is_open_before || is_overtaken;
        stream.failures += 1;
        if stream.failures > FAILURES_MAX {
            self.abandon();
        } else {
            stream.retry_all();
        }
        if is_explained {
            Refused::Explained
        } else {
            Refused::Unexplained
        }
    }

    /// The node has died: nothing is in flight, and what is unacknowledged is sent again.
    pub fn disconnected(&mut self) {
        self.is_asking = false;
        for stream in self.streams.values_mut() {
            for slot in &mut stream.window {
                slot.in_flight = 0;
            }
            stream.retry_all();
        }
    }

    /// A partition is gone.
    pub fn forget(&mut self, partition: TopicPartition) {
        self.streams.remove(&partition);
    }
}

impl Stream {
    fn retry_all(&mut self) {
        let open = self.window.iter().filter(|slot| !slot.is_acknowledged);
        self.retries = open.map(|slot| slot.number).collect();
    }
}

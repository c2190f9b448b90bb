//! A controller whose metadata log and partitions are played by the test.
#![allow(dead_code, reason = "every test file uses a part of it")]

use sillon_controller::*;
use sillon_record::{BrokerId, PartitionIncarnation, TopicId};

/// A controller, its log, and what it has said.
pub struct House {
    pub controller: Controller,
    /// Durable records.
    pub log: Vec<MetadataRecord>,
    pub in_flight: Option<Vec<MetadataRecord>>,
    pub published: Vec<MetadataRecord>,
    pub replies: Vec<(u64, ControlReply)>,
    next_ticket: u64,
}

pub fn id(number: u8) -> TopicId {
    TopicId([number; 16])
}

pub fn registered(broker: i32) -> MetadataRecord {
    MetadataRecord::BrokerRegistered {
        broker: BrokerId(broker),
        host: "field".to_owned(),
        port: 9092,
    }
}

pub fn image_of(log: &[MetadataRecord]) -> Image {
    let mut image = Image::new(TopicConfig::default());
    for record in log {
        image.apply(record);
    }
    image
}

impl House {
    pub fn new(brokers: i32) -> House {
        House::of((1..=brokers).map(registered).collect())
    }

    fn of(log: Vec<MetadataRecord>) -> House {
        let options = ControllerOptions {
            default_partitions: 3,
            default_replication_factor: 1,
        };
        House {
            controller: Controller::new(image_of(&log), options),
            published: log.clone(),
            log,
            in_flight: None,
            replies: Vec::new(),
            next_ticket: 0,
        }
    }

    /// Loses everything but the log. `durable`: the append in flight made it.
    pub fn crash(mut self, durable: bool) -> House {
        if durable && let Some(records) = self.in_flight.take() {
            self.log.extend(records);
        }
        self.log.push(registered(1));
        House::of(self.log)
    }

    fn handle(&mut self, event: ControllerEvent) {
        let mut actions = Vec::new();
        self.controller.handle(event, &mut actions);
        for action in actions {
            match action {
                ControllerAction::Append(records) => {
                    assert!(self.in_flight.is_none(), "two appends in flight");
                    assert!(!records.is_empty());
                    // It panics when they are too long.
                    encode_append(0, &records, &mut Vec::new());
                    self.in_flight = Some(records);
                }
                ControllerAction::Publish(records) => {
                    self.published.extend(records.iter().cloned());
                    assert_eq!(self.published, self.log, "published before it is durable");
                }
                ControllerAction::Reply { ticket, reply } => self.replies.push((ticket, reply)),
            }
        }
    }

    pub fn request(&mut self, request: ControlRequest) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.handle(ControllerEvent::Request { ticket, request });
        ticket
    }

    pub fn create(&mut self, topic: NewTopic) -> u64 {
        self.request(ControlRequest::CreateTopics {
            topics: vec![topic],
            validate_only: false,
        })
    }

    pub fn delete(&mut self, name: &str) -> u64 {
        self.request(ControlRequest::DeleteTopics {
            topics: vec![TopicTarget::Name(name.to_owned())],
        })
    }

    /// The append in flight has become durable.
    pub fn durable(&mut self) {
        let records = self.in_flight.take().expect("an append is in flight");
        self.log.extend(records);
        self.handle(ControllerEvent::Durable);
    }

    /// There is no space for the append in flight.
    pub fn no_space(&mut self) {
        self.in_flight.take().expect("an append is in flight");
        self.handle(ControllerEvent::NoSpace);
    }

    pub fn ready(&mut self, incarnation: PartitionIncarnation, error: Option<&str>) {
        let error = error.map(str::to_owned);
        self.handle(ControllerEvent::PartitionReady { incarnation, error });
    }

    pub fn incarnations(&self, name: &str) -> Vec<PartitionIncarnation> {
        let image = image_of(&self.published);
        let topic = image.topic_named(name).expect("the topic is published");
        topic.partitions().iter().map(|p| p.incarnation).collect()
    }

    /// Lets everything happen that can, and gives the answer.
    pub fn settle(&mut self, ticket: u64) -> ControlReply {
        while self.in_flight.is_some() {
            self.durable();
        }
        let image = image_of(&self.published);
        for topic in image.topics() {
            for partition in topic.partitions() {
                self.ready(partition.incarnation, None);
            }
        }
        self.answer(ticket).expect("the request is answered")
    }

    pub fn answer(&mut self, ticket: u64) -> Option<ControlReply> {
        let place = self.replies.iter().position(|(t, _)| *t == ticket)?;
        Some(self.replies.remove(place).1)
    }

    /// The outcome of creating one topic.
    pub fn created(&mut self, topic: NewTopic) -> Result<CreatedTopic, CreateTopicError> {
        let ticket = self.create(topic);
        match self.settle(ticket) {
            ControlReply::CreateTopics(mut results) => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub fn deleted(&mut self, target: TopicTarget) -> Result<DeletedTopic, DeleteTopicError> {
        let topics = vec![target];
        let ticket = self.request(ControlRequest::DeleteTopics { topics });
        match self.settle(ticket) {
            ControlReply::DeleteTopics(mut results) => results.remove(0),
            other => panic!("{other:?}"),
        }
    }

    pub fn producer_id(&mut self) -> i64 {
        let ticket = self.request(ControlRequest::ProducerId);
        match self.settle(ticket) {
            ControlReply::ProducerId(id) => id,
            other => panic!("{other:?}"),
        }
    }
}

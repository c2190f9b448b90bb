//! Deletion, restarts, and what is never used twice.

mod house;

use std::collections::BTreeSet;

use house::{House, id, image_of, registered};
use proptest::prelude::*;
use sillon_buffer::planted::{self, Bug};
use sillon_controller::*;

fn topic(number: u8, name: &str) -> NewTopic {
    NewTopic::with_defaults(id(number), name)
}

#[test]
fn a_deletion_is_answered_when_it_is_durable() {
    let mut house = House::new(1);
    house.created(topic(1, "a.b")).unwrap();
    let ticket = house.delete("a.b");
    assert!(house.replies.is_empty());
    house.durable();
    assert!(house.answer(ticket).is_some());
    let image = image_of(&house.published);
    assert!(image.topic_named("a.b").is_none() && image.topic(id(1)).is_none());
    assert_eq!(image.partitions_count(), 0);
    assert_eq!(image.removed_topic(id(1)).map(|name| &**name), Some("a.b"));
    house.created(topic(2, "a_b")).unwrap();
}

#[test]
fn what_is_not_there_cannot_be_deleted() {
    let mut house = House::new(1);
    house.created(topic(1, "a")).unwrap();
    let name = "b".to_owned();
    let expected = DeleteTopicError::UnknownTopic { name: name.clone() };
    assert_eq!(house.deleted(TopicTarget::Name(name)), Err(expected));
    let expected = DeleteTopicError::UnknownTopicId { id: id(2) };
    assert_eq!(house.deleted(TopicTarget::Id(id(2))), Err(expected));
    let topics = vec![TopicTarget::Id(id(1)), TopicTarget::Name("a".to_owned())];
    let ticket = house.request(ControlRequest::DeleteTopics { topics });
    let ControlReply::DeleteTopics(results) = house.settle(ticket) else {
        panic!("another answer");
    };
    assert_eq!(results[0].as_ref().unwrap().name, "a");
    assert_eq!(results[1], Err(DeleteTopicError::NamedTwice));
}

#[test]
fn a_creation_whose_topic_is_deleted_before_it_is_open_is_answered() {
    let mut house = House::new(1);
    let creation = house.create(topic(1, "a"));
    house.durable();
    house.delete("a");
    house.durable();
    assert!(house.answer(creation).is_some());

    // The same, decided together: the partitions never come to be.
    house.create(topic(2, "b"));
    let creation = house.create(topic(3, "c"));
    house.delete("c");
    house.durable();
    house.durable();
    assert!(house.answer(creation).is_some());
}

#[test]
fn every_registration_raises_the_epochs_of_what_the_broker_leads() {
    let mut house = House::new(2);
    let spread = NewTopic {
        partitions: 2,
        ..topic(2, "a")
    };
    house.created(spread).unwrap();
    let epochs = |image: &Image| -> Vec<(i32, i32)> {
        let partitions = image.topic(id(2)).unwrap().partitions().iter();
        let mut epochs: Vec<_> = partitions
            .map(|p| (p.leader.unwrap().0, p.leader_epoch.0))
            .collect();
        epochs.sort_unstable();
        epochs
    };
    let mut image = image_of(&house.log);
    assert_eq!(epochs(&image), [(1, 0), (2, 0)]);
    image.apply(&registered(2));
    assert_eq!(epochs(&image), [(1, 0), (2, 1)]);
    planted::plant(Some(Bug::EpochNotRaised));
    image.apply(&registered(2));
    planted::plant(None);
    assert_eq!(epochs(&image), [(1, 0), (2, 1)], "the planted bug");
}

#[test]
fn a_producer_id_is_handed_out_only_when_its_block_is_durable() {
    let mut house = House::new(1);
    let first = house.request(ControlRequest::ProducerId);
    assert!(house.replies.is_empty());
    house.durable();
    assert_eq!(house.answer(first), Some(ControlReply::ProducerId(0)));
    for expected in 1..PRODUCER_ID_BLOCK {
        let ticket = house.request(ControlRequest::ProducerId);
        assert!(house.in_flight.is_none(), "the block is reserved");
        assert_eq!(
            house.answer(ticket),
            Some(ControlReply::ProducerId(expected))
        );
    }
    let next = house.request(ControlRequest::ProducerId);
    assert!(house.replies.is_empty());
    house.durable();
    let expected = ControlReply::ProducerId(PRODUCER_ID_BLOCK);
    assert_eq!(house.answer(next), Some(expected));
}

#[test]
fn the_planted_bug_hands_out_a_producer_id_twice() {
    planted::plant(Some(Bug::ProducerIdReused));
    let mut house = House::new(1);
    let before = house.request(ControlRequest::ProducerId);
    let before = house.answer(before);
    let mut house = house.crash(false);
    let after = house.request(ControlRequest::ProducerId);
    assert_eq!(before, house.answer(after));
    planted::plant(None);
}

#[test]
fn without_space_an_append_is_refused_whole_and_the_next_begins_where_it_began() {
    let mut house = House::new(1);
    let first = house.create(topic(1, "furrow"));
    let second = house.create(topic(2, "plough"));
    let id = house.request(ControlRequest::ProducerId);
    house.no_space();
    assert_eq!(house.answer(first), Some(ControlReply::NoSpace));
    house.no_space();
    assert_eq!(house.answer(second), Some(ControlReply::NoSpace));
    assert_eq!(house.answer(id), Some(ControlReply::NoSpace));
    assert_eq!(*house.controller.image(), image_of(&house.log));

    let again = house.create(topic(3, "furrow"));
    let ControlReply::CreateTopics(results) = house.settle(again) else {
        panic!("an answer to a creation");
    };
    assert!(results[0].is_ok(), "{results:?}");
    let id = house.request(ControlRequest::ProducerId);
    assert_eq!(house.settle(id), ControlReply::ProducerId(0));
}

/// What is done to a controller, one after the other.
#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    /// One partition more.
    Grow(u8),
    Configure(u8, i64),
    Delete(u8),
    ProducerId,
    Durable,
    NoSpace,
    Ready(usize),
    /// Whether the append in flight made it.
    Crash(bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4u8).prop_map(Step::Create),
        (0..4u8).prop_map(Step::Grow),
        (0..4u8, 1..3i64).prop_map(|(name, value)| Step::Configure(name, value)),
        (0..4u8).prop_map(Step::Delete),
        Just(Step::ProducerId),
        Just(Step::Durable),
        Just(Step::NoSpace),
        any::<usize>().prop_map(Step::Ready),
        any::<bool>().prop_map(Step::Crash),
    ]
}

/// What must hold whatever is done.
#[derive(Default)]
struct Seen {
    producer_ids: BTreeSet<i64>,
    topics_created: u8,
}

impl Seen {
    fn check(&mut self, house: &mut House) {
        for (_, reply) in house.replies.drain(..) {
            if let ControlReply::ProducerId(id) = reply {
                assert!(self.producer_ids.insert(id), "producer id {id} again");
            }
        }
        let partitions = house.log.iter().filter_map(|record| match record {
            MetadataRecord::Partition { incarnation, .. } => Some(incarnation.0),
            _ => None,
        });
        let incarnations: Vec<u64> = partitions.collect();
        assert!(incarnations.is_sorted_by(|a, b| a < b), "{incarnations:?}");
        assert_eq!(image_of(&house.published), image_of(&house.log));
    }
}

proptest! {
    #[test]
    fn nothing_is_used_twice_whenever_the_controller_crashes(
        steps in prop::collection::vec(any_step(), 1..60)
    ) {
        let mut house = House::new(1);
        let mut seen = Seen::default();
        for step in steps {
            match step {
                Step::Create(name) => {
                    seen.topics_created += 1;
                    house.create(topic(seen.topics_created, &name.to_string()));
                }
                Step::Grow(name) => {
                    let name = name.to_string();
                    let topic = house.controller.image().topic_named(&name);
                    let count = topic.map_or(1, |topic| topic.partitions().len() as i32 + 1);
                    house.request(ControlRequest::CreatePartitions {
                        topics: vec![MorePartitions { name, count, assignments: None }],
                        validate_only: false,
                    });
                }
                Step::Configure(name, value) => {
                    // The last one is all brokers.
                    let (resource, key) = match name {
                        3 => (ConfigResource::Broker(None), "log.roll.ms"),
                        name => (ConfigResource::Topic(name.to_string()), "segment.ms"),
                    };
                    let change = ConfigChange {
                        key: key.to_owned(),
                        operation: ConfigOperation::Set,
                        value: Some(value.to_string()),
                    };
                    let replaces_all = false;
                    let changes = vec![change];
                    house.request(ControlRequest::AlterConfigs {
                        resources: vec![AlteredResource { resource, replaces_all, changes }],
                        validate_only: false,
                    });
                }
                Step::Delete(name) => {
                    house.delete(&name.to_string());
                }
                Step::ProducerId => {
                    house.request(ControlRequest::ProducerId);
                }
                Step::Durable => {
                    if house.in_flight.is_some() {
                        house.durable();
                    }
                }
                Step::NoSpace => {
                    if house.in_flight.is_some() {
                        house.no_space();
                    }
                }
                Step::Ready(turn) => {
                    let next = house.controller.image().next_incarnation().0;
                    let turn = turn as u64 % (next + 1);
                    house.ready(sillon_record::PartitionIncarnation(turn), None);
                }
                Step::Crash(durable) => house = house.crash(durable),
            }
            seen.check(&mut house);
        }
    }
}

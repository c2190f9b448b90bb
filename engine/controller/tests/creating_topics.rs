//! What CreateTopics answers, and when.

mod house;

use house::{House, id, image_of};
use sillon_controller::*;
use sillon_record::BrokerId;

fn topic(number: u8, name: &str) -> NewTopic {
    NewTopic::with_defaults(id(number), name)
}

#[test]
fn a_creation_is_answered_when_it_is_durable_and_every_partition_is_open() {
    let mut house = House::new(1);
    let ticket = house.create(topic(1, "furrow"));
    assert!(house.replies.is_empty());
    assert_eq!(house.published.len(), 1, "only the broker so far");
    house.durable();
    assert!(house.replies.is_empty());
    let partitions = house.incarnations("furrow");
    assert_eq!(partitions.len(), 3, "the broker's default");
    for (opened, partition) in partitions.iter().enumerate() {
        assert!(house.replies.is_empty(), "{opened} are open");
        house.ready(*partition, None);
    }
    let Some(ControlReply::CreateTopics(results)) = house.answer(ticket) else {
        panic!("no answer");
    };
    let created = results[0].as_ref().unwrap();
    assert_eq!((created.id, created.partitions), (id(1), 3));
    assert_eq!(created.replication_factor, 1);
    let flush = created
        .configs
        .as_ref()
        .unwrap()
        .iter()
        .find(|c| c.name == "flush.messages");
    assert_eq!(
        flush.map(|c| (c.value.as_deref(), c.source)),
        Some((Some("1"), ConfigSource::Default))
    );
}

#[test]
fn a_partition_that_cannot_be_opened_is_a_storage_error() {
    let mut house = House::new(1);
    let ticket = house.create(topic(1, "furrow"));
    house.durable();
    let partitions = house.incarnations("furrow");
    house.ready(partitions[0], None);
    house.ready(partitions[1], Some("no space left"));
    house.ready(partitions[2], Some("still no space left"));
    let Some(ControlReply::CreateTopics(results)) = house.answer(ticket) else {
        panic!("no answer");
    };
    let expected = CreateTopicError::Storage {
        name: "furrow".to_owned(),
        partition: 2,
        reason: "still no space left".to_owned(),
    };
    assert_eq!(results, [Err(expected)]);
}

#[test]
fn requests_that_come_while_an_append_is_in_flight_wait_and_share_the_next_one() {
    let mut house = House::new(1);
    house.create(topic(1, "a"));
    let second = house.create(topic(2, "a"));
    let third = house.create(topic(3, "b"));
    house.durable();
    assert!(house.in_flight.is_some(), "b is being created");
    assert!(
        house.replies.is_empty(),
        "a refusal waits for what it rests on"
    );
    let ControlReply::CreateTopics(results) = house.settle(second) else {
        panic!("another answer");
    };
    assert!(matches!(
        results[0],
        Err(CreateTopicError::AlreadyExists { .. })
    ));
    assert!(house.answer(third).is_some());
}

#[test]
fn names_are_checked_as_kafka_does() {
    let mut house = House::new(1);
    house.created(topic(1, "a.b")).unwrap();
    let result = house.created(topic(2, "a.b"));
    assert!(matches!(
        result,
        Err(CreateTopicError::AlreadyExists { .. })
    ));
    let result = house.created(topic(2, "a_b"));
    assert!(matches!(result, Err(CreateTopicError::NameCollides { .. })));
    for name in ["", ".", "..", "a b", &"x".repeat(250)] {
        let result = house.created(topic(2, name));
        assert!(
            matches!(result, Err(CreateTopicError::InvalidName(_))),
            "{name}"
        );
    }
    let result = house.created(topic(2, "__cluster_metadata"));
    assert!(matches!(result, Err(CreateTopicError::Reserved { .. })));
    house.created(topic(2, &"x".repeat(249))).unwrap();
    assert_eq!(house.controller.image().topics().len(), 2);
}

#[test]
fn a_request_that_names_a_topic_twice_creates_neither() {
    let mut house = House::new(1);
    let ticket = house.request(ControlRequest::CreateTopics {
        topics: vec![
            topic(1, "a"),
            topic(2, "b.c"),
            topic(3, "a"),
            topic(4, "b_c"),
        ],
        validate_only: false,
    });
    let ControlReply::CreateTopics(results) = house.settle(ticket) else {
        panic!("another answer");
    };
    assert!(matches!(
        results[0],
        Err(CreateTopicError::NamedTwice { .. })
    ));
    assert!(results[1].is_ok());
    assert!(matches!(
        results[2],
        Err(CreateTopicError::NamedTwice { .. })
    ));
    assert!(matches!(
        results[3],
        Err(CreateTopicError::NameCollides { .. })
    ));
}

#[test]
fn counts_outside_the_possible_are_refused() {
    let mut house = House::new(2);
    let with = |partitions, replication_factor| NewTopic {
        partitions,
        replication_factor,
        ..topic(1, "a")
    };
    for partitions in [0, -2, i32::MIN] {
        let result = house.created(with(partitions, 1));
        assert!(matches!(
            result,
            Err(CreateTopicError::InvalidPartitions { .. })
        ));
    }
    for factor in [0, -2, 3, i16::MAX] {
        let result = house.created(with(1, factor));
        assert!(matches!(
            result,
            Err(CreateTopicError::InvalidReplicationFactor { .. })
        ));
    }
    for partitions in [10_001, i32::MAX] {
        let result = house.created(with(partitions, 1));
        assert!(matches!(
            result,
            Err(CreateTopicError::TooManyPartitions { .. })
        ));
    }
    let created = house.created(with(4, 2)).unwrap();
    assert_eq!((created.partitions, created.replication_factor), (4, 2));
    let image = house.controller.image();
    let leaders = image.topic(id(1)).unwrap().partitions().iter();
    let led_by_first = leaders.filter(|p| p.leader == Some(BrokerId(1))).count();
    assert_eq!(led_by_first, 2, "leaders are spread");
}

#[test]
fn configurations_are_checked_and_kept() {
    let mut house = House::new(1);
    let with = |configs: &[(&str, Option<&str>)]| NewTopic {
        configs: configs
            .iter()
            .map(|(key, value)| (key.to_string(), value.map(str::to_owned)))
            .collect(),
        ..topic(1, "a")
    };
    for configs in [
        &[("no.such.key", Some("1"))][..],
        &[("retention.ms", Some("soon"))],
        &[("retention.ms", None)],
        &[("retention.ms", Some("1")), ("retention.ms", Some("1"))],
    ] {
        let result = house.created(with(configs));
        assert!(
            matches!(result, Err(CreateTopicError::InvalidConfig(_))),
            "{configs:?}"
        );
    }
    let configs = [("retention.ms", Some("5")), ("preallocate", Some("true"))];
    let created = house.created(with(&configs)).unwrap();
    let of_topic = |config: &&EffectiveConfig| config.source == ConfigSource::DynamicTopic;
    let shown = created.configs.as_ref().unwrap().iter().filter(of_topic);
    let shown: Vec<_> = shown.map(|c| (c.name, c.value.as_deref())).collect();
    let expected = [("preallocate", Some("true")), ("retention.ms", Some("5"))];
    assert_eq!(shown, expected);
    let image = image_of(&house.log);
    assert_eq!(image.topic_named("a").unwrap().config.retention_ms, Some(5));
}

#[test]
fn replicas_chosen_by_hand_are_checked() {
    let mut house = House::new(3);
    let with = |assignments: &[(i32, &[i32])]| NewTopic {
        assignments: assignments
            .iter()
            .map(|(partition, replicas)| Assignment {
                partition: *partition,
                replicas: replicas.iter().copied().map(BrokerId).collect(),
            })
            .collect(),
        ..topic(1, "a")
    };
    for (assignments, expected) in [
        (&[(1, &[1][..])][..], AssignmentFault::Number),
        (&[(0, &[1]), (0, &[1])], AssignmentFault::Number),
        (&[(0, &[])], AssignmentFault::NoReplicas),
        (&[(0, &[9])], AssignmentFault::UnknownBroker(BrokerId(9))),
        (&[(0, &[1, 1])], AssignmentFault::BrokerTwice(BrokerId(1))),
        (&[(0, &[1, 2]), (1, &[1])], AssignmentFault::ReplicaCount),
    ] {
        let result = house.created(with(assignments));
        let Err(CreateTopicError::InvalidAssignment { fault, .. }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(fault, expected);
    }
    let counted = NewTopic {
        partitions: 1,
        ..with(&[(0, &[1])])
    };
    assert_eq!(
        house.created(counted),
        Err(CreateTopicError::AssignmentAndCounts)
    );
    house.created(with(&[(1, &[3, 1]), (0, &[2, 3])])).unwrap();
    let image = house.controller.image();
    let topic = image.topic(id(1)).unwrap();
    assert_eq!(topic.partition(0).unwrap().leader, Some(BrokerId(2)));
    assert_eq!(
        topic.partition(1).unwrap().replicas,
        [BrokerId(3), BrokerId(1)]
    );
}

#[test]
fn what_is_only_validated_changes_nothing() {
    let mut house = House::new(1);
    let ticket = house.request(ControlRequest::CreateTopics {
        topics: vec![topic(1, "a"), topic(2, "b/c")],
        validate_only: true,
    });
    let Some(ControlReply::CreateTopics(results)) = house.answer(ticket) else {
        panic!("validation waits for nothing");
    };
    assert_eq!(results[0].as_ref().unwrap().partitions, 3);
    assert_eq!(
        results[0].as_ref().unwrap().id,
        sillon_record::TopicId::ZERO
    );
    assert!(results[1].is_err());
    assert!(house.in_flight.is_none());
    assert_eq!(house.controller.image().topics().len(), 0);
}

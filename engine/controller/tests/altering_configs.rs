//! What changes of configurations and more partitions come to.

mod house;

use house::{House, id, image_of};
use sillon_controller::*;
use sillon_record::{BrokerId, TopicId};

const ALL: ConfigResource = ConfigResource::Broker(None);

fn topic() -> ConfigResource {
    ConfigResource::Topic("furrow".to_owned())
}

fn change(key: &str, operation: ConfigOperation, value: Option<&str>) -> ConfigChange {
    ConfigChange {
        key: key.to_owned(),
        operation,
        value: value.map(str::to_owned),
    }
}

fn set(key: &str, value: &str) -> ConfigChange {
    change(key, ConfigOperation::Set, Some(value))
}

fn delete(key: &str) -> ConfigChange {
    change(key, ConfigOperation::Delete, None)
}

fn with_topic() -> House {
    let mut house = House::new(1);
    let new = NewTopic::with_defaults(id(1), "furrow");
    house.created(new).unwrap();
    house
}

fn request(
    house: &mut House,
    resources: Vec<AlteredResource>,
    validate_only: bool,
) -> Vec<Result<(), AlterConfigsError>> {
    let ticket = house.request(ControlRequest::AlterConfigs {
        resources,
        validate_only,
    });
    match house.settle(ticket) {
        ControlReply::AlterConfigs(results) => results,
        other => panic!("{other:?}"),
    }
}

fn alter(
    house: &mut House,
    resource: ConfigResource,
    changes: &[ConfigChange],
) -> Result<(), AlterConfigsError> {
    let altered = AlteredResource {
        resource,
        replaces_all: false,
        changes: changes.to_vec(),
    };
    request(house, vec![altered], false).remove(0)
}

fn config(house: &House) -> TopicConfig {
    image_of(&house.log).topic_named("furrow").unwrap().config
}

#[test]
fn a_topics_value_is_set_and_taken_back() {
    let mut house = with_topic();
    alter(
        &mut house,
        topic(),
        &[set("retention.ms", "5"), set("flush.messages", "100")],
    )
    .unwrap();
    assert_eq!(config(&house).retention_ms, Some(5));
    assert_eq!(config(&house).flush_messages, 100);
    alter(&mut house, topic(), &[delete("retention.ms")]).unwrap();
    assert_eq!(
        config(&house).retention_ms,
        TopicConfig::default().retention_ms
    );
    assert_eq!(config(&house).flush_messages, 100);
}

#[test]
fn a_change_that_changes_nothing_is_not_written() {
    let mut house = with_topic();
    alter(&mut house, topic(), &[set("retention.ms", "5")]).unwrap();
    let written = house.log.len();
    alter(
        &mut house,
        topic(),
        &[set("retention.ms", "5"), delete("segment.ms")],
    )
    .unwrap();
    assert_eq!(house.log.len(), written);
}

#[test]
fn a_resource_is_changed_as_asked_or_not_at_all() {
    let mut house = with_topic();
    let result = alter(
        &mut house,
        topic(),
        &[set("retention.ms", "5"), set("segment.ms", "x")],
    );
    assert!(matches!(result, Err(AlterConfigsError::InvalidConfig(_))));
    assert_eq!(config(&house), TopicConfig::default());
}

#[test]
fn what_is_only_validated_is_not_written() {
    let mut house = with_topic();
    let written = house.log.len();
    let altered = |value: &str| AlteredResource {
        resource: topic(),
        replaces_all: false,
        changes: vec![set("retention.ms", value)],
    };
    let results = request(&mut house, vec![altered("5")], true);
    assert_eq!(results, [Ok(())]);
    let results = request(&mut house, vec![altered("soon")], true);
    assert!(results[0].is_err());
    assert_eq!(house.log.len(), written);
}

#[test]
fn elements_join_and_leave_a_list() {
    let mut house = with_topic();
    let append = |value| change("cleanup.policy", ConfigOperation::Append, Some(value));
    let subtract = |value| change("cleanup.policy", ConfigOperation::Subtract, Some(value));
    alter(&mut house, topic(), &[append("compact")]).unwrap();
    let policy = config(&house).cleanup_policy;
    assert!(
        policy.compact && policy.delete,
        "the default is appended to"
    );
    alter(&mut house, topic(), &[append("compact")]).unwrap();
    alter(&mut house, topic(), &[subtract("delete")]).unwrap();
    let policy = config(&house).cleanup_policy;
    assert!(policy.compact && !policy.delete);
    let no_list = change("retention.ms", ConfigOperation::Append, Some("1"));
    let result = alter(&mut house, topic(), &[no_list]);
    let key = "retention.ms";
    assert_eq!(result, Err(AlterConfigsError::NoList { key }));
}

#[test]
fn what_is_not_named_is_lost_when_all_is_replaced() {
    let mut house = with_topic();
    alter(
        &mut house,
        topic(),
        &[set("retention.ms", "5"), set("segment.ms", "7")],
    )
    .unwrap();
    let altered = AlteredResource {
        resource: topic(),
        replaces_all: true,
        changes: vec![set("segment.ms", "8")],
    };
    assert_eq!(request(&mut house, vec![altered], false), [Ok(())]);
    assert_eq!(config(&house).segment_ms, 8);
    assert_eq!(
        config(&house).retention_ms,
        TopicConfig::default().retention_ms
    );
}

#[test]
fn what_all_brokers_say_reaches_topics_that_say_nothing() {
    let mut house = with_topic();
    alter(&mut house, topic(), &[set("segment.ms", "7")]).unwrap();
    alter(
        &mut house,
        ALL,
        &[set("log.roll.ms", "8"), set("message.max.bytes", "9")],
    )
    .unwrap();
    assert_eq!(config(&house).segment_ms, 7);
    assert_eq!(config(&house).max_message_bytes, 9);
    let one = ConfigResource::Broker(Some(BrokerId(1)));
    alter(&mut house, one, &[set("message.max.bytes", "10")]).unwrap();
    // The house's image is that of no broker in particular.
    assert_eq!(config(&house).max_message_bytes, 9);
    alter(&mut house, ALL, &[delete("message.max.bytes")]).unwrap();
    assert_eq!(
        config(&house).max_message_bytes,
        TopicConfig::default().max_message_bytes
    );
}

#[test]
fn what_cannot_be_is_refused_by_its_reason() {
    let mut house = with_topic();
    let unknown = ConfigResource::Topic("plough".to_owned());
    let result = alter(&mut house, unknown, &[set("retention.ms", "5")]);
    assert!(matches!(
        result,
        Err(AlterConfigsError::UnknownTopic { .. })
    ));
    let stranger = ConfigResource::Broker(Some(BrokerId(9)));
    let result = alter(&mut house, stranger, &[set("log.roll.ms", "8")]);
    assert!(matches!(
        result,
        Err(AlterConfigsError::UnknownBroker { .. })
    ));
    let result = alter(&mut house, ALL, &[set("num.partitions", "8")]);
    let key = "num.partitions";
    assert_eq!(result, Err(AlterConfigsError::ReadOnly { key }));
    for (resource, key) in [(topic(), "log.roll.ms"), (ALL, "segment.ms")] {
        let result = alter(&mut house, resource, &[set(key, "8")]);
        let unknown = InvalidConfig::UnknownKey {
            key: key.to_owned(),
        };
        assert_eq!(result, Err(AlterConfigsError::InvalidConfig(unknown)));
    }
    let null = change("retention.ms", ConfigOperation::Set, None);
    let result = alter(&mut house, topic(), &[null]);
    assert!(matches!(result, Err(AlterConfigsError::Null { .. })));
    let result = alter(
        &mut house,
        topic(),
        &[set("segment.ms", "7"), delete("segment.ms")],
    );
    assert!(matches!(result, Err(AlterConfigsError::KeyTwice { .. })));
    let altered = AlteredResource {
        resource: topic(),
        replaces_all: false,
        changes: vec![set("segment.ms", "7")],
    };
    let results = request(&mut house, vec![altered.clone(), altered], false);
    let twice = Err(AlterConfigsError::ResourceTwice);
    assert_eq!(results, [twice.clone(), twice]);
    assert_eq!(config(&house), TopicConfig::default());
}

fn more(count: i32, assignments: Option<&[&[i32]]>) -> MorePartitions {
    let brokers = |ids: &&[i32]| ids.iter().copied().map(BrokerId).collect();
    MorePartitions {
        name: "furrow".to_owned(),
        count,
        assignments: assignments.map(|all| all.iter().map(brokers).collect()),
    }
}

fn add(house: &mut House, topics: Vec<MorePartitions>) -> Vec<Result<(), CreatePartitionsError>> {
    let ticket = house.request(ControlRequest::CreatePartitions {
        topics,
        validate_only: false,
    });
    match house.settle(ticket) {
        ControlReply::CreatePartitions(results) => results,
        other => panic!("{other:?}"),
    }
}

#[test]
fn more_partitions_are_answered_when_they_are_open() {
    let mut house = with_topic();
    let ticket = house.request(ControlRequest::CreatePartitions {
        topics: vec![more(5, None)],
        validate_only: false,
    });
    house.durable();
    let partitions = house.incarnations("furrow");
    assert_eq!(partitions.len(), 5);
    house.ready(partitions[3], None);
    assert!(house.answer(ticket).is_none());
    house.ready(partitions[4], Some("no space left"));
    let Some(ControlReply::CreatePartitions(results)) = house.answer(ticket) else {
        panic!("no answer");
    };
    let expected = CreatePartitionsError::Storage {
        name: "furrow".to_owned(),
        partition: 4,
        reason: "no space left".to_owned(),
    };
    assert_eq!(results, [Err(expected)]);
}

#[test]
fn partitions_only_grow_and_by_what_is_assigned() {
    let mut house = with_topic();
    for wanted in [3, 2, 0, -1] {
        let results = add(&mut house, vec![more(wanted, None)]);
        assert!(
            matches!(
                results[0],
                Err(CreatePartitionsError::NoIncrease { current: 3, .. })
            ),
            "{wanted}"
        );
    }
    let results = add(&mut house, vec![more(5, Some(&[&[1]]))]);
    assert!(matches!(
        results[0],
        Err(CreatePartitionsError::AssignmentsCount {
            added: 2,
            assignments: 1
        })
    ));
    for (replicas, fault) in [
        (&[9][..], AssignmentFault::UnknownBroker(BrokerId(9))),
        (&[], AssignmentFault::NoReplicas),
        (&[1, 1], AssignmentFault::BrokerTwice(BrokerId(1))),
    ] {
        let results = add(&mut house, vec![more(4, Some(&[replicas]))]);
        let partition = 3;
        let expected = CreatePartitionsError::InvalidAssignment { partition, fault };
        assert_eq!(results, [Err(expected)]);
    }
    let results = add(&mut house, vec![more(20_000, None)]);
    assert!(matches!(
        results[0],
        Err(CreatePartitionsError::TooManyPartitions { .. })
    ));
    let results = add(&mut house, vec![more(4, None), more(5, None)]);
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(CreatePartitionsError::NamedTwice { .. })))
    );
    let unknown = MorePartitions {
        name: "plough".to_owned(),
        ..more(4, None)
    };
    let results = add(&mut house, vec![unknown, more(4, Some(&[&[1]]))]);
    assert!(matches!(
        results[0],
        Err(CreatePartitionsError::UnknownTopic { .. })
    ));
    assert_eq!(results[1], Ok(()));
    assert_eq!(
        image_of(&house.log)
            .topic_named("furrow")
            .unwrap()
            .partitions()
            .len(),
        4
    );
}

#[test]
fn retention_can_be_shortened_on_a_full_disk() {
    let mut house = with_topic();
    for (resource, key, gives_back) in [
        (topic(), "retention.ms", true),
        (topic(), "retention.bytes", true),
        (topic(), "segment.ms", false),
        (ALL, "log.retention.ms", true),
    ] {
        let written = house.log.len();
        alter(&mut house, resource, &[set(key, "1")]).unwrap();
        let records = &house.log[written..];
        assert_eq!(
            records.iter().all(MetadataRecord::gives_back_space),
            gives_back,
            "{key}"
        );
    }
}

const REPLICAS: &str = "follower.replication.throttled.replicas";

fn list(elements: usize) -> String {
    let elements: Vec<String> = (0..elements).map(|n| format!("{n}:1")).collect();
    elements.join(",")
}

#[test]
fn a_value_has_an_end_also_when_it_is_added_to() {
    let mut house = with_topic();
    let long = "0".repeat(300);
    let result = alter(&mut house, topic(), &[set("retention.ms", &long)]);
    assert!(matches!(result, Err(AlterConfigsError::InvalidConfig(_))));
    alter(&mut house, topic(), &[set(REPLICAS, &list(4000))]).unwrap();
    let more: Vec<String> = (4000..8000).map(|n| format!("{n}:1")).collect();
    let append = change(REPLICAS, ConfigOperation::Append, Some(&more.join(",")));
    let result = alter(&mut house, topic(), &[append]);
    assert!(
        matches!(result, Err(AlterConfigsError::InvalidConfig(_))),
        "{result:?}"
    );
}

/// One element of almost the longest value there may be.
fn long_value() -> String {
    format!("0:{}1", "0".repeat(VALUE_BYTES_MAX - 10))
}

fn long_topics(numbers: std::ops::Range<u128>) -> ControlRequest {
    let topic = |number: u128| NewTopic {
        configs: vec![(REPLICAS.to_owned(), Some(long_value()))],
        partitions: 1,
        ..NewTopic::with_defaults(TopicId(number.to_le_bytes()), format!("t{number}"))
    };
    ControlRequest::CreateTopics {
        topics: numbers.map(topic).collect(),
        validate_only: false,
    }
}

#[test]
fn requests_that_wait_share_an_append_as_long_as_it_is_not_too_long() {
    // One topic occupies the log while six requests of 3 MiB come; the house encodes each append.
    let mut house = House::new(1);
    house.create(NewTopic::with_defaults(id(255), "first"));
    let tickets: Vec<u64> = (0..6)
        .map(|turn| house.request(long_topics(100 * turn + 1..100 * turn + 101)))
        .collect();
    let tickets: Vec<ControlReply> = tickets
        .into_iter()
        .map(|ticket| house.settle(ticket))
        .collect();
    for reply in tickets {
        let ControlReply::CreateTopics(results) = reply else {
            panic!("another answer");
        };
        assert!(results.iter().all(Result::is_ok));
    }
}

#[test]
fn small_requests_that_change_much_are_held_to_what_an_append_takes() {
    let mut house = House::new(1);
    let ticket = house.request(long_topics(1..140));
    house.settle(ticket);
    // Two elements that are added write 32 KiB each time.
    let other = "leader.replication.throttled.replicas";
    let altered = |number: i32| AlteredResource {
        resource: ConfigResource::Topic(format!("t{number}")),
        replaces_all: false,
        changes: vec![
            change(REPLICAS, ConfigOperation::Append, Some("1:1")),
            set(other, &long_value()),
        ],
    };
    let results = request(&mut house, (1..140).map(altered).collect(), false);
    let bytes_max = 8 << 20;
    let done = results.iter().filter(|result| result.is_ok()).count();
    assert!((120..139).contains(&done), "{done}");
    let refused = &results[done..];
    assert!(
        refused
            .iter()
            .all(|r| *r == Err(AlterConfigsError::TooMuch { bytes_max }))
    );
}

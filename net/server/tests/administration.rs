//! What administration tools ask, over a socket.

mod house;

use house::{Client, Node, batch};
use sillon_protocol::Api;
use sillon_protocol::message::*;
use sillon_record::{BatchBuilder, Compression, Producer};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;

const SET: i8 = 0;
const DELETE: i8 = 1;

fn incremental(
    kind: i8,
    name: &str,
    changes: &[(&str, i8, Option<&str>)],
) -> IncrementalAlterConfigsRequest {
    let mut resource = incremental_alter_configs_request::AlterConfigsResource::default();
    resource.resource_type = kind;
    resource.resource_name = StrBytes::from(name);
    for (key, operation, value) in changes {
        let mut config = incremental_alter_configs_request::AlterableConfig::default();
        config.name = StrBytes::from(*key);
        config.config_operation = *operation;
        config.value = value.map(StrBytes::from);
        resource.configs.push(config);
    }
    let mut request = IncrementalAlterConfigsRequest::default();
    request.resources = vec![resource];
    request
}

fn alter(client: &mut Client, kind: i8, name: &str, changes: &[(&str, i8, Option<&str>)]) -> i16 {
    let request = incremental(kind, name, changes);
    let response: IncrementalAlterConfigsResponse =
        client.ask(Api::IncrementalAlterConfigs, 1, &request);
    response.responses[0].error_code
}

/// A value, and the number of where it comes from.
fn described(client: &mut Client, kind: i8, name: &str, key: &str) -> (Option<String>, i8) {
    let mut resource = describe_configs_request::DescribeConfigsResource::default();
    resource.resource_type = kind;
    resource.resource_name = StrBytes::from(name);
    resource.configuration_keys = Some(vec![StrBytes::from(key)]);
    let mut request = DescribeConfigsRequest::default();
    request.resources = vec![resource];
    let response: DescribeConfigsResponse = client.ask(Api::DescribeConfigs, 4, &request);
    let result = &response.results[0];
    assert_eq!(result.error_code, 0, "{:?}", result.error_message);
    let config = &result.configs[0];
    let value = config.value.as_deref().map(str::to_owned);
    (value, config.config_source)
}

fn value(text: &str, source: i8) -> (Option<String>, i8) {
    (Some(text.to_owned()), source)
}

#[test]
fn a_topics_configuration_changes_while_it_is_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let large = || batch(&["x".repeat(2000).as_str()]);
    let key = "max.message.bytes";
    assert_eq!(
        described(&mut client, TOPIC, "furrow", key),
        value("1048588", 5)
    );
    assert_eq!(
        described(&mut client, TOPIC, "furrow", "flush.messages"),
        value("1", 5)
    );
    assert_eq!(client.produce("furrow", &[(0, large())]), [(0, 0)]);
    assert_eq!(
        alter(&mut client, TOPIC, "furrow", &[(key, SET, Some("1000"))]),
        0
    );
    assert_eq!(
        described(&mut client, TOPIC, "furrow", key),
        value("1000", 1)
    );
    for partition in 0..4 {
        assert_eq!(client.produce("furrow", &[(partition, large())])[0].0, 10);
    }
    assert_eq!(
        alter(&mut client, TOPIC, "furrow", &[(key, DELETE, None)]),
        0
    );
    assert_eq!(client.produce("furrow", &[(0, large())]), [(0, 1)]);
}

#[test]
fn what_all_brokers_are_told_reaches_topics_at_once_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    assert_eq!(
        alter(
            &mut client,
            BROKER,
            "",
            &[("message.max.bytes", SET, Some("1000"))]
        ),
        0
    );
    let large = || batch(&["x".repeat(2000).as_str()]);
    assert_eq!(client.produce("furrow", &[(0, large())])[0].0, 10);
    let expected = value("1000", 3);
    assert_eq!(
        described(&mut client, TOPIC, "furrow", "max.message.bytes"),
        expected
    );
    assert_eq!(
        described(&mut client, BROKER, "1", "message.max.bytes"),
        expected
    );
    assert_eq!(
        alter(
            &mut client,
            TOPIC,
            "furrow",
            &[("retention.ms", SET, Some("5"))]
        ),
        0
    );
    node.stop();
    let node = Node::start(folder.path());
    let mut client = node.client();
    assert_eq!(
        described(&mut client, TOPIC, "furrow", "max.message.bytes"),
        expected
    );
    assert_eq!(
        described(&mut client, TOPIC, "furrow", "retention.ms"),
        value("5", 1)
    );
    assert_eq!(client.produce("furrow", &[(0, large())])[0].0, 10);
}

#[test]
fn a_smaller_segment_begins_with_the_next_batch() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let large = batch(&["x".repeat(400_000).as_str()]);
    let append = |client: &mut Client| {
        assert_eq!(client.produce("furrow", &[(0, large.clone())])[0].0, 0);
    };
    append(&mut client);
    append(&mut client);
    let change = [("log.segment.bytes", SET, Some("1048576"))];
    assert_eq!(alter(&mut client, BROKER, "1", &change), 0);
    append(&mut client);
    node.stop();
    let entries = std::fs::read_dir(folder.path().join("furrow-0")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut segments: Vec<String> = names.filter(|name| name.ends_with(".log")).collect();
    segments.sort();
    assert_eq!(
        segments,
        ["00000000000000000000.log", "00000000000000000002.log"]
    );
}

#[test]
fn a_change_that_cannot_be_is_refused_by_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let mut code = |kind, name, key, operation, value| {
        alter(&mut client, kind, name, &[(key, operation, value)])
    };
    assert_eq!(code(TOPIC, "furrow", "no.such.key", SET, Some("1")), 40);
    assert_eq!(code(TOPIC, "furrow", "retention.ms", SET, Some("soon")), 40);
    assert_eq!(code(TOPIC, "furrow", "retention.ms", SET, None), 42);
    assert_eq!(code(TOPIC, "furrow", "retention.ms", 2, Some("1")), 40);
    assert_eq!(code(TOPIC, "furrow", "retention.ms", 9, Some("1")), 42);
    assert_eq!(code(TOPIC, "plough", "retention.ms", SET, Some("1")), 3);
    assert_eq!(code(BROKER, "1", "num.partitions", SET, Some("1")), 42);
    assert_eq!(code(BROKER, "7", "message.max.bytes", SET, Some("1")), 102);
    assert_eq!(code(BROKER, "one", "message.max.bytes", SET, Some("1")), 42);
    assert_eq!(code(8, "1", "root", SET, Some("DEBUG")), 42);
}

#[test]
fn the_old_way_to_alter_replaces_everything() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    assert_eq!(
        alter(
            &mut client,
            TOPIC,
            "furrow",
            &[("retention.ms", SET, Some("5"))]
        ),
        0
    );
    for version in 0..=2 {
        let mut config = alter_configs_request::AlterableConfig::default();
        config.name = StrBytes::from("segment.ms");
        config.value = Some(StrBytes::from(version.to_string()));
        let mut resource = alter_configs_request::AlterConfigsResource::default();
        resource.resource_type = TOPIC;
        resource.resource_name = StrBytes::from("furrow");
        resource.configs = vec![config];
        let mut request = AlterConfigsRequest::default();
        request.resources = vec![resource];
        let response: AlterConfigsResponse = client.ask(Api::AlterConfigs, version, &request);
        // 0 is no segment.ms.
        let expected = if version == 0 { 40 } else { 0 };
        assert_eq!(response.responses[0].error_code, expected);
    }
    assert_eq!(
        described(&mut client, TOPIC, "furrow", "segment.ms"),
        value("2", 1)
    );
    assert_eq!(
        described(&mut client, TOPIC, "furrow", "retention.ms"),
        value("604800000", 5)
    );
}

fn more_partitions(client: &mut Client, version: i16, count: i32, validate_only: bool) -> i16 {
    let mut topic = create_partitions_request::CreatePartitionsTopic::default();
    topic.name = StrBytes::from("furrow");
    topic.count = count;
    topic.assignments = None;
    let mut request = CreatePartitionsRequest::default();
    request.topics = vec![topic];
    request.timeout_ms = 30_000;
    request.validate_only = validate_only;
    let response: CreatePartitionsResponse = client.ask(Api::CreatePartitions, version, &request);
    response.results[0].error_code
}

#[test]
fn more_partitions_take_records_as_soon_as_they_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    assert_eq!(more_partitions(&mut client, 3, 4, false), 37);
    assert_eq!(more_partitions(&mut client, 3, 3, false), 37);
    assert_eq!(more_partitions(&mut client, 3, 20, true), 0);
    assert_eq!(client.topic("furrow").partitions.len(), 4);
    for version in 0..=3 {
        let count = 5 + i32::from(version);
        assert_eq!(more_partitions(&mut client, version, count, false), 0);
        assert_eq!(
            client.produce("furrow", &[(count - 1, batch(&["x"]))]),
            [(0, 0)]
        );
    }
    node.stop();
    let node = Node::start(folder.path());
    let mut client = node.client();
    assert_eq!(client.topic("furrow").partitions.len(), 8);
    assert_eq!(client.produce("furrow", &[(7, batch(&["x"]))]), [(0, 1)]);
}

#[test]
fn sizes_and_producers_come_from_the_shards() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let mut builder = BatchBuilder::new(Compression::None);
    builder.append(7, None, Some(b"x"), &[]).unwrap();
    builder.producer(Producer { id: 5, epoch: 2 }, 0);
    let sent = builder.build();
    let size = sent.len() as i64;
    assert_eq!(client.produce("furrow", &[(1, sent)]), [(0, 0)]);
    for version in 1..=5 {
        let mut request = DescribeLogDirsRequest::default();
        request.topics = None;
        let response: DescribeLogDirsResponse = client.ask(Api::DescribeLogDirs, version, &request);
        let result = &response.results[0];
        assert_eq!(result.error_code, 0);
        assert!(result.log_dir.starts_with('/'));
        assert_eq!(result.total_bytes > 0, version >= 4);
        let sizes: Vec<i64> = result.topics[0]
            .partitions
            .iter()
            .map(|p| p.partition_size)
            .collect();
        assert_eq!(sizes, [0, size, 0, 0]);
    }
    let mut topic = describe_producers_request::TopicRequest::default();
    topic.name = StrBytes::from("furrow");
    topic.partition_indexes = vec![0, 1, 9];
    let mut request = DescribeProducersRequest::default();
    request.topics = vec![topic];
    let response: DescribeProducersResponse = client.ask(Api::DescribeProducers, 0, &request);
    let partitions = &response.topics[0].partitions;
    assert!(partitions[0].active_producers.is_empty());
    let producer = &partitions[1].active_producers[0];
    assert_eq!((producer.producer_id, producer.producer_epoch), (5, 2));
    assert_eq!((producer.last_sequence, producer.last_timestamp), (0, 7));
    assert_eq!(partitions[2].error_code, 3);
}

#[test]
fn a_member_of_the_newer_protocol_is_told_that_it_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    for version in 0..=1 {
        let mut request = ConsumerGroupHeartbeatRequest::default();
        request.group_id = StrBytes::from("g");
        request.member_id = StrBytes::from("m");
        request.subscribed_topic_names = Some(vec![StrBytes::from("furrow")]);
        let response: ConsumerGroupHeartbeatResponse =
            client.ask(Api::ConsumerGroupHeartbeat, version, &request);
        assert_eq!(response.error_code, 35);
        assert_eq!((response.member_id, response.assignment), (None, None));
    }
}

#[test]
fn one_node_has_nothing_to_elect_and_nowhere_to_move_to() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    for version in 0..=2 {
        let mut topic = elect_leaders_request::TopicPartitions::default();
        topic.topic = StrBytes::from("furrow");
        topic.partitions = vec![0, 9];
        let mut request = ElectLeadersRequest::default();
        request.topic_partitions = Some(vec![topic]);
        let response: ElectLeadersResponse = client.ask(Api::ElectLeaders, version, &request);
        let results = &response.replica_election_results[0].partition_result;
        let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [84, 3]);
    }
    for version in 0..=1 {
        let partition = |index, replicas| {
            let mut partition =
                alter_partition_reassignments_request::ReassignablePartition::default();
            partition.partition_index = index;
            partition.replicas = replicas;
            partition
        };
        let mut topic = alter_partition_reassignments_request::ReassignableTopic::default();
        topic.name = StrBytes::from("furrow");
        topic.partitions = vec![
            partition(0, Some(vec![1])),
            partition(1, Some(vec![1, 2])),
            partition(2, None),
            partition(9, Some(vec![1])),
        ];
        let mut request = AlterPartitionReassignmentsRequest::default();
        request.topics = vec![topic];
        let response: AlterPartitionReassignmentsResponse =
            client.ask(Api::AlterPartitionReassignments, version, &request);
        let results = response.responses[0].partitions.iter();
        let codes: Vec<i16> = results.map(|result| result.error_code).collect();
        assert_eq!(codes, [0, 39, 85, 3]);
    }
    let mut request = ListPartitionReassignmentsRequest::default();
    request.topics = None;
    let response: ListPartitionReassignmentsResponse =
        client.ask(Api::ListPartitionReassignments, 0, &request);
    assert!(response.topics.is_empty() && response.error_code == 0);
}

#[test]
fn the_quorum_is_this_node() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    for version in 0..=2 {
        let topic = |name| {
            let mut topic = describe_quorum_request::TopicData::default();
            topic.topic_name = StrBytes::from(name);
            topic.partitions = vec![Default::default()];
            topic
        };
        let mut request = DescribeQuorumRequest::default();
        request.topics = vec![topic("__cluster_metadata"), topic("furrow")];
        let response: DescribeQuorumResponse = client.ask(Api::DescribeQuorum, version, &request);
        let quorum = &response.topics[0].partitions[0];
        assert_eq!((quorum.error_code, quorum.leader_id), (0, 1));
        assert!(quorum.high_watermark > 4);
        assert_eq!(quorum.current_voters[0].replica_id, 1);
        assert_eq!(
            quorum.current_voters[0].log_end_offset,
            quorum.high_watermark
        );
        assert_eq!(response.topics[1].partitions[0].error_code, 3);
        assert_eq!(response.nodes.len(), usize::from(version == 2));
    }
}

#[test]
fn there_are_no_acls_quotas_or_credentials_and_nobody_is_told_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    for version in 1..=3 {
        let mut request = DescribeAclsRequest::default();
        request.pattern_type_filter = 1;
        let response: DescribeAclsResponse = client.ask(Api::DescribeAcls, version, &request);
        assert_eq!(response.error_code, 54);
        let mut creation = create_acls_request::AclCreation::default();
        creation.resource_pattern_type = 3;
        let mut request = CreateAclsRequest::default();
        request.creations = vec![creation];
        let response: CreateAclsResponse = client.ask(Api::CreateAcls, version, &request);
        assert_eq!(response.results[0].error_code, 54);
        let mut filter = delete_acls_request::DeleteAclsFilter::default();
        filter.pattern_type_filter = 3;
        let mut request = DeleteAclsRequest::default();
        request.filters = vec![filter];
        let response: DeleteAclsResponse = client.ask(Api::DeleteAcls, version, &request);
        assert_eq!(response.filter_results[0].error_code, 54);
    }
    for version in 0..=1 {
        let request = DescribeClientQuotasRequest::default();
        let response: DescribeClientQuotasResponse =
            client.ask(Api::DescribeClientQuotas, version, &request);
        assert_eq!(response.error_code, 0);
        assert_eq!(response.entries.map(|entries| entries.len()), Some(0));
        let mut entity = alter_client_quotas_request::EntityData::default();
        entity.entity_type = StrBytes::from("user");
        let mut entry = alter_client_quotas_request::EntryData::default();
        entry.entity = vec![entity];
        let mut request = AlterClientQuotasRequest::default();
        request.entries = vec![entry];
        let response: AlterClientQuotasResponse =
            client.ask(Api::AlterClientQuotas, version, &request);
        assert_eq!(response.entries[0].error_code, 42);
        assert_eq!(&*response.entries[0].entity[0].entity_type, "user");
    }
    let mut user = describe_user_scram_credentials_request::UserName::default();
    user.name = StrBytes::from("ploughman");
    let mut request = DescribeUserScramCredentialsRequest::default();
    request.users = Some(vec![user]);
    let api = Api::DescribeUserScramCredentials;
    let response: DescribeUserScramCredentialsResponse = client.ask(api, 0, &request);
    assert_eq!(
        (response.error_code, response.results[0].error_code),
        (0, 91)
    );
}

#[test]
fn what_has_a_configuration_is_listed_by_type() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    client.create("furrow");
    let mut list = |version, types: &[i8]| {
        let mut request = ListConfigResourcesRequest::default();
        request.resource_types = types.to_vec();
        let response: ListConfigResourcesResponse =
            client.ask(Api::ListConfigResources, version, &request);
        let resources = response.config_resources.iter();
        let resources = resources.map(|r| (r.resource_type, r.resource_name.to_string()));
        (response.error_code, resources.collect::<Vec<_>>())
    };
    let named = |kind, name: &str| (kind, name.to_owned());
    assert_eq!(list(0, &[]), (0, vec![]));
    assert_eq!(list(1, &[TOPIC]), (0, vec![named(TOPIC, "furrow")]));
    let all = vec![named(TOPIC, "furrow"), named(BROKER, "1"), named(8, "1")];
    assert_eq!(list(1, &[]), (0, all));
    assert_eq!(list(1, &[99]).0, 35);
}

#[test]
fn a_level_of_a_feature_is_not_a_choice() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    let mut client = node.client();
    for version in 0..=2 {
        let mut update = update_features_request::FeatureUpdateKey::default();
        update.feature = StrBytes::from("metadata.version");
        update.max_version_level = 1;
        let mut request = UpdateFeaturesRequest::default();
        request.feature_updates = vec![update];
        let response: UpdateFeaturesResponse = client.ask(Api::UpdateFeatures, version, &request);
        let code = response
            .results
            .first()
            .map_or(response.error_code, |r| r.error_code);
        assert_eq!(code, 95);
    }
}

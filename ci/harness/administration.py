"""What administration tools rely on, by requests that kafka-python encodes. Each case holds on Apache
Kafka as well."""

from kafka.protocol.admin import (
    AlterConfigsRequest, AlterPartitionReassignmentsRequest, CreateAclsRequest,
    CreatePartitionsRequest, CreateTopicsRequest, DeleteAclsRequest, DescribeAclsRequest,
    DescribeClientQuotasRequest, DescribeConfigsRequest, DescribeLogDirsRequest,
    DescribeProducersRequest, DescribeQuorumRequest, DescribeTopicPartitionsRequest,
    DescribeUserScramCredentialsRequest, ElectLeadersRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest, ListPartitionReassignmentsRequest)
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest

from harness import versions, wire
from harness.checks import equal, eventually, now_ms
from harness.clients.confluent import create_topic

NONE, MESSAGE_TOO_LARGE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_PARTITIONS = 0, 10, 3, 37
INVALID_TOPIC, INVALID_REPLICATION_FACTOR, INVALID_REPLICA_ASSIGNMENT = 17, 38, 39
INVALID_CONFIG, INVALID_REQUEST, SECURITY_DISABLED, TOPIC_ALREADY_EXISTS = 40, 42, 54, 36
SESSION_NOT_FOUND, SESSION_EPOCH, SESSION_TOPIC_ID = 70, 71, 106
ELECTION_NOT_NEEDED, NO_REASSIGNMENT, RESOURCE_NOT_FOUND = 84, 85, 91
TOPIC, BROKER = 2, 4
DYNAMIC_TOPIC, DYNAMIC_DEFAULT_BROKER, DEFAULT = 1, 3, 5
SET, DELETE, APPEND, SUBTRACT = 0, 1, 2, 3
LARGE = b"x" * 2000


def describe_configs(address, kind, name, keys=None, version=4, **options):
    resource = DescribeConfigsRequest.DescribeConfigsResource(
        resource_type=kind, resource_name=name, configuration_keys=keys, version=version)
    options = {"include_synonyms": False, "include_documentation": False, **options}
    request = DescribeConfigsRequest(version=version, resources=[resource], **options)
    return versions.exchange(address, request).results[0]


def value(address, kind, name, key):
    """(value, source) of a key."""
    result = describe_configs(address, kind, name, [key])
    equal(result.error_code, NONE, "DescribeConfigs")
    return result.configs[0].value, result.configs[0].config_source


def alter(address, kind, name, changes, version=1, validate_only=False):
    """The error code; `changes` are (key, operation, value)."""
    of_resource = IncrementalAlterConfigsRequest.AlterConfigsResource
    configs = [of_resource.AlterableConfig(name=key, config_operation=operation, value=text,
                                           version=version)
               for key, operation, text in changes]
    resource = of_resource(resource_type=kind, resource_name=name, configs=configs, version=version)
    request = IncrementalAlterConfigsRequest(version=version, resources=[resource],
                                             validate_only=validate_only)
    return versions.exchange(address, request).responses[0].error_code


def produce_large(address, topic):
    with wire.Connection(address, greets=True) as connection:
        return connection.produce(topic, 0, wire.build_batch([LARGE], now_ms()))[0]


def a_topics_configuration_is_shown_with_its_sources(broker):
    address = broker.address
    create_topic(address, "shown", {"retention.ms": "1000"})
    equal(value(address, TOPIC, "shown", "retention.ms"), ("1000", DYNAMIC_TOPIC), "retention.ms")
    equal(value(address, TOPIC, "shown", "max.message.bytes"), ("1048588", DEFAULT), "default")
    for version in range(1, 5):
        result = describe_configs(address, TOPIC, "shown", ["max.message.bytes"], version,
                                  include_synonyms=True)
        synonyms = [(s.name, s.value, s.source) for s in result.configs[0].synonyms]
        equal(synonyms, [("message.max.bytes", "1048588", DEFAULT)], f"synonyms (version {version})")
    everything = describe_configs(address, TOPIC, "shown", None, include_documentation=True)
    keys = {config.name for config in everything.configs}
    for config in everything.configs:
        if not config.documentation or config.read_only or config.is_sensitive:
            raise AssertionError(f"{config}")
    types = {config.name: config.config_type for config in everything.configs}
    equal([types[key] for key in ("preallocate", "compression.type", "segment.bytes", "segment.ms",
                                  "min.cleanable.dirty.ratio", "cleanup.policy")],
          [1, 2, 3, 5, 6, 7], "types")
    broker_values = describe_configs(address, BROKER, "1", ["num.partitions"]).configs[0]
    equal((broker_values.value, broker_values.read_only), ("4", True), "num.partitions")
    for kind, name, code in ((TOPIC, "nowhere", UNKNOWN_TOPIC_OR_PARTITION),
                             (TOPIC, "bad name!", INVALID_TOPIC), (BROKER, "77", INVALID_REQUEST),
                             (BROKER, "one", INVALID_REQUEST), (99, "x", INVALID_REQUEST)):
        equal(describe_configs(address, kind, name).error_code, code, f"{kind} {name}")
    return f"{len(keys)} keys"


def a_topics_configuration_changes_while_it_is_written_to(broker):
    address = broker.address
    create_topic(address, "altered")
    equal(produce_large(address, "altered"), NONE, "a batch")
    change = [("max.message.bytes", SET, "1000")]
    equal(alter(address, TOPIC, "altered", change, validate_only=True), NONE, "only validated")
    equal(produce_large(address, "altered"), NONE, "a batch after a validation")
    equal(alter(address, TOPIC, "altered", change, version=0), NONE, "max.message.bytes")
    # Kafka's broker hears of it a moment after the controller has answered.
    eventually(lambda: produce_large(address, "altered") == MESSAGE_TOO_LARGE, "it is too large")
    equal(value(address, TOPIC, "altered", "max.message.bytes"), ("1000", DYNAMIC_TOPIC), "value")
    equal(alter(address, TOPIC, "altered", [("max.message.bytes", DELETE, None)]), NONE, "delete")
    eventually(lambda: produce_large(address, "altered") == NONE, "it fits again")
    equal(alter(address, TOPIC, "altered", [("cleanup.policy", APPEND, "compact")]), NONE, "append")
    eventually(lambda: value(address, TOPIC, "altered", "cleanup.policy")[0] == "delete,compact",
               "both policies")
    equal(alter(address, TOPIC, "altered", [("cleanup.policy", SUBTRACT, "delete")]), NONE, "subtract")
    eventually(lambda: value(address, TOPIC, "altered", "cleanup.policy")[0] == "compact", "one policy")


def what_all_brokers_are_told_reaches_topics(broker):
    address = broker.address
    create_topic(address, "told")
    change = [("message.max.bytes", SET, "1000")]
    equal(alter(address, BROKER, "", change), NONE, "message.max.bytes")
    try:
        eventually(lambda: produce_large(address, "told") == MESSAGE_TOO_LARGE, "it is too large")
        found = value(address, TOPIC, "told", "max.message.bytes")
        equal(found, ("1000", DYNAMIC_DEFAULT_BROKER), "max.message.bytes")
    finally:
        equal(alter(address, BROKER, "", [("message.max.bytes", DELETE, None)]), NONE, "delete")
    eventually(lambda: produce_large(address, "told") == NONE, "it fits again")


def a_configuration_that_cannot_be_is_refused(broker):
    address = broker.address
    create_topic(address, "refused")
    for kind, name, changes, code in (
            (TOPIC, "refused", [("no.such.key", SET, "1")], INVALID_CONFIG),
            (TOPIC, "refused", [("retention.ms", SET, "soon")], INVALID_CONFIG),
            (TOPIC, "refused", [("segment.bytes", SET, "14")], INVALID_CONFIG),
            (TOPIC, "refused", [("retention.ms", SET, None)], INVALID_REQUEST),
            (TOPIC, "refused", [("retention.ms", APPEND, "1")], INVALID_CONFIG),
            (TOPIC, "refused", [("segment.ms", SET, "1"), ("segment.ms", SET, "2")], INVALID_REQUEST),
            (TOPIC, "refused", [("segment.ms", SET, "1"), ("retention.ms", SET, "x")], INVALID_CONFIG),
            (TOPIC, "nowhere", [("segment.ms", SET, "1")], UNKNOWN_TOPIC_OR_PARTITION),
            (BROKER, "1", [("num.partitions", SET, "2")], INVALID_REQUEST)):
        equal(alter(address, kind, name, changes), code, f"{name} {changes}")
    equal(value(address, TOPIC, "refused", "segment.ms")[1], DEFAULT, "nothing was changed")


def the_old_way_to_alter_replaces_everything(broker):
    address = broker.address
    create_topic(address, "replaced", {"retention.ms": "1000"})
    for version in range(3):
        of_resource = AlterConfigsRequest.AlterConfigsResource
        config = of_resource.AlterableConfig(name="segment.ms", value=str(1000 + version),
                                             version=version)
        resource = of_resource(resource_type=TOPIC, resource_name="replaced", configs=[config],
                               version=version)
        request = AlterConfigsRequest(version=version, resources=[resource], validate_only=False)
        answer = versions.exchange(address, request)
        equal(answer.responses[0].error_code, NONE, f"AlterConfigs {version}")
    eventually(lambda: value(address, TOPIC, "replaced", "segment.ms") == ("1002", DYNAMIC_TOPIC),
               "the last value")
    equal(value(address, TOPIC, "replaced", "retention.ms")[1], DEFAULT, "what was not named")


def create_partitions(address, topic, count, assignments=None, validate_only=False, version=3):
    of_topic = CreatePartitionsRequest.CreatePartitionsTopic
    if assignments is not None:
        assignments = [of_topic.CreatePartitionsAssignment(broker_ids=ids, version=version)
                       for ids in assignments]
    more = of_topic(name=topic, count=count, assignments=assignments, version=version)
    request = CreatePartitionsRequest(version=version, topics=[more], timeout_ms=10_000,
                                      validate_only=validate_only)
    return versions.exchange(address, request).results[0].error_code


def partitions_grow_and_never_shrink(broker):
    address = broker.address
    create_topic(address, "grown")  # of four partitions
    for version in range(4):
        equal(create_partitions(address, "grown", 5 + version, version=version), NONE, "one more")
    for count, assignments, code, what in (
            (8, None, INVALID_PARTITIONS, "as many"), (3, None, INVALID_PARTITIONS, "fewer"),
            (0, None, INVALID_PARTITIONS, "none"), (-1, None, INVALID_PARTITIONS, "less than none"),
            (10, [[1]], INVALID_REPLICA_ASSIGNMENT, "too few assignments"),
            (9, [[77]], INVALID_REPLICA_ASSIGNMENT, "an unknown broker"),
            (9, [[]], INVALID_REPLICA_ASSIGNMENT, "no replica"),
            (9, [[1, 1]], INVALID_REPLICA_ASSIGNMENT, "a broker twice")):
        equal(create_partitions(address, "grown", count, assignments), code, what)
    equal(create_partitions(address, "nowhere", 9), UNKNOWN_TOPIC_OR_PARTITION, "an unknown topic")
    equal(create_partitions(address, "grown", 20, validate_only=True), NONE, "only validated")
    equal(create_partitions(address, "grown", 9, [[1]]), NONE, "by hand")
    with wire.Connection(address, greets=True) as connection:
        batch = wire.build_batch([b"x"], now_ms())
        eventually(lambda: connection.produce("grown", 8, batch)[0] == NONE, "the last one takes records")
        equal(connection.list_offset("grown", 9, -1)[0], UNKNOWN_TOPIC_OR_PARTITION, "one beyond it")


def create(address, name, partitions=-1, replicas=-1, assignments=(), configs=(), version=7,
           validate_only=False):
    of_topic = CreateTopicsRequest.CreatableTopic
    assignments = [of_topic.CreatableReplicaAssignment(partition_index=index, broker_ids=ids,
                                                       version=version)
                   for index, ids in assignments]
    configs = [of_topic.CreatableTopicConfig(name=key, value=text, version=version)
               for key, text in configs]
    topic = of_topic(name=name, num_partitions=partitions, replication_factor=replicas,
                     assignments=assignments, configs=configs, version=version)
    request = CreateTopicsRequest(version=version, topics=[topic], timeout_ms=10_000,
                                  validate_only=validate_only)
    return versions.exchange(address, request).topics[0]


def topics_are_created_in_full(broker):
    address = broker.address
    made = create(address, "full", configs=[("retention.ms", "1000")], validate_only=True)
    equal((made.error_code, made.num_partitions, made.replication_factor), (NONE, 4, 1), "validated")
    made = create(address, "full", configs=[("retention.ms", "1000")])
    equal((made.error_code, made.num_partitions, made.replication_factor), (NONE, 4, 1), "defaults")
    configs = {config.name: (config.value, config.config_source) for config in made.configs}
    equal(configs["retention.ms"], ("1000", DYNAMIC_TOPIC), "retention.ms of the answer")
    equal(configs["max.message.bytes"], ("1048588", DEFAULT), "max.message.bytes of the answer")
    equal(create(address, "full").error_code, TOPIC_ALREADY_EXISTS, "again")
    made = create(address, "by-hand", assignments=[(1, [1]), (0, [1])])
    equal((made.error_code, made.num_partitions), (NONE, 2), "by hand")
    for number, (arguments, code) in enumerate((
            ({"partitions": 0}, INVALID_PARTITIONS), ({"partitions": -2}, INVALID_PARTITIONS),
            ({"partitions": 1, "replicas": 2}, INVALID_REPLICATION_FACTOR),
            ({"partitions": 1, "replicas": 0}, INVALID_REPLICATION_FACTOR),
            ({"assignments": [(1, [1])]}, INVALID_REPLICA_ASSIGNMENT),
            ({"assignments": [(0, [77])]}, INVALID_REPLICA_ASSIGNMENT),
            ({"assignments": [(0, [1, 1])]}, INVALID_REPLICA_ASSIGNMENT),
            ({"assignments": [(0, [])]}, INVALID_REPLICA_ASSIGNMENT),
            ({"partitions": 1, "assignments": [(0, [1])]}, INVALID_REQUEST),
            ({"configs": [("no.such.key", "1")]}, INVALID_CONFIG),
            ({"configs": [("retention.ms", None)]}, INVALID_CONFIG))):
        for validate_only in (True, False):
            made = create(address, f"refused-{number}", validate_only=validate_only, **arguments)
            equal(made.error_code, code, f"{arguments}")


def topics_are_described_page_by_page(broker):
    address = broker.address
    for topic in ("page-a", "page-b"):
        create_topic(address, topic)  # of four partitions

    def pages(topics, limit):
        of_request, cursor, found = DescribeTopicPartitionsRequest, None, []
        for _ in range(100):
            named = [of_request.TopicRequest(name=name, version=0) for name in topics]
            request = of_request(version=0, topics=named, response_partition_limit=limit,
                                 cursor=cursor)
            answer = versions.exchange(address, request)
            found.append([(topic.name, topic.error_code, [p.partition_index for p in topic.partitions])
                          for topic in answer.topics])
            if answer.next_cursor is None:
                return found
            cursor = of_request.Cursor(topic_name=answer.next_cursor.topic_name, version=0,
                                       partition_index=answer.next_cursor.partition_index)
        raise AssertionError("the pages have no end")

    equal(pages(["page-b", "page-a"], 3), [
        [("page-a", 0, [0, 1, 2])], [("page-a", 0, [3]), ("page-b", 0, [0, 1])],
        [("page-b", 0, [2, 3])]], "pages of three")
    equal(pages(["page-a", "nowhere"], 2000), [[("nowhere", 3, []), ("page-a", 0, [0, 1, 2, 3])]],
          "an unknown topic")


def what_has_a_configuration_is_listed(broker):
    address = broker.address
    create_topic(address, "listed")

    def found(version, types):
        request = ListConfigResourcesRequest(version=version, resource_types=types)
        answer = versions.exchange(address, request)
        return answer.error_code, {(r.resource_type, r.resource_name) for r in answer.config_resources}

    equal(found(0, []), (NONE, set()), "client metrics")
    code, topics = found(1, [TOPIC])
    equal((code, (TOPIC, "listed") in topics, {kind for kind, _ in topics}), (NONE, True, {TOPIC}),
          "topics")
    equal(found(1, [BROKER]), (NONE, {(BROKER, "1")}), "brokers")
    equal(found(1, [99])[0], 35, "an unknown type")


def sizes_and_producers_are_described(broker):
    address = broker.address
    create_topic(address, "sized")
    batch = wire.build_batch([b"x"], now_ms(), 4242, 3, 0)
    with wire.Connection(address, greets=True) as connection:
        equal(connection.produce("sized", 1, batch)[0], NONE, "Produce")
    for version in range(1, 6):
        of_topic = DescribeLogDirsRequest.DescribableLogDirTopic
        topics = [of_topic(topic="sized", partitions=[0, 1], version=version)]
        answer = versions.exchange(address, DescribeLogDirsRequest(version=version, topics=topics))
        sizes = {p.partition_index: p.partition_size for p in answer.results[0].topics[0].partitions}
        equal(sizes, {0: 0, 1: len(batch)}, f"sizes (version {version})")
        if version >= 4 and not 0 < answer.results[0].usable_bytes <= answer.results[0].total_bytes:
            raise AssertionError(f"{answer.results[0]}")
    of_topic = DescribeProducersRequest.TopicRequest
    topics = [of_topic(name="sized", partition_indexes=[0, 1, 99], version=0)]
    answer = versions.exchange(address, DescribeProducersRequest(version=0, topics=topics))
    partitions = {p.partition_index: p for p in answer.topics[0].partitions}
    equal(partitions[0].active_producers, [], "producers of an empty partition")
    known = [(p.producer_id, p.producer_epoch, p.last_sequence, p.current_txn_start_offset)
             for p in partitions[1].active_producers]
    equal(known, [(4242, 3, 0, -1)], "producers")
    equal(partitions[99].error_code, UNKNOWN_TOPIC_OR_PARTITION, "an unknown partition")


def one_node_has_nothing_to_elect_and_nowhere_to_move_to(broker):
    address = broker.address
    create_topic(address, "settled")
    for version in range(3):
        of_topic = ElectLeadersRequest.TopicPartitions
        topics = [of_topic(topic="settled", partitions=[0, 99], version=version)]
        request = ElectLeadersRequest(version=version, election_type=0, topic_partitions=topics,
                                      timeout_ms=10_000)
        results = versions.exchange(address, request).replica_election_results[0].partition_result
        codes = {result.partition_id: result.error_code for result in results}
        equal(codes, {0: ELECTION_NOT_NEEDED, 99: UNKNOWN_TOPIC_OR_PARTITION}, "ElectLeaders")
    for version in range(2):
        of_topic = AlterPartitionReassignmentsRequest.ReassignableTopic
        moves = [of_topic.ReassignablePartition(partition_index=index, replicas=replicas, version=version)
                 for index, replicas in ((0, [1]), (1, [77]), (2, None), (99, [1]))]
        request = AlterPartitionReassignmentsRequest(
            version=version, timeout_ms=10_000, allow_replication_factor_change=True,
            topics=[of_topic(name="settled", partitions=moves, version=version)])
        results = versions.exchange(address, request).responses[0].partitions
        codes = {result.partition_index: result.error_code for result in results}
        equal(codes, {0: NONE, 1: INVALID_REPLICA_ASSIGNMENT, 2: NO_REASSIGNMENT,
                      99: UNKNOWN_TOPIC_OR_PARTITION}, "AlterPartitionReassignments")
    request = ListPartitionReassignmentsRequest(version=0, timeout_ms=10_000, topics=None)
    equal(versions.exchange(address, request).topics, [], "ListPartitionReassignments")
    for version in range(3):
        of_topic = DescribeQuorumRequest.TopicData
        part = of_topic.PartitionData(partition_index=0, version=version)
        topics = [of_topic(topic_name="__cluster_metadata", partitions=[part], version=version)]
        answer = versions.exchange(address, DescribeQuorumRequest(version=version, topics=topics))
        quorum = answer.topics[0].partitions[0]
        voters = [voter.replica_id for voter in quorum.current_voters]
        equal((quorum.error_code, quorum.leader_id, voters), (NONE, 1, [1]), "DescribeQuorum")


def without_an_authorizer_acls_are_disabled(broker):
    address = broker.address
    for version in range(1, 4):
        filters = {"resource_type_filter": 1, "resource_name_filter": None, "pattern_type_filter": 1,
                   "principal_filter": None, "host_filter": None, "operation": 1,
                   "permission_type": 1}
        answer = versions.exchange(address, DescribeAclsRequest(version=version, **filters))
        equal(answer.error_code, SECURITY_DISABLED, "DescribeAcls")
        creation = CreateAclsRequest.AclCreation(
            resource_type=2, resource_name="t", resource_pattern_type=3, principal="User:a", host="*",
            operation=3, permission_type=3, version=version)
        answer = versions.exchange(address, CreateAclsRequest(version=version, creations=[creation]))
        equal(answer.results[0].error_code, SECURITY_DISABLED, "CreateAcls")
        gone = DeleteAclsRequest.DeleteAclsFilter(**filters, version=version)
        answer = versions.exchange(address, DeleteAclsRequest(version=version, filters=[gone]))
        equal(answer.filter_results[0].error_code, SECURITY_DISABLED, "DeleteAcls")
    for version in range(2):
        request = DescribeClientQuotasRequest(version=version, components=[], strict=False)
        answer = versions.exchange(address, request)
        equal((answer.error_code, answer.entries), (NONE, []), "DescribeClientQuotas")
    user = DescribeUserScramCredentialsRequest.UserName(name="nobody", version=0)
    request = DescribeUserScramCredentialsRequest(version=0, users=[user])
    answer = versions.exchange(address, request)
    equal(answer.results[0].error_code, RESOURCE_NOT_FOUND, "DescribeUserScramCredentials")


class Fetching:
    """Fetches of one topic on one connection: a session may belong to it."""

    def __init__(self, broker, topic, version):
        create_topic(broker.address, topic)
        request = versions.metadata(12, (topic, None))
        topic_id = versions.exchange(broker.address, request).topics[0].topic_id
        self.topic, self.topic_id, self.version = topic, topic_id, version
        self.connection = wire.Connection(broker.address, greets=True)

    def fetch(self, session, epoch, partitions=(), forgotten=(), version=None):
        """(error, session id, {partition: (error, bytes of records)})"""
        version = version or self.version
        of_topic = FetchRequest.FetchTopic
        parts = [of_topic.FetchPartition(
            partition=index, fetch_offset=offset, partition_max_bytes=1 << 20, version=version,
            current_leader_epoch=-1, last_fetched_epoch=-1, log_start_offset=-1)
            for index, offset in partitions]
        topics = [of_topic(topic=self.topic, topic_id=self.topic_id, partitions=parts,
                           version=version)] if parts else []
        gone = [FetchRequest.ForgottenTopic(topic=self.topic, topic_id=self.topic_id,
                                            partitions=list(forgotten), version=version)]
        request = FetchRequest(
            version=version, replica_id=-1, max_wait_ms=0, min_bytes=0, max_bytes=1 << 20,
            isolation_level=0, session_id=session, session_epoch=epoch, rack_id="", topics=topics,
            forgotten_topics_data=gone if forgotten else [])
        answer = versions.exchange_on(self.connection, request)
        found = {p.partition_index: (p.error_code, len(p.records or b""))
                 for topic in answer.responses for p in topic.partitions}
        return answer.error_code, answer.session_id, found

    def produce(self, partition):
        batch = wire.build_batch([b"x"], now_ms())
        equal(self.connection.produce(self.topic, partition, batch)[0], NONE, "Produce")
        return len(batch)


def a_fetch_session_answers_what_has_changed(broker):
    for version in (7, 12, 13, 17):
        fetching = Fetching(broker, f"session-{version}", version)
        with fetching.connection:
            everything = [(index, 0) for index in range(4)]
            code, session, found = fetching.fetch(0, 0, everything)
            equal((code, sorted(found)), (NONE, [0, 1, 2, 3]), "the first answer")
            if session <= 0:
                raise AssertionError(f"session {session}")
            equal(fetching.fetch(session, 1), (NONE, session, {}), "nothing has changed")
            size = fetching.produce(2)
            equal(fetching.fetch(session, 2), (NONE, session, {2: (NONE, size)}), "one has changed")
            equal(fetching.fetch(session, 3, [(2, 1)]), (NONE, session, {}), "it was read")
            fetching.produce(2)
            fetching.produce(3)
            found = fetching.fetch(session, 4, forgotten=[3])
            equal(found, (NONE, session, {2: (NONE, size)}), "one is forgotten")
            found = fetching.fetch(session, 5, [(0, 99)])[2]
            equal(found[0][0], 1, "an error is told")
            equal(fetching.fetch(session, 6)[2][0][0], 1, "and told again")
            equal(fetching.fetch(session, 7, forgotten=[0, 1, 2])[:2], (NONE, 0), "nothing is left")
            equal(fetching.fetch(session, 8)[0], SESSION_NOT_FOUND, "it is over")


def a_fetch_session_goes_on_from_epoch_to_epoch(broker):
    fetching = Fetching(broker, "session-epochs", 12)
    with fetching.connection:
        equal(fetching.fetch(123_456, 1)[:2], (SESSION_NOT_FOUND, 0), "no such session")
        session = fetching.fetch(0, 0, [(0, 0), (1, 0)])[1]
        equal(fetching.fetch(session, 2)[:2], (SESSION_EPOCH, 0), "epoch 1 is due")
        equal(fetching.fetch(session, 1, version=13)[:2], (SESSION_TOPIC_ID, 0), "by another name")
        equal(fetching.fetch(session, 1)[:2], (NONE, session), "epoch 1")
        equal(fetching.fetch(session, 1)[0], SESSION_EPOCH, "epoch 1 again")
        equal(fetching.fetch(session, -1, [(0, 0)])[:2], (NONE, 0), "its end")
        equal(fetching.fetch(session, 2)[0], SESSION_NOT_FOUND, "after its end")


def special_timestamps_have_their_offsets(broker):
    address = broker.address
    create_topic(address, "special")
    with wire.Connection(address, greets=True) as connection:
        for timestamp in (3000, 9000, 5000):
            batch = wire.build_batch([b"x", b"y"], timestamp)
            equal(connection.produce("special", 0, batch)[0], NONE, "Produce")

    def found(version, timestamp):
        of_topic = ListOffsetsRequest.ListOffsetsTopic
        part = of_topic.ListOffsetsPartition(partition_index=0, current_leader_epoch=-1,
                                             timestamp=timestamp, version=version)
        request = ListOffsetsRequest(
            version=version, replica_id=-1, isolation_level=0, timeout_ms=1000,
            topics=[of_topic(name="special", partitions=[part], version=version)])
        answer = versions.exchange(address, request).topics[0].partitions[0]
        return answer.error_code, answer.offset, answer.timestamp

    for timestamp, first, expected in ((-1, 1, (NONE, 6, -1)), (-2, 1, (NONE, 0, -1)),
                                       (-3, 7, (NONE, 2, 9000)), (-4, 8, (NONE, 0, -1)),
                                       (-5, 9, (NONE, -1, -1)), (-6, 11, (NONE, -1, -1)),
                                       (4000, 1, (NONE, 2, 9000)), (9001, 1, (NONE, -1, -1))):
        for version in range(max(first, 1), 12):
            equal(found(version, timestamp), expected, f"{timestamp} in version {version}")
        if first > 1:
            equal(found(first - 1, timestamp)[0], 35, f"{timestamp} in version {first - 1}")


CASES = [(case.__name__.replace("_", "-"), case) for case in (
    a_topics_configuration_is_shown_with_its_sources,
    a_topics_configuration_changes_while_it_is_written_to,
    what_all_brokers_are_told_reaches_topics,
    a_configuration_that_cannot_be_is_refused,
    the_old_way_to_alter_replaces_everything,
    partitions_grow_and_never_shrink,
    topics_are_created_in_full,
    topics_are_described_page_by_page,
    what_has_a_configuration_is_listed,
    sizes_and_producers_are_described,
    one_node_has_nothing_to_elect_and_nowhere_to_move_to,
    without_an_authorizer_acls_are_disabled,
    a_fetch_session_answers_what_has_changed,
    a_fetch_session_goes_on_from_epoch_to_epoch,
    special_timestamps_have_their_offsets,
)]

"""Every advertised version of every API is asked for by raw requests, in its good and its bad case,
and each answer must decode whole. Encoders and decoders are kafka-python's.

A field that a version lacks must not make the broker fail in that version.
"""

import io
import time
import uuid

from kafka.protocol.admin import CreateTopicsRequest, DeleteTopicsRequest, DescribeClusterRequest
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest
from kafka.protocol.metadata import ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest
from kafka.protocol.api_header import ResponseClassRegistry

from harness import wire
from harness.clients.confluent import create_topic

TOPIC, UNKNOWN = "versions", "unknown-topic"
UNKNOWN_ID = uuid.UUID(int=0x1234)


def fetch(version, topic, partition):
    name, topic_id = topic
    part = FetchRequest.FetchTopic.FetchPartition(
        partition=partition, current_leader_epoch=-1, fetch_offset=0, last_fetched_epoch=-1,
        log_start_offset=-1, partition_max_bytes=1 << 20, version=version)
    return FetchRequest(
        version=version, replica_id=-1, max_wait_ms=0, min_bytes=0, max_bytes=1 << 20,
        isolation_level=0, session_id=0, session_epoch=-1, forgotten_topics_data=[], rack_id="",
        topics=[FetchRequest.FetchTopic(topic=name, topic_id=topic_id, partitions=[part],
                                        version=version)])


def produce(version, topic, partition):
    name, topic_id = topic
    data = ProduceRequest.TopicProduceData
    batch = wire.build_batch([b"v%d" % version], int(time.time() * 1000))
    return ProduceRequest(
        version=version, transactional_id=None, acks=-1, timeout_ms=10_000,
        topic_data=[data(name=name, topic_id=topic_id, version=version, partition_data=[
            data.PartitionProduceData(index=partition, records=batch, version=version)])])


def list_offsets(version, topic, partition, timestamp):
    of_topic = ListOffsetsRequest.ListOffsetsTopic
    part = of_topic.ListOffsetsPartition(partition_index=partition, current_leader_epoch=-1,
                                         timestamp=timestamp, version=version)
    return ListOffsetsRequest(version=version, replica_id=-1, isolation_level=0, timeout_ms=1000,
                              topics=[of_topic(name=topic[0], partitions=[part], version=version)])


def metadata(version, topic):
    of_topic = MetadataRequest.MetadataRequestTopic
    topics = None if topic is None else [
        of_topic(name=topic[0], topic_id=uuid.UUID(int=0), version=version)]
    if topics is None and version == 0:
        topics = []
    return MetadataRequest(version=version, topics=topics, allow_auto_topic_creation=False,
                           include_cluster_authorized_operations=False,
                           include_topic_authorized_operations=False)


def find_coordinator(version, key_type):
    return FindCoordinatorRequest(version=version, key="k", key_type=key_type if version else 0,
                                  coordinator_keys=["k"])


def create_topics(version, name, partitions, validate_only=False):
    topic = CreateTopicsRequest.CreatableTopic(
        name=name, num_partitions=partitions, replication_factor=1, assignments=[], configs=[],
        version=version)
    return CreateTopicsRequest(version=version, topics=[topic], timeout_ms=10_000,
                               validate_only=validate_only)


def delete_topics(version, name):
    if version < 6:
        return DeleteTopicsRequest(version=version, topic_names=[name], timeout_ms=10_000)
    state = DeleteTopicsRequest.DeleteTopicState(name=name, topic_id=uuid.UUID(int=0),
                                                 version=version)
    return DeleteTopicsRequest(version=version, topics=[state], timeout_ms=10_000)


def init_producer_id(version, transactional_id=None):
    return InitProducerIdRequest(version=version, transactional_id=transactional_id,
                                 transaction_timeout_ms=1000, producer_id=-1, producer_epoch=-1)


def offset_for_leader_epoch(version, topic, partition, epoch):
    of_topic = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
    part = of_topic.OffsetForLeaderPartition(partition=partition, current_leader_epoch=-1,
                                             leader_epoch=epoch, version=version)
    return OffsetForLeaderEpochRequest(
        version=version, replica_id=-1,
        topics=[of_topic(topic=topic[0], partitions=[part], version=version)])


def requests(api, version, good, bad):
    """The good case and the bad ones of one API in one version."""
    name = f"made-{api}-{version}"
    return {
        0: lambda: [produce(version, good, 0), produce(version, good, 99), produce(version, bad, 0)],
        1: lambda: [fetch(version, good, 0), fetch(version, good, 99), fetch(version, bad, 0)],
        2: lambda: [list_offsets(version, *case) for case in (
            (good, 0, -1), (good, 0, -2), (good, 0, 0), (good, 0, 2**62), (good, 99, -1),
            (bad, 0, -1))],
        3: lambda: [metadata(version, good), metadata(version, None), metadata(version, bad)],
        10: lambda: [find_coordinator(version, 0), find_coordinator(version, 1)],
        18: lambda: [ApiVersionsRequest(version=version, client_software_name="harness",
                                        client_software_version="1")],
        19: lambda: [create_topics(version, name, 1), create_topics(version, name, 1),
                     create_topics(version, "bad name!", 1), create_topics(version, name + "x", -7),
                     create_topics(version, name + "y", 1, True)],
        20: lambda: [delete_topics(version, f"made-19-{version}"), delete_topics(version, UNKNOWN)],
        22: lambda: [init_producer_id(version)],
        23: lambda: [offset_for_leader_epoch(version, *case) for case in (
            (good, 0, 0), (good, 0, 1 << 30), (good, 99, 0), (bad, 0, 0))],
        60: lambda: [DescribeClusterRequest(version=version, endpoint_type=1,
                                            include_cluster_authorized_operations=False,
                                            include_fenced_brokers=False)],
    }[api]()


APIS = {0: ProduceRequest, 1: FetchRequest, 2: ListOffsetsRequest, 3: MetadataRequest,
        10: FindCoordinatorRequest, 18: ApiVersionsRequest, 19: CreateTopicsRequest,
        20: DeleteTopicsRequest, 22: InitProducerIdRequest, 23: OffsetForLeaderEpochRequest,
        60: DescribeClusterRequest}
LOWEST = {0: 3}  # advertised from 0 for old librdkafka, served from 3
HIGHEST = {22: 5}  # 6 is not stable


def exchange(address, request):
    """Sends a request on a connection of its own; the decoded answer."""
    with wire.Connection(address, greets=True) as connection:
        return exchange_on(connection, request)


def exchange_on(connection, request):
    connection.correlation += 1
    request.with_header(correlation_id=connection.correlation, client_id="harness")
    connection.socket.sendall(request.encode(framed=True, header=True))
    length = int.from_bytes(connection.exactly(4), "big")
    data = io.BytesIO(connection.exactly(length))
    answer_class = ResponseClassRegistry.get_response_class(request.header)
    header = answer_class.parse_header(data, version=request.API_VERSION)
    if header.correlation_id != request.header.correlation_id:
        raise AssertionError("an answer to another request")
    answer = answer_class.decode(data, version=request.API_VERSION)
    left = len(data.read())
    if left:
        raise AssertionError(f"{left} bytes are left behind the answer {answer}")
    return answer


def topic_id(address, topic=TOPIC):
    request = metadata(12, (topic, None))
    return exchange(address, request).topics[0].topic_id


def every_advertised_version_is_answered(broker):
    create_topic(broker.address, TOPIC)
    good = (TOPIC, topic_id(broker.address))
    bad = (UNKNOWN, UNKNOWN_ID)
    with wire.Connection(broker.address) as connection:
        advertised = connection.api_versions()
    count, failures = 0, []
    for api, request_class in APIS.items():
        low, high = advertised[api]
        low = max(low, LOWEST.get(api, low))
        for version in range(low, min(high, HIGHEST.get(api, request_class.max_version)) + 1):
            for number, request in enumerate(requests(api, version, good, bad)):
                count += 1
                try:
                    exchange(broker.address, request)
                except Exception as error:
                    failures.append(f"{request_class.__name__} {version} case {number}: "
                                    f"{type(error).__name__} {error}")
    if failures:
        raise AssertionError(f"{len(failures)} of {count}: " + "; ".join(failures[:20]))
    return f"{count} requests"

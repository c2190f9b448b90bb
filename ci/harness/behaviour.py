"""What clients rely on and a round trip does not show, by raw requests. Each case is one promise
of the protocol, and holds on Apache Kafka as well."""

import functools
import struct
import time

from confluent_kafka.admin import AdminClient

from harness import batches, versions, wire
from harness.checks import DEADLINE_S, equal, eventually, now_ms
from harness.clients.confluent import create_topic

NONE, OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, UNKNOWN_TOPIC_OR_PARTITION = 0, 1, 2, 3
MESSAGE_TOO_LARGE, UNSUPPORTED_VERSION, TOPIC_ALREADY_EXISTS, OUT_OF_ORDER_SEQUENCE = 10, 35, 36, 45
MAX_MESSAGE_BYTES = 1_048_588  # Kafka's default of max.message.bytes


def log_end(connection, topic, partition=0):
    error, _, offset = connection.list_offset(topic, partition, -1)
    equal(error, NONE, "ListOffsets")
    return offset


def with_topic(topic, config=None):
    """Gives the case a fresh topic and a connection."""
    def decorate(case):
        @functools.wraps(case)
        def run(broker):
            create_topic(broker.address, topic, config)
            with wire.Connection(broker.address, greets=True) as connection:
                return case(connection, topic)
        return run
    return decorate


def api_versions_are_those_that_clients_need(broker):
    with wire.Connection(broker.address) as connection:
        versions = connection.api_versions()
    for api, low, high in ((wire.PRODUCE, 0, 13), (wire.FETCH, 4, 18), (wire.LIST_OFFSETS, 1, 11),
                           (wire.METADATA, 0, 13), (10, 0, 6), (wire.API_VERSIONS, 0, 4),
                           (19, 2, 7), (20, 1, 6), (wire.INIT_PRODUCER_ID, 0, 5), (23, 2, 4)):
        if api not in versions:
            raise AssertionError(f"API {api} is not advertised")
        got = versions[api]
        if got[0] > low or got[1] < high:
            raise AssertionError(f"API {api} is served in {got}, not in {(low, high)}")


def an_unknown_api_versions_version_is_answered_in_version_0(broker):
    with wire.Connection(broker.address) as connection:
        reader = connection.call(wire.API_VERSIONS, 99, b"\0" + b"\x02a\x02b\0")
        equal(reader.take("h"), UNSUPPORTED_VERSION, "error code")
        listed = reader.array(lambda: reader.take("hhh"))
        if not any(key == wire.API_VERSIONS for key, _, _ in listed):
            raise AssertionError(f"ApiVersions is not in {listed}")


@with_topic("idempotent")
def a_duplicate_batch_is_answered_with_its_first_offset(connection, topic):
    error, producer_id, epoch = connection.init_producer_id()
    equal(error, NONE, "InitProducerId")
    first = wire.build_batch([b"a", b"b", b"c"], now_ms(), producer_id, epoch, 0)
    second = wire.build_batch([b"d"], now_ms(), producer_id, epoch, 3)
    equal(connection.produce(topic, 0, first)[:2], (NONE, 0), "first batch")
    equal(connection.produce(topic, 0, second)[:2], (NONE, 3), "second batch")
    equal(connection.produce(topic, 0, first)[:2], (NONE, 0), "first batch again")
    equal(connection.produce(topic, 0, second)[:2], (NONE, 3), "second batch again")
    equal(log_end(connection, topic), 4, "log end")


@with_topic("sequences")
def a_gap_in_the_sequence_is_refused(connection, topic):
    error, producer_id, epoch = connection.init_producer_id()
    equal(error, NONE, "InitProducerId")
    batch = wire.build_batch([b"a"], now_ms(), producer_id, epoch, 0)
    equal(connection.produce(topic, 0, batch)[:2], (NONE, 0), "first batch")
    gap = wire.build_batch([b"c"], now_ms(), producer_id, epoch, 2)
    equal(connection.produce(topic, 0, gap)[0], OUT_OF_ORDER_SEQUENCE, "batch behind a gap")
    equal(log_end(connection, topic), 1, "log end")


@with_topic("timestamps")
def offsets_are_found_by_timestamp(connection, topic):
    base = now_ms() - 1000
    for step in range(3):
        batch = wire.build_batch([b"x", b"y"], base + 10 * step)
        equal(connection.produce(topic, 0, batch)[0], NONE, "Produce")
    for version in (1, 2, 4, 5):
        for timestamp, expected, what in (
                (base + 5, (NONE, base + 10, 2), "between two batches"),
                (base + 20, (NONE, base + 20, 4), "exactly the last"),
                (base + 21, (NONE, -1, -1), "behind the last"),
                (-2, (NONE, -1, 0), "earliest"),
                (-1, (NONE, -1, 6), "latest")):
            got = connection.list_offset(topic, 0, timestamp, version)
            equal(got, expected, f"{what} (version {version})")


@with_topic("acks-0")
def acks_0_is_stored_without_an_answer(connection, topic):
    connection.produce(topic, 0, wire.build_batch([b"silent"], now_ms()), acks=0)
    eventually(lambda: log_end(connection, topic) == 1, "the record is stored")


@with_topic("too-large")
def a_batch_above_max_message_bytes_is_refused(connection, topic):
    batch = wire.build_batch([b"x" * MAX_MESSAGE_BYTES], now_ms())
    equal(connection.produce(topic, 0, batch)[0], MESSAGE_TOO_LARGE, "Produce")
    equal(log_end(connection, topic), 0, "log end")
    equal(connection.produce(topic, 0, wire.build_batch([b"x"], now_ms()))[:2], (NONE, 0), "Produce")


@with_topic("corrupt")
def a_batch_with_a_bad_crc_is_refused(connection, topic):
    batch = bytearray(wire.build_batch([b"one", b"two"], now_ms()))
    batch[-3] ^= 0x40
    equal(connection.produce(topic, 0, bytes(batch))[0], CORRUPT_MESSAGE, "Produce")
    equal(log_end(connection, topic), 0, "log end")


@with_topic("log-append-time", {"message.timestamp.type": "LogAppendTime"})
def log_append_time_is_stored_and_answered(connection, topic):
    before = now_ms()
    error, offset, timestamp = connection.produce(topic, 0, wire.build_batch([b"x"], 1000))
    equal((error, offset), (NONE, 0), "Produce")
    if not before <= timestamp <= now_ms():
        raise AssertionError(f"log append time {timestamp} is not now")
    _, _, data = connection.fetch(topic, 0, 0)
    stored = batches.parse(data)
    if not stored[0].is_log_append_time:
        raise AssertionError("the stored batch lacks the LogAppendTime attribute")
    max_timestamp = struct.unpack_from(">q", data, 35)[0]
    equal(max_timestamp, timestamp, "the stored batch's max timestamp")


@with_topic("long-poll")
def a_fetch_at_the_end_waits_and_wakes(connection, topic):
    begin = time.monotonic()
    equal(connection.fetch(topic, 0, 0, max_wait_ms=400), (NONE, 0, b""), "Fetch of nothing")
    waited = time.monotonic() - begin
    if not 0.39 <= waited <= 2:
        raise AssertionError(f"an empty Fetch with max_wait 400 ms took {waited * 1000:.0f} ms")
    body = struct.pack(">iiiibi", -1, 10_000, 1, 1 << 20, 0, 1) + wire.string(topic)
    correlation = connection.send(wire.FETCH, 4, body + struct.pack(">iiqi", 1, 0, 0, 1 << 20))
    with wire.Connection(connection.address) as other:
        equal(other.produce(topic, 0, wire.build_batch([b"x"], now_ms()))[0], NONE, "Produce")
        produced = time.monotonic()
    connection.receive(correlation)
    woke = time.monotonic() - produced
    if woke > 2:
        raise AssertionError(f"the waiting Fetch woke {woke:.1f} s after the record")
    return f"woke within {woke * 1000:.1f} ms"


@with_topic("kip-74")
def the_first_batch_comes_whole_whatever_the_limits(connection, topic):
    batch = wire.build_batch([b"z" * 50_000], now_ms())
    for _ in range(2):
        equal(connection.produce(topic, 0, batch)[0], NONE, "Produce")
    error, _, data = connection.fetch(topic, 0, 0, max_bytes=1)
    equal(error, NONE, "Fetch")
    found = batches.parse(data, partial_end=True)
    equal([found[0].base_offset, found[0].size_bytes], [0, len(batch)], "first batch")


@with_topic("middle")
def a_fetch_inside_a_batch_returns_the_batch(connection, topic):
    batch = wire.build_batch([b"%d" % n for n in range(5)], now_ms())
    for _ in range(2):
        equal(connection.produce(topic, 0, batch)[0], NONE, "Produce")
    error, _, data = connection.fetch(topic, 0, 7)
    equal(error, NONE, "Fetch")
    equal(batches.parse(data)[0].base_offset, 5, "base offset of the answer")


@with_topic("range")
def a_fetch_beyond_the_log_is_out_of_range(connection, topic):
    equal(connection.produce(topic, 0, wire.build_batch([b"x"], now_ms()))[0], NONE, "Produce")
    equal(connection.fetch(topic, 0, 1, max_wait_ms=0)[0], NONE, "Fetch at the log end")
    equal(connection.fetch(topic, 0, 2, max_wait_ms=0)[0], OFFSET_OUT_OF_RANGE, "Fetch beyond it")


@with_topic("pipelined")
def pipelined_requests_are_answered_in_order(connection, topic):
    sent = []
    for step in range(40):
        kind = step % 4
        if kind == 0:
            batch = wire.build_batch([b"%d" % step], now_ms())
            body = wire.produce_body(topic, step // 4 % 4, batch)
            sent.append(connection.send(wire.PRODUCE, 3, body))
        elif kind == 1:
            body = struct.pack(">ii", -1, 1) + wire.string(topic) + struct.pack(">iiq", 1, 0, -1)
            sent.append(connection.send(wire.LIST_OFFSETS, 1, body))
        elif kind == 2:
            # Nothing there: it waits, and holds back the answers behind it.
            body = struct.pack(">iiiibi", -1, 50, 1 << 20, 1 << 20, 0, 1) + wire.string(topic)
            sent.append(connection.send(wire.FETCH, 4, body + struct.pack(">iiqi", 1, 3, 0, 1 << 20)))
        else:
            sent.append(connection.send(wire.API_VERSIONS, 0, b""))
    for correlation in sent:
        connection.receive(correlation)
    equal([log_end(connection, topic, partition) for partition in range(4)], [3, 3, 2, 2], "log ends")


def producing_to_an_unknown_topic_is_an_error(broker):
    with wire.Connection(broker.address) as connection:
        answer = connection.produce("never-created", 0, wire.build_batch([b"x"], now_ms()))
        equal(answer[0], UNKNOWN_TOPIC_OR_PARTITION, "Produce")


def creating_a_topic_twice_is_an_error(broker):
    create_topic(broker.address, "twice")
    try:
        create_topic(broker.address, "twice")
    except Exception as error:  # confluent_kafka.KafkaException
        equal(error.args[0].code(), TOPIC_ALREADY_EXISTS, "CreateTopics")
    else:
        raise AssertionError("CreateTopics created the same topic twice")


def a_topic_created_again_is_empty(broker):
    topic = "again"
    create_topic(broker.address, topic)
    with wire.Connection(broker.address) as connection:
        batch = wire.build_batch([b"old"] * 3, now_ms())
        equal(connection.produce(topic, 0, batch)[:2], (NONE, 0), "Produce")
        admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
        admin.delete_topics([topic])[topic].result(DEADLINE_S)

        def created():
            try:
                create_topic(broker.address, topic)
            except Exception as error:
                equal(error.args[0].code(), TOPIC_ALREADY_EXISTS, "CreateTopics")
                return False
            return True

        eventually(created, "the topic is created again")
        batch = wire.build_batch([b"new"], now_ms())

        def produced():
            error, offset, _ = connection.produce(topic, 0, batch)
            return [offset] if error == NONE else None

        equal(eventually(produced, "the new topic takes records"), [0], "its first offset")
        _, _, data = connection.fetch(topic, 0, 0)
        equal(data.find(b"old"), -1, "an old record in the new topic")


def a_hostile_length_closes_one_connection_only(broker):
    with wire.Connection(broker.address) as good:
        good.api_versions()
        with wire.Connection(broker.address, timeout_s=DEADLINE_S) as bad:
            bad.socket.sendall(struct.pack(">i", 0x7FFFFFFF) + b"\0" * 64)
            try:
                left = bad.socket.recv(1)
            except ConnectionResetError:
                left = b""
            equal(left, b"", "the answer to a frame of 2 GiB")
        good.api_versions()


CASES = [(case.__name__.replace("_", "-"), case) for case in (
    versions.every_advertised_version_is_answered,
    api_versions_are_those_that_clients_need,
    an_unknown_api_versions_version_is_answered_in_version_0,
    a_duplicate_batch_is_answered_with_its_first_offset,
    a_gap_in_the_sequence_is_refused,
    offsets_are_found_by_timestamp,
    acks_0_is_stored_without_an_answer,
    a_batch_above_max_message_bytes_is_refused,
    a_batch_with_a_bad_crc_is_refused,
    log_append_time_is_stored_and_answered,
    a_fetch_at_the_end_waits_and_wakes,
    the_first_batch_comes_whole_whatever_the_limits,
    a_fetch_inside_a_batch_returns_the_batch,
    a_fetch_beyond_the_log_is_out_of_range,
    pipelined_requests_are_answered_in_order,
    producing_to_an_unknown_topic_is_an_error,
    creating_a_topic_twice_is_an_error,
    a_topic_created_again_is_empty,
    a_hostile_length_closes_one_connection_only,
)]

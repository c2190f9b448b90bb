"""The cases that every client behind the line protocol passes, written once. Each asserts what is
there: owners as another client describes them, offsets and bytes as another client reads them."""

import base64
import itertools
import time

from confluent_kafka import Consumer, KafkaError, TopicPartition

from harness import batches, wire
from harness.broker import PARTITIONS
from harness.checks import DEADLINE_S, eventually, equal, now_ms
from harness.clients.confluent import create_topic
from harness.driver import Driver
from harness.groups import EVERYTHING, REFUSAL_S, admin, commit_by_hand, committed, produce

RECORDS = 120
SESSION_MS = 6000
STATIC_SESSION_MS = 30_000


def encoded(data):
    return None if data is None else base64.b64encode(data).decode()


def sample(base_ms, count=RECORDS):
    """Keys that are null or binary, values of many lengths, headers or none."""
    made = []
    for index in range(count):
        key = None if index % 11 == 0 else bytes([index, 0, 255]) + b"key"
        value = b"%d " % index * (index % 40 + 1)
        headers = [["trace", encoded(b"id-%d" % index)], ["binary", encoded(bytes([0, 255, index]))]]
        made.append({"partition": index % PARTITIONS, "timestamp": base_ms + 1000 * index,
                     "key": encoded(key), "value": encoded(value),
                     "headers": headers if index % 3 else []})
    return made


def of_partition(records, partition):
    return [{"offset": offset, **{key: one[key] for key in ("timestamp", "key", "value", "headers")}}
            for offset, one in enumerate(one for one in records if one["partition"] == partition)]


def normal(records):
    """Clients differ in whether they say null or nothing for no headers."""
    return [{**{key: one[key] for key in ("offset", "timestamp", "key", "value")},
             "headers": one["headers"] or []} for one in records]


def read_by_another(address, topic, partition, count):
    """What librdkafka reads from the beginning."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "unused", "log_level": 0,
                         "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        found = consumer.consume(count, DEADLINE_S)
        return [{"offset": one.offset(), "timestamp": one.timestamp()[1], "key": encoded(one.key()),
                 "value": encoded(one.value()),
                 "headers": [[name, encoded(value)] for name, value in one.headers() or []]}
                for one in found]
    finally:
        consumer.close()


class Run:
    """One case of one client against one broker."""

    def __init__(self, broker, client, case):
        self.broker, self.client = broker, client
        self.topic = f"{client}-{case}"[:100]
        self.drivers = []

    def driver(self):
        self.drivers.append(Driver(self.client, self.broker.address))
        return self.drivers[-1]

    def member(self, **config):
        driver = self.driver()
        driver.ask("join", topic=self.topic, group=self.topic,
                   **{"session_ms": SESSION_MS, **config})
        return driver

    def end(self):
        for driver in self.drivers:
            if driver.process.poll() is None:
                driver.kill()

    def owners(self):
        """[partitions of a member], each as another client describes it, when all is at rest."""
        client = admin(self.broker)  # kept, or what it was asked is never answered
        group = client.describe_consumer_groups([self.topic])[self.topic].result(DEADLINE_S)
        if group.state.name != "STABLE":
            return None
        return {member.member_id: sorted(part.partition for part in member.assignment.topic_partitions)
                for member in group.members}

    def shared(self, members):
        """{member id: partitions} once that many members share all, each partition one owner's."""
        def look():
            owners = self.owners()
            if owners and len(owners) == members and all(owners.values()) and sorted(
                    itertools.chain(*owners.values())) == EVERYTHING:
                return owners
            return None
        return eventually(look, f"{members} members share the partitions")


def produce_and_read(codec):
    def case(run):
        create_topic(run.broker.address, run.topic)
        records = sample(now_ms() - 10_000_000)
        driver = run.driver()
        driver.ask("produce", topic=run.topic, codec=codec, records=records)
        for partition in EVERYTHING:
            expected = of_partition(records, partition)
            other = read_by_another(run.broker.address, run.topic, partition, len(expected))
            equal(other, expected, f"partition {partition} as librdkafka reads it")
            own = driver.ask("read", topic=run.topic, partition=partition, offset=0,
                             count=len(expected))
            equal(normal(own), expected, f"partition {partition} as {run.client} reads it")
        stored = wire.fetch_all(run.broker.address, run.topic, PARTITIONS)
        batches.check_codec([batch for part in stored.values() for batch in part], codec)
    return case


def seek_by_offset_and_by_time(run):
    create_topic(run.broker.address, run.topic)
    records = sample(now_ms() - 10_000_000)
    driver = run.driver()
    driver.ask("produce", topic=run.topic, codec="none", records=records)
    expected = of_partition(records, 2)
    for offset in (0, 7, len(expected) - 1):
        found = driver.ask("read", topic=run.topic, partition=2, offset=offset, count=1)
        equal(normal(found), expected[offset:offset + 1], f"the record at offset {offset}")
    for offset, before_ms in ((0, 5000), (9, 0), (9, 1), (9, 3999), (len(expected) - 1, 3)):
        found = driver.ask("read", topic=run.topic, partition=2, count=1,
                           time=expected[offset]["timestamp"] - before_ms)
        equal(found[0]["offset"], offset, f"the first offset from {before_ms} ms before {offset}'s time")


def a_group_of_three_shares_and_takes_over_when_one_leaves(run):
    create_topic(run.broker.address, run.topic)
    first, second = run.member(), run.member()
    run.shared(2)
    third = run.member()
    run.shared(3)
    produce(run.broker, run.topic, [str(n) for n in range(80)])
    members = (first, second, third)
    eventually(lambda: sum(len(one.read) for one in members) >= 80, "all is read")
    equal(sorted(int(value) for one in members for value in one.values()), list(range(80)),
          "what the three read")
    for one in members:
        if not one.read:
            raise AssertionError("a member with a partition has read nothing")
    third.ask("commit")
    second.ask("commit")
    first.ask("commit")
    third.leave()
    run.shared(2)
    produce(run.broker, run.topic, [f"after {n}" for n in range(20)])
    expected = {f"after {n}" for n in range(20)}
    eventually(lambda: expected <= {*first.values(), *second.values()}, "two read everything")


def a_killed_members_partitions_go_on_at_its_last_commit(run):
    create_topic(run.broker.address, run.topic)
    first = run.member()
    run.shared(1)
    produce(run.broker, run.topic, [f"before {n}" for n in range(40)])
    eventually(lambda: len(first.read) == 40, "all is read")
    first.ask("commit")
    eventually(lambda: committed(run.broker, run.topic, run.topic) == dict.fromkeys(EVERYTHING, 10),
               "another client reads the commit")
    produce(run.broker, run.topic, [f"after {n}" for n in range(20)])
    eventually(lambda: len(first.read) == 60, "the rest is read, and not committed")
    second = run.member()
    first.kill()
    run.shared(1)
    # Twice where it had a share before the crash: nothing of it was committed.
    expected = {f"after {n}" for n in range(20)}
    eventually(lambda: expected <= set(second.values()), "the other reads what was not committed")
    equal(set(second.values()), expected, "what it read")
    equal(committed(run.broker, run.topic, run.topic), dict.fromkeys(EVERYTHING, 10), "the commit")


def automatic_commits_are_where_the_next_member_resumes(run):
    create_topic(run.broker.address, run.topic)
    first = run.member(auto_ms=200)
    produce(run.broker, run.topic, [str(n) for n in range(40)])
    eventually(lambda: len(first.read) == 40, "all is read")
    # Some commit by the interval only with what they read next, others when they leave.
    first.leave()
    eventually(lambda: committed(run.broker, run.topic, run.topic) == dict.fromkeys(EVERYTHING, 10),
               "another client reads the automatic commit")
    produce(run.broker, run.topic, ["next"] * PARTITIONS)
    second = run.member(auto_ms=200)
    eventually(lambda: len(second.read) >= PARTITIONS, "the next member goes on")
    equal(second.values(), ["next"] * PARTITIONS, "what it reads")


def a_static_member_that_restarts_keeps_its_partitions(run):
    create_topic(run.broker.address, run.topic)
    first = run.member(instance="a", session_ms=STATIC_SESSION_MS)
    second = run.member(instance="b", session_ms=STATIC_SESSION_MS)
    before = run.shared(2)
    first.kill()
    equal(run.owners(), before, "owners while it is away")
    produce(run.broker, run.topic, [str(n) for n in range(40)])
    first = run.member(instance="a", session_ms=STATIC_SESSION_MS)
    eventually(lambda: len(first.read) + len(second.read) >= 40, "all is read")
    after = run.shared(2)
    equal(sorted(after.values()), sorted(before.values()), "the shares")
    kept = set(before) & set(after)
    equal(len(kept), 1, "member ids that stay (the restarted one is given a new id)")
    equal({one: after[one] for one in kept}, {one: before[one] for one in kept}, "what the other has")


def cooperative_members_keep_what_they_need_not_give(run):
    create_topic(run.broker.address, run.topic)
    first = run.member(cooperative=True)
    before = run.shared(1)
    produce(run.broker, run.topic, [str(n) for n in range(40)])
    eventually(lambda: len(first.read) == 40, "all is read")
    second = run.member(cooperative=True)
    after = run.shared(2)
    kept = after[next(iter(before))]
    equal(len(kept), PARTITIONS // 2, "partitions that the first kept")
    first.ask("commit")
    second.leave()
    run.shared(1)
    # What it gave away is read again or not, by what was committed; what it kept is not.
    equal([one for one in first.twice()
           if any(part in kept and value == one for part, _, value in first.read)], [],
          "read twice from partitions that it kept")


def topics_are_created_described_altered_grown_and_deleted(run):
    driver = run.driver()
    driver.ask("create", topic=run.topic, partitions=2, configs={"retention.ms": "12345678"})

    def described(partitions, **configs):
        def look():
            error, found = driver.attempt("describe", topic=run.topic)
            return not error and found["partitions"] == partitions and all(
                found["configs"].get(key.replace("_", ".")) == value for key, value in configs.items())
        return look

    eventually(described(2, retention_ms="12345678"), "it is there as asked for")
    driver.ask("alter", topic=run.topic, configs={"retention.ms": "7654321"})
    eventually(described(2, retention_ms="7654321"), "the changed config is there")
    driver.ask("grow", topic=run.topic, partitions=5)
    eventually(described(5), "it has five partitions")
    other = admin(run.broker)
    equal(len(other.list_topics(run.topic, DEADLINE_S).topics[run.topic].partitions), 5,
          "partitions as another client sees them")
    error, _ = driver.attempt("create", topic=run.topic, partitions=2, configs={})
    if error is None:
        raise AssertionError("a topic was created twice")
    driver.ask("delete", topic=run.topic)
    eventually(lambda: run.topic not in other.list_topics(timeout=DEADLINE_S).topics, "it is gone")


def lag_is_what_was_written_and_not_committed(run):
    create_topic(run.broker.address, run.topic)
    member = run.member()
    produce(run.broker, run.topic, [str(n) for n in range(40)])
    eventually(lambda: len(member.read) == 40, "all is read")
    member.ask("commit")
    member.leave()
    produce(run.broker, run.topic, [str(n) for n in range(6)])
    found = run.driver().ask("lag", group=run.topic, topic=run.topic)
    equal({int(part): lag for part, lag in found.items()}, {0: 2, 1: 2, 2: 1, 3: 1}, "the lag")


def transactions_are_refused_at_once_and_clearly(run):
    """Apache Kafka has them: there the same call succeeds."""
    driver = run.driver()
    begin = time.monotonic()
    error, _ = driver.attempt("init_transactions")
    took = time.monotonic() - begin
    if run.broker.name == "kafka":
        equal(error, None, "initTransactions")
        return ""
    if error is None or "authoriz" not in error.lower():
        raise AssertionError(f"not the refusal that clients take as final: {error!r}")
    return refused_at_once(error, took)


def the_consumer_protocol_is_refused_clearly(run):
    """Where Apache Kafka has it, the same consumer reads."""
    create_topic(run.broker.address, run.topic)
    produce(run.broker, run.topic, ["x"] * PARTITIONS)
    begin = time.monotonic()
    error, _ = run.driver().attempt("consumer_protocol", topic=run.topic, group=run.topic)
    return refused_clearly(run.broker, error, time.monotonic() - begin)


def refused_clearly(broker, error, took):
    if broker.has_consumer_protocol:
        equal(error, None, "group.protocol=consumer")
        return ""
    if error is None or "protocol" not in error and "version" not in error or "support" not in error:
        raise AssertionError(f"not an error that says what is not supported: {error!r}")
    return refused_at_once(error, took)


def refused_at_once(error, took):
    if took > REFUSAL_S:
        raise AssertionError(f"the refusal took {took:.1f} s")
    return f"{took:.1f} s: {error[:160]}"


def librdkafka_is_refused_the_consumer_protocol_clearly(run):
    """It waits for ever, silently, where ConsumerGroupHeartbeat is not advertised."""
    create_topic(run.broker.address, run.topic)
    produce(run.broker, run.topic, ["x"] * PARTITIONS)
    consumer = Consumer({"bootstrap.servers": run.broker.address, "group.id": run.topic,
                         "group.protocol": "consumer", "auto.offset.reset": "earliest",
                         "log_level": 0})
    begin, error, read = time.monotonic(), None, 0
    try:
        consumer.subscribe([run.topic])
        while error is None and read < PARTITIONS:
            message = consumer.poll(1)
            if message is not None:
                error, read = message.error(), read + 1
            if time.monotonic() - begin > DEADLINE_S:
                raise AssertionError("nothing was read, and no error was given")
    finally:
        consumer.close()
    if error is not None:
        equal(error.code(), KafkaError._FATAL, "the error's code")
    return refused_clearly(run.broker, error and error.str(), time.monotonic() - begin)


def without_the_consumer_protocol_the_classic_one_is_taken(run):
    """franz-go falls back by itself; the group's type shows what it took."""
    create_topic(run.broker.address, run.topic)
    produce(run.broker, run.topic, ["x"] * PARTITIONS)
    # While Kafka makes the offsets' topic, franz-go takes the coordinator's error for support.
    commit_by_hand(run.broker, run.topic + "-first", run.topic, 0)
    run.driver().ask("consumer_protocol", topic=run.topic, group=run.topic, count=PARTITIONS)
    client = admin(run.broker)  # kept, or what it was asked is never answered
    listed = client.list_consumer_groups().result(DEADLINE_S).valid
    expected = "CONSUMER" if run.broker.has_consumer_protocol else "CLASSIC"
    equal([group.type.name for group in listed if group.group_id == run.topic], [expected],
          "the group's type")


def named(case):
    return case.__name__.replace("_", "-"), case


def codecs(*names):
    return [(f"produce-and-read-{name}", produce_and_read(name)) for name in names]


EVERY_CODEC = codecs("none", "gzip", "snappy", "lz4", "zstd")
EVERY_CLIENT = [named(case) for case in (
    seek_by_offset_and_by_time,
    a_group_of_three_shares_and_takes_over_when_one_leaves,
    a_killed_members_partitions_go_on_at_its_last_commit,
    automatic_commits_are_where_the_next_member_resumes,
    topics_are_created_described_altered_grown_and_deleted,
    lag_is_what_was_written_and_not_committed)]
STATIC = [named(a_static_member_that_restarts_keeps_its_partitions)]
COOPERATIVE = [named(cooperative_members_keep_what_they_need_not_give)]
TRANSACTIONS = [named(transactions_are_refused_at_once_and_clearly)]
# These run on a Kafka without that protocol as well.
CONSUMER_PROTOCOL = [named(the_consumer_protocol_is_refused_clearly)]
LIBRDKAFKA = [named(librdkafka_is_refused_the_consumer_protocol_clearly)]
FALLS_BACK = [named(without_the_consumer_protocol_the_classic_one_is_taken)]
ON_CLASSIC_KAFKA = {name for name, _ in CONSUMER_PROTOCOL + LIBRDKAFKA + FALLS_BACK}

# What each library has. kafkajs brings gzip alone, and neither it nor kafka-go has static members;
# cooperative assignment is in franz-go and Java only.
CASES = {
    "aiokafka": EVERY_CODEC + EVERY_CLIENT + STATIC,
    "kafkajs": codecs("none", "gzip") + EVERY_CLIENT,
    "kafka-go": EVERY_CODEC + EVERY_CLIENT,
    "sarama": EVERY_CODEC + EVERY_CLIENT + STATIC,
    "franz-go": EVERY_CODEC + EVERY_CLIENT + STATIC + COOPERATIVE + TRANSACTIONS + FALLS_BACK,
    "java-3": EVERY_CODEC + EVERY_CLIENT + STATIC + COOPERATIVE + TRANSACTIONS,
    "java-4": EVERY_CODEC + EVERY_CLIENT + STATIC + COOPERATIVE + TRANSACTIONS + CONSUMER_PROTOCOL,
    "librdkafka": LIBRDKAFKA,  # its other cases are in ci/compat
}
# A lost client or case must not pass for a shorter list: change these numbers with the cases.
EXPECTED = {"aiokafka": 12, "kafkajs": 8, "kafka-go": 11, "sarama": 12, "franz-go": 15, "java-3": 14,
            "java-4": 15, "librdkafka": 1}

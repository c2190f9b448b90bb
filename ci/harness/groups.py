"""Consumer groups, by members in processes of their own. Each case asserts what is there (who has
which partitions, offsets that another client reads), and holds on Apache Kafka as well."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

from confluent_kafka import (
    Consumer, ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition)
from confluent_kafka.admin import AdminClient

from harness.checks import DEADLINE_S, equal, eventually
from harness.clients.confluent import create_topic

PARTITIONS = 4          # of every topic here
EVERYTHING = list(range(PARTITIONS))
STILL_LOADING = {KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_LOAD_IN_PROGRESS}
# How long a refusal of what is not built may take.
REFUSAL_S = 5
QUICK = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}


class Member(threading.Thread):
    def __init__(self, broker, topic, **config):
        super().__init__(daemon=True)
        config = {"group.id": topic, **QUICK, **{key.replace("_", "."): value
                                                 for key, value in config.items()}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "harness.clients.member", broker.address, topic,
             json.dumps(config)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.partitions, self.values, self.changes, self.committed = set(), [], 0, None
        self.start()

    def run(self):
        for line in self.process.stdout:
            event = json.loads(line)
            if "given" in event:
                self.partitions |= set(event["given"])
                self.changes += 1
            elif "taken" in event:
                self.partitions -= set(event["taken"])
                self.changes += 1
            elif "value" in event:
                self.values.append(event["value"])
            elif "committed" in event:
                self.committed = {int(p): offset for p, offset in event["committed"].items()}

    def commit(self):
        self.committed = None
        self.process.stdin.write("commit\n")
        self.process.stdin.flush()
        return eventually(lambda: self.committed, "a commit is answered")

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE_S)
        self.join()

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.join()


def shares(*members):
    """Whether the members have all partitions, each one of them, and none has nothing."""
    given = sorted(partition for member in members for partition in member.partitions)
    return given == EVERYTHING and all(member.partitions for member in members)


def produce(broker, topic, values):
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    for number, value in enumerate(values):
        producer.produce(topic, value.encode(), partition=number % PARTITIONS)
    equal(producer.flush(DEADLINE_S), 0, "records that were not sent")


def committed(broker, group, topic):
    """{partition: offset}, as another client reads it."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group, "log_level": 0})
    try:
        found = consumer.committed([TopicPartition(topic, p) for p in EVERYTHING], DEADLINE_S)
        return {part.partition: part.offset for part in found}
    finally:
        consumer.close()


def commit_by_hand(broker, group, topic, offset):
    """The same offset for all partitions, by a consumer that is not a member."""
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": group, "log_level": 0})
    wanted = [TopicPartition(topic, p, offset) for p in EVERYTHING]

    def attempt():
        try:
            return consumer.commit(offsets=wanted, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in STILL_LOADING:
                raise
            return None

    try:
        eventually(attempt, "a commit is taken")
    finally:
        consumer.close()


def admin(broker):
    return AdminClient({"bootstrap.servers": broker.address, "log_level": 0})


def with_members(case):
    """Ends the members that a case has started, however it ends."""
    def run(broker):
        topic = "group-" + case.__name__[:40].rstrip("_").replace("_", "-")
        create_topic(broker.address, topic)
        members = []

        def member(**config):
            members.append(Member(broker, topic, **config))
            return members[-1]

        try:
            return case(broker, topic, member)
        finally:
            for one in members:
                if one.process.poll() is None:
                    one.kill()
    run.__name__ = case.__name__
    return run


@with_members
def three_members_share_and_the_others_take_over_when_one_leaves(broker, topic, member):
    first, second = member(), member()
    eventually(lambda: shares(first, second), "two members share")
    third = member()
    eventually(lambda: shares(first, second, third), "three members share")
    produce(broker, topic, [str(n) for n in range(100)])
    eventually(lambda: len(first.values + second.values + third.values) == 100, "all is read")
    third.close()
    eventually(lambda: shares(first, second), "two members share again")
    read = sorted(map(int, first.values + second.values + third.values))
    equal(read, list(range(100)), "what was read")


@with_members
def a_killed_members_partitions_go_on_at_its_last_commit(broker, topic, member):
    first = member(enable_auto_commit=False)
    eventually(lambda: shares(first), "one member has everything")
    produce(broker, topic, [f"before {n}" for n in range(40)])
    eventually(lambda: len(first.values) == 40, "all is read")
    equal(first.commit(), {partition: 10 for partition in EVERYTHING}, "the commit")
    produce(broker, topic, [f"after {n}" for n in range(20)])
    eventually(lambda: len(first.values) == 60, "the rest is read, and not committed")
    first.kill()
    second = member(enable_auto_commit=False)
    eventually(lambda: shares(second), "another takes over")
    eventually(lambda: len(second.values) == 20, "it reads what was not committed")
    equal(sorted(second.values), sorted(f"after {n}" for n in range(20)), "what it read")
    equal(committed(broker, topic, topic), {p: 10 for p in EVERYTHING}, "committed offsets")


@with_members
def automatic_commits_are_there_for_the_next_member(broker, topic, member):
    first = member(auto_commit_interval_ms=100)
    produce(broker, topic, [str(n) for n in range(40)])
    eventually(lambda: len(first.values) == 40, "all is read")
    eventually(lambda: committed(broker, topic, topic) == {p: 10 for p in EVERYTHING},
               "the automatic commit is there")
    first.close()
    produce(broker, topic, ["next"] * PARTITIONS)
    second = member()
    eventually(lambda: len(second.values) == PARTITIONS, "the next member goes on")
    equal(second.values, ["next"] * PARTITIONS, "what it reads")


@with_members
def two_groups_each_get_everything(broker, topic, member):
    one, other = member(group_id=topic + "-one"), member(group_id=topic + "-other")
    produce(broker, topic, [str(n) for n in range(40)])
    for group in (one, other):
        eventually(lambda: len(group.values) == 40, "all is read")
        equal(sorted(map(int, group.values)), list(range(40)), "what was read")


@with_members
def a_static_member_that_restarts_keeps_its_partitions(broker, topic, member):
    first = member(group_instance_id="a", session_timeout_ms=30_000)
    second = member(group_instance_id="b", session_timeout_ms=30_000)
    eventually(lambda: shares(first, second), "two members share")
    had, changes = set(first.partitions), second.changes
    first.kill()
    first = member(group_instance_id="a", session_timeout_ms=30_000)
    eventually(lambda: first.partitions, "it is back")
    equal(first.partitions, had, "its partitions")
    equal(second.changes, changes, "rebalances that the other went through")


@with_members
def cooperative_members_keep_what_they_need_not_give(broker, topic, member):
    first = member(partition_assignment_strategy="cooperative-sticky")
    eventually(lambda: shares(first), "one member has everything")
    second = member(partition_assignment_strategy="cooperative-sticky")
    eventually(lambda: shares(first, second), "two members share")
    equal(len(first.partitions), PARTITIONS // 2, "partitions that the first kept")
    second.close()
    eventually(lambda: shares(first), "one member has everything again")


@with_members
def groups_are_listed_described_reset_and_deleted(broker, topic, member):
    first = member(client_id="harness-member")
    produce(broker, topic, [str(n) for n in range(40)])
    eventually(lambda: len(first.values) == 40, "all is read")
    client = admin(broker)  # kept, or what it was asked is never answered
    described = client.describe_consumer_groups([topic])[topic].result(DEADLINE_S)
    equal(described.state.name, "STABLE", "the group's state")
    equal([one.client_id for one in described.members], ["harness-member"], "its members")
    equal(sorted(part.partition for part in described.members[0].assignment.topic_partitions),
          EVERYTHING, "the member's partitions")
    first.close()
    listed = client.list_consumer_groups().result(DEADLINE_S).valid
    if topic not in [group.group_id for group in listed]:
        raise AssertionError(f"{topic} is not listed")
    moved = ConsumerGroupTopicPartitions(topic, [TopicPartition(topic, p, 3) for p in EVERYTHING])
    client.alter_consumer_group_offsets([moved])[topic].result(DEADLINE_S)
    equal(committed(broker, topic, topic), {p: 3 for p in EVERYTHING}, "offsets that were reset")
    client.delete_consumer_groups([topic])[topic].result(DEADLINE_S)
    equal(committed(broker, topic, topic), {p: -1001 for p in EVERYTHING}, "offsets of a deleted group")


@with_members
def members_and_commits_outlive_a_killed_broker(broker, topic, member):
    first = member(enable_auto_commit=False)
    produce(broker, topic, [str(n) for n in range(40)])
    eventually(lambda: len(first.values) == 40, "all is read")
    first.commit()
    broker.keep_port()
    broker.kill()
    broker.start()
    produce(broker, topic, ["afterwards"] * PARTITIONS)
    eventually(lambda: len(first.values) == 40 + PARTITIONS, "the member goes on")
    equal(committed(broker, topic, topic), {p: 10 for p in EVERYTHING}, "committed offsets")


def librdkafka_is_refused_transactions_at_once(broker):
    """Apache Kafka has them: there the same call succeeds."""
    producer = Producer({"bootstrap.servers": broker.address, "transactional.id": "compat-confluent",
                         "log_level": 0})
    begin = time.monotonic()
    try:
        producer.init_transactions(DEADLINE_S)
    except KafkaException as error:
        if broker.name == "kafka":
            raise
        equal(error.args[0].code(), KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "the error")
        took = time.monotonic() - begin
        if took > REFUSAL_S:
            raise AssertionError(f"the refusal took {took:.1f} s") from None
        return f"{took:.1f} s: {error.args[0].str()}"
    equal(broker.name, "kafka", "who has transactions")
    return ""


CASES = [(case.__name__.replace("_", "-"), case) for case in (
    three_members_share_and_the_others_take_over_when_one_leaves,
    a_killed_members_partitions_go_on_at_its_last_commit,
    automatic_commits_are_there_for_the_next_member,
    two_groups_each_get_everything,
    a_static_member_that_restarts_keeps_its_partitions,
    cooperative_members_keep_what_they_need_not_give,
    groups_are_listed_described_reset_and_deleted,
    members_and_commits_outlive_a_killed_broker,
    librdkafka_is_refused_transactions_at_once,
)]

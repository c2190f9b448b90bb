"""The command ci/flush-proof."""

import random
import sys
import time

from confluent_kafka import Producer

from harness import kill9, wire
from harness.behaviour import eventually
from harness.broker import PARTITIONS
from harness.clients.confluent import create_topic
from harness.load import BATCH_BYTES_MAX, Reader, payload, read_log
from harness.power import PoweredSillon, run_cases
from harness.verdicts import CHECKS, History, judge

TOPIC = "proof"
HELD_SECONDS = 2.0   # a flush takes less than a millisecond here
BEFORE, HELD = 100, 100  # records per partition
JOURNAL_BYTES = 8 << 20  # prepared before the start is over, so that the only syncs are rounds
ROUNDS = "/ring-"        # what is in the path of a journal's file
SMALL_BATCHES = {"message.max.bytes": "131072"}  # what so small a journal takes over 4 shards
NO_FLUSH = {"flush.messages": "1000000"}
CUTS = 8


class Sends:
    """Records of one producer, and what was acknowledged."""

    def __init__(self, address, name, acks):
        self.name, self.sent = name, 0
        self.acknowledged = {}  # (partition, offset) -> value
        self.errors = []
        self.producer = Producer({"bootstrap.servers": address, "acks": acks, "linger.ms": 2,
                                  "enable.idempotence": acks == "all", "log_level": 0,
                                  "batch.size": BATCH_BYTES_MAX})

    def send(self, per_partition):
        for _ in range(per_partition * PARTITIONS):
            value = payload(self.name, self.sent)
            self.producer.produce(TOPIC, value, partition=self.sent % PARTITIONS,
                                  on_delivery=self.delivered(value))
            self.sent += 1

    def delivered(self, value):
        def report(error, message):
            if error is None:
                self.acknowledged[message.partition(), message.offset()] = value
            else:
                self.errors.append(str(error))
        return report

    def all_acknowledged(self):
        self.producer.poll(0)
        if self.errors:
            raise AssertionError(f"{self.name}: {self.errors[:3]}")
        return len(self.acknowledged) == self.sent


def log_ends(address):
    with wire.Connection(address) as connection:
        return [connection.list_offset(TOPIC, partition, -1)[2] for partition in range(PARTITIONS)]


def send_and_wait(broker, per_partition):
    sends = Sends(broker.address, "before", "all")
    sends.send(per_partition)
    eventually(sends.all_acknowledged, "acknowledgements")
    return sends


def send_while_held(broker):
    """Two producers' records, on their way until the first round of them waits for its flush."""
    broker.files.hold(ROUNDS)
    producers = [Sends(broker.address, f"held-{acks}", acks) for acks in ("all", "1")]
    for sends in producers:
        sends.send(HELD)
    eventually(broker.files.waiting, "a flush that waits")
    return producers


def check_log(broker, expected):
    """The log holds `expected`, {(partition, offset): value}; returns the ends."""
    ends = log_ends(broker.address)
    log = read_log(broker.address, TOPIC, ends)
    for (partition, offset), value in expected.items():
        if offset >= ends[partition] or log[partition][offset] != value:
            raise AssertionError(f"partition {partition}: offset {offset} was acknowledged, the "
                                 f"log ends at {ends[partition]}")
    return ends


def nothing_of_a_held_round_is_acknowledged_or_readable(broker):
    broker.start()
    create_topic(broker.address, TOPIC)
    reader = Reader(broker.address, TOPIC)
    reader.start()
    try:
        before = send_and_wait(broker, BEFORE)
        eventually(lambda: len(reader.seen) == before.sent, "the reader")
        ends = log_ends(broker.address)
        producers = send_while_held(broker)
        deadline = time.monotonic() + HELD_SECONDS
        while time.monotonic() < deadline:
            for sends in producers:
                sends.producer.poll(0.02)
                if sends.acknowledged or sends.errors:
                    raise AssertionError(f"{sends.name}: {len(sends.acknowledged)} records were "
                                         f"acknowledged while their flush was held {sends.errors[:3]}")
            if len(reader.seen) != before.sent:
                raise AssertionError(f"the consumer read {len(reader.seen) - before.sent} records "
                                     f"while their flush was held")
            if log_ends(broker.address) != ends:
                raise AssertionError(f"ListOffsets said {log_ends(broker.address)}, not {ends}, "
                                     f"while the flush was held")
        held = broker.files.waiting()
        broker.files.release()
        for sends in producers:
            eventually(sends.all_acknowledged, f"{sends.name}: acknowledgements after the flush")
        acknowledged = before.acknowledged | producers[0].acknowledged | producers[1].acknowledged
        eventually(lambda: reader.seen == acknowledged, "the consumer reads what was acknowledged")
    finally:
        reader.stopping.set()
        reader.join()
    broker.stop()
    return (f"{sum(sends.sent for sends in producers)} records waited {HELD_SECONDS:.0f} s for "
            f"{len(held)} held flushes, and came right after them")


def a_power_cut_during_a_flush_loses_what_was_not_acknowledged_and_nothing_else(broker):
    broker.start()
    create_topic(broker.address, TOPIC)
    before = send_and_wait(broker, BEFORE)
    producers = send_while_held(broker)
    broker.kill()
    for sends in producers:
        sends.producer.purge()
        if sends.acknowledged:
            raise AssertionError(f"{sends.name} was acknowledged during the flush")
    broker.start()
    ends = check_log(broker, before.acknowledged)
    if sum(ends) != before.sent:
        raise AssertionError(f"{sum(ends) - before.sent} records came back that were never flushed: "
                             f"the file system does not lose what it should")
    again = send_and_wait(broker, HELD)
    check_log(broker, before.acknowledged | again.acknowledged)
    broker.stop()
    return f"{before.sent} acknowledged records kept, {2 * HELD * PARTITIONS} others lost"


def a_broker_that_does_not_flush_first_is_seen_to_lose_acknowledged_records(broker):
    """The control: at Kafka's own level the same cut loses records, so the proof can see it."""
    broker.start()
    create_topic(broker.address, TOPIC, NO_FLUSH)
    broker.files.hold(ROUNDS)
    sends = Sends(broker.address, "unflushed", "all")
    sends.send(HELD)
    eventually(sends.all_acknowledged, "acknowledgements before the flush")
    broker.kill()
    broker.start()
    try:
        check_log(broker, sends.acknowledged)
    except AssertionError as error:
        broker.kill()
        return f"seen: {error}"
    raise AssertionError("nothing was lost: the file system does not lose what it should")


def a_clean_stop_leaves_nothing_to_lose(broker):
    broker.start()
    create_topic(broker.address, TOPIC)
    before = send_and_wait(broker, 10 * BEFORE)
    broker.stop()
    broker.kill()
    broker.start()
    check_log(broker, before.acknowledged)
    said = broker.log.read_text()
    if said.count("0 journal bytes replayed") != 2:
        raise AssertionError(f"a clean stop left something to replay:\n{said}")
    broker.stop()
    return f"{before.sent} records, nothing to replay"


class TopicAtEachCut(PoweredSillon):
    """Each power cut comes right after a topic's creation was answered: it must be there. Every
    second cut loses all that was not synced; the others hit a round that waits for its flush, and
    lose a part of it."""

    def __init__(self, seed, *arguments):
        super().__init__(*arguments)
        self.random = random.Random(seed)
        self.topics = []

    def kill(self):
        if self.process is not None:
            topic = f"cut-{len(self.topics)}"
            create_topic(self.address, topic)
            self.topics.append(topic)
            self.cut_seed = None
            if len(self.topics) % 2:
                self.cut_seed = self.random.randrange(2**64)
                self.files.hold(ROUNDS)
                eventually(self.files.waiting, "a flush that waits")
        super().kill()

    def start(self):
        seconds = super().start()
        with wire.Connection(self.address) as connection:
            for topic in self.topics:
                error = kill9.until(lambda: connection.list_offset(topic, 0, -1))[0]
                if error:
                    raise AssertionError(f"{topic} was created before the power cut: error {error}")
        return seconds


def power_cuts_under_load_lose_nothing_that_was_acknowledged(broker):
    seed = random.SystemRandom().randrange(10**6)
    broker = TopicAtEachCut(seed, broker.folder, 2, broker.options, broker.arguments)
    restarts = []
    try:
        producers, reader, raw, open_at_kill = kill9.run(broker, CUTS, seed, [1, 2, 4], restarts)
        log = read_log(broker.address, kill9.TOPIC, kill9.high_watermarks(broker.address))
        stored = wire.fetch_all(broker.address, kill9.RAW_TOPIC, 1)[0]
        results = judge(History(log, producers, reader, raw,
                                [batch.leader_epoch for batch in stored], open_at_kill))
        faults = [f"{name}: {complaint}" for name, complaint, _ in results if complaint]
        if faults or len(results) != CHECKS:
            raise AssertionError(f"seed {seed}: {'; '.join(faults)}")
        broker.stop()
    finally:
        PoweredSillon.kill(broker)
    acknowledged = sum(len(producer.acknowledged) for producer in producers)
    worst_ms = max(acknowledged_s for _, acknowledged_s in restarts) * 1000
    return (f"{CUTS} cuts over 1, 2 and 4 shards, {acknowledged} records acknowledged, "
            f"{open_at_kill} open at a cut, seed {seed}, worst restart {worst_ms:.0f} ms")


CASES = [
    nothing_of_a_held_round_is_acknowledged_or_readable,
    a_power_cut_during_a_flush_loses_what_was_not_acknowledged_and_nothing_else,
    a_broker_that_does_not_flush_first_is_seen_to_lose_acknowledged_records,
    a_clean_stop_leaves_nothing_to_lose,
    power_cuts_under_load_lose_nothing_that_was_acknowledged,
]


def main():
    return run_cases("flush-proof", CASES, SMALL_BATCHES, JOURNAL_BYTES)


if __name__ == "__main__":
    sys.exit(main())

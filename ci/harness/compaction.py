"""The command ci/compaction."""

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from harness import segments
from harness.broker import TARGET, Kafka, Sillon
from harness.checks import eventually

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
KEYS = 200
SEGMENT_BYTES = 1 << 20  # the least that Kafka takes
OPTIONS = {"log.cleaner.backoff.ms": "100", "log.segment.bytes": str(SEGMENT_BYTES)}
TOPIC_CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(SEGMENT_BYTES),
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "100",
}
DEADLINE_S = 60
UNDER_LOAD_S = (0.2, 1.5)


class Written:
    """What was sent and acknowledged: by offset, and the newest of each key."""

    def __init__(self):
        self.by_offset = {}
        self.maybe = {}  # by key, values that may or may not be there
        self.errors = []

    def sent(self, key, value):
        def report(error, message):
            if error is None:
                self.by_offset[message.offset()] = (key, value)
            else:
                self.maybe.setdefault(key, set()).add(value)
                self.errors.append(str(error))
        return report

    def newest(self):
        table = {}
        for offset in sorted(self.by_offset):
            key, value = self.by_offset[offset]
            table[key] = (offset, value)
        return table


def create(address, topic):
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    new = NewTopic(topic, num_partitions=1, replication_factor=1, config=TOPIC_CONFIG)
    admin.create_topics([new])[topic].result(30)


def producer(address, codec, **more):
    return Producer({"bootstrap.servers": address, "compression.type": codec, "log_level": 0,
                     "enable.idempotence": True, **more})


def fill(address, topic, written, rounds, codecs=CODECS):
    """Every key in every round; every tenth of them is deleted in the last but one."""
    for round_number in range(rounds):
        codec = codecs[round_number % len(codecs)]
        client = producer(address, codec)
        for number in range(KEYS):
            key = b"key %d" % number
            value = b"%d %d " % (round_number, number) + random.randbytes(700)
            if round_number == rounds - 1 and number % 10 == 0:
                value = None
            client.produce(topic, key=key, value=value, on_delivery=written.sent(key, value))
            client.poll(0)
        if client.flush(DEADLINE_S):
            raise AssertionError("sends are open")
    if written.errors:
        raise AssertionError(f"sends failed: {written.errors[:3]}")


def read(address, topic):
    """Everything in the partition: offset, key, value."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reader", "log_level": 0,
                         "enable.auto.commit": False, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, deadline = {}, time.monotonic() + DEADLINE_S
    while True:
        message = consumer.poll(1)
        if time.monotonic() > deadline:
            raise AssertionError("the end of the partition is not reached")
        if message is None:
            continue
        if message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                consumer.close()
                return found
            raise AssertionError(f"a consumer got {message.error()}")
        found[message.offset()] = (message.key(), message.value())


def judge(found, written, tombstones_may_go=True):
    """Newest of each key at its offset, nothing that was not written."""
    for offset, (key, value) in found.items():
        known = written.by_offset.get(offset)
        if known is None and value not in written.maybe.get(key, ()):
            raise AssertionError(f"offset {offset}: {key} was never written there")
        if known is not None and known != (key, value):
            raise AssertionError(f"offset {offset}: {key}, was {known[0]}")
    last = {}
    for offset in sorted(found):
        last[found[offset][0]] = offset
    for key, (offset, value) in written.newest().items():
        seen = last.get(key)
        if seen == offset or (seen is not None and seen > offset and key in written.maybe):
            continue
        if seen is None and value is None and tombstones_may_go:
            continue
        raise AssertionError(f"the newest record of {key} is at {offset}; a reader has {seen}")


def compacts(broker):
    topic, written = "compacted", Written()
    create(broker.address, topic)
    fill(broker.address, topic, written, 40)
    total = len(written.by_offset)

    def is_small():
        # Closes segments: the active one is never compacted.
        fill(broker.address, topic, written, 1, ("none",))
        found = read(broker.address, topic)
        judge(found, written)
        return found if len(found) < total / 4 else None

    found = eventually(is_small, "compaction")
    size = sum(path.stat().st_size for path in broker.segments(topic, 0))
    print(f"  {len(written.by_offset)} records written, {len(found)} left in {size} bytes")
    broker.keep_port()
    broker.stop()
    broker.start()
    again = read(broker.address, topic)
    judge(again, written)
    print(f"  after a restart: {len(again)} records")


class Load(threading.Thread):
    """Writes keyed records until it is told to end, whatever becomes of the broker."""

    def __init__(self, address, topic, written):
        super().__init__(daemon=True)
        self.address, self.topic, self.written = address, topic, written
        self.is_over = False
        self.failure = None

    def run(self):
        try:
            self.write()
        except Exception as error:  # shown by the main thread
            self.failure = error

    def write(self):
        clients = [producer(self.address, codec, **{"message.timeout.ms": 0, "linger.ms": 5})
                   for codec in CODECS]
        number = 0
        while not self.is_over:
            client = clients[number // 1000 % len(clients)]
            key = b"key %d" % random.randrange(KEYS)
            value = None if random.random() < 0.1 else b"%d " % number + random.randbytes(600)
            try:
                client.produce(self.topic, key=key, value=value,
                               on_delivery=self.written.sent(key, value))
            except BufferError:
                time.sleep(0.01)
            number += 1
            for one in clients:
                one.poll(0)
            if number % 200 == 0:
                time.sleep(0.005)
        for client in clients:
            if client.flush(DEADLINE_S):
                raise AssertionError("sends are open")


def compacts_between_kills(broker, kills):
    topic, written = "killed", Written()
    create(broker.address, topic)
    load = Load(broker.address, topic, written)
    load.start()
    for _ in range(kills):
        time.sleep(random.uniform(*UNDER_LOAD_S))
        broker.kill()
        broker.start()
    acknowledged = len(written.by_offset)
    eventually(lambda: load.failure or len(written.by_offset) > acknowledged + KEYS,
               "records are acknowledged after the last kill")
    load.is_over = True
    load.join(2 * DEADLINE_S)
    if load.failure or load.is_alive():
        raise AssertionError(f"the load did not end: {load.failure}")

    def is_small():
        found = read(broker.address, topic)
        judge(found, written)
        return found if len(found) <= len(written.by_offset) / 2 else None

    found = eventually(is_small, "compaction after the last kill")
    broker.stop()
    broker.start()
    again = read(broker.address, topic)
    judge(again, written)
    print(f"  {kills} kills, {len(written.by_offset)} records acknowledged, {len(found)} left, "
          f"{len(again)} after a clean restart")


def main():
    parser = argparse.ArgumentParser(prog="ci/compaction")
    parser.add_argument("--broker", choices=("sillon", "kafka"), default="sillon")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="leave the data folder")
    options = parser.parse_args()
    random.seed(options.seed)
    print(f"seed {options.seed}")
    folder = Path(tempfile.mkdtemp(prefix="compaction-", dir=TARGET))
    if options.broker == "kafka":
        broker = Kafka(folder, OPTIONS)
    else:
        broker = Sillon(folder, options.shards, OPTIONS)
    try:
        broker.start()
        print("a compacted topic keeps the newest record of each key")
        compacts(broker)
        if options.broker == "sillon":
            print("and so it does when the broker is killed again and again")
            broker.keep_port()
            compacts_between_kills(broker, options.kills)
        broker.stop()
        if options.broker == "sillon":
            count, records, complaints = segments.check_closed(broker.data, ("compacted", "killed"))
            print(f"DumpLogSegments reads {count} closed segments, {records} records")
            if complaints or not count:
                raise AssertionError(complaints[:3] or "no closed segment")
    except AssertionError as failure:
        print(f"FAILED: {failure}\n{broker.log_end()}")
        sys.exit(1)
    finally:
        broker.kill()
        if not options.keep:
            broker.remove()


if __name__ == "__main__":
    main()

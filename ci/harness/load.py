"""Producers and a consumer that go on while the broker is killed under them."""

import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from harness.broker import PARTITIONS
from harness.records import noise

FLUSH_DEADLINE_S = 60
BURST_MAX = 100
BATCH_BYTES_MAX = 100_000  # fits a small journal as well
PAUSE_S = 0.005
RECONNECT = {"reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 100, "log_level": 0}


def payload(name, number):
    """Unique in the run, checkable byte for byte, 10 to 2,000 bytes."""
    return b"%s:%d:" % (name.encode(), number) + noise(number, words=number * 7 % 250)


def parse_payload(value):
    """(producer's name, number), or an AssertionError when the bytes are not what was sent."""
    try:
        name, number, _ = value.split(b":", 2)
        name, number = name.decode(), int(number)
    except ValueError:
        raise AssertionError(f"a value that nobody sent: {value[:60]!r}") from None
    if value != payload(name, number):
        raise AssertionError(f"the value {name}:{number} was changed")
    return name, number


class LoadProducer(threading.Thread):
    """Sends numbered records to all partitions in turn until it is told to stop."""

    def __init__(self, address, topic, name, is_idempotent, random):
        super().__init__(name=name)
        self.topic, self.random = topic, random
        self.is_idempotent = is_idempotent
        self.sent = 0
        self.acknowledged = {}  # number -> (partition, offset)
        self.errors = []
        self.fatal = None
        self.stopping = threading.Event()
        self.producer = Producer({
            "bootstrap.servers": address, "acks": "all", "linger.ms": 2, **RECONNECT,
            "batch.size": BATCH_BYTES_MAX,
            "enable.idempotence": is_idempotent, "error_cb": self.on_error,
        })

    def on_error(self, error):
        if error.fatal():
            self.fatal = str(error)

    def run(self):
        try:
            while not self.stopping.is_set() and self.fatal is None:
                self.send_burst()
                self.producer.poll(PAUSE_S)
                time.sleep(PAUSE_S)
            left = self.producer.flush(FLUSH_DEADLINE_S)
        except KafkaException as error:
            self.fatal = str(error)
            return
        if left:
            self.errors.append(f"{left} records were still open after {FLUSH_DEADLINE_S} s")

    def send_burst(self):
        for _ in range(self.random.randint(1, BURST_MAX)):
            number = self.sent
            try:
                self.producer.produce(self.topic, payload(self.name, number),
                                      partition=number % PARTITIONS,
                                      on_delivery=self.delivered(number))
            except BufferError:
                return
            self.sent += 1

    def delivered(self, number):
        def report(error, message):
            if error is None:
                self.acknowledged[number] = message.partition(), message.offset()
            else:
                self.errors.append(f"record {number}: {error}")
        return report


class Reader(threading.Thread):
    """Reads from the first offset on. What it saw must stay."""

    def __init__(self, address, topic):
        super().__init__(name="reader")
        self.seen = {}  # (partition, offset) -> value
        self.errors = []
        self.stopping = threading.Event()
        self.consumer = Consumer({
            "bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False,
            "auto.offset.reset": "error", **RECONNECT})
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])

    def run(self):
        while not self.stopping.is_set():
            self.take(self.consumer.consume(500, timeout=0.1))
        self.consumer.close()

    def take(self, messages):
        for message in messages:
            error = message.error()
            if error is None:
                place = message.partition(), message.offset()
                if self.seen.setdefault(place, message.value()) != message.value():
                    self.errors.append(f"partition {place[0]} offset {place[1]} changed its value")
            elif not error.retriable() and error.code() not in (
                    KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
                self.errors.append(str(error))


def read_log(address, topic, ends):
    """{partition: [value at each offset]} of everything below `ends`, by a fresh consumer."""
    reader = Reader(address, topic)
    deadline = time.monotonic() + FLUSH_DEADLINE_S
    while len(reader.seen) < sum(ends) and time.monotonic() < deadline and not reader.errors:
        reader.take(reader.consumer.consume(1000, timeout=0.2))
    reader.consumer.close()
    if reader.errors:
        raise AssertionError(f"reading the log: {reader.errors[0]}")
    missing = [(partition, offset) for partition, end in enumerate(ends) for offset in range(end)
               if (partition, offset) not in reader.seen]
    if missing:
        raise AssertionError(f"{len(missing)} of {sum(ends)} offsets below the high watermark "
                             f"cannot be read: {missing[:5]}")
    return {partition: [reader.seen[partition, offset] for offset in range(end)]
            for partition, end in enumerate(ends)}

"""The command ci/disk-errors."""

import re
import sys

from harness import batches, wire
from harness.broker import PARTITIONS
from harness.checks import eventually, now_ms
from harness.clients.confluent import create_topic
from harness.hostile_inputs import Target, create
from harness.power import run_cases

TOPIC = "broken"
JOURNAL_BYTES = 8 << 20
OPTIONS = {"message.max.bytes": "131072"}
STORAGE_ERROR = 56
BEFORE = 40             # records per partition that are acknowledged first
EXIT_DEADLINE_S = 20
EXIT_CODE = 1           # of a broker that cannot go on
VALUE_BYTES = 20_000
RECORDS_OF_A_CHECKPOINT = 400  # of those, a partition: more than the journal holds in all


def value(partition, number):
    return b"%d:%d:" % (partition, number) + bytes(VALUE_BYTES)


class Sender:
    """Raw produce requests, and which of them were acknowledged."""

    def __init__(self, broker):
        self.broker = broker
        self.acknowledged = {}  # (partition, offset) -> (partition, number)
        self.numbers = [0] * PARTITIONS

    def send(self, connection, partition):
        """The error of one more record."""
        number = self.numbers[partition]
        self.numbers[partition] += 1
        batch = wire.build_batch([value(partition, number)], now_ms())
        error, offset, _ = connection.produce(TOPIC, partition, batch)
        if not error:
            self.acknowledged[partition, offset] = partition, number
        return error

    def begin(self):
        self.broker.start()
        create_topic(self.broker.address, TOPIC)
        with wire.Connection(self.broker.address, greets=True) as connection:
            for _ in range(BEFORE):
                for partition in range(PARTITIONS):
                    if error := self.send(connection, partition):
                        raise AssertionError(f"error {error} on a good disk")

    def until_it_breaks(self, count):
        """Sends up to so many records a partition; the errors, and whether the broker hung up."""
        errors, hung_up = set(), False
        try:
            with wire.Connection(self.broker.address, timeout_s=EXIT_DEADLINE_S, greets=True) as c:
                for _ in range(count):
                    for partition in range(PARTITIONS):
                        errors.add(self.send(c, partition))
                    if errors - {0}:
                        break
        except OSError:
            hung_up = True
        return errors - {0}, hung_up

    def check_all(self):
        """Everything acknowledged is there, and nothing else than what was sent."""
        for partition in range(PARTITIONS):
            stored = read_all(self.broker.address, partition)
            for (where, offset), (_, number) in self.acknowledged.items():
                if where == partition and value(partition, number) not in stored.get(offset, b""):
                    raise AssertionError(f"partition {partition}: offset {offset} was acknowledged "
                                         f"and is not there")
        return f"{len(self.acknowledged)} acknowledged records are there"


def read_all(address, partition):
    """{offset: the batch of one record there, as bytes} of a partition."""
    found = {}
    with wire.Connection(address, greets=True) as connection:
        _, _, end = connection.list_offset(TOPIC, partition, -1)
        offset = 0
        while offset < end:
            error, _, data = connection.fetch(TOPIC, partition, offset)
            if error or not data:
                raise AssertionError(f"Fetch at {offset} of {end}: error {error}")
            at = 0
            for batch in batches.parse(data, partial_end=True):
                found[batch.base_offset] = data[at:at + batch.size_bytes]
                at += batch.size_bytes
                offset = batch.last_offset + 1
    return found


def said(broker):
    return re.sub(r"\x1b\[\d*m", "", broker.log.read_text())


def ends(broker, *parts):
    """The broker ends by itself, with the code of a failure, and says all of that."""
    try:
        code = broker.process.wait(EXIT_DEADLINE_S)
    except Exception:
        raise AssertionError(f"it goes on:\n{broker.log_end()}") from None
    broker.process = None
    if code != EXIT_CODE:
        raise AssertionError(f"it ended with {code}:\n{broker.log_end()}")
    text = said(broker)
    for part in parts:
        if part not in text:
            raise AssertionError(f"it does not say {part!r}:\n{broker.log_end()}")


def comes_back(broker, sender):
    """The disk is mended, and has lost what was not synced."""
    broker.files.heal()
    broker.files.cut()
    broker.start()
    note = sender.check_all()
    with wire.Connection(broker.address, greets=True) as connection:
        for partition in range(PARTITIONS):
            if error := sender.send(connection, partition):
                raise AssertionError(f"partition {partition} on the mended disk: error {error}")
    sender.check_all()
    broker.stop()
    return note


def broken_under_load(broker, operation, path, count, *parts):
    sender = Sender(broker)
    sender.begin()
    broker.files.fail(operation, path)
    errors, hung_up = sender.until_it_breaks(count)
    if errors - {STORAGE_ERROR}:
        raise AssertionError(f"errors {errors}, not {STORAGE_ERROR}")
    if not errors and not hung_up:
        raise AssertionError(f"{count} records a partition were acknowledged, "
                             f"{broker.files.failed()} operations failed")
    ends(broker, "Input/output error", *parts)
    heard = "an error" if errors else "the end of its connection"
    return f"the client hears {heard}; {comes_back(broker, sender)}"


def a_journal_that_cannot_be_flushed_takes_the_broker_down_and_acknowledges_nothing(broker):
    return broken_under_load(broker, "sync", "/ring-", 10, "ring-", "fdatasync", "offline",
                             "Mend the disk")


def a_journal_that_cannot_be_written_takes_the_broker_down_and_acknowledges_nothing(broker):
    return broken_under_load(broker, "write", "/ring-", 10, "ring-", "write", "offline",
                             "Mend the disk")


def a_segment_that_cannot_be_written_takes_the_broker_down_and_loses_nothing(broker):
    return broken_under_load(broker, "write", ".log", RECORDS_OF_A_CHECKPOINT, f"{TOPIC}-",
                             "offline", "the journal has it", "Mend the disk")


def a_segment_that_cannot_be_flushed_takes_the_broker_down_and_loses_nothing(broker):
    return broken_under_load(broker, "sync", ".log", RECORDS_OF_A_CHECKPOINT, f"{TOPIC}-",
                             "fdatasync", "offline", "the journal has it", "Mend the disk")


def a_checkpoint_that_cannot_be_flushed_takes_the_broker_down_and_loses_nothing(broker):
    return broken_under_load(broker, "sync", "checkpoint", RECORDS_OF_A_CHECKPOINT, "checkpoint",
                             "offline", "the journal has it", "Mend the disk")


def a_metadata_log_that_cannot_be_flushed_takes_the_broker_down(broker):
    sender = Sender(broker)
    sender.begin()
    broker.files.fail("sync", "metadata.log")
    heard = create(Target(broker.address), wire.string("never"))
    if heard == "error 0":
        raise AssertionError("a topic was created that is not on disk")
    ends(broker, "metadata.log", "Input/output error")
    return f"the client hears {heard!r}; {comes_back(broker, sender)}"


def a_segment_that_cannot_be_read_takes_its_partition_offline_and_no_other(broker):
    sender = Sender(broker)
    sender.begin()
    broker.stop()
    broker.start()  # nothing is in memory any more
    broker.keep_port()
    broken = f"{TOPIC}-1/"
    broker.files.fail("read", broken)

    def error_of(partition):
        """The error of a Fetch; None when the connection ended instead."""
        try:
            with wire.Connection(broker.address, greets=True) as connection:
                return connection.fetch(TOPIC, partition, 3)[0]
        except OSError:
            return None

    eventually(lambda: error_of(1) == STORAGE_ERROR, "an error for the partition")
    for partition in (0, 2, 3):
        if error := error_of(partition):
            raise AssertionError(f"partition {partition} is whole, and hears error {error}")
    for _ in range(50):
        if (error := error_of(1)) != STORAGE_ERROR:
            raise AssertionError(f"later its readers hear error {error}")
    with wire.Connection(broker.address, greets=True) as connection:
        for partition in (0, 2, 3):
            if error := sender.send(connection, partition):
                raise AssertionError(f"partition {partition} is whole, and takes none: {error}")
        if (error := sender.send(connection, 1)) != STORAGE_ERROR:
            raise AssertionError(f"a producer to it hears error {error}")
    lines = [line for line in said(broker).splitlines() if "the partition is offline" in line]
    if len(lines) != 1 or f"{TOPIC}-1" not in lines[0]:
        raise AssertionError(f"it says {len(lines)} times that a partition is offline: {lines[:3]}")
    if broker.process.poll() is not None:
        raise AssertionError("the broker ended")
    broker.files.heal()
    broker.stop()
    return comes_back(broker, sender)


CASES = [
    a_journal_that_cannot_be_flushed_takes_the_broker_down_and_acknowledges_nothing,
    a_journal_that_cannot_be_written_takes_the_broker_down_and_acknowledges_nothing,
    a_segment_that_cannot_be_written_takes_the_broker_down_and_loses_nothing,
    a_segment_that_cannot_be_flushed_takes_the_broker_down_and_loses_nothing,
    a_checkpoint_that_cannot_be_flushed_takes_the_broker_down_and_loses_nothing,
    a_metadata_log_that_cannot_be_flushed_takes_the_broker_down,
    a_segment_that_cannot_be_read_takes_its_partition_offline_and_no_other,
]


def main():
    return run_cases("disk-errors", CASES, OPTIONS, JOURNAL_BYTES)


if __name__ == "__main__":
    sys.exit(main())

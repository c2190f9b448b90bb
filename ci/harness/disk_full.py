"""The command ci/disk-full."""

import argparse
import os
import random
import re
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource,
                                   ResourceType)

from harness import kill9, wire
from harness.broker import TARGET, Sillon
from harness.checks import eventually, now_ms
from harness.clients.confluent import create_topic
from harness.image import Ext4Image
from harness.load import LoadProducer, Reader, read_log
from harness.verdicts import CHECKS, History, judge, prove

DISK_BYTES = 256 << 20
JOURNAL = "16MiB"
OPTIONS = {"message.max.bytes": "262144", "log.retention.check.interval.ms": "500",
           "log.segment.delete.delay.ms": "0", "offsets.topic.num.partitions": "2"}
STORAGE_ERROR = 56
# What a group's commit hears when its record cannot be written: its client tries again.
COMMIT_ERRORS = {15, STORAGE_ERROR}
FILLER_BYTES = 200_000
FILL_DEADLINE_S = 60
FULL, NOT_FULL = "no space left on", "there is space again on"


class QuietProducer(LoadProducer):
    """One that leaves most of the disk to others. What is refused it tries again for minutes."""

    def run(self):
        try:
            while not self.stopping.is_set() and self.fatal is None:
                self.send_burst()
                self.producer.poll(0.1)
                time.sleep(0.1)
            left = self.producer.flush(60)
        except KafkaException as error:
            self.fatal = str(error)
            return
        if left:
            self.errors.append(f"{left} records were still open at the end")


def fill(broker, topic):
    """Produces to a topic until the disk is full; its offsets that were acknowledged."""
    batch = wire.build_batch([os.urandom(FILLER_BYTES)], now_ms())
    deadline, last = time.monotonic() + FILL_DEADLINE_S, -1
    with wire.Connection(broker.address, greets=True) as connection:
        while True:
            error, offset, _ = connection.produce(topic, 0, batch)
            if error:
                return error, last + 1
            last = offset
            if time.monotonic() > deadline:
                raise AssertionError(f"the disk is not full after {FILL_DEADLINE_S} s")


def expect_full(error):
    if error != STORAGE_ERROR:
        raise AssertionError(f"a full disk is answered with error {error}, not {STORAGE_ERROR}")


def said(broker, *texts):
    """The lines of the broker's log that have one of them."""
    log = re.sub(r"\x1b\[\d*m", "", broker.log.read_text())
    return [line for line in log.splitlines() if any(text in line for text in texts)]


def has_space(broker):
    """Whether it has said so since it last said the opposite: else it does not say that again."""
    lines = said(broker, FULL, NOT_FULL)
    return not lines or NOT_FULL in lines[-1]


def reads_go_on(broker, topic, end):
    with wire.Connection(broker.address, greets=True) as connection:
        for offset in range(0, end, max(end // 20, 1)):
            error, _, data = connection.fetch(topic, 0, offset)
            if error or not data:
                raise AssertionError(f"Fetch of {topic} at {offset}: error {error}, {len(data)} bytes")


def creation_error(broker, name):
    """The code of a CreateTopics, by version 2."""
    from harness.hostile_inputs import Target, create
    said = create(Target(broker.address), wire.string(name))
    if not said.startswith("error "):
        raise AssertionError(f"CreateTopics: {said}")
    return int(said.removeprefix("error "))


def commit_error(broker, offset):
    consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "fields", "log_level": 0,
                         "enable.auto.commit": False})
    try:
        consumer.commit(offsets=[TopicPartition(kill9.TOPIC, 0, offset)], asynchronous=False)
    except KafkaException as error:
        return error.args[0].code()
    finally:
        consumer.close()
    return 0


def by_ballast(broker, topic, ballast):
    ballast.unlink()


def by_deleting_records(broker, topic, _):
    admin = AdminClient({"bootstrap.servers": broker.address})
    for done in admin.delete_records([TopicPartition(topic, 0, -1)]).values():
        done.result(30)


def by_deleting_the_topic(broker, topic, _):
    admin = AdminClient({"bootstrap.servers": broker.address})
    for done in admin.delete_topics([topic]).values():
        done.result(30)


def by_retention(broker, topic, _):
    admin = AdminClient({"bootstrap.servers": broker.address})
    entry = ConfigEntry("retention.bytes", "1048576", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)


WAYS = [by_ballast, by_deleting_records, by_deleting_the_topic, by_retention]


class Run:
    def __init__(self, broker, image, seed):
        self.broker, self.image, self.seed = broker, image, seed
        self.passed = self.failed = 0
        self.raw = kill9.RawProducer()
        self.producers, self.reader = [], None

    def verdict(self, name, problem=None, note=""):
        self.passed, self.failed = self.passed + (not problem), self.failed + bool(problem)
        print(f"FAIL {name}: {problem}" if problem else f"ok   {name} {note}", flush=True)

    def check(self, name, attempt):
        try:
            note = attempt()
        except AssertionError as error:
            self.verdict(name, str(error))
        else:
            self.verdict(name, note=note or "")

    def begin(self):
        self.broker.start()
        create_topic(self.broker.address, kill9.TOPIC)
        create_topic(self.broker.address, kill9.RAW_TOPIC)
        self.broker.keep_port()
        self.raw.after_start(self.broker)
        if commit_error(self.broker, 1):
            raise AssertionError("no group can commit before the disk is full")
        self.producers = [
            QuietProducer(self.broker.address, kill9.TOPIC, f"{kind}-{number}",
                          kind == "idempotent", random.Random(f"{self.seed} {kind} {number}"))
            for kind in ("idempotent", "plain") for number in range(2)]
        self.reader = Reader(self.broker.address, kill9.TOPIC)
        for thread in [*self.producers, self.reader]:
            thread.start()

    def end(self):
        for thread in [*self.producers, self.reader]:
            thread.stopping.set()
        for thread in [*self.producers, self.reader]:
            thread.join()

    def round(self, number, way):
        broker, name = self.broker, way.__name__.replace("_", "-")
        topic = f"filler-{number}"
        create_topic(broker.address, topic, {"segment.bytes": "1048576"})
        ballast = self.image.mountpoint / "ballast"
        if way is by_ballast:
            size = self.image.free_bytes() - (24 << 20)
            with open(ballast, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        eventually(lambda: has_space(broker), "a line that says that there is space again")
        told = len(said(broker, FULL))
        error, end = fill(broker, topic)

        def refused():
            expect_full(error)
            return f"after {end} batches, {self.image.free_bytes() >> 10} KiB are free"

        def named():
            lines = eventually(lambda: said(broker, FULL)[told:], "a line that says so")
            if str(self.image.mountpoint) not in lines[0]:
                raise AssertionError(f"{lines[0]} does not name the mount")
            if len(lines) > broker.shards:
                raise AssertionError(f"{len(lines)} lines: {lines[:3]}")
            return f"{len(lines)} lines"

        def administered():
            created = creation_error(broker, f"while-full-{number}")
            committed = commit_error(broker, 10 + number)
            if created not in {0, STORAGE_ERROR} or committed not in COMMIT_ERRORS | {0}:
                raise AssertionError(f"CreateTopics: error {created}, OffsetCommit: {committed}")
            return f"CreateTopics: error {created}, OffsetCommit: {committed}"

        def restarted():
            acknowledged = kill9.last_acknowledged(self.producers)
            broker.kill()
            seconds = broker.start()
            kill9.check_watermarks(broker.address, acknowledged)
            reads_go_on(broker, topic, end)
            return f"ready after {seconds * 1000:.0f} ms"

        def resumed():
            before = [len(producer.acknowledged) for producer in self.producers]
            way(broker, topic, ballast)
            begin = time.monotonic()
            with wire.Connection(broker.address, greets=True) as connection:
                batch = wire.build_batch([b"again"], now_ms())
                eventually(lambda: connection.produce(kill9.RAW_TOPIC, 1, batch)[0] == 0, "Produce")
            seconds = time.monotonic() - begin
            kill9.wait_for_acknowledgements(self.producers, before)
            self.raw.after_start(broker)
            eventually(lambda: commit_error(broker, 20 + number) == 0, "OffsetCommit")
            eventually(lambda: creation_error(broker, f"again-{number}") == 0, "CreateTopics")
            return f"{seconds:.1f} s later"

        self.check(f"{name}: appends are refused as KAFKA_STORAGE_ERROR", refused)
        self.check(f"{name}: one line names the mount", named)
        self.check(f"{name}: reads go on", lambda: reads_go_on(broker, topic, end))
        self.check(f"{name}: administration and groups are told", administered)
        self.check(f"{name}: a kill on the full disk loses nothing", restarted)
        self.check(f"{name}: it fills up again",
                   lambda: expect_full(fill(broker, topic)[0]))
        self.check(f"{name}: everything resumes by itself", resumed)
        if way in (by_ballast, by_retention):
            by_deleting_the_topic(broker, topic, None)

    def judge(self):
        broker = self.broker
        log = read_log(broker.address, kill9.TOPIC, kill9.high_watermarks(broker.address))
        stored = wire.fetch_all(broker.address, kill9.RAW_TOPIC, 1)[0]
        results = judge(History(log, self.producers, self.reader, self.raw,
                                [batch.leader_epoch for batch in stored]))
        for name, complaint, note in results:
            self.verdict(name, complaint, f"({note})")
        self.verdict("every check was made",
                     None if len(results) == CHECKS else f"{len(results)} of {CHECKS}")


def main():
    parser = argparse.ArgumentParser(prog="ci/disk-full")
    parser.add_argument("--rounds", type=int, default=1, help="how often each way is taken")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="keep the broker's log")
    options = parser.parse_args()
    prove()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    folder = TARGET / "disk-full"
    folder.mkdir(parents=True, exist_ok=True)
    work = tempfile.mkdtemp(dir=folder)
    image = Ext4Image(work, DISK_BYTES)
    broker = Sillon(work, options.shards, OPTIONS, [f"--journal={JOURNAL}", "--memory=128MiB"])
    broker.data = image.mountpoint / "data"
    run = Run(broker, image, seed)
    print(f"     {DISK_BYTES >> 20} MiB of ext4, {options.shards} shards, seed {seed}", flush=True)
    try:
        image.mount()
        run.begin()
        try:
            for number in range(options.rounds * len(WAYS)):
                run.round(number, WAYS[number % len(WAYS)])
        finally:
            run.end()
        run.judge()
        broker.stop()
    except AssertionError as error:
        run.verdict("the run", f"{error}\n     the broker's last words:\n{broker.log_end()}")
    finally:
        broker.kill()
        image.unmount()
        if run.failed or options.keep:
            print(f"     its log: {broker.log}")
        else:
            broker.remove()
    print(f"disk-full: {run.passed} passed, {run.failed} failed")
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())

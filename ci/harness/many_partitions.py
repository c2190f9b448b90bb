"""The command ci/many-partitions."""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from harness import wire
from harness.broker import TARGET, Sillon
from harness.checks import now_ms
from harness.process import status

TOPICS = 20
MEMORY = "256MiB"
BATCH_BYTES = 256 << 10
BATCH_RECORDS = BATCH_BYTES // 1010
IN_FLIGHT = 8
CONNECTIONS = 4
SETTLE_S = 20           # until write-back and the checkpoint are done
OPTIONS = {"log.segment.bytes": "1073741824"}


def doctor(broker):
    """What `sillon doctor` says of the broker's options, as JSON."""
    command = [argument for argument in broker.command() if argument != "serve"]
    command.insert(1, "doctor")
    done = subprocess.run([*command, "--format", "json"], stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def descriptors(broker):
    return len(list(Path(f"/proc/{broker.process.pid}/fd").iterdir()))


class Loader(threading.Thread):
    """Fills some partitions in turn over one connection."""

    def __init__(self, address, places, batches_each):
        super().__init__()
        self.address, self.places, self.batches_each = address, places, batches_each
        self.failure = None

    def run(self):
        try:
            self.load()
        except Exception as error:  # Told by who waits for this thread.
            self.failure = error

    def load(self):
        batch = wire.build_batch([bytes([number % 256]) * 1000 for number in range(BATCH_RECORDS)],
                                 now_ms())
        sent = []
        with wire.Connection(self.address, timeout_s=120, greets=True) as connection:
            def receive():
                error = wire.produce_answer(connection.receive(sent.pop(0)))[1]
                if error:
                    raise AssertionError(f"Produce: error {error}")

            for _ in range(self.batches_each):
                for topic, partition in self.places:
                    body = wire.produce_body(topic, partition, batch)
                    sent.append(connection.send(wire.PRODUCE, 3, body))
                    if len(sent) >= IN_FLIGHT:
                        receive()
            while sent:
                receive()


class Run:
    def __init__(self, broker, arithmetic, partitions):
        self.broker, self.arithmetic, self.partitions = broker, arithmetic, partitions
        self.passed = self.failed = 0

    def verdict(self, name, problem, note):
        self.passed, self.failed = self.passed + (not problem), self.failed + bool(problem)
        print(f"FAIL {name}: {problem}" if problem else f"ok   {name}: {note}", flush=True)

    def compare(self, when):
        memory, files = self.arithmetic["memory"], self.arithmetic["descriptors"]
        allowed = memory["total_bytes"] + self.partitions * memory["per_partition_bytes"]
        resident = status(self.broker, "VmRSS")
        note = f"{resident >> 20} MiB resident (most {status(self.broker, 'VmHWM') >> 20}), " \
               f"{allowed >> 20} by the doctor's arithmetic"
        self.verdict(f"{when}: memory", note if resident > allowed else "", note)
        most = files["base"] + files["readers_max"] + self.partitions * files["per_active_partition"]
        count = descriptors(self.broker)
        note = f"{count} descriptors, {most} by the doctor's arithmetic"
        self.verdict(f"{when}: descriptors", note if count > most else "", note)


def cost_of_partitions(run, when, before):
    """What each partition took, against what the doctor says."""
    taken = (status(run.broker, "VmRSS") - before) / run.partitions
    allowed = run.arithmetic["memory"]["per_partition_bytes"]
    note = f"{taken / 1024:.1f} KiB a partition, {allowed / 1024:.0f} by the doctor's arithmetic"
    run.verdict(f"{when}: a partition", note if taken > allowed else "", note)


def create_topics(broker, partitions):
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    topics = [NewTopic(f"field-{number}", num_partitions=partitions // TOPICS, replication_factor=1)
              for number in range(TOPICS)]
    for done in admin.create_topics(topics, request_timeout=120).values():
        done.result(120)
    return [(topic.topic, partition) for topic in topics for partition in range(partitions // TOPICS)]


def load(broker, places, total_bytes):
    batches_each = max(1, total_bytes // BATCH_BYTES // len(places))
    begin = time.monotonic()
    loaders = [Loader(broker.address, places[number::CONNECTIONS], batches_each)
               for number in range(CONNECTIONS)]
    for loader in loaders:
        loader.start()
    peak = 0
    while any(loader.is_alive() for loader in loaders):
        peak = max(peak, status(broker, "VmRSS"))
        time.sleep(0.5)
    for loader in loaders:
        loader.join()
        if loader.failure:
            raise AssertionError(f"loading: {loader.failure}")
    seconds = time.monotonic() - begin
    loaded = batches_each * len(places) * BATCH_BYTES
    note = f"{loaded / 1e9:.1f} GB in {seconds:.0f} s, {loaded / 1e6 / seconds:.0f} MB/s"
    return peak, batches_each * BATCH_RECORDS, note


def check_ends(broker, places, expected):
    with wire.Connection(broker.address, timeout_s=60, greets=True) as connection:
        for topic, partition in places:
            error, _, end = connection.list_offset(topic, partition, -1)
            if error or end != expected:
                raise AssertionError(f"{topic}-{partition}: error {error}, {end} records, "
                                     f"not {expected}")


def main():
    parser = argparse.ArgumentParser(prog="ci/many-partitions")
    parser.add_argument("--gigabytes", type=float, default=10)
    parser.add_argument("--partitions", type=int, default=2000)
    parser.add_argument("--keep", action="store_true", help="keep the broker's folder")
    options = parser.parse_args()
    folder = TARGET / "many-partitions"
    folder.mkdir(parents=True, exist_ok=True)
    work = tempfile.mkdtemp(dir=folder)
    broker = Sillon(work, 2, OPTIONS, [f"--memory={MEMORY}"])
    run = Run(broker, doctor(broker), options.partitions)
    try:
        ready_s = broker.start()
        run.verdict("start", "", f"ready after {ready_s * 1000:.0f} ms")
        time.sleep(2)
        empty = status(broker, "VmRSS")
        run.compare("empty")
        places = create_topics(broker, options.partitions)
        time.sleep(5)
        run.compare("created")
        cost_of_partitions(run, "created", empty)
        peak, records, note = load(broker, places, int(options.gigabytes * 1e9))
        allowed = run.arithmetic["memory"]["total_bytes"] + \
            options.partitions * run.arithmetic["memory"]["per_partition_bytes"]
        note += f", at most {peak >> 20} MiB resident, {allowed >> 20} by the doctor's arithmetic"
        run.verdict("under load", note if peak > allowed else "", note)
        time.sleep(SETTLE_S)
        run.compare("loaded, idle")
        check_ends(broker, places, records)
        broker.stop()
        ready_s = broker.start()
        run.verdict("restart", "", f"ready after {ready_s * 1000:.0f} ms")
        check_ends(broker, places, records)
        time.sleep(5)
        run.compare("restarted, idle")
        broker.kill()
        ready_s = broker.start()
        run.verdict("restart after a kill", "", f"ready after {ready_s * 1000:.0f} ms")
        check_ends(broker, places, records)
        with wire.Connection(broker.address, timeout_s=60, greets=True) as connection:
            for topic, partition in places:
                error, _, data = connection.fetch(topic, partition, 0)
                if error or not data:
                    raise AssertionError(f"{topic}-{partition}: error {error}, {len(data)} bytes")
        time.sleep(5)
        run.compare("read, idle")
        broker.stop()
    except AssertionError as error:
        run.verdict("the run", f"{error}\n     the broker's last words:\n{broker.log_end()}", "")
    finally:
        broker.kill()
        if options.keep:
            print(f"     its folder: {work}")
        else:
            broker.remove()
    print(f"many-partitions: {run.passed} passed, {run.failed} failed")
    return 1 if run.failed or not run.passed else 0


if __name__ == "__main__":
    sys.exit(main())

"""The command ci/recovery."""

import argparse
import os
import random
import re
import sys
import tempfile
import threading
import time
from collections import deque

from confluent_kafka.admin import AdminClient, NewTopic

from harness import wire
from harness.broker import TARGET, Sillon

TOPIC = "recovery"
PARTITION_COUNT = 100
GIGABYTES = 10
RESTART_S_MAX = 1.0
BATCH_BYTES = 900_000       # below max.message.bytes
CONNECTIONS = 2
IN_FLIGHT = 8               # requests on one connection
KILLS_MAX = 5               # until one leaves enough to replay
RECOVERY_BYTES_MAX = 256 << 20  # the default of recovery.bytes.max
REPLAYED_SHARE_MIN = 0.5    # of it; the rest depends on where the kill meets a checkpoint
TRANSIENT = {3, 5, 6}       # unknown topic, no leader, not the leader: a start that goes on


class Filler(threading.Thread):
    """Sends batches to all partitions in turn, pipelined, until told to stop."""

    def __init__(self, address, first):
        super().__init__()
        self.connection = wire.Connection(address, timeout_s=120, greets=True)
        self.partition = first
        self.batch = wire.build_batch([random.Random(first).randbytes(BATCH_BYTES)],
                                      int(time.time() * 1000))
        self.last = {}  # partition -> last acknowledged offset
        self.bytes = 0
        self.stopping = threading.Event()
        self.is_killed = False
        self.error = None

    def run(self):
        open_requests = deque()
        try:
            while not self.stopping.is_set() or open_requests:
                while len(open_requests) < IN_FLIGHT and not self.stopping.is_set():
                    self.partition = (self.partition + 1) % PARTITION_COUNT
                    open_requests.append(self.connection.send(
                        wire.PRODUCE, 3, wire.produce_body(TOPIC, self.partition, self.batch)))
                if open_requests:
                    answer = self.connection.receive(open_requests.popleft())
                    partition, error, offset, _ = wire.produce_answer(answer)
                    if error:
                        raise AssertionError(f"partition {partition}: error {error}")
                    self.last[partition] = offset
                    self.bytes += len(self.batch)
        except OSError as error:
            if not self.is_killed:
                self.error = str(error)
        except AssertionError as error:
            self.error = str(error)


def load(broker, goal_bytes, then_kill):
    """Produces that much; kills the broker at full load if told to. Returns the last acknowledged
    offsets."""
    fillers = [Filler(broker.address, number * PARTITION_COUNT // CONNECTIONS)
               for number in range(CONNECTIONS)]
    for filler in fillers:
        filler.start()
    while sum(filler.bytes for filler in fillers) < goal_bytes:
        if any(filler.error or not filler.is_alive() for filler in fillers):
            break
        time.sleep(0.005)
    if then_kill:
        for filler in fillers:
            filler.is_killed = True
        broker.kill()
    for filler in fillers:
        filler.stopping.set()
    for filler in fillers:
        filler.join()
        if filler.error:
            raise AssertionError(f"under load: {filler.error}")
    last = {}
    for filler in fillers:
        for partition, offset in filler.last.items():
            last[partition] = max(last.get(partition, -1), offset)
    return last


def drop_page_cache():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
        control.write("3")


def acknowledged_everywhere(address):
    """Sends one record to each partition until it is acknowledged: {partition: offset}"""
    batch = wire.build_batch([b"after the restart"], int(time.time() * 1000))
    offsets, missing = {}, set(range(PARTITION_COUNT))
    with wire.Connection(address, greets=True) as connection:
        while missing:
            sent = [connection.send(wire.PRODUCE, 3, wire.produce_body(TOPIC, partition, batch))
                    for partition in sorted(missing)]
            for correlation in sent:
                partition, error, offset, _ = wire.produce_answer(
                    connection.receive(correlation))
                if error == 0:
                    offsets[partition] = offset
                    missing.discard(partition)
                elif error not in TRANSIENT:
                    raise AssertionError(f"partition {partition} after the restart: error {error}")
    return offsets


def restart(broker):
    """(seconds from the start of the process to the last partition's acknowledgement, seconds to
    ready, bytes replayed, offsets)"""
    log_from = broker.log.stat().st_size
    begin = time.monotonic()
    ready_s = broker.start()
    offsets = acknowledged_everywhere(broker.address)
    seconds = time.monotonic() - begin
    said = broker.log.read_bytes()[log_from:].decode(errors="replace")
    replayed = int(re.search(r"(\d+) journal bytes replayed", said)[1])
    return seconds, ready_s, replayed, offsets


def check_offsets(before, after):
    lost = {partition: (offset, after[partition]) for partition, offset in before.items()
            if after[partition] <= offset}
    if lost:
        raise AssertionError(f"acknowledged before the kill, assigned again after it "
                             f"(partition: before, after): {lost}")


def run(broker, gigabytes):
    broker.start()
    admin = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})
    admin.create_topics([NewTopic(TOPIC, num_partitions=PARTITION_COUNT,
                                  replication_factor=1)])[TOPIC].result(30)
    begin = time.monotonic()
    goal = int(gigabytes * 1e9)
    load(broker, goal, then_kill=False)
    seconds = time.monotonic() - begin
    print(f"     {gigabytes} GB in {seconds:.0f} s, {goal / seconds / 2**20:.0f} MiB/s", flush=True)
    for _ in range(KILLS_MAX):
        last = load(broker, 2 * RECOVERY_BYTES_MAX, then_kill=True)
        drop_page_cache()
        seconds, ready_s, replayed, offsets = restart(broker)
        print(f"     ready after {ready_s * 1000:.0f} ms, all partitions acknowledged after "
              f"{seconds * 1000:.0f} ms, {replayed / 2**20:.0f} MiB replayed", flush=True)
        check_offsets(last, offsets)
        if replayed >= RECOVERY_BYTES_MAX * REPLAYED_SHARE_MIN:
            break
    else:
        raise AssertionError(f"no kill of {KILLS_MAX} left half of recovery.bytes.max to replay")
    if seconds >= RESTART_S_MAX:
        raise AssertionError(f"{seconds:.2f} s to acknowledgements in all partitions")
    broker.stop()


def main():
    parser = argparse.ArgumentParser(prog="ci/recovery")
    parser.add_argument("--gigabytes", type=float, default=GIGABYTES)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    folder = TARGET / "recovery"
    folder.mkdir(parents=True, exist_ok=True)
    work = tempfile.mkdtemp(dir=folder)
    broker = Sillon(work, options.shards, {"log.segment.bytes": str(1 << 30)})
    failed = 0
    try:
        run(broker, options.gigabytes)
        print("ok   a restart acknowledges in every partition in time")
    except AssertionError as error:
        failed = 1
        print(f"FAIL a restart acknowledges in every partition in time: {error}\n"
              f"{broker.log_end()}")
    finally:
        broker.remove()
    print(f"recovery: {1 - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(main())

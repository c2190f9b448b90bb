"""The command ci/kill9."""

import argparse
import random
import sys
import tempfile
import time

from harness import wire
from harness.broker import PARTITIONS, TARGET, Kafka, Sillon
from harness.clients.confluent import create_topic
from harness.load import LoadProducer, Reader, read_log
from harness.verdicts import CHECKS, History, judge, prove

TOPIC, RAW_TOPIC = "load", "raw"
IDEMPOTENT, PLAIN = 2, 2
KILLS = 20
SMALL_JOURNAL = "16MiB"  # over 4 shards it wraps every 4 MiB
SMALL_BATCHES = {"message.max.bytes": "262144"}  # what so small a journal takes over 4 shards
UNDER_LOAD_S = (0.2, 1.2)  # from the first acknowledgement after a start to the kill
RECOVERY_DEADLINE_S = 60


class RawProducer:
    """One record for each life of the broker, by raw requests: its producer id, its leader epoch
    and its duplicates are looked at across the kill."""

    def __init__(self):
        self.producer_ids = []
        self.last = None       # (partition, batch, base offset)
        self.duplicates = 0
        self.failures = {"ids": [], "duplicates": []}

    def after_start(self, broker):
        """Retries the batch that was acknowledged before the kill, then sends a new one."""
        with wire.Connection(broker.address) as connection:
            if self.last is not None:
                batch, offset = self.last
                got = retry_produce(connection, batch)
                self.duplicates += 1
                if got != (0, offset):
                    self.failures["duplicates"].append(
                        f"the retry of the batch at offset {offset} was answered with error "
                        f"{got[0]}, offset {got[1]}")
            error, producer_id, epoch = init_producer_id(connection)
            if error or producer_id in self.producer_ids:
                self.failures["ids"].append(f"error {error}, producer id {producer_id} after "
                                            f"{self.producer_ids}")
            self.producer_ids.append(producer_id)
            batch = wire.build_batch([b"life %d" % len(self.producer_ids)],
                                     int(time.time() * 1000), producer_id, epoch, 0)
            error, offset = retry_produce(connection, batch)
            if error:
                self.failures["duplicates"].append(f"a new producer's first batch: error {error}")
            self.last = batch, offset


def until(attempt):
    """The first answer that is no transient error: a broker that starts may need a moment."""
    deadline = time.monotonic() + RECOVERY_DEADLINE_S
    transient = {3, 5, 6, 14, 15, 16}  # unknown, no or another leader, coordinator not ready
    while True:
        answer = attempt()
        if answer[0] not in transient or time.monotonic() > deadline:
            return answer
        time.sleep(0.01)


def init_producer_id(connection):
    return until(connection.init_producer_id)


def retry_produce(connection, batch):
    return until(lambda: connection.produce(RAW_TOPIC, 0, batch)[:2])


def wait_for_acknowledgements(producers, before):
    """Seconds until each producer got an acknowledgement beyond those it had."""
    begin = time.monotonic()
    while any(len(producer.acknowledged) <= count for producer, count in zip(producers, before)):
        for producer in producers:
            if producer.fatal or producer.errors:
                raise AssertionError(f"{producer.name}: {producer.fatal or producer.errors[0]}")
        if time.monotonic() - begin > RECOVERY_DEADLINE_S:
            raise AssertionError(f"no acknowledgement within {RECOVERY_DEADLINE_S} s of a start")
        time.sleep(0.005)
    return time.monotonic() - begin


def high_watermarks(address):
    with wire.Connection(address) as connection:
        return [until(lambda: connection.list_offset(TOPIC, partition, -1))[2]
                for partition in range(PARTITIONS)]


def check_watermarks(address, acknowledged):
    """Right after a restart nothing acknowledged before may lie beyond the high watermark."""
    for partition, (end, last) in enumerate(zip(high_watermarks(address), acknowledged)):
        if end <= last:
            raise AssertionError(f"partition {partition}: offset {last} was acknowledged before "
                                 f"the kill, the high watermark is {end} after it")


def last_acknowledged(producers):
    last = [-1] * PARTITIONS
    for producer in producers:
        for partition, offset in list(producer.acknowledged.values()):
            last[partition] = max(last[partition], offset)
    return last


def run(broker, kills, seed, shards, restarts):
    """Loads, kills and restarts. Returns what the checks look at."""
    choose = random.Random(seed)
    broker.shards = choose.choice(shards)
    broker.start()
    create_topic(broker.address, TOPIC)
    create_topic(broker.address, RAW_TOPIC)
    broker.keep_port()
    raw = RawProducer()
    raw.after_start(broker)
    producers = [LoadProducer(broker.address, TOPIC, f"{kind}-{number}", kind == "idempotent",
                              random.Random(f"{seed} {kind} {number}"))
                 for kind, count in (("idempotent", IDEMPOTENT), ("plain", PLAIN))
                 for number in range(count)]
    reader = Reader(broker.address, TOPIC)
    threads = [*producers, reader]
    for thread in threads:
        thread.start()
    open_at_kill = 0
    try:
        before = [0] * len(producers)
        for kill in range(kills):
            wait_for_acknowledgements(producers, before)
            time.sleep(choose.uniform(*UNDER_LOAD_S))
            broker.kill()
            before = [len(producer.acknowledged) for producer in producers]
            open_at_kill += sum(producer.sent for producer in producers) - sum(before)
            acknowledged = last_acknowledged(producers)
            broker.shards = choose.choice(shards)
            ready_s = broker.start()
            check_watermarks(broker.address, acknowledged)
            raw.after_start(broker)
            restarts.append((ready_s, wait_for_acknowledgements(producers, before)))
    finally:
        for thread in threads:
            thread.stopping.set()
        for thread in threads:
            thread.join()
    return producers, reader, raw, open_at_kill


def report(restarts):
    if not restarts:
        return
    for name, column in (("ready", 0), ("first acknowledgements", 1)):
        times = sorted(restart[column] * 1000 for restart in restarts)
        print(f"     {name}: median {times[len(times) // 2]:.0f} ms, worst {times[-1]:.0f} ms")


def main():
    parser = argparse.ArgumentParser(prog="ci/kill9")
    parser.add_argument("--broker", choices=["sillon", "kafka"], default="sillon")
    parser.add_argument("--shards", default="1,2,4",
                        help="shard counts, one of which each start takes (sillon only)")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--override", action="append", default=[], metavar="KEY=VALUE",
                        help="a broker option")
    parser.add_argument("--journal", default=SMALL_JOURNAL, metavar="BYTES",
                        help="of `sillon serve`; small, so that the ring wraps (sillon only)")
    parser.add_argument("--keep", action="store_true", help="keep the broker's folder")
    options = parser.parse_args()
    prove()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    folder = TARGET / "kill9"
    folder.mkdir(parents=True, exist_ok=True)
    work = tempfile.mkdtemp(prefix=f"{options.broker}-", dir=folder)
    overrides = dict(override.split("=", 1) for override in options.override)
    if options.broker == "kafka":
        broker = Kafka(work, overrides)
    else:
        broker = Sillon(work, 0, SMALL_BATCHES | overrides, [f"--journal={options.journal}"])
    shards = [int(count) for count in options.shards.split(",")]
    print(f"     {options.broker}, {options.kills} kills, seed {seed}, shards {shards}", flush=True)
    passed, restarts = 0, []
    is_whole = False
    try:
        producers, reader, raw, open_at_kill = run(broker, options.kills, seed, shards, restarts)
        log = read_log(broker.address, TOPIC, high_watermarks(broker.address))
        stored = wire.fetch_all(broker.address, RAW_TOPIC, 1)[0]
        results = judge(History(log, producers, reader, raw,
                                [batch.leader_epoch for batch in stored], open_at_kill))
        for name, complaint, note in results:
            print(f"FAIL {name}: {complaint}" if complaint else f"ok   {name} ({note})")
            passed += complaint is None
        broker.stop()
        is_whole = len(results) == CHECKS
    except AssertionError as error:
        print(f"FAIL {error}\n     the broker's last words:\n{broker.log_end()}")
    finally:
        broker.kill()
        report(restarts)
        if passed == CHECKS and is_whole and not options.keep:
            broker.remove()
        else:
            print(f"     its folder: {work}")
    if not is_whole:
        passed = min(passed, CHECKS - 1)
    print(f"kill9: {passed} passed, {CHECKS - passed} failed")
    return 0 if passed == CHECKS else 1


if __name__ == "__main__":
    sys.exit(main())

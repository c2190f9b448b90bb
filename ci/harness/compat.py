"""The command ci/compat: named cases against a broker, with their number fixed here."""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

from harness import (administration, batches, behaviour, group_commands, group_versions, groups,
                     segments, tools, wire)
from harness.broker import PARTITIONS, TARGET, Kafka, Sillon
from harness.clients import confluent, java, kafka_python, kcat

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
CLIENTS = {"kcat": kcat, "java": java, "confluent": confluent, "kafka-python": kafka_python}
RECORDS = 100_000
SHARDS = [1, 2, 4]
# A lost client or case must not pass for a shorter list: change these numbers with the cases.
CASES_ROUND_TRIP = 20   # 4 clients x 5 codecs
CASES_BEHAVIOUR = 19
CASES_ADMINISTRATION = 15
CASES_TOOLS = 8
CASES_GROUPS = 9
CASES_GROUP_COMMANDS = 5
CASES_GROUP_VERSIONS = 2
CASES_STORED = 4        # clean stop, codecs in the segment files, DumpLogSegments, its proof
CASES_PER_BROKER = (CASES_ROUND_TRIP + CASES_BEHAVIOUR + CASES_ADMINISTRATION + CASES_TOOLS
                    + CASES_GROUPS + CASES_GROUP_COMMANDS + CASES_GROUP_VERSIONS + CASES_STORED)


def round_trip(client, codec, records, stored):
    """Write, read back, and look at what the broker stored."""
    def case(broker):
        topic = f"{client}-{codec}"
        CLIENTS[client].round_trip(broker, topic, codec, records)
        found = wire.fetch_all(broker.address, topic, PARTITIONS)
        everything = [batch for part in found.values() for batch in part]
        total = sum(batch.record_count for batch in everything)
        if total != records:
            raise AssertionError(f"the broker stores {total} records, not {records}")
        large = batches.check_codec(everything, codec)
        stored[topic] = codec, records
        return f"{len(everything)} batches, {large} of ten records or more in {codec}"
    return case


def stops_cleanly(broker):
    broker.stop()


def segment_files_hold_the_codec(stored):
    def case(broker):
        count = 0
        for topic, (codec, records) in stored.items():
            found = []
            for partition in range(PARTITIONS):
                offset = 0
                files = broker.segments(topic, partition)
                count += len(files)
                for segment in files:
                    if int(segment.stem) != offset:
                        raise AssertionError(f"{segment.name} of {topic}-{partition} should begin "
                                             f"at {offset}")
                    # Only the last one may have preallocated zeros behind its batches.
                    part = batches.parse(segment.read_bytes(), zero_end=segment == files[-1])
                    offset = batches.check_chain(part, offset)
                    found += part
            total = sum(batch.record_count for batch in found)
            if total != records:
                raise AssertionError(f"{topic}: the files hold {total} records, not {records}")
            batches.check_codec(found, codec)
        if not count:
            raise AssertionError("no segment file was read")
        return f"{count} files"
    return case


def dump_log_segments_accepts(broker):
    count, records, complaints = segments.check_closed(broker.log_folder())
    if complaints or not count:
        raise AssertionError(f"{count} closed segments; {complaints[:5]}")
    return f"{count} closed segments, {records} records"


def dump_log_segments_sees_damage(broker):
    """The case above must be able to fail: damage an index, a time index and a batch."""
    closed = [file for file in segments.closed_segments(broker.log_folder())
              if file.with_suffix(".index").exists()]
    if not closed:
        raise AssertionError("no closed segment has an index")
    segment = max(closed, key=lambda file: file.with_suffix(".index").stat().st_size)
    # Byte 30 of a segment is in its first batch, where the CRC covers it.
    for suffix, at in ((".index", 7), (".timeindex", 11), (".log", 30)):
        with tempfile.TemporaryDirectory(dir=broker.folder) as copy:
            folder = Path(copy) / segment.parent.name
            folder.mkdir()
            for file in segment.parent.iterdir():
                if file.stem >= segment.stem:
                    shutil.copy(file, folder)
            damaged = folder / (segment.stem + suffix)
            data = bytearray(damaged.read_bytes())
            data[at] ^= 1
            damaged.write_bytes(data)
            if not segments.check_closed(copy)[2]:
                raise AssertionError(f"a flipped bit at byte {at} of the {suffix} went unseen")


def cases(records):
    """[(name, function of the broker)], in order; the last ones are about the stopped broker."""
    stored = {}
    named = [(f"{client}/{codec}", round_trip(client, codec, records, stored))
             for client in CLIENTS for codec in CODECS]
    named += [(f"behaviour/{name}", case) for name, case in behaviour.CASES]
    named += [(f"administration/{name}", case) for name, case in administration.CASES]
    named += [(f"tools/{name}", case) for name, case in tools.CASES]
    named += [(f"groups/{name}", case) for name, case in groups.CASES]
    named += [(f"group-commands/{name}", case) for name, case in group_commands.CASES]
    named += [(f"group-versions/{name}", case) for name, case in group_versions.CASES]
    named += [
        ("stored/stops-cleanly", stops_cleanly),
        ("stored/segment-files-hold-the-codec", segment_files_hold_the_codec(stored)),
        ("stored/dump-log-segments-accepts", dump_log_segments_accepts),
        ("stored/dump-log-segments-sees-damage", dump_log_segments_sees_damage),
    ]
    return named


def run_broker(label, broker, only, records):
    """(passed, failed) of one broker's cases."""
    passed = failed = 0
    chosen = [(name, case) for name, case in cases(records) if only in name]
    if not only and len(chosen) != CASES_PER_BROKER:
        print(f"FAIL {label}: {len(chosen)} cases, {CASES_PER_BROKER} are expected")
        failed += 1
    try:
        seconds = broker.start()
        print(f"     {label}: ready after {seconds * 1000:.0f} ms", flush=True)
    except AssertionError as error:
        print(f"FAIL {label}: {error}")
        return passed, failed + len(chosen)
    for name, case in chosen:
        begin = time.monotonic()
        try:
            note = case(broker) or ""
        except Exception as error:
            failed += 1
            print(f"FAIL {label} {name} {time.monotonic() - begin:.1f} s: "
                  f"{type(error).__name__}: {error}", flush=True)
            if not isinstance(error, (AssertionError, ConnectionError)):
                traceback.print_exc(limit=-4, file=sys.stdout)
            if broker.process is not None and broker.process.poll() is not None:
                print(f"     {label}: the broker is gone ({broker.process.returncode}):\n"
                      f"{broker.log_end()}")
        else:
            passed += 1
            print(f"ok   {label} {name} {time.monotonic() - begin:.1f} s {note}", flush=True)
    return passed, failed


def main():
    parser = argparse.ArgumentParser(prog="ci/compat")
    parser.add_argument("--broker", choices=["sillon", "kafka"], default="sillon")
    parser.add_argument("--shards", default=",".join(map(str, SHARDS)),
                        help="comma-separated shard counts (sillon only)")
    parser.add_argument("--only", default="", help="run cases whose name contains this")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--keep", action="store_true", help="keep the brokers' folders")
    options = parser.parse_args()
    folder = TARGET / "compat"
    folder.mkdir(parents=True, exist_ok=True)
    work = tempfile.mkdtemp(prefix=f"{options.broker}-", dir=folder)
    if options.broker == "kafka":
        brokers = [("kafka", Kafka(f"{work}/kafka"))]
    else:
        counts = [int(count) for count in options.shards.split(",")]
        brokers = [(f"sillon/{count}", Sillon(f"{work}/{count}", count)) for count in counts]
    passed = failed = 0
    for label, broker in brokers:
        try:
            result = run_broker(label, broker, options.only, options.records)
        finally:
            broker.kill()
            if not options.keep:
                broker.remove()
        passed, failed = passed + result[0], failed + result[1]
    print(f"compat: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

"""kcat, as a person uses it: lines in, lines out. Text only, and the same headers on every record.

The topic is created by the first produce (automatic creation).
"""

import subprocess
import tempfile

from harness.records import noise

TIMEOUT_S = 120
HEADERS = ["trace=abc-123", "empty="]
FORMAT = "%p\\t%o\\t%h\\t%k\\t%s\\n"


def line(index):
    return f"key-{index}\tvalue of record {index} {noise(index).hex()} " + "na" * (index % 100)


def run(arguments):
    result = subprocess.run(["kcat", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, timeout=TIMEOUT_S)
    if result.returncode:
        raise AssertionError(f"kcat {' '.join(arguments)} ended with {result.returncode}: "
                             f"{result.stderr[-1000:].decode(errors='replace')}")
    return result.stdout


def round_trip(broker, topic, codec, count):
    with tempfile.NamedTemporaryFile("w", prefix="kcat-", suffix=".txt") as lines:
        lines.writelines(line(index) + "\n" for index in range(count))
        lines.flush()
        run(["-P", "-b", broker.address, "-t", topic, "-K", "\t", "-z", codec,
             *(part for header in HEADERS for part in ("-H", header)), "-l", lines.name])
    out = run(["-C", "-b", broker.address, "-t", topic, "-o", "beginning", "-e", "-q",
               "-f", FORMAT])
    next_offset, last_index, seen = {}, {}, set()
    for got in out.decode().splitlines():
        partition, offset, headers, rest = got.split("\t", 3)
        place = f"partition {partition} offset {offset}"
        index = int(rest.split("\t")[0].removeprefix("key-"))
        if rest != line(index):
            raise AssertionError(f"{place}: {rest!r}, not {line(index)!r}")
        if headers != ",".join(HEADERS):
            raise AssertionError(f"{place}: headers {headers!r}")
        if int(offset) != next_offset.get(partition, 0):
            raise AssertionError(f"{place} came where {next_offset.get(partition, 0)} was due")
        if index in seen or index <= last_index.get(partition, -1):
            raise AssertionError(f"{place}: record {index} is there twice or out of order")
        next_offset[partition], last_index[partition] = int(offset) + 1, index
        seen.add(index)
    if len(seen) != count:
        raise AssertionError(f"read {len(seen)} of {count} records")

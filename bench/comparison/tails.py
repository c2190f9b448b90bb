"""The command bench/tails: latency in the seconds in which something happens in the background."""

import argparse
import datetime
import json
import shutil
import statistics
import tempfile
from pathlib import Path

from comparison import generator, picture
from comparison.brokers import SillonMeasured
from comparison.cells import KIB

# What the broker logs at level debug, and what that is called.
EVENTS = {
    "segment": "segment roll",
    "checkpoint": "checkpoint",
    "lap": "journal wrap",
    "segments": "retention",
}
# Small, so that there are events in many seconds and none in many others.
OPTIONS = {
    "log.segment.bytes": str(32 << 20),
    "log.retention.bytes": str(64 << 20),
    "log.retention.check.interval.ms": "7000",
}
ARGUMENTS = ["--journal", "256MiB", "--log", "sillon_runtime=debug,info", "--log-format", "json"]
WARM_UP_S = 3
GOAL = 2.0


def events(log, began, seconds):
    """{kind: the seconds of the run in which it happened}."""
    found = {kind: set() for kind in EVENTS.values()}
    for line in log.splitlines():
        try:
            entry = json.loads(line)
            kind = EVENTS[entry["fields"]["message"].split()[0]]
            at = datetime.datetime.fromisoformat(entry["timestamp"]).timestamp()
        except (ValueError, LookupError, TypeError):
            continue  # another message
        second = int(at - began)
        if 0 <= second < seconds:
            found[kind].add(second)
    return found


def measure(folder, seconds, rate):
    """A list of (p99.9 in us, its events) by second."""
    broker = SillonMeasured(folder, ARGUMENTS)
    broker.options |= OPTIONS
    broker.start()
    try:
        text = generator.toml({
            "name": "tails", "warm_up_s": WARM_UP_S, "duration_s": seconds, "partitions": 16,
            "records": {"value_bytes": KIB, "per_batch": 4},
            "produce": {"connections": 4, "rate": float(rate)},
            # Retention takes away what would be read back.
            "verify": {"read_back_mib_max": 0},
        })
        report = generator.finish(broker, generator.launch(folder, broker, text), seconds + 60)
    finally:
        broker.stop()
    if report["errors"]:
        raise AssertionError(f"requests failed: {report['errors'][0]}")
    happened = events(broker.log.read_text(), report["started_unix_ms"] / 1e3, seconds)
    return [(second["produce"]["p99_9_us"],
             {kind for kind, at in happened.items() if int(second["end_s"]) - 1 in at})
            for second in report["seconds"]]


def summary(windows):
    """Rows of (what, seconds, median p99.9 in us, ratio to the seconds without any event)."""
    others = [p999 for p999, kinds in windows if not kinds]
    rest = statistics.median(others) if others else None
    rows = [("no event", len(others), rest, None)]
    for kind in EVENTS.values():
        of_kind = [p999 for p999, kinds in windows if kind in kinds]
        median = statistics.median(of_kind) if of_kind else None
        rows.append((kind, len(of_kind), median, median / rest if median and rest else None))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--rate", type=int, default=5000, help="requests a second [5000]")
    parser.add_argument("--dir", type=Path, default=Path("."), help="on the file system to measure")
    parser.add_argument("--picture", type=Path, help="write an SVG there")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="tails-", dir=options.dir))
    try:
        windows = measure(folder, options.seconds, options.rate)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = summary(windows)
    print(f"{'seconds with':<16}{'seconds':>8}{'median p99.9, us':>18}{'ratio':>8}")
    for what, count, median, ratio in rows:
        print(f"{what:<16}{count:>8}{'-' if median is None else round(median):>18}"
              f"{'' if ratio is None else f'{ratio:.2f}':>8}")
    print(f"goal: every ratio at most {GOAL}")
    if options.picture:
        options.picture.write_text(picture.tails(windows, rows, list(EVENTS.values())))


if __name__ == "__main__":
    main()

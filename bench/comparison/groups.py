"""The command bench/groups: memory and rebalances of consumer groups."""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from comparison.brokers import KafkaMeasured, SillonMeasured
from harness.broker import TARGET

PROGRAM = TARGET / "release" / "groups"
SHAPES = [(10_000, 1), (200, 50)]
CONNECTIONS = "20000"  # one for each member, and room


def sillon(folder):
    broker = SillonMeasured(folder)
    broker.options["max.connections"] = CONNECTIONS
    return broker


def measured(make, groups, members):
    folder = Path(tempfile.mkdtemp(prefix="groups-"))
    broker = make(folder / "broker")
    try:
        broker.start()
        command = [PROGRAM, "rebalance", "--broker", broker.address, "--groups", str(groups),
                   "--members", str(members), "--format", "json"]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(found.stdout)
    except subprocess.CalledProcessError as error:
        raise AssertionError(f"{broker.name}: {error.stderr}\n{broker.log_end()}") from None
    finally:
        broker.remove()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each broker")
    parser.add_argument("--without-kafka", action="store_true")
    options = parser.parse_args()
    subprocess.run([PROGRAM, "memory"], check=True)
    makers = {"sillon": sillon, "kafka": KafkaMeasured}
    if options.without_kafka:
        del makers["kafka"]
    print("\n| Groups | Broker | One at a time, p50 ms | p99 ms | All at once, groups/s |")
    print("|---|---|---|---|---|")
    for groups, members in SHAPES:
        runs = {name: [] for name in makers}
        for pair in range(options.pairs):
            # In turns, and the order turns too.
            for name in list(makers)[::-1 if pair % 2 else 1]:
                runs[name].append(measured(makers[name], groups, members))
        for name, found in runs.items():
            middle = {key: statistics.median(run[key] for run in found) for key in found[0]}
            print(f"| {groups:,} of {members} | {name} | {middle['one_p50_ms']:.2f} "
                  f"| {middle['one_p99_ms']:.2f} | {groups / middle['all_ms'] * 1e3:,.0f} |",
                  flush=True)


if __name__ == "__main__":
    main()

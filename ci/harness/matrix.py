"""The command ci/compat-clients: each client's cases against Sillon, and against Apache Kafka in the
same run as the control. Clients go side by side, the cases of one in order."""

import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from harness.broker import TARGET, Kafka, Sillon
from harness.driven import CASES, EXPECTED, ON_CLASSIC_KAFKA, Run

SIDE_BY_SIDE = 3
SHARDS = 2
OPTIONS = {"group.initial.rebalance.delay.ms": "200"}
# A second control: Apache Kafka as it is where only the classic protocol is switched on.
CLASSIC = "kafka-classic"
CLASSIC_OPTIONS = {**OPTIONS, "group.coordinator.rebalance.protocols": "classic"}


def run_case(label, broker, client, name, case):
    """(verdict, note)."""
    run = Run(broker, client, name)
    begin = time.monotonic()
    try:
        note = case(run) or ""
        verdict = "ok"
    except Exception as error:
        verdict, note = "FAIL", f"{type(error).__name__}: {error}"[:1500]
    finally:
        run.end()
    seconds = time.monotonic() - begin
    print(f"{verdict:<4} {label} {client}/{name} {seconds:.1f} s {note}", flush=True)
    return verdict


def run_client(brokers, client, only):
    """{(broker, case): verdict} of one client."""
    return {(label, name): run_case(label, broker, client, name, case)
            for name, case in CASES[client] if only in f"{client}/{name}"
            for label, broker in brokers.items()
            if label != CLASSIC or name in ON_CLASSIC_KAFKA}


def table(results, labels):
    """A line per client: how many of its cases passed, by broker."""
    print(f"{'client':<12}" + "".join(f"{label:>14}" for label in labels))
    for client, verdicts in results.items():
        row = []
        for label in labels:
            of_broker = [verdict for (at, _), verdict in verdicts.items() if at == label]
            row.append(f"{of_broker.count('ok')} of {len(of_broker)}" if of_broker else "-")
        print(f"{client:<12}" + "".join(f"{text:>14}" for text in row))


def main():
    parser = argparse.ArgumentParser(prog="ci/compat-clients")
    parser.add_argument("--broker", choices=["kafka", CLASSIC, "sillon"], help="one of them only")
    parser.add_argument("--only", default="", help="run cases whose CLIENT/NAME contains this")
    parser.add_argument("--keep", action="store_true", help="keep the brokers' folders")
    options = parser.parse_args()
    folder = TARGET / "compat"
    folder.mkdir(parents=True, exist_ok=True)
    work = tempfile.mkdtemp(prefix="clients-", dir=folder)
    brokers = {"kafka": Kafka(f"{work}/kafka", OPTIONS),
               CLASSIC: Kafka(f"{work}/{CLASSIC}", CLASSIC_OPTIONS),
               "sillon": Sillon(f"{work}/sillon", SHARDS, OPTIONS)}
    for label, broker in brokers.items():
        broker.has_consumer_protocol = label == "kafka"
    if options.broker:
        brokers = {options.broker: brokers[options.broker]}
    passed = failed = 0
    for client, expected in EXPECTED.items():
        if len(CASES[client]) != expected:
            print(f"FAIL {client}: {len(CASES[client])} cases, {expected} are expected")
            failed += 1
    try:
        for broker in brokers.values():
            broker.start()
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            results = dict(zip(EXPECTED, pool.map(
                lambda client: run_client(brokers, client, options.only), EXPECTED)))
    finally:
        for broker in brokers.values():
            broker.kill()
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    results = {client: verdicts for client, verdicts in results.items() if verdicts}
    table(results, list(brokers))
    verdicts = [verdict for of_client in results.values() for verdict in of_client.values()]
    passed += verdicts.count("ok")
    failed += verdicts.count("FAIL")
    print(f"compat-clients: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

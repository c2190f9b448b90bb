"""The command ci/group-kill9."""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from confluent_kafka.admin import AdminClient

from harness.broker import TARGET, Kafka, Sillon
from harness.checks import DEADLINE_S, eventually

CHECKS = 5
KILLS = 12
UNDER_LOAD_S = (0.8, 3.5)   # from a start to the next kill
END_TIMEOUT_S = 120
GROUPS = 3
MEMBERS = 3
# Members that vanish are to be missed soon, and the first of a group is not to wait for others.
QUICK_GROUPS = {"group.min.session.timeout.ms": "500", "group.initial.rebalance.delay.ms": "200"}
SMALL_JOURNAL = "16MiB"  # over 4 shards it wraps every 4 MiB
SMALL_BATCHES = {"message.max.bytes": "262144"}
# What KILLS kills leave time for, at the least.
LEAST = {"acknowledged": 2000, "polled": 5000, "commits": 100, "assignments": 50,
         "generations": 20, "retried": 1}


def binary():
    found = TARGET / "release" / "sillon"
    if not found.exists():
        raise AssertionError(f"{found} is missing: cargo build --release --package sillon")
    return str(found)


def check(history):
    """(exit code, what `sillon verify check` says)"""
    done = subprocess.run([binary(), "verify", "check", str(history), "--format", "json"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"error": done.stderr}


def planted():
    """{anomaly or None or "nothing": events of a history that has it}"""
    def event(process, op, kind, **fields):
        return {"t": 0, "p": process, "op": op, "type": kind, **fields}

    def group(*committed):
        lines = []
        for process, (op, value) in enumerate(committed, 20):
            begin = {"offsets": value} if op == "commit" else {}
            lines += [event(process, op, "invoke", group="g", **begin),
                      event(process, op, "ok", group="g", offsets=value)]
        return lines

    def read(process, *polls):
        seek = event(process, "seek", "ok", partition=0, offset=polls[0][0][0])
        return [seek] + [event(process, "poll", "ok", partition=0, runs=[list(run) for run in runs])
                         for runs in polls]

    def whole(sends, runs, end):
        return sends + read(9, runs) + [event(9, "drain", "ok", partition=0, **{"from": 0}, end=end)]

    def send(process, first, offset, end="ok"):
        place = {"offset": offset} if end == "ok" else {}
        return [event(process, "send", "invoke", partition=0, first=first, count=5, idempotent=True),
                event(process, "send", end, partition=0, first=first, **place)]

    sends = send(1, 100, 0) + send(1, 105, 5)
    good = whole(sends, [(0, 100, 10, 1)], 10)
    return {
        None: good + group(("commit", [[0, 5]]), ("committed", [[0, 5]])),
        "nothing": [],
        "inconsistent-offset": good + send(2, 200, 0, "info") + read(8, [(4, 200, 1, 1)]),
        "duplicate": whole(sends, [(0, 100, 10, 1), (10, 100, 1, 1)], 11),
        "aborted-read": whole(sends + send(2, 200, 0, "fail"), [(0, 100, 10, 1), (10, 200, 1, 1)], 11),
        "lost-write": whole(sends, [(0, 100, 3, 1), (5, 105, 5, 1)], 10),
        "poll-skip": good + read(8, [(0, 100, 3, 1)], [(5, 105, 2, 1)]),
        "nonmonotonic-poll": good + read(8, [(0, 100, 3, 1)], [(1, 101, 2, 1)]),
        "nonmonotonic-send": whole(send(1, 105, 5) + send(1, 100, 0), [(0, 100, 10, 1)], 10),
        "unseen": whole(sends, [(0, 100, 9, 1)], 9),
        "offset-regression": good + group(("commit", [[0, 5]]), ("committed", [[0, 4]])),
        "epoch-regression": whole(sends, [(0, 100, 5, 2), (5, 105, 5, 1)], 10),
        "two-owners": good + [event(process, "assign", "ok", group="g", generation=3,
                                    member=f"m-{process}", partitions=[0]) for process in (4, 5)],
        "unwritten": whole(sends, [(0, 100, 10, 1), (10, 777, 1, 1)], 11),
        "unreadable": good + [event(8, "poll", "fail", partition=0, text="planted")],
    }


def prove(folder):
    """Plants each anomaly and expects its verdict: a check that sees nothing is none."""
    header = {"format": "sillon-history", "version": 1, "topic": "planted"}
    cases = planted()
    for anomaly, events in cases.items():
        history = Path(folder) / "planted.history"
        history.write_text("".join(json.dumps(line) + "\n" for line in [header, *events]))
        code, report = check(history)
        wanted = {None: 0, "nothing": 2}.get(anomaly, 1)
        found = report.get("anomalies", {})
        if code != wanted or (wanted == 1) != (anomaly in found):
            raise AssertionError(f"planted {anomaly}: exit code {code}, {report}")
    return f"{len(cases) - 2} planted anomalies"


def members_are_back(broker):
    """After the last start: every group has found its coordinator, and shares again."""
    client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})

    def are_stable():
        listed = client.list_consumer_groups().result(DEADLINE_S).valid
        return sum(group.state.name == "STABLE" for group in listed) == GROUPS

    eventually(are_stable, "the groups share again")


def drive(broker, kills, seed, shards, history):
    """Lets `sillon verify run` go on until the last kill. Returns its exit code and what it said."""
    choose = random.Random(seed)
    broker.shards = choose.choice(shards)
    broker.start()
    broker.keep_port()
    errors = Path(history).with_suffix(".stderr")
    with open(errors, "w") as stderr:
        process = subprocess.Popen(
            [binary(), "verify", "run", "--bootstrap", broker.address, "--history", str(history),
             "--duration", "3600", "--rate", "2000", "--groups", str(GROUPS),
             "--consumers", str(MEMBERS), "--kill-consumers", "--churn-ms", "700",
             "--session-timeout-ms", "1000", "--commit-ms", "100", "--drain-timeout", "60",
             "--seed", str(seed), "--format", "json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True)
        try:
            for _ in range(kills):
                time.sleep(choose.uniform(*UNDER_LOAD_S))
                if process.poll() is not None:
                    raise AssertionError(f"sillon verify run ended early: {errors.read_text()}")
                broker.kill()
                broker.shards = choose.choice(shards)
                broker.start()
            members_are_back(broker)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=END_TIMEOUT_S)
        finally:
            process.kill()
            process.wait()
    return process.returncode, errors.read_text()


def judge(kills, code, said, checked_code, report):
    """[(check, complaint or None, note)]"""
    counts = report.get("counts", {})
    found = report.get("anomalies", {})
    share = min(kills / KILLS, 1)
    few = {what: counts.get(what, 0) for what, least in LEAST.items()
           if counts.get(what, 0) < least * share}
    surprises = [line for line in said.splitlines() if line.startswith("surprise: ")]
    note = ", ".join(f"{counts.get(what)} {what}" for what in LEAST)
    return [
        ("the run ends without an anomaly", None if code == 0 else f"exit code {code}: {said[-1500:]}",
         f"{counts.get('unknown')} records and {counts.get('commits_unknown')} commits of unknown fate"),
        ("nothing is found in its history", None if checked_code == 0 and not found else
         f"exit code {checked_code}: {found} {report.get('findings', report)}", f"{counts.get('events')} events"),
        ("there was enough to look at", f"too few: {few}" if few else None, note),
        ("no client got an answer that no broker should give",
         f"{surprises}" if surprises else None, f"{counts.get('epochs')} leader epochs in the log"),
    ]


def main():
    parser = argparse.ArgumentParser(prog="ci/group-kill9")
    parser.add_argument("--broker", choices=["sillon", "kafka"], default="sillon")
    parser.add_argument("--shards", default="1,2,4",
                        help="shard counts, one of which each start takes (sillon only)")
    parser.add_argument("--kills", type=int, default=KILLS)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="keep the broker's folder")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    folder = TARGET / "group-kill9"
    folder.mkdir(parents=True, exist_ok=True)
    work = tempfile.mkdtemp(prefix=f"{options.broker}-", dir=folder)
    if options.broker == "kafka":
        broker = Kafka(work, QUICK_GROUPS)
    else:
        broker = Sillon(work, 0, QUICK_GROUPS | SMALL_BATCHES, [f"--journal={SMALL_JOURNAL}"])
    shards = [int(count) for count in options.shards.split(",")]
    print(f"     {options.broker}, {options.kills} kills, seed {seed}, shards {shards}", flush=True)
    passed = 0
    try:
        results = [("the checker sees what is planted", None, prove(work))]
        history = Path(work) / "run.history"
        code, said = drive(broker, options.kills, seed, shards, history)
        results += judge(options.kills, code, said, *check(history))
        for name, complaint, note in results:
            print(f"FAIL {name}: {complaint}" if complaint else f"ok   {name} ({note})")
            passed += complaint is None
        broker.stop()
    except (AssertionError, subprocess.TimeoutExpired) as error:
        passed = min(passed, CHECKS - 1)
        print(f"FAIL {error}")
        if broker.log.exists():
            print(f"     the broker's last words:\n{broker.log_end()}")
    finally:
        broker.kill()
    if passed == CHECKS and not options.keep:
        broker.remove()
    else:
        print(f"     its folder: {work}")
    print(f"group-kill9: {passed} passed, {CHECKS - passed} failed")
    return 0 if passed == CHECKS else 1


if __name__ == "__main__":
    sys.exit(main())

"""The command ci/host-check."""

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import wire
from harness.broker import PARTITIONS, TARGET
from harness.clients.confluent import create_topic
from harness.process import Case

TOPIC = "host"
BINARY = TARGET / "release" / "sillon"
# Requests to each partition: told apart by their number.
REQUESTS = [101, 203, 307, 409]


def refusal(broker):
    """What the broker says when it does not start."""
    try:
        broker.start()
    except AssertionError as error:
        if "ended with" not in str(error):
            raise
        return broker.log_end()
    raise AssertionError("it started")


def expect(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"it does not say {part!r}: {text}")
    return " ".join(text.strip().splitlines()[-1].split())[:160]


def requests_reach_the_owner_of_their_partition_on_their_shard_and_on_others(case):
    broker = case.broker(PARTITIONS)
    broker.start()
    create_topic(broker.address, TOPIC)
    batch = wire.build_batch([b"record"], int(time.time() * 1000))
    # Every connection asks for one partition only, at first for its own; so its requests have
    # one owner. Several connections a partition, so that some are on the owner's shard.
    for partition, count in enumerate(REQUESTS):
        connections = [wire.Connection(broker.address, greets=True) for _ in range(PARTITIONS)]
        for number in range(count):
            connection = connections[number % PARTITIONS]
            if connection.produce(TOPIC, partition, batch)[0]:
                raise AssertionError("Produce failed")
        for connection in connections:
            connection.socket.close()
    broker.stop()
    owned, same, across = {}, 0, 0
    text = re.sub(r"\x1b\[\d*m", "", broker.log_end(20_000))
    for line in re.findall(r"Produce: .*", text):
        shard = int(re.search(r"shard=(\d+)", line)[1])
        for owner, requests in re.findall(r"owner (\d+) (\d+)", line):
            owned[int(owner)] = owned.get(int(owner), 0) + int(requests)
            if int(owner) == shard:
                same += int(requests)
            else:
                across += int(requests)
    if sorted(owned.values()) != REQUESTS:
        raise AssertionError(f"{REQUESTS} requests to the partitions; by owner: {owned}")
    if not same or not across:
        raise AssertionError(f"{same} requests on their owner's shard, {across} from others")
    return f"{same} requests came in on their owner's shard, {across} on others"


def a_signal_under_load_ends_it_with_code_0_and_nothing_to_replay(case):
    broker = case.broker(2)
    for number, name in enumerate((signal.SIGTERM, signal.SIGINT)):
        broker.start()
        create_topic(broker.address, f"{TOPIC}-{number}")
        batch = wire.build_batch([b"record"] * 100, int(time.time() * 1000))
        with wire.Connection(broker.address, greets=True) as connection:
            acknowledged = 0
            while acknowledged < 500:
                if connection.produce(f"{TOPIC}-{number}", acknowledged % PARTITIONS, batch)[0]:
                    raise AssertionError("Produce failed")
                acknowledged += 1
            # One more is on its way when the signal comes.
            connection.send(wire.PRODUCE, 3, wire.produce_body(f"{TOPIC}-{number}", 0, batch))
            broker.process.send_signal(name)
            code = broker.process.wait(30)
        if code != 0:
            raise AssertionError(f"{name.name}: exit code {code}")
        broker.process = None
        broker.start()
        if "0 journal bytes replayed" not in broker.log_end(200):
            raise AssertionError(f"{name.name} left something to replay: {broker.log_end(300)}")
        with wire.Connection(broker.address, greets=True) as connection:
            ends = sum(connection.list_offset(f"{TOPIC}-{number}", partition, -1)[2]
                       for partition in range(PARTITIONS))
        if not acknowledged * 100 <= ends <= (acknowledged + 1) * 100:
            raise AssertionError(f"{acknowledged} batches were acknowledged, {ends} records are there")
        broker.stop()
    return "SIGTERM and SIGINT"


def without_io_uring_it_says_what_forbids_it(case):
    broker = case.broker(1, prefix=(sys.executable, "-m", "harness.forbid_io_uring", str(BINARY)))
    return expect(refusal(broker), "io_uring", "seccomp", "--security-opt seccomp=unconfined")


def with_too_little_locked_memory_it_says_how_to_raise_it(case):
    broker = case.broker(1, prefix=("prlimit", "--memlock=65536:65536", str(BINARY)))
    return expect(refusal(broker), "RLIMIT_MEMLOCK", "65536", "ulimit -l")


def doctor(broker):
    """(exit code, report) of `sillon doctor` with the broker's options."""
    command = ["doctor" if argument == "serve" else argument for argument in broker.command()]
    done = subprocess.run([*command, "--format=json"], stdout=subprocess.PIPE, text=True)
    return done.returncode, json.loads(done.stdout)


def the_doctor_names_the_option_that_allows_io_uring_as_the_refusal_does(case):
    broker = case.broker(1, prefix=(sys.executable, "-m", "harness.forbid_io_uring", str(BINARY)))
    code, report = doctor(broker)
    line = next(line for line in report["host"] if line["subject"] == "io_uring")
    if (code, report["verdict"], line["verdict"]) != (1, "fail", "fail"):
        raise AssertionError(f"exit code {code}: {line}")
    for runtime in ("Docker, Podman", "--security-opt seccomp=unconfined", "Kubernetes",
                    "securityContext.seccompProfile.type"):
        if runtime not in line["mend"]:
            raise AssertionError(f"the mend does not say {runtime!r}: {line['mend']}")
    expect(refusal(broker), line["detail"], line["mend"])
    return "exit code 1, in the same words"


def the_doctor_is_content_where_a_broker_starts(case):
    broker = case.broker(2)
    code, report = doctor(broker)
    failing = [line for line in report["host"] if line["verdict"] == "fail"]
    if code or failing:
        raise AssertionError(f"exit code {code}: {failing}")
    broker.start()
    broker.stop()
    return ", ".join(f"{line['subject']} {line['verdict']}" for line in report["host"])


class Mounted:
    """A file system for one case."""

    def __init__(self, kind, folder):
        self.kind, self.folder = kind, Path(folder)

    def __enter__(self):
        self.folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", self.kind, "none", self.folder], check=True)

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", self.folder], check=True)


def a_file_system_without_o_direct_is_refused(case):
    broker = case.broker(1)
    with Mounted("ramfs", broker.data):
        return expect(refusal(broker), "O_DIRECT", str(broker.data), "ext4 or XFS")


def a_file_system_in_memory_is_warned_of(case):
    broker = case.broker(1, options={"message.max.bytes": "262144"}, arguments=["--journal=8MiB"])
    with Mounted("tmpfs", broker.data):
        # Before Linux 6.6 tmpfs had no O_DIRECT, and is refused like any such.
        try:
            broker.start()
        except AssertionError:
            return expect(broker.log_end(), "O_DIRECT", str(broker.data), "ext4 or XFS")
        said = expect(broker.log_end(), "in memory", str(broker.data))
        broker.stop()
        return said


def the_limit_of_open_files_is_raised(case):
    broker = case.broker(1, prefix=("prlimit", "--nofile=1024:15000", str(BINARY)))
    broker.start()
    limits = Path(f"/proc/{broker.process.pid}/limits").read_text()
    soft, hard = re.search(r"^Max open files\s+(\d+)\s+(\d+)", limits, re.MULTILINE).groups()
    if (soft, hard) != ("15000", "15000"):
        raise AssertionError(f"soft {soft}, hard {hard}")
    broker.stop()
    return "from 1024 to 15000"


CASES = [
    requests_reach_the_owner_of_their_partition_on_their_shard_and_on_others,
    a_signal_under_load_ends_it_with_code_0_and_nothing_to_replay,
    without_io_uring_it_says_what_forbids_it,
    the_doctor_names_the_option_that_allows_io_uring_as_the_refusal_does,
    the_doctor_is_content_where_a_broker_starts,
    with_too_little_locked_memory_it_says_how_to_raise_it,
    a_file_system_without_o_direct_is_refused,
    a_file_system_in_memory_is_warned_of,
    the_limit_of_open_files_is_raised,
]


def main():
    parser = argparse.ArgumentParser(prog="ci/host-check")
    parser.add_argument("--only", default="", help="run cases whose name contains this")
    options = parser.parse_args()
    folder = TARGET / "host-check"
    folder.mkdir(parents=True, exist_ok=True)
    passed = failed = 0
    for run in CASES:
        name = run.__name__.replace("_", "-")
        if options.only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="case-", dir=folder) as work:
            case = Case(work)
            begin = time.monotonic()
            try:
                note = run(case)
            except AssertionError as error:
                failed += 1
                print(f"FAIL {name} {time.monotonic() - begin:.1f} s: {error}", flush=True)
            else:
                passed += 1
                print(f"ok   {name} {time.monotonic() - begin:.1f} s {note}", flush=True)
            finally:
                case.clean_up()
    print(f"host-check: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

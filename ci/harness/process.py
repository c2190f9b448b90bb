"""The command ci/process: what /proc, /sys and strace say about `sillon serve`."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from pathlib import Path

from harness import batches, wire
from harness.broker import PARTITIONS, ROOT, TARGET, Sillon
from harness.clients.confluent import create_topic
from harness.device import Device

CASES_COUNT = 9
READY_MS_MAX = 50
STARTS = 9                  # the fastest counts: what else the machine does only adds
IDLE_BYTES_MAX = 80 << 20
IDLE_CPU_MAX = 0.01         # of one core
IDLE_SECONDS = 5
SETTLE_SECONDS = 2          # after ready, until background preparation has gone on for a while
MEMLOCK_BYTES = 8 << 20
NOBODY = 65534
O_DIRECT = 0o40000 if os.uname().machine == "x86_64" else 0o200000
SENDFILE_SHARE_MIN = 0.95
LOAD_SECONDS = 4
LOAD_CONNECTIONS = 8
IN_FLIGHT = 16
FLUSHES_PER_REQUEST_MAX = 0.25
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BATCH_BYTES = 100_000


class Case:
    """A broker of its own for one case, in a folder below `work`."""

    def __init__(self, work):
        self.work = work
        self.count = 0
        self.brokers = []

    def broker(self, shards, owner=None, **changes):
        self.count += 1
        broker = Sillon(f"{self.work}/{self.count}", shards, **changes)
        if owner is not None:
            for folder in (self.work, broker.folder):
                os.chown(folder, owner, owner)
        self.brokers.append(broker)
        return broker

    def clean_up(self):
        for broker in self.brokers:
            broker.remove()


def status(broker, field):
    """A size of /proc/PID/status, in bytes."""
    text = Path(f"/proc/{broker.process.pid}/status").read_text()
    return int(re.search(rf"^{field}:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024


def cpu_seconds(broker):
    fields = Path(f"/proc/{broker.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def threads(broker):
    """[(name, set of allowed cores)]"""
    found = []
    for task in sorted(Path(f"/proc/{broker.process.pid}/task").iterdir(), key=lambda t: int(t.name)):
        text = (task / "status").read_text()
        allowed = re.search(r"^Cpus_allowed_list:\s+(\S+)", text, re.MULTILINE)[1]
        cores = set()
        for part in allowed.split(","):
            low, _, high = part.partition("-")
            cores |= set(range(int(low), int(high or low) + 1))
        found.append(((task / "comm").read_text().strip(), cores))
    return found


def documented_threads():
    """Patterns of the names in the table "Threads" of docs/operations.md."""
    text = (ROOT / "docs/operations.md").read_text()
    section = text.split("## Threads", 1)[1].split("\n## ", 1)[0]
    return [re.escape(name).replace("N", r"\d+")
            for name in re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)]


def produce_load(address, topic, stopping, counter, partition, batch_bytes):
    """Keeps IN_FLIGHT requests under way on one connection; counts the acknowledged ones."""
    batch = wire.build_batch([b"v" * batch_bytes], int(time.time() * 1000))
    body = wire.produce_body(topic, partition, batch)
    sent = deque()
    with wire.Connection(address, greets=True) as connection:
        while sent or not stopping.is_set():
            while len(sent) < IN_FLIGHT and not stopping.is_set():
                sent.append(connection.send(wire.PRODUCE, 3, body))
            if sent:
                error = wire.produce_answer(connection.receive(sent.popleft()))[1]
                if error:
                    raise AssertionError(f"Produce: error {error}")
                counter["acknowledged"] = counter.get("acknowledged", 0) + 1


def under_load(broker, look, connections=LOAD_CONNECTIONS, batch_bytes=1000):
    """(what `look()` returned while records were produced, requests acknowledged until then)"""
    topic = "under-load"
    create_topic(broker.address, topic)
    stopping, counters = threading.Event(), [{} for _ in range(connections)]
    loaders = [threading.Thread(target=produce_load, args=(
        broker.address, topic, stopping, counter, number % PARTITIONS, batch_bytes))
        for number, counter in enumerate(counters)]
    for loader in loaders:
        loader.start()
    try:
        result = look()
    finally:
        stopping.set()
        for loader in loaders:
            loader.join()
    requests = sum(sum(counter.values()) for counter in counters)
    if not requests:
        raise AssertionError("no request was acknowledged")
    return result, requests


def ready_within_50_ms_on_an_empty_folder(case):
    times = []
    for _ in range(STARTS):
        broker = case.broker(2)
        broker.start()
        said = re.search(r"^ready .* in ([\d.]+) ms", broker.log_end(), re.MULTILINE)
        times.append(float(said[1]))
        broker.stop()
    median = sorted(times)[STARTS // 2]
    note = f"fastest {min(times):.1f} ms, median {median:.1f} ms, worst {max(times):.1f} ms"
    if min(times) >= READY_MS_MAX:
        raise AssertionError(note)
    return note


def idle_memory(case, **changes):
    broker = case.broker(2, **changes)
    broker.start()
    time.sleep(SETTLE_SECONDS)
    # Pages that io_uring pins are the process's own memory and so part of its resident set.
    resident, pinned = status(broker, "VmRSS"), status(broker, "VmPin")
    note = f"{resident / 2**20:.1f} MiB resident, {pinned / 2**20:.1f} MiB pinned"
    if resident >= IDLE_BYTES_MAX:
        raise AssertionError(note)
    broker.stop()
    return note


def idle_memory_below_80_mib(case):
    return idle_memory(case)


def idle_memory_below_80_mib_for_a_user_with_8_mib_memlock(case):
    if os.getuid() != 0:
        raise AssertionError("only root can start a process as another user")
    # A user that is nobody must reach the binary: a copy lies in its own folder.
    binary = Path(case.work) / "sillon"
    binary.write_bytes((TARGET / "release/sillon").read_bytes())
    binary.chmod(0o755)
    return idle_memory(case, owner=NOBODY, prefix=(
        "prlimit", f"--memlock={MEMLOCK_BYTES}:{MEMLOCK_BYTES}", "setpriv", f"--reuid={NOBODY}",
        f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", str(binary)))


def idle_cpu_below_1_percent(case):
    broker = case.broker(2)
    broker.start()
    time.sleep(SETTLE_SECONDS)
    # The journal's files are prepared in the background first.
    deadline = time.monotonic() + 60
    while True:
        before = cpu_seconds(broker)
        time.sleep(IDLE_SECONDS)
        share = (cpu_seconds(broker) - before) / IDLE_SECONDS
        if share < IDLE_CPU_MAX:
            broker.stop()
            return f"{share * 100:.2f} % of a core"
        if time.monotonic() > deadline:
            raise AssertionError(f"{share * 100:.2f} % of a core")


def each_shard_has_one_thread_on_one_core(case):
    cores = sorted(os.sched_getaffinity(0))
    broker = case.broker(len(cores))
    broker.start()
    found, _ = under_load(broker, lambda: (time.sleep(1), threads(broker))[1])
    pinned = sorted((name, *allowed) for name, allowed in found
                    if re.fullmatch(r"shard-\d+", name) and len(allowed) == 1)
    if [name for name, _ in pinned] != [f"shard-{shard}" for shard in range(len(cores))]:
        raise AssertionError(f"{len(cores)} shards; pinned threads: {pinned}")
    if sorted(core for _, core in pinned) != cores:
        raise AssertionError(f"the shards' cores: {pinned}, not each of {cores} once")
    known = documented_threads()
    strangers = [name for name, _ in found
                 if not any(re.fullmatch(pattern, name) for pattern in known)]
    if strangers:
        raise AssertionError(f"docs/operations.md does not list these threads: {strangers}")
    broker.stop()
    return f"{len(found)} threads"


def journals_and_active_segments_are_written_with_o_direct(case):
    broker = case.broker(2)
    broker.start()

    def direct_files():
        """{kind: whether every writable descriptor of that kind is direct}"""
        deadline = time.monotonic() + 20
        found = {}
        while time.monotonic() < deadline and len(found) < 2:
            for fd in Path(f"/proc/{broker.process.pid}/fd").iterdir():
                try:
                    path = os.readlink(fd)
                    info = Path(f"/proc/{broker.process.pid}/fdinfo/{fd.name}").read_text()
                    # The number may have been given to another file in between.
                    if os.readlink(fd) != path:
                        continue
                except FileNotFoundError:
                    continue
                if not path.startswith(str(broker.data)):
                    continue
                flags = int(re.search(r"^flags:\s+(\d+)", info, re.MULTILINE)[1], 8)
                if not flags & os.O_ACCMODE:
                    continue
                kind = ("segment" if path.endswith(".log") else
                        "journal" if "journal" in path.removeprefix(str(broker.data)) else None)
                if kind:
                    found.setdefault(kind, {})[path] = bool(flags & O_DIRECT)
            time.sleep(0.05)
        return found

    found, _ = under_load(broker, direct_files, batch_bytes=50_000)
    for kind in ("journal", "segment"):
        if kind not in found:
            raise AssertionError(f"no {kind} was open for writing under load")
        buffered = [path for path, is_direct in found[kind].items() if not is_direct]
        if buffered:
            raise AssertionError(f"written without O_DIRECT: {buffered}")
    broker.stop()
    return ", ".join(f"{len(paths)} {kind} files" for kind, paths in found.items())


def acknowledgements_share_flushes_of_the_device(case):
    broker = case.broker(2)
    broker.start()
    device = Device.below(broker.folder)

    def flushes():
        before = device.counters().flushes
        time.sleep(LOAD_SECONDS)
        return device.counters().flushes - before

    found, requests = under_load(broker, flushes)
    note = f"{found} flushes for {requests} requests, {LOAD_CONNECTIONS} connections with {IN_FLIGHT} each"
    if not 0 < found < requests * FLUSHES_PER_REQUEST_MAX:
        raise AssertionError(note)
    broker.stop()
    return note


def closed_segments_leave_by_sendfile(case):
    broker = case.broker(2)
    broker.start()
    topic = "cold"
    create_topic(broker.address, topic)
    batch = wire.build_batch([b"c" * BATCH_BYTES], int(time.time() * 1000))
    with wire.Connection(broker.address, greets=True) as connection:
        for number in range(160):
            if connection.produce(topic, number % PARTITIONS, batch)[0]:
                raise AssertionError("Produce failed")
    # A restart empties the tails in memory; what is read now comes from files.
    broker.stop()
    broker.start()
    trace = broker.folder / "strace"
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=sendfile", "-o", str(trace),
                               "-p", str(broker.process.pid)], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 10
        while len(traced_threads(broker)) < len(threads(broker)):
            if time.monotonic() > deadline or tracer.poll() is not None:
                raise AssertionError(f"strace did not attach: {tracer.stderr.read()}")
            time.sleep(0.02)
        payload = fetch_closed(broker, topic)
    finally:
        tracer.terminate()
        tracer.wait()
    sent = sum(int(done) for done in re.findall(r"sendfile.*= (\d+)$", trace.read_text(), re.MULTILINE))
    note = f"{sent} of {payload} bytes by sendfile"
    if payload < 4 << 20 or sent < payload * SENDFILE_SHARE_MIN:
        raise AssertionError(note)
    broker.stop()
    return note


def traced_threads(broker):
    return [task for task in Path(f"/proc/{broker.process.pid}/task").iterdir()
            if not re.search(r"^TracerPid:\s+0$", (task / "status").read_text(), re.MULTILINE)]


def fetch_closed(broker, topic):
    """Reads every closed segment by Fetch, whole; returns the bytes received."""
    received = 0
    with wire.Connection(broker.address, greets=True) as connection:
        for partition in range(PARTITIONS):
            segments = broker.segments(topic, partition)
            if len(segments) < 3:
                raise AssertionError(f"{topic}-{partition} has {len(segments)} segments only")
            offset, end = 0, int(segments[-1].stem)
            while offset < end:
                size = 1 << 20
                error, _, data = connection.fetch(topic, partition, offset, max_bytes=size)
                if error or not data:
                    raise AssertionError(f"Fetch at {offset}: error {error}, {len(data)} bytes")
                received += len(data)
                offset = batches.parse(data, partial_end=True)[-1].last_offset + 1
    return received


def a_second_process_is_kept_out_of_the_data_folder(case):
    broker = case.broker(1)
    broker.start()
    second = case.broker(1)
    second.data = broker.data
    try:
        second.start()
    except AssertionError as error:
        if "ended with" not in str(error):
            raise
    else:
        raise AssertionError("two brokers serve one data folder")
    with wire.Connection(broker.address, greets=True) as connection:
        connection.api_versions()
    broker.stop()
    lines = second.log_end().strip().splitlines()
    return f"it says: {lines[-1][:150] if lines else 'nothing'}"


CASES = [
    ready_within_50_ms_on_an_empty_folder,
    idle_memory_below_80_mib,
    idle_memory_below_80_mib_for_a_user_with_8_mib_memlock,
    idle_cpu_below_1_percent,
    each_shard_has_one_thread_on_one_core,
    journals_and_active_segments_are_written_with_o_direct,
    acknowledgements_share_flushes_of_the_device,
    closed_segments_leave_by_sendfile,
    a_second_process_is_kept_out_of_the_data_folder,
]


def main():
    parser = argparse.ArgumentParser(prog="ci/process")
    parser.add_argument("--only", default="", help="run cases whose name contains this")
    options = parser.parse_args()
    assert len(CASES) == CASES_COUNT
    folder = TARGET / "process"
    folder.mkdir(parents=True, exist_ok=True)
    passed = failed = 0
    for run in CASES:
        name = run.__name__.replace("_", "-")
        if options.only not in name:
            continue
        # Its parents must let another user through: one case runs as one.
        with tempfile.TemporaryDirectory(prefix="case-", dir=folder) as work:
            case = Case(work)
            begin = time.monotonic()
            try:
                note = run(case)
            except Exception as error:
                failed += 1
                print(f"FAIL {name} {time.monotonic() - begin:.1f} s: {type(error).__name__}: {error}",
                      flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc(file=sys.stdout)
            else:
                passed += 1
                print(f"ok   {name} {time.monotonic() - begin:.1f} s {note}", flush=True)
            finally:
                case.clean_up()
    print(f"process: {passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

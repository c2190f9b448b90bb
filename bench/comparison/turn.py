"""One turn: one run of the load generator against one broker, and what the kernel counted."""

import dataclasses
import json
import os
import subprocess
import time
from pathlib import Path

from comparison import proof
from comparison.brokers import BINARY, sillon
from comparison.cells import NO_CLASS
from comparison.figures import ratio
from comparison.sampler import Sampler

RUN_DEADLINE_S = 900
# Between two turns: until what the last one left to be written is written.
QUIET_BYTES_PER_S = 2_000_000
QUIET_S, QUIET_DEADLINE_S = 0.5, 30
DELETED_DEADLINE_S = 60
TOPICS = "sillon-bench"  # how the names begin of those that the load generator makes
DROP_CACHES = Path("/proc/sys/vm/drop_caches")


@dataclasses.dataclass(frozen=True)
class Times:
    warm_up_s: float
    measured_s: float


def toml(table, name=""):
    """A dictionary of values and tables as TOML."""
    lines = [f"[{name}]"] if name else []
    lines += [f"{json.dumps(key)} = {json.dumps(value)}"
              for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", toml(value, f"{name}.{key}" if name else key)]
    return "\n".join(lines)


def scenario(cell, broker, durability, times):
    """The text of the scenario file."""
    configs = {} if durability in NO_CLASS else broker.topic_configs[durability]
    return toml({"name": cell.name, "warm_up_s": times.warm_up_s,
                 "duration_s": cell.measured_s or times.measured_s, **cell.scenario,
                 "topic_configs": configs})


def generate(folder, broker, text):
    """Runs a scenario; returns its RunReport."""
    path = folder / "scenario.toml"
    path.write_text(text + "\n")
    command = [str(BINARY), "bench", "--bootstrap-server", broker.address, "--scenario", str(path),
               "--format", "json", "--keep-topics"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=RUN_DEADLINE_S)
    try:
        report = json.loads(result.stdout)["runs"][0]
    except (ValueError, LookupError):
        raise AssertionError(f"{broker.name}: {' '.join(command)} ended with {result.returncode} "
                             f"and no report:\n{result.stderr.strip()[-3000:]}") from None
    return report


def take(work, cell, durability, broker, number, times):
    """A run of the result: its figures and the whole RunReport."""
    if cell.kind == "catch-up":
        return beside_a_reader(work, cell, durability, broker, number, times)
    return once(work, cell, durability, broker, number, times)


def beside_a_reader(work, cell, durability, broker, number, times):
    """The same producer with nobody beside it, and then with the reader."""
    alone_scenario = {key: value for key, value in cell.scenario.items() if key != "consume"}
    alone = once(work, dataclasses.replace(cell, scenario=alone_scenario), durability, broker,
                 number, times)
    beside = once(work, cell, durability, broker, number, times)
    for name in ("p50", "p99"):
        beside["figures"][f"{name}_influence"] = ratio(beside["figures"].get(f"{name}_us"),
                                                       alone["figures"].get(f"{name}_us"))
    return beside | {"alone": alone, "refused": alone["refused"] or beside["refused"]}


def once(work, cell, durability, broker, number, times):
    settle(work)
    sampler = Sampler(work.pids(), work.device)
    with sampler:
        report = generate(work.folder, broker, scenario(cell, broker, durability, times))
    # What is left to be written is written now, before it is counted and before the topics go:
    # a deleted file's pages would never be.
    settle(work)
    written = work.device.counters().since(sampler.samples[0].device).written_bytes
    delete_topics(broker)
    return run(cell, durability, broker.name, number, report, sampler, written)


def run(cell, durability, broker, number, report, sampler, written_bytes):
    begin = report["started_unix_ms"] / 1e3
    end = begin + report["measured_s"]
    flushes = sampler.during(begin, end, lambda sample: sample.device.flushes)
    produced = report["produce"]
    moved = produced or report["fetch"]
    figures = {name: moved[name] for name in ("requests_per_s", "records_per_s", "mb_per_s")}
    latency = moved["latency"]
    if latency:
        figures |= {"p50_us": latency["p50_us"], "p99_us": latency["p99_us"],
                    "p999_us": latency["p99_9_us"], "max_us": latency["max_us"]}
    gigabytes = report["cpu"]["payload_gb"]
    figures["generator_cpu_s_per_gb"] = report["cpu"]["generator_s_per_gb"]
    if broker in sampler.pids:
        cpu_s = sampler.during(begin, end, lambda sample: sample.cpu_s[broker])
        figures["cpu_s_per_gb"] = ratio(cpu_s, gigabytes)
        figures["resident_mb"] = sampler.peak(begin, end, lambda sample: sample.resident[broker]) / 1e6
    if produced:
        figures["flushes_per_s"] = flushes / report["measured_s"]
        figures["flushes_per_mb"] = ratio(flushes, produced["payload_bytes"] / 1e6)
        values = report["verification"]["acknowledged_records"] * report["scenario"]["records"]["value_bytes"]
        figures["device_bytes_per_byte"] = ratio(written_bytes, values)
    if produced and report["fetch"]:
        figures["reader_mb_per_s"] = report["fetch"]["mb_per_s"]
    others = {name: sampler.during(begin, end, lambda sample, name=name: sample.cpu_s[name])
              / report["measured_s"] for name in sampler.pids if name != broker}
    return {
        "broker": broker, "round": number, "refused": refusal(cell, durability, report, flushes),
        "figures": figures, "flushes": round(flushes), "others_cpu_share": others,
        "verified": report["verification"]["passed"],
        "is_generator_bound": (report["ceiling"] or {}).get("is_generator_bound"),
        "report": report,
    }


def refusal(cell, durability, report, flushes):
    """Why a run does not count, or None."""
    if not report["verification"]["passed"]:
        return f"not verified: {'; '.join(report['verification']['findings'])}"
    if report["errors"]:
        return f"requests failed: {report['errors'][0]['count']} x {report['errors'][0]['what']}"
    produced = report["produce"]
    if produced is None:
        return None
    in_flight = cell.in_flight()
    if in_flight is None:
        rate = cell.scenario["produce"]["rate"]
        needed = proof.flushes_min_on_schedule(produced["requests"], rate,
                                               produced["latency"]["p50_us"] / 1e6)
    else:
        needed = proof.flushes_min(produced["requests"], in_flight)
    return proof.refusal(durability, flushes, needed)


def settle(work):
    """Waits until the device has nothing more to write."""
    os.sync()
    deadline = time.monotonic() + QUIET_DEADLINE_S
    while time.monotonic() < deadline:
        before = work.device.counters()
        time.sleep(QUIET_S)
        if work.device.counters().since(before).written_bytes < QUIET_BYTES_PER_S * QUIET_S:
            return


def delete_topics(broker):
    """Deletes what a run left, and waits until the files are gone where they can be seen."""
    topics = [listed["topic"] for listed in
              json.loads(sillon("topic", "list", "--format", "json", "-b", broker.address))
              if listed["topic"].startswith(TOPICS)]
    if topics:
        sillon("topic", "delete", *topics, "-b", broker.address)
    deadline = time.monotonic() + DELETED_DEADLINE_S
    while broker.has_partitions():
        if time.monotonic() > deadline:
            raise AssertionError(f"{broker.name}: the files of {topics} are still there "
                                 f"{DELETED_DEADLINE_S} s after their deletion")
        time.sleep(0.05)

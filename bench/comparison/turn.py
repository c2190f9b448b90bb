"""One turn: one run of the load generator against one broker, and what the kernel counted."""

import os
import time

from comparison import generator, proof
from comparison.brokers import sillon
from comparison.figures import ratio
from comparison.sampler import Sampler

# Between two turns: until what the last one left to be written is written.
QUIET_BYTES_PER_S = 2_000_000
QUIET_S, QUIET_DEADLINE_S = 0.5, 30
DELETED_DEADLINE_S = 60


def take(work, cell, durability, broker, number, times):
    """A run of the result: its figures and the whole RunReport."""
    delete_topics(broker)  # of a run before that failed
    settle(work)
    return once(work, cell, durability, broker, number, times)


def once(work, cell, durability, broker, number, times, reader=None):
    """The same at once, beside a reader that is waited for."""
    sampler = Sampler(work.pids(), work.device)
    with sampler:
        text = generator.scenario(cell, broker, durability, times)
        with_ceiling = number == 0 and not times.is_warming  # once is enough
        process = generator.launch(work.folder, broker, text, with_ceiling)
        report = generator.finish(broker, process)
    if reader:
        reader.finish()
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
    others = {name: sampler.during(begin, end, lambda sample, name=name: sample.cpu_s[name])
              / report["measured_s"] for name in sampler.pids if name != broker}
    return {
        "broker": broker, "round": number, "refused": refusal(cell, durability, report, flushes),
        "figures": figures, "flushes": round(flushes), "others_cpu_share": others,
        "verified": report["verification"]["passed"],
        "is_generator_bound": (report["ceiling"] or {}).get("is_generator_bound"),
        "report": report,
    }


def unverified(report):
    """What is wrong with what a run claims, or None."""
    if not report["verification"]["passed"]:
        return f"not verified: {'; '.join(report['verification']['findings'])}"
    if report["errors"]:
        return f"requests failed: {report['errors'][0]['count']} x {report['errors'][0]['what']}"
    return None


def refusal(cell, durability, report, flushes):
    """Why a run does not count, or None."""
    if wrong := unverified(report):
        return wrong
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
    names = [topic["topic"] for topic in generator.topics(broker)]
    if names:
        sillon("topic", "delete", *names, "-b", broker.address)
    deadline = time.monotonic() + DELETED_DEADLINE_S
    while broker.has_partitions():
        if time.monotonic() > deadline:
            raise AssertionError(f"{broker.name}: the files of {names} are still there "
                                 f"{DELETED_DEADLINE_S} s after their deletion")
        time.sleep(0.05)

"""Documents as the load generator and the kernel make them, with figures that tests choose."""

from comparison.sampler import Sample, Sampler
from harness.device import Counters


def report(requests=10_000, seconds=10.0, p50_us=200.0, findings=(), errors=()):
    """A RunReport of a producer; only what bench/compare looks at."""
    latency = {"p50_us": p50_us, "p99_us": 2 * p50_us, "p99_9_us": 3 * p50_us,
               "max_us": 4 * p50_us}
    payload_bytes = requests * 1024
    return {
        "scenario": {"records": {"value_bytes": 1024, "per_batch": 1}},
        "started_unix_ms": 1_000_000, "measured_s": seconds,
        "produce": {"requests": requests, "payload_bytes": payload_bytes,
                    "requests_per_s": requests / seconds, "records_per_s": requests / seconds,
                    "mb_per_s": payload_bytes / 1e6 / seconds, "latency": latency},
        "fetch": None, "errors": list(errors), "ceiling": None,
        "cpu": {"payload_gb": payload_bytes / 1e9, "generator_s_per_gb": 1.0},
        "verification": {"passed": not findings, "findings": list(findings),
                         "acknowledged_records": requests},
    }


def sampler(flushes_per_s, seconds=10.0, cpu_share=0.5):
    """What a sampler saw around that report: 1 s more on either side, at even rates."""
    seen = Sampler({"kafka": 1, "sillon": 2}, None)
    for number in range(round(seconds) + 3):
        seen.samples.append(Sample(
            1000.0 - 1 + number, {"kafka": 0.0, "sillon": cpu_share * number},
            {"kafka": 1_000_000, "sillon": 2_000_000 + number},
            Counters(0, 4096 * number, flushes_per_s * number)))
    return seen


def run(broker, number, requests_per_s, refused=None):
    """A run of a result with one figure."""
    return {"broker": broker, "round": number, "refused": refused, "verified": refused is None,
            "figures": {"requests_per_s": requests_per_s}, "is_generator_bound": False}

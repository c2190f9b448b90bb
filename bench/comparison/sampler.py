"""What a broker and the device did in a span of time, from counters that are read all the while."""

import bisect
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

PERIOD_S = 0.1
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time of a process with all its threads, those that ended too."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def resident_bytes(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    at: float         # seconds since 1970
    cpu_s: dict       # broker -> CPU seconds so far
    resident: dict    # broker -> bytes
    device: object    # harness.device.Counters


class Sampler(threading.Thread):
    """Reads the counters of `pids`, {broker: process id}, and of the device until it is stopped."""

    def __init__(self, pids, device):
        super().__init__(daemon=True)
        self.pids = pids
        self.device = device
        self.samples = []
        self.ending = threading.Event()

    def __enter__(self):
        self.read()
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        self.read()

    def run(self):
        while not self.ending.wait(PERIOD_S):
            self.read()

    def read(self):
        self.samples.append(Sample(
            time.time(),
            {broker: cpu_seconds(pid) for broker, pid in self.pids.items()},
            {broker: resident_bytes(pid) for broker, pid in self.pids.items()},
            self.device.counters()))

    def at(self, moment, counter):
        """`counter(sample)` at a moment, in a straight line between the samples around it."""
        times = [sample.at for sample in self.samples]
        later = min(max(bisect.bisect_right(times, moment), 1), len(times) - 1)
        before, after = self.samples[later - 1], self.samples[later]
        share = (moment - before.at) / (after.at - before.at)
        low, high = counter(before), counter(after)
        return low + (high - low) * min(max(share, 0), 1)

    def during(self, begin, end, counter):
        """By how much `counter(sample)` rose between two moments, seconds since 1970."""
        return self.at(end, counter) - self.at(begin, counter)

    def peak(self, begin, end, gauge):
        """The highest `gauge(sample)` from the last sample before `begin` to the first after `end`."""
        times = [sample.at for sample in self.samples]
        first = max(bisect.bisect_right(times, begin) - 1, 0)
        last = bisect.bisect_left(times, end)
        return max(gauge(sample) for sample in self.samples[first:last + 1])

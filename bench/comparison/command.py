"""The command bench/compare."""

import argparse
import datetime
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from comparison import catch_up, limits, result, schedule, start, tables, turn
from comparison.brokers import KafkaMeasured, Other, SillonMeasured
from comparison.cells import CELLS
from comparison.generator import Times
from comparison.sampler import Sampler
from harness.broker import TARGET
from harness.device import Device

PAIRS = 5
TIMES = Times(warm_up_s=2.0, measured_s=8.0)
QUICK_TIMES = Times(warm_up_s=1.0, measured_s=4.0)
WARMING_TIMES = Times(warm_up_s=1.0, measured_s=3.0, is_warming=True)
IDLE_S = 5
LIMIT_S, LIMIT_REPETITIONS = 1.0, 3
# What a turn takes beside its load: topics, verification, waiting for the device.
TURN_OVERHEAD_S = 7
START_S = 8


class Work:
    """The folder, the device below it, and the brokers that run."""

    def __init__(self, parent):
        parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="compare-", dir=parent))
        self.device = Device.below(self.folder)
        self.running = {}  # name -> broker

    def pids(self):
        """Of the brokers that run here."""
        return {name: broker.pid() for name, broker in self.running.items()
                if broker.pid() is not None}

    def start(self, broker):
        """Returns what was started."""
        broker.start()
        self.running[broker.name] = broker
        return broker.process.args

    def close(self):
        for broker in self.running.values():
            if not isinstance(broker, Other):
                broker.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def say(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(
        prog="bench/compare", description="Sillon beside Apache Kafka, interleaved and verified")
    parser.add_argument("--quick", action="store_true", help="one pair of a few cells")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT",
                        help="cells whose name contains this; may be given several times")
    parser.add_argument("--list", action="store_true", help="the cells, and how long they take")
    parser.add_argument("--pairs", type=int, help=f"pairs of each cell [{PAIRS}]")
    parser.add_argument("--seconds", type=float,
                        help=f"measured seconds of a run [{TIMES.measured_s:g}]")
    parser.add_argument("--dir", type=Path, default=TARGET / "compare",
                        help="a folder on the file system to measure")
    parser.add_argument("--other", action="append", default=[], metavar="NAME=HOST:PORT",
                        help="another broker that runs already; for class B its data must lie on "
                             "the device of --dir")
    parser.add_argument("--no-kafka", action="store_true", help="do not start Apache Kafka")
    parser.add_argument("--format", choices=("table", "json", "markdown"), default="table")
    parser.add_argument("--markdown", action="store_const", dest="format", const="markdown",
                        help="the same as --format markdown")
    parser.add_argument("--save", type=Path, metavar="FILE",
                        help="write the whole result there as JSON, after every cell")
    parser.add_argument("--from", type=Path, dest="saved", metavar="FILE",
                        help="measure nothing: print what --save wrote")
    return parser.parse_args(arguments)


def plan(options):
    """(cells, pairs, times)"""
    cells = [cell for cell in CELLS
             if (not options.only and (cell.is_quick or not options.quick))
             or any(text in cell.name for text in options.only)]
    if not cells:
        sys.exit(f"bench/compare: no cell's name contains any of {options.only}; --list names them")
    times = QUICK_TIMES if options.quick else TIMES
    if options.seconds:
        times = Times(times.warm_up_s, options.seconds)
    return cells, options.pairs or (1 if options.quick else PAIRS), times


def seconds_of(cell, brokers_count, pairs, times):
    """How long it takes, about."""
    if cell.kind == "start":
        return pairs * brokers_count * START_S
    runs = 3 if cell.kind == "catch-up" else 1
    turn_s = runs * (times.warm_up_s + times.measured_s + TURN_OVERHEAD_S)
    warming_s = runs * (WARMING_TIMES.warm_up_s + WARMING_TIMES.measured_s + TURN_OVERHEAD_S)
    limits_s = 4 * (LIMIT_REPETITIONS + 1) * LIMIT_S if cell.kind in limits.KINDS else 0
    return len(cell.classes) * brokers_count * (pairs * turn_s + warming_s) + limits_s


def others(options):
    for text in options.other:
        name, _, address = text.partition("=")
        if not name or ":" not in address:
            sys.exit(f"bench/compare: --other {text}: NAME=HOST:PORT is needed")
        yield Other(name, address)


class Comparison:
    """One call of the command."""

    def __init__(self, work, options):
        self.work, self.options = work, options
        self.cells, self.pairs, self.times = plan(options)
        self.began = datetime.datetime.now(datetime.UTC)
        self.machine = limits.machine(work.folder)
        self.commands, self.idle, self.results = {}, {}, []
        self.done = 0
        self.brokers = list(others(options))
        if not options.no_kafka:
            self.brokers.insert(0, KafkaMeasured(work.folder / "kafka"))
        self.brokers.append(SillonMeasured(work.folder / "sillon"))

    def run(self):
        loaded = [cell for cell in self.cells if cell.kind != "start"]
        if loaded:
            self.run_loaded(loaded)
        for cell in self.cells:
            if cell.kind == "start":
                self.measure_start(cell)
        return self.document()

    def run_loaded(self, cells):
        """The cells whose brokers stay up from one to the next."""
        for broker in self.brokers:
            if isinstance(broker, Other):
                self.work.running[broker.name] = broker
            else:
                say(f"starting {broker.name} {broker.version()}")
                self.commands[broker.name] = self.work.start(broker)
        self.look_at_idle()
        for cell in cells:
            say(f"warming {cell.name}")
            self.with_its_brokers(cell, self.warm)
        for cell in cells:
            self.with_its_brokers(cell, self.measure)
        for broker in self.brokers:
            broker.stop()
            self.work.running.pop(broker.name)

    def look_at_idle(self):
        """What the brokers and the device do while nothing is asked of them."""
        turn.settle(self.work)
        with Sampler(self.work.pids(), self.work.device) as sampler:
            time.sleep(IDLE_S)
        begin, end = sampler.samples[0], sampler.samples[-1]
        seconds = end.at - begin.at
        self.idle = {
            "flushes_per_s": (end.device.flushes - begin.device.flushes) / seconds,
            "brokers": {name: {"cpu_share": (end.cpu_s[name] - begin.cpu_s[name]) / seconds,
                               "resident_mb": end.resident[name] / 1e6} for name in sampler.pids},
        }

    def with_its_brokers(self, cell, act):
        """Some cells have a Sillon of their own; the usual one is idle meanwhile."""
        if not cell.serve:
            act(cell, self.brokers)
            return
        own = SillonMeasured(self.work.folder / "sillon-own", cell.serve)
        usual = self.work.running[own.name]
        self.work.start(own)
        try:
            act(cell, [*self.brokers[:-1], own])
            own.stop()
        finally:
            own.remove()
            self.work.running[own.name] = usual

    def warm(self, cell, brokers):
        """JIT, memory and file systems see every scenario before the first of them is measured."""
        for durability in cell.classes:
            for broker in brokers:
                run = attempt(broker, 0, lambda: act_of(cell)(
                    self.work, cell, durability, broker, 0, WARMING_TIMES))
                if run["refused"]:
                    say(f"warming {broker.name}: {run['refused']}")

    def measure(self, cell, brokers):
        limit = None
        if cell.kind in limits.KINDS:
            limit = limits.measure(cell, self.work.folder, LIMIT_S, LIMIT_REPETITIONS)
        for durability in cell.classes:
            runs = []
            for number, broker in schedule.order(brokers, self.pairs):
                runs.append(attempt(broker, number, lambda: act_of(cell)(
                    self.work, cell, durability, broker, number, self.times)))
                self.tell(cell, durability, runs[-1])
            self.add(result.cell_result(cell, durability, runs, limit))

    def measure_start(self, cell):
        ours = [broker for broker in self.brokers if not isinstance(broker, Other)]
        runs = []
        for number, broker in schedule.order(ours, self.pairs):
            fresh = type(broker)(self.work.folder / f"start-{broker.name}")
            runs.append(attempt(broker, number,
                                lambda: start.first_acknowledgement(fresh, number)))
            self.tell(cell, "-", runs[-1])
        self.add(result.cell_result(cell, "-", runs, None))

    def tell(self, cell, durability, run):
        self.done += 1
        classes = sum(len(cell.classes) for cell in self.cells)
        total = classes * self.pairs * len(self.brokers)
        figure = run["figures"].get(cell.figure)
        heading = tables.UNITS[cell.figure][0]
        said = f"{tables.value(cell.figure, figure)} {heading}" if figure is not None else "nothing"
        flushes = f", {run['flushes']} flushes" if "flushes" in run else ""
        refused = f"; REFUSED: {run['refused']}" if run["refused"] else ""
        say(f"{self.done}/{total} {cell.name} class {durability} {run['broker']}: "
            f"{said}{flushes}{refused}")

    def add(self, cell_result):
        self.results.append(cell_result)
        if self.options.save:
            unfinished = self.options.save.with_suffix(".new")
            unfinished.write_text(json.dumps(self.document()) + "\n")
            unfinished.rename(self.options.save)

    def document(self):
        settings = {"pairs": self.pairs, "is_quick": self.options.quick,
                    "warm_up_s": self.times.warm_up_s, "measured_s": self.times.measured_s}
        brokers = {broker.name: {
            "version": broker.version(),
            "command": [str(part).replace(str(self.work.folder), "FOLDER")
                        for part in self.commands.get(broker.name, [])],
        } for broker in self.brokers}
        return result.document(self.machine, settings, brokers, self.results, self.idle, self.began)


def act_of(cell):
    """What makes a run of a cell."""
    return catch_up.take if cell.kind == "catch-up" else turn.take


def attempt(broker, number, act):
    """A run; of one that could not be, what went wrong."""
    try:
        return act()
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        return {"broker": broker.name, "round": number, "refused": str(error), "figures": {},
                "verified": False}


def show(document, form):
    if form == "json":
        print(json.dumps(document))
    else:
        print(tables.markdown(document) if form == "markdown" else tables.terminal(document))
    return 1 if any(cell["refused"] for cell in document["cells"]) else 0


def main(arguments=None):
    options = parse_arguments(arguments)
    if options.saved:
        return show(json.loads(options.saved.read_text()), options.format)
    cells, pairs, times = plan(options)
    brokers_count = 1 + len(options.other) + (not options.no_kafka)
    seconds = sum(seconds_of(cell, brokers_count, pairs, times) for cell in cells)
    say(f"{len(cells)} cell{'s'[:len(cells) > 1]}, {pairs} pair{'s'[:pairs > 1]} of each: about "
        f"{seconds / 60:.0f} min")
    if options.list:
        for cell in cells:
            print(f"{cell.name:28} class {' '.join(cell.classes)}  {cell.title}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as Ctrl-C: brokers end with us
    work = Work(options.dir)
    try:
        return show(Comparison(work, options).run(), options.format)
    finally:
        work.close()


if __name__ == "__main__":
    sys.exit(main())

"""The load generator, `sillon bench`, as a process: what goes in and what comes out."""

import json
import subprocess
import time
from dataclasses import dataclass

from comparison.brokers import BINARY, sillon
from comparison.cells import NO_CLASS

RUN_DEADLINE_S = 300
READ_BACK_MIB_MAX = 256  # evenly spaced; counts and offsets are compared of everything
TOPICS = "sillon-bench"  # how the names begin of those that it makes


@dataclass(frozen=True)
class Times:
    warm_up_s: float
    measured_s: float
    is_warming: bool = False  # what is measured is thrown away


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
                 "topic_configs": configs, "verify": {"read_back_mib_max": READ_BACK_MIB_MAX}})


def launch(folder, broker, text, with_ceiling=False):
    """Starts it on a scenario; `with_ceiling` measures first what it can do at most itself."""
    path = folder / f"scenario-{time.monotonic_ns()}.toml"
    path.write_text(text + "\n")
    return subprocess.Popen(
        [str(BINARY), "bench", "--bootstrap-server", broker.address, "--scenario", str(path),
         "--format", "json", "--keep-topics", *([] if with_ceiling else ["--no-ceiling"])],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(broker, process, deadline_s=RUN_DEADLINE_S):
    """Waits for the load generator; returns its RunReport."""
    try:
        out, said = process.communicate(timeout=deadline_s)
    finally:
        process.kill()
    try:
        return json.loads(out)["runs"][0]
    except (ValueError, LookupError):
        raise AssertionError(f"{broker.name}: sillon bench ended with {process.returncode} and no "
                             f"report:\n{said.strip()[-3000:]}") from None


def topics(broker):
    """What `sillon topic list` says of the topics that the load generator made."""
    listed = json.loads(sillon("topic", "list", "--format", "json", "-b", broker.address))
    return [topic for topic in listed if topic["topic"].startswith(TOPICS)]

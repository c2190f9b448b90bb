"""The result as a document: what was measured, how, and what follows from it.

Everything that is printed comes from this document, so `--format json` holds the whole.
"""

import datetime

from comparison import limits, schedule
from comparison.brokers import CLASSES, FLUSHED, NOT_FLUSHED
from comparison.cells import FIGURES, HIGHER_IS_BETTER
from comparison.figures import Spread, column, paired_ratios

FORMAT = "sillon-compare"
FORMAT_VERSION = 1
US = "sillon"


def cell_result(cell, durability, runs, limit):
    """`runs` in the order of time."""
    brokers = sorted({run["broker"] for run in runs}, key=lambda name: name != US)
    by_round = {name: sorted((run for run in runs if run["broker"] == name),
                             key=lambda run: run["round"]) for name in brokers}
    figures = FIGURES[cell.kind]
    result = {
        "cell": cell.name, "kind": cell.kind, "title": cell.title, "class": durability,
        "figure": cell.figure,
        "brokers": {name: {figure: spread.json() for figure in known(by_round[name])
                           if (spread := Spread.of(column(by_round[name], figure)))}
                    for name in brokers},
        "ratios": {}, "control": {}, "limits": None,
        "refused": [f"{run['broker']}, round {run['round'] + 1}: {run['refused']}"
                    for run in runs if run["refused"]],
        "is_generator_bound": any(run.get("is_generator_bound") for run in runs),
        "runs": runs,
    }
    for name in brokers:
        if name != US and US in by_round:
            result["ratios"][name] = {
                figure: spread.json() for figure in figures
                if (spread := paired_ratios(by_round[US], by_round[name], figure))}
    result["control"] = {figure: spread.json() for figure in figures
                         if (spread := schedule.control(runs, figure))}
    if limit is not None:
        result["limits"] = {**limit, "bound": limits.bound(cell, durability, limit["rows"])}
    return result


def known(runs):
    """The names of the figures that any of the runs has, in their order."""
    return dict.fromkeys(figure for run in runs for figure in run["figures"])


def across_classes(cells):
    """Sillon flushed over another broker not flushed, by cell: pairs of the same round. Their
    classes differ, so no such ratio stands among those within a class."""
    found = []
    by_class = {(cell["cell"], cell["class"]): cell for cell in cells}
    for cell in cells:
        not_flushed = by_class.get((cell["cell"], NOT_FLUSHED))
        if cell["class"] != FLUSHED or cell["kind"] != "produce" or not_flushed is None:
            continue
        ours = of_broker(cell, US)
        for name in not_flushed["brokers"]:
            theirs = of_broker(not_flushed, name)
            if name != US and ours and (spread := paired_ratios(ours, theirs, cell["figure"])):
                found.append({"cell": cell["cell"], "title": cell["title"], "over": name,
                              "figure": cell["figure"], "ratio": spread.json()})
    return found


def of_broker(cell, name):
    runs = [run for run in cell["runs"] if run["broker"] == name]
    return sorted(runs, key=lambda run: run["round"])


def document(machine, settings, brokers, cells, idle, began):
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION,
        "started": began.isoformat(timespec="seconds"),
        "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine, "settings": settings, "brokers": brokers, "idle": idle,
        "classes": CLASSES, "higher_is_better": HIGHER_IS_BETTER,
        "cells": cells, "across_classes": across_classes(cells),
    }

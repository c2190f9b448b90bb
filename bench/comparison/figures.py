"""Medians, and ratios with their spread."""

from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """The middle of some values (of an even number: between the middle two) and their ends."""

    median: float
    lowest: float
    highest: float
    count: int

    @classmethod
    def of(cls, values):
        """None when there is no value."""
        values = [value for value in values if value is not None]
        return cls(median(values), min(values), max(values), len(values)) if values else None

    def json(self):
        return asdict(self)


def ratio(value, over):
    """None when either is unknown or nothing can be divided by it."""
    return value / over if value is not None and over else None


def column(runs, figure):
    """That figure of each run; None where it has none, or where the run does not count."""
    return [run["figures"].get(figure) if run["refused"] is None else None for run in runs]


def paired_ratios(runs, over, figure):
    """The spread of run over run, each pair of neighbours in time on its own."""
    pairs = zip(column(runs, figure), column(over, figure), strict=True)
    return Spread.of(ratio(*pair) for pair in pairs)

"""What is compared: one scenario of the load generator a cell."""

from dataclasses import dataclass, field

from comparison.brokers import FLUSHED, NOT_FLUSHED

BOTH = (NOT_FLUSHED, FLUSHED)
# Of a cell without acknowledgements to speak of: topics are as each broker makes them.
NO_CLASS = ("-",)
KIB = 1024


# Whether more of a figure is better.
HIGHER_IS_BETTER = {
    "requests_per_s": True,
    "mb_per_s": True,
    "cpu_s_per_gb": False,
    "p50_us": False,
    "p99_us": False,
    "p999_us": False,
    "resident_mb": False,
    "flushes_per_mb": False,
    "device_bytes_per_byte": False,
    "p50_influence": False,
    "p99_influence": False,
    "first_ack_ms": False,
}
# Of which figures ratios are taken, by kind of cell; the most telling first.
FIGURES = {
    "produce": ("requests_per_s", "cpu_s_per_gb", "p50_us", "p99_us", "resident_mb",
                "flushes_per_mb", "device_bytes_per_byte"),
    "latency": ("p99_us", "p50_us", "p999_us", "cpu_s_per_gb"),
    "fetch": ("mb_per_s", "cpu_s_per_gb", "resident_mb"),
    "catch-up": ("p99_influence", "p50_influence", "p99_us", "p50_us"),
    "memory": ("resident_mb", "requests_per_s", "cpu_s_per_gb"),
    "start": ("first_ack_ms", "resident_mb"),
}


@dataclass(frozen=True)
class Cell:
    """`scenario` is a scenario of `sillon bench` without its times and topic configuration."""

    name: str
    kind: str                   # a key of FIGURES
    title: str
    scenario: dict = field(compare=False)
    classes: tuple = BOTH
    is_quick: bool = False
    # Arguments of `sillon serve`; not empty: a broker of its own for this cell.
    serve: tuple = ()
    # Shorter than the others, so that the reader does not catch up in the middle.
    measured_s: float | None = None

    @property
    def figure(self):
        """What says most."""
        return FIGURES[self.kind][0]

    def in_flight(self):
        """Requests on their way at most, over all connections; None where a schedule decides."""
        produce = self.scenario.get("produce")
        if produce is None or "rate" in produce:
            return None
        return produce["connections"] * produce["in_flight"]

    def request_bytes(self):
        """Bytes of the values in a request."""
        records = self.scenario["records"]
        return records["value_bytes"] * records["per_batch"]


SHAPES = {  # name: bytes of a value, records of a request
    "16 x 1 KiB": (KIB, 16),
    "1 x 1 KiB": (KIB, 1),
    "100 x 100 B": (100, 100),
}
PARTITIONS = (16, 100, 1000)
RATES = (1000, 5000, 20_000)
HOT_MIB = 256          # fits into the memory of either broker
COLD_MIB = 4096        # four times Sillon's memory and Kafka's heap
CATCH_UP_RATE = 5000
# The reader of the catch-up cells: written in large batches, for that is not what is measured.
COLD_READER = {
    "name": "cold reader", "partitions": 16, "preload_mib": COLD_MIB,
    "records": {"value_bytes": KIB, "per_batch": 64}, "consume": {"catching_up": 1},
    "verify": {"read_back_mib_max": 0},  # the consumer itself checks every record
}


def produce_cells():
    for partitions in PARTITIONS:
        for shape, (value_bytes, per_batch) in SHAPES.items():
            yield Cell(
                f"produce {shape.replace(' ', '')} p{partitions}", "produce",
                f"{shape}, {partitions:,} partitions",
                {"partitions": partitions,
                 "records": {"value_bytes": value_bytes, "per_batch": per_batch},
                 "produce": {"connections": 8, "in_flight": 16}},
                is_quick=partitions == 16 and per_batch != 100)


def rated(rate):
    return {"partitions": 16, "records": {"value_bytes": KIB, "per_batch": 1},
            "produce": {"connections": 4, "rate": float(rate)}}


def latency_cells():
    for rate in RATES:
        yield Cell(f"latency {rate}", "latency", f"{rate:,} requests/s of 1 KiB", rated(rate),
                   is_quick=rate == 1000)


def fetch_cells():
    for partitions in PARTITIONS:
        yield Cell(f"fetch hot p{partitions}", "fetch",
                   f"hot fetch, {partitions:,} partitions",
                   {"partitions": partitions, "preload_mib": HOT_MIB,
                    "records": {"value_bytes": KIB, "per_batch": 16},
                    "consume": {"looping": 2}},
                   NO_CLASS, is_quick=partitions == 16)


def catch_up_cells():
    yield Cell("catch-up cold", "catch-up",
               f"{CATCH_UP_RATE:,} requests/s of 1 KiB beside a cold reader",
               rated(CATCH_UP_RATE), measured_s=4.0)


def memory_cells():
    value_bytes, per_batch = SHAPES["16 x 1 KiB"]
    yield Cell("memory p1000", "memory", "16 x 1 KiB, 1,000 partitions",
               {"partitions": 1000,
                "records": {"value_bytes": value_bytes, "per_batch": per_batch},
                "produce": {"connections": 8, "in_flight": 16}},
               serve=("--memory", "256MiB"))


START = Cell("start", "start", "an empty folder", {}, NO_CLASS,
             is_quick=True)
CELLS = [*produce_cells(), *latency_cells(), *fetch_cells(), *catch_up_cells(), *memory_cells(),
         START]
assert len({cell.name for cell in CELLS}) == len(CELLS)

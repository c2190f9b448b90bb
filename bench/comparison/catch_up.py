"""How much a reader that catches up from the disk disturbs a producer."""

import os
import time
from pathlib import Path

from comparison import generator, turn
from comparison.brokers import NOT_FLUSHED
from comparison.cells import COLD_READER
from comparison.figures import ratio
from harness import wire

DROP_CACHES = Path("/proc/sys/vm/drop_caches")


def take(work, cell, durability, broker, number, times):
    """A run of the result: the producer beside the reader, held against itself alone."""
    alone = turn.take(work, cell, durability, broker, number, times)
    turn.settle(work)
    with ColdReader(work, broker) as reader:
        beside = turn.once(work, cell, durability, broker, number, times, reader)
    figures = beside["figures"]
    for name in ("p50", "p99"):
        figures[f"{name}_influence"] = ratio(figures[f"{name}_us"], alone["figures"][f"{name}_us"])
    figures["reader_mb_per_s"] = reading_rate(reader.report)
    refused = alone["refused"] or beside["refused"] or turn.unverified(reader.report)
    return beside | {"alone": alone, "reader": reader.report, "refused": refused}


def reading_rate(report):
    """MB/s of a reader over the seconds in which it read."""
    read = [second for second in report["seconds"] if second["fetch"]["requests"]]
    return ratio(sum(second["fetch"]["payload_bytes"] for second in read) / 1e6,
                 sum(second["length_s"] for second in read))


class ColdReader:
    """A consumer that reads from the beginning what no memory holds, while a producer runs."""

    # From the end of what is written first to the reading: time to drop the caches in.
    WARM_UP_S = 10.0
    PRODUCER_WARM_UP_S = 2.0
    MEASURED_S = 8.0
    POLL_S = 0.05

    def __init__(self, work, broker):
        self.broker, self.report = broker, None
        text = generator.toml({**COLD_READER, "warm_up_s": self.WARM_UP_S, "duration_s": self.MEASURED_S,
                     "topic_configs": broker.topic_configs[NOT_FLUSHED]})
        self.process = generator.launch(work.folder, broker, text)

    def __enter__(self):
        """Returns when the producer is to start, so that both are measured from then on."""
        try:
            self.wait_until_written()
            begin = time.monotonic()
            os.sync()
            DROP_CACHES.write_text("3")
            left_s = self.WARM_UP_S - self.PRODUCER_WARM_UP_S - (time.monotonic() - begin)
            if left_s < 0:
                raise AssertionError(f"dropping the page cache took {-left_s:.1f} s too long")
            time.sleep(left_s)
        except BaseException:
            self.process.kill()
            raise
        return self

    def __exit__(self, *_):
        self.process.kill()

    def wait_until_written(self):
        expected = (COLD_READER["preload_mib"] << 20) // COLD_READER["records"]["value_bytes"]
        deadline = time.monotonic() + generator.RUN_DEADLINE_S
        with wire.Connection(self.broker.address, greets=True) as connection:
            while sum(connection.list_offset(topic["topic"], partition, -1)[2]
                      for topic in generator.topics(self.broker)
                      for partition in range(topic["partitions"])) < expected:
                if self.process.poll() is not None:
                    self.finish()
                    raise AssertionError(f"{self.broker.name}: the reader ended before it read")
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self.broker.name}: what the reader is to read was not "
                                         f"written within {generator.RUN_DEADLINE_S} s")
                time.sleep(self.POLL_S)

    def finish(self):
        self.report = generator.finish(self.broker, self.process)

"""From the start of a process on an empty folder to its first acknowledged record."""

import time

from comparison.sampler import cpu_seconds, resident_bytes
from harness import wire

TOPIC = "first"
DEADLINE_S = 60


def first_acknowledgement(broker, number):
    """Starts it, creates a topic by asking for it, and writes one record; then stops it."""
    broker.prepare()  # a formatted folder, where a broker wants one: no part of its start
    batch = wire.build_batch([b"first"], int(time.time() * 1000))
    begin = time.monotonic()
    broker.start()
    try:
        with wire.Connection(broker.address, greets=True) as connection:
            while not is_acknowledged(connection, batch):
                if time.monotonic() - begin > DEADLINE_S:
                    raise AssertionError(f"{broker.name}: no record was acknowledged within "
                                         f"{DEADLINE_S} s of its start")
                time.sleep(0.001)
            took_ms = (time.monotonic() - begin) * 1e3
        figures = {"first_ack_ms": took_ms, "resident_mb": resident_bytes(broker.pid()) / 1e6,
                   "start_cpu_s": cpu_seconds(broker.pid())}
        broker.stop()
    finally:
        broker.remove()
    return {"broker": broker.name, "round": number, "refused": None, "figures": figures,
            "verified": True}


def is_acknowledged(connection, batch):
    # Both create a topic that a client asks for: auto.create.topics.enable is true.
    connection.call(wire.METADATA, 0, b"\0\0\0\1" + wire.string(TOPIC))
    return connection.produce(TOPIC, 0, batch)[0] == 0

"""How cases say what they expect."""

import time

DEADLINE_S = 20


def now_ms():
    return int(time.time() * 1000)


def equal(got, expected, what):
    if got != expected:
        raise AssertionError(f"{what}: {got!r}, not {expected!r}")


def eventually(attempt, what):
    """Calls `attempt` until it returns something true."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        result = attempt()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {DEADLINE_S} s")
        time.sleep(0.02)

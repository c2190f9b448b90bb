"""The physical limits of a cell: the same bytes by raw io_uring and by raw loopback TCP."""

import json
import subprocess

from harness.broker import TARGET

BINARY = TARGET / "release" / "physical-limits"
RESPONSE_BYTES = 64        # of an acknowledgement, about
REQUEST_BYTES = 128        # of a fetch, about
FETCHED_BYTES = 8 << 20    # what an answer to it carries, about
KINDS = ("produce", "latency", "fetch")  # of cells whose bytes can be moved without a broker
RATES = ("requests/s", "MB/s")  # columns of which more is better
TCP, TCP_SINGLE = "tcp: all in flight", "tcp: one at a time"
DISK, DISK_SINGLE = "disk: all in flight, one flush", "disk: one at a time, one flush"


def measure(cell, folder, seconds, repetitions):
    """What `physical-limits` says for the bytes of a cell: the best repetition of each way, for
    a limit is what the machine can do and not what it does on average."""
    produce = cell.scenario.get("produce")
    if produce:
        sizes = cell.request_bytes(), RESPONSE_BYTES
        connections, in_flight = produce["connections"], produce.get("in_flight", 1)
    else:
        sizes = REQUEST_BYTES, FETCHED_BYTES
        connections, in_flight = cell.scenario["consume"]["looping"], 1
    report = physical_limits(folder, "--request-bytes", sizes[0], "--response-bytes", sizes[1],
                             "--connections", connections, "--in-flight", in_flight,
                             "--seconds", seconds, "--repetitions", repetitions)
    return {"rows": best(report["rows"]), "note": report["notes"][0]}


def best(rows):
    """{way: {column: the best repetition}}"""
    return {row["name"]: {column: (max if column in RATES else min)(values["repetitions"])
                          for column, values in row["values"].items()} for row in rows}


def machine(folder):
    """What the machine is, with the file system and the device below a folder."""
    return physical_limits(folder, "--seconds", 0.01, "--repetitions", 1)["machine"]


def physical_limits(folder, *arguments):
    if not BINARY.exists():
        raise AssertionError(f"{BINARY} is missing: cargo build --release --package sillon-bench")
    command = [BINARY, "--dir", folder, "--format", "json", *arguments]
    result = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE)
    return json.loads(result.stdout)


def bound(cell, durability, rows):
    """What stands beside a cell's first figure: the slower of the ways that its bytes take."""
    if cell.kind == "fetch":
        return rows[TCP]["MB/s"]
    if cell.kind == "produce":
        tcp = rows[TCP]["requests/s"]
        return min(tcp, rows[DISK]["requests/s"]) if durability == "B" else tcp
    # One request's way: there and back, and in class B the write and its flush between.
    disk_us = rows[DISK_SINGLE]["p99 us"] if durability == "B" else 0
    return rows[TCP_SINGLE]["p99 us"] + disk_us

"""The command ci/hostile."""

import argparse
import re
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

from harness import hostile_inputs, wire
from harness.broker import TARGET, Kafka, Sillon
from harness.checks import now_ms
from harness.clients.confluent import create_topic
from harness.hostile_inputs import CLOSED, COMPACTED, INPUTS, TOPIC, Target

INPUTS_COUNT = 106
MEMORY_BYTES_MAX = 600 << 20    # of Sillon with --memory 256M, whatever comes
UNREAD_REQUESTS = 10_000
CONNECTIONS = 1_000
DESCRIBED_TOPICS = 400
UNREAD_ANSWERS = 300
UNREAD_BYTES_MAX = 128 << 20    # what they may take together, twice their part of --memory and more

# Where Sillon answers otherwise than Kafka: what it answers, and why.
DIFFERENCES = {
    "header/client-id-no-utf-8": (CLOSED, "the protocol's strings are UTF-8"),
    "count/minus-2-metadata": (CLOSED, "-1 is null; nothing else below 0 is a count"),
    "batch/null": ("error 87", "Kafka never answers"),
    "batch/unknown-codec": ("error 76", "Kafka says UNKNOWN_SERVER_ERROR, which tells nobody what to mend"),
    "batch/garbage-gzip": ("error 87", "as before"),
    "batch/garbage-snappy": ("error 87", "as before"),
    "batch/garbage-lz4": ("error 87", "as before"),
    "batch/offsets-out-of-order": ("error 87", "consumers would get offsets that go back"),
    "batch/transactional-without-an-id": ("error 48", "there are no transactions yet"),
    "fetch/negative-max-bytes": ("error 0", "Kafka says UNKNOWN_SERVER_ERROR; it is as good as 0"),
    "fetch/negative-partition-bytes": ("error 0", "as before"),
}


def serves(address):
    """Whether another client is served as before."""
    with wire.Connection(address, greets=True) as connection:
        error, offset, _ = connection.produce(TOPIC, 0, wire.build_batch([b"still here"], now_ms()))
        if error:
            raise AssertionError(f"another client hears error {error}")
        error, _, data = connection.fetch(TOPIC, 0, offset)
        if error or not data:
            raise AssertionError(f"another client reads nothing (error {error})")


def resident_bytes(broker):
    text = Path(f"/proc/{broker.process.pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)[1]) * 1024


def ten_thousand_requests_are_sent_and_no_answer_is_read(broker):
    """The broker stops reading instead of keeping answers."""
    with wire.Connection(broker.address, greets=True) as connection:
        request = hostile_inputs.request(wire.METADATA, 1, struct.pack(">i", 0))
        connection.socket.settimeout(2)
        try:
            connection.socket.sendall(request * UNREAD_REQUESTS)
        except socket.timeout:
            pass  # it is full, as it should be
        serves(broker.address)


def many_connections_say_nothing(broker):
    host, port = broker.address.rsplit(":", 1)
    held = []
    try:
        for _ in range(CONNECTIONS):
            held.append(socket.create_connection((host, int(port)), timeout=10))
        serves(broker.address)
    finally:
        for connection in held:
            connection.close()


def a_reader_takes_one_byte_at_a_time(broker):
    with wire.Connection(broker.address, greets=True) as connection:
        for byte in hostile_inputs.request(wire.METADATA, 1, struct.pack(">i", 0)):
            connection.socket.sendall(bytes([byte]))
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack(">i", answer[:4])[0]:
            answer += connection.exactly(1)


def a_large_answer_is_asked_for_and_not_read(broker):
    held = []
    try:
        for _ in range(20):
            connection = wire.Connection(broker.address, greets=True)
            held.append(connection)
            body = struct.pack(">iiiibi", -1, 0, 0, 50 << 20, 0, 1) + wire.string(TOPIC)
            body += struct.pack(">iiqi", 1, 0, 0, 50 << 20)
            for _ in range(50):
                connection.send(wire.FETCH, 4, body)
        serves(broker.address)
    finally:
        for connection in held:
            connection.socket.close()


def describe_configs(topics):
    """DescribeConfigs of version 3 for all of some topics' configs, with their documentation."""
    body = struct.pack(">i", len(topics))
    for topic in topics:
        body += struct.pack(">b", 2) + wire.string(topic) + struct.pack(">i", -1)
    return body + struct.pack(">bb", 1, 1)


def many_clients_describe_everything_and_do_not_read_it(broker):
    """Answers of more than a megabyte to small requests, from more clients than have a place."""
    topics = [f"described-{number}" for number in range(DESCRIBED_TOPICS)]
    for topic in topics:
        create_topic(broker.address, topic)
    before, most, held = resident_bytes(broker), 0, []
    try:
        for _ in range(UNREAD_ANSWERS):
            connection = wire.Connection(broker.address, greets=True)
            held.append(connection)
            # The kernel keeps one or two of them.
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 10)
            for _ in range(3):
                connection.send(wire.DESCRIBE_CONFIGS, 3, describe_configs(topics))
            most = max(most, resident_bytes(broker))
        for _ in range(20):
            serves(broker.address)
            most = max(most, resident_bytes(broker))
            time.sleep(0.1)
        with wire.Connection(broker.address, greets=True) as connection:
            connection.call(wire.METADATA, 1, struct.pack(">i", 1) + wire.string(TOPIC))
    finally:
        for connection in held:
            connection.socket.close()
    if most - before > UNREAD_BYTES_MAX:
        raise AssertionError(f"{(most - before) >> 20} MiB are held for those who do not read")


BURDENS = [ten_thousand_requests_are_sent_and_no_answer_is_read, many_connections_say_nothing,
           a_reader_takes_one_byte_at_a_time, a_large_answer_is_asked_for_and_not_read,
           many_clients_describe_everything_and_do_not_read_it]


def prepare(broker):
    broker.start()
    create_topic(broker.address, TOPIC)
    create_topic(broker.address, COMPACTED, {"cleanup.policy": "compact"})
    filler = wire.build_batch([bytes(900_000)], now_ms())
    with wire.Connection(broker.address, greets=True) as connection:
        for _ in range(60):
            connection.produce(TOPIC, 0, filler)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="inputs whose name contains this")
    arguments = parser.parse_args()
    chosen = {name: send for name, send in INPUTS.items() if arguments.only in name}
    passed = failed = 0

    def verdict(name, problem, note=""):
        nonlocal passed, failed
        passed, failed = passed + (not problem), failed + bool(problem)
        print(f"{'FAIL' if problem else 'ok  '} {name} {problem or note}", flush=True)

    with tempfile.TemporaryDirectory(dir=TARGET, prefix="hostile-") as folder:
        brokers = [Kafka(f"{folder}/kafka"), Sillon(f"{folder}/sillon", 2, arguments=["--memory", "256M"])]
        try:
            for broker in brokers:
                prepare(broker)
            kafka, sillon = brokers
            for name, send in chosen.items():
                wanted, found = send(Target(kafka.address)), send(Target(sillon.address))
                problem, note = "", found
                if name in DIFFERENCES:
                    wanted, reason = DIFFERENCES[name]
                    note = f"{found}, unlike Kafka: {reason}"
                if found != wanted:
                    problem = f"Kafka: {wanted}, Sillon: {found}"
                try:
                    serves(sillon.address)
                except (AssertionError, OSError) as error:
                    problem += f" afterwards {error}"
                verdict(name, problem, note)
            if not arguments.only:
                for burden in BURDENS:
                    begin = time.monotonic()
                    try:
                        burden(sillon)
                        serves(sillon.address)
                        problem = ""
                    except (AssertionError, OSError) as error:
                        problem = str(error)
                    name = burden.__name__.replace("_", "-")
                    verdict(f"burden/{name}", problem, f"{time.monotonic() - begin:.1f} s")
                resident = resident_bytes(sillon)
                note = f"{resident >> 20} MiB resident"
                verdict("memory-is-bounded", note if resident > MEMORY_BYTES_MAX else "", note)
                verdict("every-input-is-there", "" if len(INPUTS) == INPUTS_COUNT else f"{len(INPUTS)}")
            sillon.stop()
        finally:
            for broker in brokers:
                broker.remove()
    print(f"hostile: {passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()

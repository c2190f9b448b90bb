"""The command ci/capture-frames: what clients and Apache Kafka say to each other, kept as test
vectors for net/protocol, one file per API and version.

A file has lines of hexadecimal digits, a request and the response to it, each a frame without its
length. Of several, the longest with little in it is kept: those that carry records.
"""

import socket
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path

from harness.broker import ROOT, Kafka, free_port
from harness.clients.confluent import create_topic
from harness.driver import Driver

FOLDER = ROOT / "net/protocol/tests/captured"
APIS = {0: "produce", 1: "fetch"}
CLIENTS = ["java-4", "java-3", "franz-go", "sarama", "kafka-go", "kafkajs", "aiokafka"]
FRAME_BYTES_MAX = 1000
TOPIC = "captured"


def frame(source):
    """The next frame without its length, or None at the end."""
    length = source.read(4)
    return source.read(struct.unpack(">i", length)[0]) if len(length) == 4 else None


class Recorder:
    """Passes connections on to the broker, and keeps the frames."""

    def __init__(self, port, broker_port):
        self.broker_port, self.pairs, self.lock = broker_port, {}, threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            broker = socket.create_connection(("127.0.0.1", self.broker_port))
            under_way = {}
            for source, sink, note in [(client, broker, self.request), (broker, client, self.response)]:
                threading.Thread(target=self.carry, args=(source, sink, note, under_way),
                                 daemon=True).start()

    def carry(self, source, sink, note, under_way):
        try:
            with source.makefile("rb") as stream:
                while (data := frame(stream)) is not None:
                    note(data, under_way)
                    sink.sendall(struct.pack(">i", len(data)) + data)
            sink.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # one of the two has gone

    def request(self, data, under_way):
        under_way[data[4:8]] = data

    def response(self, data, under_way):
        request = under_way.pop(data[:4])
        api, version = struct.unpack(">hh", request[:4])
        if api in APIS and max(len(request), len(data)) <= FRAME_BYTES_MAX:
            with self.lock:
                before = self.pairs.get((api, version), (b"", b""))
                if len(request) + len(data) > len(before[0]) + len(before[1]):
                    self.pairs[api, version] = request, data


def talk(client, address, topic):
    """Writes a record to a topic and reads it back."""
    create_topic(address, topic)
    record = {"partition": 1, "timestamp": int(time.time() * 1000), "key": "a2V5", "value": "dmFsdWU=",
              "headers": [["header", "Ynl0ZXM="]]}
    driver = Driver(client, address)
    try:
        driver.ask("produce", topic=topic, codec="none", records=[record])
        driver.ask("read", topic=topic, partition=1, offset=0, count=1)
    finally:
        driver.kill()


def main():
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        kafka = Kafka(folder, {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}"})
        try:
            kafka.start()
            recorder = Recorder(port, kafka.port)
            for number, client in enumerate(CLIENTS):
                talk(client, f"127.0.0.1:{port}", f"{TOPIC}-{number}")
        finally:
            kafka.kill()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for (api, version), frames in sorted(recorder.pairs.items()):
        path = FOLDER / f"{APIS[api]}-{version}.hex"
        path.write_text("".join(f"{data.hex()}\n" for data in frames))
        print(f"{path.relative_to(ROOT)}: {len(frames[0])} and {len(frames[1])} bytes")
    return 0 if recorder.pairs else 1


if __name__ == "__main__":
    sys.exit(main())

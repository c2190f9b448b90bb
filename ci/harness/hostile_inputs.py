"""What no client should send. Each input is a function of a `Target` that says what became of it."""

import gzip
import socket
import struct

import crc32c

from harness import wire
from harness.checks import now_ms

TOPIC = "hostile"
COMPACTED = "hostile-compacted"
CREATE_TOPICS, DELETE_TOPICS, FIND_COORDINATOR, EPOCHS = 19, 20, 10, 23
CLOSED, SILENT = "closed", "no answer"
ANSWER_S = 3        # a request that is answered is answered in this time, on a busy machine as well
I32_MAX = 2**31 - 1


class Target:
    def __init__(self, address):
        self.address = address
        host, port = address.rsplit(":", 1)
        self.place = (host, int(port))

    def raw(self, data, greets=True):
        """Sends bytes; what comes back first: a frame, CLOSED or SILENT."""
        with wire.Connection(self.address, greets=greets) as connection:
            try:
                connection.socket.sendall(data)
            except OSError:
                return CLOSED
            return self.answer(connection)

    def answer(self, connection):
        connection.socket.settimeout(ANSWER_S)
        try:
            length = struct.unpack(">i", connection.exactly(4))[0]
            return connection.exactly(length)
        except socket.timeout:
            return SILENT
        except OSError:
            return CLOSED

    def call(self, api, version, body, error=None, greets=True):
        """The error code of an answer, found by `error(reader)`; else CLOSED, SILENT, or answered."""
        found = self.raw(request(api, version, body), greets)
        if not isinstance(found, bytes):
            return found
        if error is None:
            return "answered"
        reader = wire.Reader(found)
        reader.take("i")
        return f"error {error(reader)}"

    def produce(self, records, topic=TOPIC, acks=-1):
        body = wire.NULL_STRING + struct.pack(">hii", acks, 30_000, 1) + wire.string(topic)
        body += struct.pack(">ii", 1, 0)
        body += struct.pack(">i", -1) if records is None else struct.pack(">i", len(records)) + records
        return self.call(wire.PRODUCE, 3, body, lambda reader: wire.produce_answer(reader)[1])


def frame(data):
    return struct.pack(">i", len(data)) + data


def request(api, version, body, client=b"\0\7hostile", correlation=7):
    return frame(struct.pack(">hhi", api, version, correlation) + client + body)


def flexible(api, version, body):
    """A request whose header has tagged fields."""
    return frame(struct.pack(">hhi", api, version, 7) + b"\0\7hostile" + b"\0" + body)


def uvarint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def patched(batch, at, data, seals=True):
    """A batch with other bytes somewhere, its checksum made right again."""
    batch = bytearray(batch)
    batch[at:at + len(data)] = data
    if seals:
        batch[17:21] = struct.pack(">I", crc32c.crc32c(bytes(batch[21:])))
    return bytes(batch)


def good(count=2, **fields):
    return wire.build_batch([b"value"] * count, now_ms(), **fields)


def compressed(codec, content, count=1):
    """A batch whose records are these bytes, said to be compressed."""
    tail = struct.pack(">hiqqqhii", codec, count - 1, now_ms(), now_ms(), -1, -1, -1, count) + content
    head = struct.pack(">ibI", -1, 2, crc32c.crc32c(tail))
    return struct.pack(">qi", 0, len(head) + len(tail)) + head + tail


def with_records(records, count=1):
    return compressed(0, records, count)


def record(body):
    return wire.varint(len(body)) + body


def record_body(delta=0, key=b"", value=b"v", headers=b"\0"):
    return (b"\0" + wire.varint(0) + wire.varint(delta) + wire.varint(len(key)) + key
            + wire.varint(len(value)) + value + headers)


def topics_error(reader):
    """The first topic's code of Metadata 1."""
    reader.array(lambda: (reader.take("i"), reader.string(), reader.take("i"), reader.string()))
    reader.take("i")  # the controller
    return reader.array(lambda: (reader.take("h"), reader.string(), reader.take("b"),
                                 reader.array(lambda: (reader.take("hii"),
                                              reader.array(lambda: reader.take("i")),
                                              reader.array(lambda: reader.take("i"))))))[0][0]


def metadata(target, name):
    body = struct.pack(">i", 1) + name
    return target.call(wire.METADATA, 1, body, topics_error)


def create(target, name, partitions=1, replicas=1, config=None):
    body = struct.pack(">i", 1) + name + struct.pack(">ihi", partitions, replicas, 0)
    body += struct.pack(">i", 0) if config is None else \
        struct.pack(">i", 1) + wire.string(config[0]) + wire.string(config[1])
    body += struct.pack(">i?", 5_000, False)

    def code(reader):
        reader.take("i")
        return reader.array(lambda: (reader.string(), reader.take("h"), reader.string()))[0][1]

    return target.call(CREATE_TOPICS, 2, body, code)


def fetch(target, partition=0, offset=0, max_bytes=1 << 20, min_bytes=0, replica=-1, topic=TOPIC,
          partition_bytes=1 << 20):
    body = struct.pack(">iiiibi", replica, 0, min_bytes, max_bytes, 0, 1) + wire.string(topic)
    body += struct.pack(">iiqi", 1, partition, offset, partition_bytes)

    def code(reader):
        reader.take("i")
        reader.string() if reader.take("i") else None
        reader.take("i")
        return reader.take("ih")[1]

    return target.call(wire.FETCH, 4, body, code)


def list_offsets(target, partition, timestamp):
    body = struct.pack(">ii", -1, 1) + wire.string(TOPIC) + struct.pack(">iiq", 1, partition, timestamp)

    def code(reader):
        reader.take("i")
        reader.string()
        reader.take("i")
        return reader.take("ih")[1]

    return target.call(wire.LIST_OFFSETS, 1, body, code)


def api_versions_99(target):
    found = target.raw(flexible(wire.API_VERSIONS, 99, b""), greets=False)
    return found if not isinstance(found, bytes) else f"error {struct.unpack('>ih', found[:6])[1]}"


def api_versions_3(target, body):
    found = target.raw(flexible(wire.API_VERSIONS, 3, body), greets=False)
    return found if not isinstance(found, bytes) else f"error {struct.unpack('>ih', found[:6])[1]}"


NAME = uvarint(5) + b"name"
BOMB = gzip.compress(bytes(200 << 20), compresslevel=1)
EVERY_API = {"produce": (0, 3), "fetch": (1, 4), "list-offsets": (2, 1), "metadata": (3, 1),
             "find-coordinator": (10, 0), "create-topics": (19, 2), "delete-topics": (20, 1),
             "init-producer-id": (22, 0), "epochs": (23, 2)}
COUNTED = {"produce": (0, 3, wire.NULL_STRING + struct.pack(">hi", -1, 1000)),
           "fetch": (1, 4, struct.pack(">iiiib", -1, 0, 0, 1 << 20, 0)),
           "list-offsets": (2, 1, struct.pack(">i", -1)),
           "metadata": (3, 1, b""),
           "create-topics": (19, 2, b""),
           "delete-topics": (20, 1, b""),
           "epochs": (23, 2, b"")}

INPUTS = {
    "frame/length-0": lambda t: t.raw(struct.pack(">i", 0)),
    "frame/length-negative": lambda t: t.raw(struct.pack(">i", -1) + b"x" * 8),
    "frame/length-lowest": lambda t: t.raw(struct.pack(">i", -2**31) + b"x" * 8),
    "frame/length-over-the-limit": lambda t: t.raw(struct.pack(">i", (100 << 20) + 1) + b"x" * 8),
    "frame/length-highest": lambda t: t.raw(struct.pack(">i", I32_MAX) + b"x" * 8),
    "frame/three-bytes": lambda t: t.raw(frame(b"\0\0\0")),
    "frame/half-a-header": lambda t: t.raw(frame(b"\0\x12\0\0\0\0\0")),
    "frame/http": lambda t: t.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", greets=False),
    "frame/tls": lambda t: t.raw(bytes.fromhex("160301020001000001fc0303") + b"\x5a" * 500, greets=False),
    "frame/half-and-then-nothing": lambda t: t.raw(struct.pack(">i", 100) + b"\0\3\0\1"),
    "header/unknown-api": lambda t: t.call(999, 0, b""),
    "header/negative-api": lambda t: t.call(-1, 0, b""),
    "header/retired-api": lambda t: t.call(4, 0, b""),
    "header/produce-from-the-future": lambda t: t.call(0, 99, b""),
    "header/fetch-of-the-past": lambda t: t.call(1, 0, b""),
    "header/negative-version": lambda t: t.call(3, -1, struct.pack(">i", 0)),
    "header/api-versions-from-the-future": api_versions_99,
    "header/client-id-beyond-the-frame": lambda t: t.raw(frame(struct.pack(">hhih", 3, 1, 7, 32000) + b"x")),
    "header/client-id-length-minus-2": lambda t: t.raw(frame(struct.pack(">hhih", 3, 1, 7, -2))),
    "header/client-id-no-utf-8": lambda t: t.raw(request(3, 1, struct.pack(">i", 0), b"\0\2\xff\xfe")),
    "header/null-client-id": lambda t: "answered" if isinstance(
        t.raw(request(3, 1, struct.pack(">i", 0), b"\xff\xff")), bytes) else CLOSED,
    **{f"body/empty-{name}": lambda t, api=api, version=version: t.call(api, version, b"")
       for name, (api, version) in EVERY_API.items()},
    **{f"count/highest-{name}": lambda t, c=case: t.call(c[0], c[1], c[2] + struct.pack(">i", I32_MAX))
       for name, case in COUNTED.items()},
    **{f"count/minus-2-{name}": lambda t, c=case: t.call(c[0], c[1], c[2] + struct.pack(">i", -2))
       for name, case in COUNTED.items()},
    "tags/unknown-are-skipped": lambda t: api_versions_3(t, NAME + NAME + b"\1\x63\3abc"),
    "tags/many-said-none-there": lambda t: api_versions_3(t, NAME + NAME + uvarint(I32_MAX)),
    "tags/size-beyond-the-frame": lambda t: api_versions_3(t, NAME + NAME + b"\1\x63" + uvarint(I32_MAX)),
    "tags/overlong-varint": lambda t: api_versions_3(t, NAME + NAME + b"\x80" * 9 + b"\1"),
    "tags/name-beyond-the-frame": lambda t: api_versions_3(t, uvarint(1 << 30) + b"name"),
    "name/empty": lambda t: metadata(t, wire.string("")),
    "name/dot-dot": lambda t: metadata(t, wire.string("..")),
    "name/slash": lambda t: metadata(t, wire.string("a/b")),
    "name/250-long": lambda t: metadata(t, wire.string("a" * 250)),
    "name/32767-long": lambda t: metadata(t, wire.string("a" * 32767)),
    "name/create-dot-dot": lambda t: create(t, wire.string("..")),
    "name/create-with-a-path": lambda t: create(t, wire.string("../../etc/passwd")),
    "name/create-250-long": lambda t: create(t, wire.string("a" * 250)),
    "create/no-partitions": lambda t: create(t, wire.string("none"), partitions=0),
    "create/minus-5-partitions": lambda t: create(t, wire.string("none"), partitions=-5),
    "create/300-replicas": lambda t: create(t, wire.string("none"), replicas=300),
    "create/unknown-config": lambda t: create(t, wire.string("none"), config=("no.such.key", "1")),
    "batch/null": lambda t: t.produce(None),
    "batch/empty": lambda t: t.produce(b""),
    "batch/ten-bytes": lambda t: t.produce(b"0123456789"),
    "batch/magic-0": lambda t: t.produce(patched(good(), 16, b"\0")),
    "batch/magic-1": lambda t: t.produce(patched(good(), 16, b"\1")),
    "batch/magic-3": lambda t: t.produce(patched(good(), 16, b"\3")),
    "batch/wrong-checksum": lambda t: t.produce(patched(good(), 30, b"\x55", seals=False)),
    "batch/length-beyond": lambda t: t.produce(patched(good(), 8, struct.pack(">i", 1 << 20))),
    "batch/length-negative": lambda t: t.produce(patched(good(), 8, struct.pack(">i", -5))),
    "batch/length-below-a-header": lambda t: t.produce(patched(good(), 8, struct.pack(">i", 20))),
    "batch/two-in-one": lambda t: t.produce(good() + good()),
    "batch/more-records-said": lambda t: t.produce(patched(good(), 57, struct.pack(">i", 9))),
    "batch/fewer-records-said": lambda t: t.produce(patched(good(), 57, struct.pack(">i", 1))),
    "batch/negative-record-count": lambda t: t.produce(patched(good(), 57, struct.pack(">i", -1))),
    "batch/no-records": lambda t: t.produce(with_records(b"", 0)),
    "batch/negative-last-offset": lambda t: t.produce(patched(good(), 23, struct.pack(">i", -3))),
    "batch/unknown-codec": lambda t: t.produce(compressed(7, b"x" * 20)),
    "batch/garbage-gzip": lambda t: t.produce(compressed(1, b"x" * 50)),
    "batch/garbage-snappy": lambda t: t.produce(compressed(2, b"x" * 50)),
    "batch/garbage-lz4": lambda t: t.produce(compressed(3, b"x" * 50)),
    "batch/garbage-zstd": lambda t: t.produce(compressed(4, b"x" * 50)),
    "batch/gzip-bomb": lambda t: t.produce(compressed(1, BOMB)),
    "batch/record-beyond-the-batch": lambda t: t.produce(with_records(wire.varint(1000) + record_body())),
    "batch/record-of-negative-length": lambda t: t.produce(with_records(wire.varint(-5) + record_body())),
    "batch/key-beyond-the-record": lambda t: t.produce(with_records(
        record(b"\0\0\0" + wire.varint(500) + b"k" * 5))),
    "batch/headers-counted-negative": lambda t: t.produce(with_records(
        record(record_body(headers=wire.varint(-1))))),
    "batch/headers-counted-highest": lambda t: t.produce(with_records(
        record(record_body(headers=wire.varint(I32_MAX))))),
    "batch/offsets-out-of-order": lambda t: t.produce(with_records(
        record(record_body(delta=1)) + record(record_body(delta=0)), 2)),
    "batch/control": lambda t: t.produce(good(attributes=0x20)),
    "batch/transactional-without-an-id": lambda t: t.produce(good(
        attributes=0x10, producer_id=5, producer_epoch=0, base_sequence=0)),
    "batch/producer-without-a-sequence": lambda t: t.produce(good(
        producer_id=5, producer_epoch=0, base_sequence=-1)),
    "batch/from-next-year": lambda t: t.produce(wire.build_batch([b"v"], now_ms() + 365 * 86_400_000)),
    "batch/without-a-key-for-a-compacted-topic": lambda t: t.produce(good(), COMPACTED),
    "batch/too-large": lambda t: t.produce(wire.build_batch([bytes(2 << 20)], now_ms())),
    "batch/acks-5": lambda t: t.produce(good(), acks=5),
    "batch/unknown-topic": lambda t: t.produce(good(), "nowhere-at-all"),
    "fetch/negative-offset": lambda t: fetch(t, offset=-5),
    "fetch/offset-beyond-the-end": lambda t: fetch(t, offset=2**62),
    "fetch/negative-partition": lambda t: fetch(t, partition=-1),
    "fetch/partition-99": lambda t: fetch(t, partition=99),
    "fetch/negative-max-bytes": lambda t: fetch(t, max_bytes=-1),
    "fetch/negative-partition-bytes": lambda t: fetch(t, partition_bytes=-1),
    "fetch/unknown-topic": lambda t: fetch(t, topic="nowhere-at-all"),
    "list-offsets/negative-partition": lambda t: list_offsets(t, -1, -1),
    "list-offsets/timestamp-minus-99": lambda t: list_offsets(t, 0, -99),
}

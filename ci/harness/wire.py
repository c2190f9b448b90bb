"""A raw connection, for what no client library lets one see or do. Non-flexible versions only."""

import socket
import struct

import crc32c

from harness import batches

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, INIT_PRODUCER_ID = 0, 1, 2, 3, 18, 22
DESCRIBE_CONFIGS = 32


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


NULL_STRING = struct.pack(">h", -1)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, layout):
        values = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return values[0] if len(values) == 1 else values

    def bytes(self, length):
        if length < 0:
            return None
        data = self.data[self.at:self.at + length]
        self.at += length
        return data

    def string(self):
        data = self.bytes(self.take("h"))
        return None if data is None else data.decode()

    def array(self, element):
        return [element() for _ in range(max(self.take("i"), 0))]


class Connection:
    def __init__(self, address, timeout_s=30, greets=False):
        """`greets` begins with ApiVersions, as every client does: a broker may keep the first
        request of a connection small."""
        self.address = address
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.correlation = 0
        if greets:
            self.api_versions()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, api, version, body):
        self.correlation += 1
        frame = struct.pack(">hhi", api, version, self.correlation) + string("harness") + body
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)
        return self.correlation

    def receive(self, correlation):
        length = struct.unpack(">i", self.exactly(4))[0]
        reader = Reader(self.exactly(length))
        got = reader.take("i")
        if got != correlation:
            raise AssertionError(f"response {got} came where {correlation} was due")
        return reader

    def call(self, api, version, body):
        return self.receive(self.send(api, version, body))

    def exactly(self, length):
        data = bytearray()
        while len(data) < length:
            piece = self.socket.recv(min(length - len(data), 1 << 20))
            if not piece:
                raise ConnectionError("the broker closed the connection")
            data += piece
        return bytes(data)

    def api_versions(self):
        """{api key: (lowest, highest)}"""
        reader = self.call(API_VERSIONS, 0, b"")
        error = reader.take("h")
        if error:
            raise AssertionError(f"ApiVersions: error {error}")
        return {key: (low, high) for key, low, high in reader.array(lambda: reader.take("hhh"))}

    def fetch(self, topic, partition, offset, max_bytes=1 << 20, max_wait_ms=500, min_bytes=1):
        """(error code, high watermark, bytes of record batches), by Fetch v4."""
        body = struct.pack(">iiiibi", -1, max_wait_ms, min_bytes, max_bytes, 0, 1) + string(topic)
        body += struct.pack(">iiqi", 1, partition, offset, max_bytes)
        reader = self.call(FETCH, 4, body)
        reader.take("i")  # throttle time
        answers = []

        def one_partition():
            _, error, high_watermark, _ = reader.take("ihqq")
            reader.array(lambda: reader.take("qq"))
            answers.append((error, high_watermark, reader.bytes(reader.take("i")) or b""))

        reader.array(lambda: (reader.string(), reader.array(one_partition)))
        if len(answers) != 1:
            raise AssertionError(f"Fetch of one partition answered {len(answers)}")
        return answers[0]

    def list_offset(self, topic, partition, timestamp, version=4):
        """(error, timestamp, offset), by ListOffsets. -1 is the latest, -2 the earliest."""
        has_epoch = version >= 4
        body = struct.pack(">i", -1) + (b"\0" if version >= 2 else b"")
        body += struct.pack(">i", 1) + string(topic) + struct.pack(">ii", 1, partition)
        body += (struct.pack(">i", -1) if has_epoch else b"") + struct.pack(">q", timestamp)
        reader = self.call(LIST_OFFSETS, version, body)
        if version >= 2:
            reader.take("i")  # throttle time
        answers = []
        layout = "ihqqi" if has_epoch else "ihqq"
        reader.array(lambda: (reader.string(), reader.array(lambda: answers.append(reader.take(layout)))))
        return answers[0][1:4]

    def produce(self, topic, partition, records, acks=-1, transactional_id=None):
        """(error, base offset, log append time), by Produce v3. None with acks=0."""
        body = produce_body(topic, partition, records, acks, transactional_id)
        correlation = self.send(PRODUCE, 3, body)
        return None if acks == 0 else produce_answer(self.receive(correlation))[1:]

    def init_producer_id(self, transactional_id=None):
        """(error, producer id, producer epoch), by InitProducerId v0."""
        body = NULL_STRING if transactional_id is None else string(transactional_id)
        reader = self.call(INIT_PRODUCER_ID, 0, body + struct.pack(">i", 60_000))
        reader.take("i")
        return reader.take("hqh")


def produce_body(topic, partition, records, acks=-1, transactional_id=None):
    """A Produce v3 request of one partition."""
    body = NULL_STRING if transactional_id is None else string(transactional_id)
    body += struct.pack(">hii", acks, 30_000, 1) + string(topic)
    return body + struct.pack(">iii", 1, partition, len(records)) + records


def produce_answer(reader):
    """(partition, error, base offset, log append time) of a Produce v3 answer."""
    answers = []
    reader.array(lambda: (reader.string(), reader.array(lambda: answers.append(reader.take("ihqq")))))
    return answers[0]


def varint(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value & ~0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def build_batch(values, timestamp_ms, producer_id=-1, producer_epoch=-1, base_sequence=-1,
                attributes=0):
    """An uncompressed record batch v2 with null keys."""
    records = b""
    for delta, value in enumerate(values):
        record = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(record)) + record
    tail = struct.pack(">hiqqqhii", attributes, len(values) - 1, timestamp_ms, timestamp_ms,
                       producer_id, producer_epoch, base_sequence, len(values)) + records
    head = struct.pack(">ibI", -1, 2, crc32c.crc32c(tail))
    return struct.pack(">qi", 0, len(head) + len(tail)) + head + tail


def fetch_all(address, topic, partitions):
    """{partition: the stored batches from the first offset to the high watermark}"""
    stored = {}
    with Connection(address) as connection:
        for partition in range(partitions):
            offset, found = 0, []
            while True:
                error, high_watermark, data = connection.fetch(topic, partition, offset)
                if error:
                    raise AssertionError(f"Fetch {topic}-{partition} at {offset}: error {error}")
                if offset == high_watermark:
                    break
                part = batches.parse(data, partial_end=True)
                if not part:
                    raise AssertionError(f"Fetch {topic}-{partition} at {offset}: no batch below "
                                         f"the high watermark {high_watermark}")
                offset = batches.check_chain(part, offset)
                found += part
            stored[partition] = found
    return stored

"""The records that every client writes and expects back, as a pure function of their index.

ci/java/CompatClient.java has the same function. Null, empty and binary keys, values and headers,
repeated header names and names outside ASCII are all among them.
"""

import struct

KEY_MULTIPLIER = 2654435761  # Knuth's; spreads the keys over the partitions
HEADERS_BY_INDEX = 4
NOISE_MULTIPLIER = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
NOISE_WORDS = 6


def key(index):
    if index % 97 == 0:
        return None
    if index % 89 == 0:
        return b""
    return struct.pack(">Q", index * KEY_MULTIPLIER) + b"key-%d" % index


def noise(index, words=NOISE_WORDS):
    """Bytes that no codec shrinks, so that compressed topics fill segments too."""
    return b"".join(struct.pack(">Q", NOISE_MULTIPLIER * (index + 1) * (2 * word + 1) % 2**64)
                    for word in range(words))


def value(index):
    if index % 101 == 0 and index % 97 != 0:  # kafka-python refuses a record with neither
        return None
    if index % 103 == 0:
        return b""
    text = b"record-%d " % index
    rest = bytes([index & 0xFF]) * (index % 128)
    return struct.pack(">Q", index) + noise(index) + text * (1 + index % 8) + rest


def headers(index):
    kind = index % HEADERS_BY_INDEX
    if kind == 0:
        return []
    if kind == 1:
        return [("index", b"%d" % index)]
    if kind == 2:
        binary = bytes([index & 0xFF, 0, 0xFF, index >> 8 & 0xFF])
        return [("binary", binary), ("empty", b""), ("null", None), ("binary", b"again")]
    return [("\u00e9t\u00e9", "\u043a\u043b\u044e\u0447".encode())]


def headers_without_null(index):
    """For a client that refuses null header values."""
    return [(name, b"" if data is None else data) for name, data in headers(index)]


class ReadBack:
    """Compares what a consumer returns with what was acknowledged where."""

    def __init__(self, count, timestamp_base_ms, headers=headers):
        self.count = count
        self.headers = headers
        self.timestamp_base_ms = timestamp_base_ms
        self.index_at = {}
        self.seen = 0
        self.next_offset = {}
        self.last_index = {}

    def acknowledged(self, index, partition, offset):
        place = (partition, offset)
        if place in self.index_at:
            raise AssertionError(f"records {self.index_at[place]} and {index} were both "
                                 f"acknowledged at partition {partition} offset {offset}")
        self.index_at[place] = index

    def all_acknowledged(self):
        if len(self.index_at) != self.count:
            raise AssertionError(f"{len(self.index_at)} of {self.count} records were acknowledged")

    def read(self, partition, offset, timestamp_ms, got_key, got_value, got_headers):
        expected_offset = self.next_offset.get(partition, 0)
        if offset != expected_offset:
            raise AssertionError(f"partition {partition}: offset {offset} came where "
                                 f"{expected_offset} was due")
        self.next_offset[partition] = offset + 1
        index = self.index_at.get((partition, offset))
        if index is None:
            raise AssertionError(f"partition {partition} offset {offset} was never acknowledged")
        if index <= self.last_index.get(partition, -1):
            raise AssertionError(f"partition {partition}: record {index} came after record "
                                 f"{self.last_index[partition]}")
        self.last_index[partition] = index
        self.seen += 1
        for what, got, expected in (
            ("key", got_key, key(index)),
            ("value", got_value, value(index)),
            ("headers", [(name, data) for name, data in got_headers or []],
             self.headers(index)),
            ("timestamp", timestamp_ms, self.timestamp_base_ms + index),
        ):
            if got != expected:
                raise AssertionError(f"partition {partition} offset {offset}, record {index}: "
                                     f"{what} is {got!r}, not {expected!r}")

    def complete(self):
        return self.seen == self.count

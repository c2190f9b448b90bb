"""Record batches v2 as bytes: a broker's answer or a segment file, walked without decompressing.

    base offset i64 | length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 |
    last offset delta i32 | base timestamp i64 | max timestamp i64 | producer id i64 |
    producer epoch i16 | base sequence i32 | record count i32 | records
"""

import struct
from dataclasses import dataclass

import crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
LOG_OVERHEAD_BYTES = 12  # base offset and length, which the length does not count
CRC_COVERS_FROM = 21     # the attributes, and everything behind them


@dataclass
class Batch:
    base_offset: int
    last_offset: int
    leader_epoch: int
    attributes: int
    producer_id: int
    base_sequence: int
    record_count: int
    size_bytes: int

    @property
    def codec(self):
        return CODECS[self.attributes & 7]

    @property
    def is_log_append_time(self):
        return bool(self.attributes & 8)


def parse(data, partial_end=False, zero_end=False):
    """The batches in `data`, CRCs checked. `partial_end` allows the last one to be cut off, as in
    a Fetch answer; `zero_end` allows zeros behind them, as in a preallocated file."""
    batches, at = [], 0
    while at < len(data):
        if zero_end and not any(data[at:at + HEADER.size]) and not any(data[at:]):
            break
        if len(data) - at < LOG_OVERHEAD_BYTES:
            if partial_end:
                break
            raise AssertionError(f"{len(data) - at} stray bytes at byte {at}")
        length = struct.unpack_from(">i", data, at + 8)[0]
        end = at + LOG_OVERHEAD_BYTES + length
        if length < HEADER.size - LOG_OVERHEAD_BYTES or end > len(data):
            if partial_end and length >= HEADER.size - LOG_OVERHEAD_BYTES:
                break
            raise AssertionError(f"a batch of length {length} at byte {at} of {len(data)}")
        (base, _, epoch, magic, crc, attributes, last_delta, _, _, producer_id, _, sequence,
         count) = HEADER.unpack_from(data, at)
        if magic != 2:
            raise AssertionError(f"magic {magic} at byte {at}")
        if crc32c.crc32c(memoryview(data)[at + CRC_COVERS_FROM:end]) != crc:
            raise AssertionError(f"bad CRC of the batch at offset {base}, byte {at}")
        if attributes & 7 >= len(CODECS):
            raise AssertionError(f"unknown codec in attributes {attributes:#x}, byte {at}")
        batches.append(Batch(base, base + last_delta, epoch, attributes, producer_id, sequence,
                             count, end - at))
        at = end
    return batches


def check_chain(batches, start=0):
    """Offsets go on without a gap. Returns the offset behind the last batch."""
    for batch in batches:
        if batch.base_offset != start:
            raise AssertionError(f"a batch begins at {batch.base_offset}, not at {start}")
        start = batch.last_offset + 1
    return start


def check_ascending(batches, start=0):
    """As check_chain, for a compacted segment: there may be gaps."""
    for batch in batches:
        if batch.base_offset < start:
            raise AssertionError(f"a batch begins at {batch.base_offset}, below {start}")
        start = batch.last_offset + 1
    return start


def check_codec(batches, codec):
    """Asserts that the records are stored in `codec`.

    Producers send a batch uncompressed when compression would make it larger (librdkafka and
    kafka-python do), which happens to batches of a few tiny records; so batches of fewer than
    ten records may be uncompressed. There must be larger ones, and every one in the codec.
    """
    large = [batch for batch in batches if batch.record_count >= 10]
    if not large:
        raise AssertionError(f"no stored batch has ten records ({len(batches)} batches)")
    allowed_small = {codec, "none"}
    for batch in batches:
        allowed = {codec} if batch.record_count >= 10 else allowed_small
        if batch.codec not in allowed:
            raise AssertionError(f"the stored batch at offset {batch.base_offset} with "
                                 f"{batch.record_count} records has codec {batch.codec}, "
                                 f"not {codec}")
    return len(large)

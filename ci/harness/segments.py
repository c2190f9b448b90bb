"""Segment files of a data folder, judged by Kafka's own DumpLogSegments and by their bytes."""

import re
import subprocess
from pathlib import Path

from harness import batches
from harness.broker import CLIENTS

TIMEOUT_S = 300
FILES_PER_RUN = 200
# DumpLogSegments reports damage in words and still ends with 0, so each line must be a good one.
GOOD_LINE = re.compile(
    r"Dumping .+|Log starting offset: \d+|offset: \d+ position: \d+|timestamp: \d+ offset: \d+"
    r"|baseOffset: .* isvalid: true|\| offset: .*|.+\.index is empty\.|")
ALWAYS_COMPACTED = "__consumer_offsets"
INDEX_INTERVAL_BYTES = 4096  # Kafka's default of index.interval.bytes


def closed_segments(data_folder):
    """Every segment file but the last of its partition."""
    closed = []
    for folder in sorted(Path(data_folder).iterdir()):
        if folder.is_dir() and re.fullmatch(r".+-\d+", folder.name):
            closed += sorted(folder.glob("*.log"))[:-1]
    return closed


def dump_log_segments(files):
    """What DumpLogSegments --deep-iteration prints about these files."""
    command = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
               "-cp", f"{CLIENTS}/lib/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
               "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration",
               "--files", ",".join(str(file) for file in files)]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            timeout=TIMEOUT_S)
    if result.returncode:
        return result.stdout + f"\nDumpLogSegments ended with {result.returncode}"
    return result.stdout


def complaints_in(out, compacted=()):
    """The lines that are neither contents nor the tool's own quirk: it starts counting at -1 in
    every file, and so calls each file that does not begin at offset 0 non-consecutive there. Of the
    files of compacted topics it says so wherever compaction has left a gap."""
    quirk = re.compile(r"^Non-consecutive offsets in .*/(\d+)\.log\n  -1 is followed by (\d+)\n",
                       re.MULTILINE)
    out = quirk.sub(lambda found: "" if int(found[1]) == int(found[2]) else found[0], out)
    for file in compacted:
        gaps = rf"^Non-consecutive offsets in {re.escape(str(file))}\n(  -?\d+ is followed by \d+\n)+"
        out = re.sub(gaps, "", out, flags=re.MULTILINE)
    return [line for line in out.splitlines() if not GOOD_LINE.fullmatch(line)]


def needs_index(found):
    """Whether a batch begins more than one index interval behind the segment's beginning."""
    return sum(batch.size_bytes for batch in found[:-1]) > INDEX_INTERVAL_BYTES


def is_empty(file):
    return file.exists() and not file.stat().st_size


def is_compacted(segment, topics):
    topic = segment.parent.name.rsplit("-", 1)[0]
    return topic in topics or topic == ALWAYS_COMPACTED


def check_closed(data_folder, compacted_topics=()):
    """(segments checked, records in them, complaints) over every closed segment and its indexes."""
    segments = closed_segments(data_folder)
    complaints, records = [], 0
    files = []
    for segment in segments:
        indexes = [segment.with_suffix(suffix) for suffix in (".index", ".timeindex")]
        for index in indexes:
            if not index.exists():
                complaints.append(f"{segment}: the closed segment has no {index.suffix}")
        try:
            found = batches.parse(segment.read_bytes())
            if is_compacted(segment, compacted_topics):
                batches.check_ascending(found, int(segment.stem))
            else:
                batches.check_chain(found, int(segment.stem))
        except AssertionError as error:
            # DumpLogSegments would stop at it and leave out all behind it.
            complaints.append(f"{segment}: {error}")
            continue
        files += [segment, *filter(Path.exists, indexes)]
        records += sum(batch.record_count for batch in found)
        if not found:
            complaints.append(f"{segment}: the closed segment is empty")
        if needs_index(found) and is_empty(segment.with_suffix(".index")):
            complaints.append(f"{segment}: its index is empty")
        has_records = any(batch.record_count for batch in found)
        if has_records and is_empty(segment.with_suffix(".timeindex")):
            complaints.append(f"{segment}: its time index is empty, though a roll ends it")
    dumped = 0
    for begin in range(0, len(files), FILES_PER_RUN):
        part = files[begin:begin + FILES_PER_RUN]
        out = dump_log_segments(part)
        dumped += len(re.findall(r"^\| offset: ", out, re.MULTILINE))
        gappy = [file for file in part if is_compacted(file, compacted_topics)]
        complaints += complaints_in(out, gappy)
        for file in part:
            if f"Dumping {file}" not in out:
                complaints.append(f"{file}: DumpLogSegments did not dump it")
    if dumped != records:
        complaints.append(f"DumpLogSegments saw {dumped} records, the files hold {records}")
    return len(segments), records, complaints

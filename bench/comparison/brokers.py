"""The brokers that are compared: where they come from, how they start, how topics are made.

Apache Kafka runs with its own defaults (heap and collector as its start script gives them) and
stays up for the whole comparison: a restart would lose what the JIT has learned. All of them keep
their data on the same file system.
"""

import os
import re
import subprocess
from xml.etree import ElementTree

from harness.broker import ROOT, TARGET, Kafka, Sillon

BINARY = TARGET / "release" / "sillon"
# Folders of a partition, deleted ones too, that are not the broker's own.
PARTITION = re.compile(r"(?!__|journal-).*-\d+(\.\w+-delete)?")

# The durability classes: what an acknowledgement says.
NOT_FLUSHED, FLUSHED = "A", "B"
CLASSES = {NOT_FLUSHED: "acknowledged without a flush", FLUSHED: "flushed before acknowledged"}
NO_FLUSH = str(2**63 - 1)  # Kafka's default of flush.messages


class KafkaMeasured(Kafka):
    """Apache Kafka as its own start script runs it: these are its flags."""

    defaults = {
        # A deleted topic's files go within a second, not a minute later in the middle of another
        # broker's turn. Nothing that is measured depends on it.
        "log.segment.delete.delay.ms": "1000",
    }
    jvm = ["-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
           "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
           "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true"]
    poll_s = 0.005
    topic_configs = {NOT_FLUSHED: {}, FLUSHED: {"flush.messages": "1"}}

    @staticmethod
    def version():
        pom = ElementTree.parse(ROOT / "ci/java/pom.xml")
        return pom.find(".//{*}kafka.version").text

    def pid(self):
        return self.process.pid

    def has_partitions(self):
        return any(PARTITION.fullmatch(path.name) for path in self.log_folder().iterdir())


class SillonMeasured(Sillon):
    """`sillon serve` of the release build with its own defaults, on every core."""

    defaults = {}
    topic_configs = {NOT_FLUSHED: {"flush.messages": NO_FLUSH}, FLUSHED: {}}

    def __init__(self, folder, arguments=()):
        super().__init__(folder, len(os.sched_getaffinity(0)), arguments=arguments)

    @staticmethod
    def version():
        return sillon("--version").split()[-1]

    def prepare(self):
        """Nothing: an empty folder is enough."""

    pid, has_partitions = KafkaMeasured.pid, KafkaMeasured.has_partitions


class Other:
    """A broker that somebody else started. Its CPU and memory cannot be seen from here."""

    topic_configs = {NOT_FLUSHED: {"flush.messages": NO_FLUSH}, FLUSHED: {"flush.messages": "1"}}

    def __init__(self, name, address):
        self.name, self.address = name, address

    @staticmethod
    def version():
        return "unknown"

    def pid(self):
        return None

    def has_partitions(self):
        """Not known: it is on its own."""
        return False

    def stop(self):
        """It is not ours to stop."""


def sillon(*arguments):
    """What a command of the binary prints."""
    if not BINARY.exists():
        raise AssertionError(f"{BINARY} is missing: cargo build --release --package sillon")
    result = subprocess.run([str(BINARY), *arguments], capture_output=True, text=True)
    if result.returncode:
        raise AssertionError(f"sillon {' '.join(arguments)}: {result.stderr.strip()[-2000:]}")
    return result.stdout

"""Apache Kafka's Java client at its defaults; the work is done by ci/java/CompatClient.java."""

import subprocess
import time

from harness.broker import CLIENTS, PARTITIONS

TIMEOUT_S = 120


def round_trip(broker, topic, codec, count):
    timestamp_base_ms = int(time.time() * 1000) - count
    result = subprocess.run(
        ["java", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
         "-cp", f"{CLIENTS}/lib/*:{CLIENTS}/classes", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
         "CompatClient", broker.address, topic, codec, str(count), str(PARTITIONS),
         str(timestamp_base_ms)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S)
    last = (result.stdout.strip().splitlines() or [""])[-1]
    if result.returncode or not last.startswith("ok "):
        raise AssertionError(f"CompatClient ended with {result.returncode}: {result.stdout[-1500:]}")

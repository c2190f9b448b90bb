"""Starts and stops a broker in a folder of its own, on a port that the kernel gives."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
CLIENTS = TARGET / "clients"
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 60
CLUSTER_ID = "c2lsbG9uLWNvbXBhdC1ycw"  # 16 bytes in base64, as Kafka wants it
PARTITIONS = 4


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """One broker process. The same folder and options are used at every start."""

    name = ""
    defaults = {"log.segment.bytes": "1048576", "num.partitions": str(PARTITIONS)}
    clean_exit_codes = {0}
    poll_s = 0.002  # between two looks whether it is ready

    def __init__(self, folder, options=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.data = self.folder / "data"
        self.log = self.folder / "broker.log"
        self.options = {**self.defaults, **(options or {})}
        self.process = None
        self.address = None
        self.port = 0  # the kernel's choice

    def keep_port(self):
        """Come back on the same address after the next start, as clients expect."""
        self.port = int(self.address.rsplit(":", 1)[1])

    def command(self):
        raise NotImplementedError

    def ready_address(self, log_text):
        """The address once the broker serves, else None."""
        raise NotImplementedError

    def start(self):
        """Seconds from the start of the process until it serves."""
        begin = time.monotonic()
        log_from = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.folder)
        while True:
            text = self.log.read_bytes()[log_from:].decode(errors="replace")
            self.address = self.ready_address(text)
            if self.address:
                return time.monotonic() - begin
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode} at its "
                                     f"start:\n{text[-2000:]}")
            if time.monotonic() - begin > START_TIMEOUT_S:
                self.kill()
                raise AssertionError(f"{self.name} was not ready in {START_TIMEOUT_S} s:\n"
                                     f"{text[-2000:]}")
            time.sleep(self.poll_s)

    def stop(self):
        """Asks it to stop, as an operator does, and checks that it said so."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop in {STOP_TIMEOUT_S} s") from None
        self.process = None
        if code not in self.clean_exit_codes:
            raise AssertionError(f"{self.name} stopped with {code}:\n{self.log_end()}")

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def log_end(self, length=2000):
        return self.log.read_bytes()[-length:].decode(errors="replace")

    def segments(self, topic, partition):
        """The .log files of a partition, in offset order."""
        return sorted((self.log_folder() / f"{topic}-{partition}").glob("*.log"))

    def log_folder(self):
        return self.data

    def remove(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Kafka(Broker):
    """Apache Kafka in KRaft mode, broker and controller in one process: the control."""

    name = "kafka"
    # A killed broker may register again once its session is over.
    defaults = {**Broker.defaults, "broker.session.timeout.ms": "1000",
                "broker.heartbeat.interval.ms": "200"}
    jvm = ["-Xmx512m", "-XX:+UseSerialGC"]
    controller_port = 0  # chosen at the first start, and kept
    clean_exit_codes = {0, 143}
    poll_s = 0.1

    def java(self, *arguments):
        return ["java", *self.jvm, "-cp", f"{CLIENTS}/lib/*",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *arguments]

    def prepare(self):
        """What is there before the first start: a configuration and a formatted folder."""
        self.port = self.port or free_port()
        self.controller_port = self.controller_port or free_port()
        controller = self.controller_port
        options = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self.data),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            **self.options,
        }
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in options.items()))
        if not (self.data / "meta.properties").exists():
            subprocess.run(self.java("kafka.tools.StorageTool", "format", "--standalone",
                                     "-t", CLUSTER_ID, "-c", str(properties)),
                           check=True, stdout=subprocess.DEVNULL)
        return properties

    def command(self):
        return self.java("kafka.Kafka", str(self.prepare()))

    def ready_address(self, log_text):
        """Its log says nothing at this level, so ask it; only an unfenced broker lists itself."""
        from harness import wire
        address = f"127.0.0.1:{self.port}"
        try:
            with wire.Connection(address, timeout_s=5) as connection:
                reader = connection.call(wire.METADATA, 0, b"\0\0\0\0")
                return address if reader.take("i") > 0 else None
        except OSError:
            return None


class Sillon(Broker):
    """`sillon serve` of the release build."""

    name = "sillon"
    READY = re.compile(r"^ready at (\S+:\d+) .*\n", re.MULTILINE)

    def __init__(self, folder, shards, options=None, arguments=(), prefix=()):
        """`prefix` is a command that runs the broker; its last part is the binary."""
        super().__init__(folder, options)
        self.shards = shards
        self.arguments = list(arguments)
        self.prefix = list(prefix)

    def command(self):
        binary = TARGET / "release" / "sillon"
        if not binary.exists():
            raise AssertionError(f"{binary} is missing: cargo build --release --package sillon")
        overrides = [f"--override={key}={value}" for key, value in self.options.items()]
        return [*(self.prefix or [str(binary)]), "serve", "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(self.data),
                "--shards", str(self.shards), *overrides, *self.arguments]

    def ready_address(self, log_text):
        found = self.READY.search(log_text)
        return found.group(1) if found else None

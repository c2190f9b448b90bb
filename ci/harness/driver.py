"""A client library in a process of its own, behind one line protocol that all drivers speak: a JSON
command a line on standard input, a JSON event a line on standard output.

Commands are objects with `do` and its arguments; each is answered by {"ok": result} or {"error":
text} before the next is sent. Bytes are base64, times are milliseconds since 1970.

    produce            topic, codec, records of partition, timestamp, key, value, headers
    read               topic, partition, count, and offset or time: the records from there
    join               topic, group, session_ms; auto_ms for automatic commits, instance for a
                       static member, cooperative
    commit, close      what the member has read; the member leaves
    create, grow       topic, partitions (and configs)
    describe           topic: its number of partitions and its configs
    alter              topic, configs
    delete             topic
    lag                group, topic: records by partition
    init_transactions, consumer_protocol    where the library has them

Between them a member says {"read": [partition, offset, value]} for each record.
"""

import json
import queue
import subprocess
import sys
import threading
from collections import Counter

from harness.broker import CLIENTS, ROOT

ANSWER_S = 45

JVM = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
       "-Dorg.slf4j.simpleLogger.defaultLogLevel=off", "-cp"]
PROGRAMS = {
    "aiokafka": [sys.executable, "-m", "harness.clients.aiokafka_driver"],
    "kafkajs": ["node", f"{CLIENTS}/js/driver.js"],
    "kafka-go": [f"{CLIENTS}/go/driver", "kafka-go"],
    "sarama": [f"{CLIENTS}/go/driver", "sarama"],
    "franz-go": [f"{CLIENTS}/go/driver", "franz-go"],
    "java-3": [*JVM, f"{CLIENTS}/classes3:{CLIENTS}/lib3/*", "Driver"],
    "java-4": [*JVM, f"{CLIENTS}/classes:{CLIENTS}/lib/*", "Driver"],
}


class Driver:
    def __init__(self, client, address):
        self.process = subprocess.Popen([*PROGRAMS[client], address], cwd=ROOT, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL)
        self.answers, self.read, self.said = queue.Queue(), [], []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.process.stdout:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"complaint": line.strip()}
            if "read" in event:
                self.read.append(tuple(event["read"]))
            elif "complaint" in event:
                self.said.append(event["complaint"])
            else:
                self.answers.put(event)
        self.answers.put({"error": f"the driver ended; it said {self.said[-5:]}"})

    def ask(self, do, **arguments):
        """The answer of a command; an AssertionError when it fails."""
        error, result = self.attempt(do, **arguments)
        if error is not None:
            raise AssertionError(f"{do}: {error}")
        return result

    def attempt(self, do, **arguments):
        """(error or None, result)."""
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        try:
            answer = self.answers.get(timeout=ANSWER_S)
        except queue.Empty:
            raise AssertionError(f"{do}: no answer in {ANSWER_S} s") from None
        return answer.get("error"), answer.get("ok")

    def values(self):
        return [value for _, _, value in self.read]

    def twice(self):
        return [value for value, count in Counter(self.values()).items() if count > 1]

    def leave(self):
        self.ask("close")
        self.process.stdin.close()
        self.process.wait(ANSWER_S)

    def kill(self):
        """As a crash ends it: SIGKILL."""
        self.process.kill()
        self.process.wait()

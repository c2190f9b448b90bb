"""The command ci/ui: what Kafdrop, a web UI that people use, shows of a broker. Every check reads its
HTTP API and the page that a person sees, and compares both with what was written."""

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from harness.broker import PARTITIONS, TARGET, Kafka, Sillon, free_port
from harness.checks import DEADLINE_S, equal, eventually
from harness.groups import EVERYTHING, Member, admin, commit_by_hand, shares

SHARDS = 2
OPTIONS = {"group.initial.rebalance.delay.ms": "0"}
START_S = 60
ORDERS, TABLE = "orders", "customers"
CONFIGS = {ORDERS: {"retention.ms": "86400000", "segment.bytes": "1048576"},
           TABLE: {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.3"}}
RECORDS = 10  # of every partition
ABSENT, PRESENT = "invoices", "audit"  # a group that has left its offsets, and one with a member
COMMITTED = 7
CHECKS = 7
JVM = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
NO_WARNING = ["--springdoc.api-docs.enabled=false", "--springdoc.swagger-ui.enabled=false"]
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def value(partition, offset):
    return json.dumps({"order": partition * RECORDS + offset, "paid": offset % 2 == 0})


def key(partition, offset):
    return f"customer {partition}-{offset}"


class Kafdrop:
    """The UI in a process of its own."""

    def __init__(self, jar, broker):
        self.log = broker.folder / "kafdrop.log"
        self.port = free_port()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*JVM, "-jar", jar, f"--server.port={self.port}",
                 f"--management.server.port={self.port}", f"--kafka.brokerConnect={broker.address}", *NO_WARNING],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=broker.folder)

    def wait(self):
        deadline = time.monotonic() + START_S
        while True:
            try:
                return equal(self.api("/actuator/health"), {"status": "UP"}, "its health")
            except urllib.error.URLError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError(f"the UI is not up: {self.said()[-2000:]}") from None
                time.sleep(0.1)

    def url(self, path, **query):
        text = urllib.parse.urlencode(query)
        return f"http://127.0.0.1:{self.port}{path}" + (f"?{text}" if text else "")

    def get(self, kind, path, body=None, **query):
        request = urllib.request.Request(self.url(path, **query), data=body,
                                         headers={"Accept": kind})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE_S) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error} {error.read()[:500]}") from None

    def api(self, path, body=None, **query):
        return json.loads(self.get("application/json", path, body, **query))

    def page(self, path, **query):
        """The page's text as a person reads it, spaces made one."""
        text = re.sub(r"<(script|style).*?</\1>", " ", self.get("text/html", path, **query), flags=re.S)
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())

    def said(self):
        return COLOUR.sub("", self.log.read_text(errors="replace"))

    def stop(self):
        self.process.kill()
        self.process.wait()


def holds(page, *texts):
    for text in texts:
        if text not in page:
            raise AssertionError(f"the page does not show {text!r}: {page[:1500]}")


def fill(broker):
    """Topics, records and groups; the member that is there."""
    client = admin(broker)
    made = client.create_topics([NewTopic(topic, PARTITIONS, 1, config=configs)
                                 for topic, configs in CONFIGS.items()])
    for future in made.values():
        future.result(DEADLINE_S)
    producer = Producer({"bootstrap.servers": broker.address, "log_level": 0})
    for partition in EVERYTHING:
        for offset in range(RECORDS):
            producer.produce(ORDERS, value(partition, offset), key(partition, offset), partition,
                             headers={"source": b"shop"})
    equal(producer.flush(DEADLINE_S), 0, "records that were not sent")
    commit_by_hand(broker, ABSENT, ORDERS, COMMITTED)
    member = Member(broker, ORDERS, group_id=PRESENT, enable_auto_commit=False)
    eventually(lambda: shares(member), "a member has everything")
    eventually(lambda: len(member.values) == RECORDS * PARTITIONS, "it has read everything")
    member.commit()
    return member


def shows_the_broker(ui, broker):
    host, port = broker.address.rsplit(":", 1)
    expected = {"id": 1, "host": host, "port": int(port), "controller": True, "rack": None}
    equal(ui.api("/broker"), [expected], "brokers")
    equal(ui.api("/broker/1"), expected, "the broker")
    holds(ui.page("/"), "1 127.0.0.1", f"{host}:{port}")
    holds(ui.page("/broker/1"), "Broker ID: 1", f"Host {host} Port {port}")


def shows_topics_and_partitions(ui, _broker):
    found = {topic["name"]: len(topic["partitions"]) for topic in ui.api("/topic")}
    equal({name: count for name, count in found.items() if not name.startswith("__")},
          {ORDERS: PARTITIONS, TABLE: PARTITIONS}, "topics and their partitions")
    topic = ui.api(f"/topic/{ORDERS}")
    equal([(one["id"], one["firstOffset"], one["size"], one["leader"]["id"], one["underReplicated"])
           for one in topic["partitions"]],
          [(partition, 0, RECORDS, 1, False) for partition in EVERYTHING], "its partitions")
    holds(ui.page("/"), ORDERS, TABLE, "__consumer_offsets")
    holds(ui.page(f"/topic/{ORDERS}"), f"# of partitions {PARTITIONS}",
          f"Total available messages {RECORDS * PARTITIONS}")


def shows_configs(ui, _broker):
    for topic, configs in CONFIGS.items():
        found = ui.api(f"/topic/{topic}")["config"]
        equal({key: found.get(key) for key in configs}, configs, f"configs of {topic}")
        holds(ui.page(f"/topic/{topic}"), *(f"{key} {text}" for key, text in configs.items()))


def shows_messages(ui, _broker):
    for partition in EVERYTHING:
        asked = {"partition": partition, "offset": 2, "count": 5, "format": "DEFAULT",
                 "keyFormat": "DEFAULT"}
        found = ui.api(f"/topic/{ORDERS}/messages", isAnyProto="false", **asked)
        equal([(one["partition"], one["offset"], one["key"], one["message"], one["headers"])
               for one in found],
              [(partition, offset, key(partition, offset), value(partition, offset),
                {"source": "shop"}) for offset in range(2, 7)], "messages")
        holds(ui.page(f"/topic/{ORDERS}/messages", **asked), key(partition, 2), value(partition, 2),
              key(partition, 6), "source: shop")


def shows_groups_and_their_lag(ui, _broker):
    expected = {ABSENT: RECORDS - COMMITTED, PRESENT: 0}
    found = {group["groupId"]: group for group in ui.api(f"/topic/{ORDERS}/consumers")}
    equal({name: group["topics"][0]["lag"] for name, group in found.items()},
          {name: lag * PARTITIONS for name, lag in expected.items()}, "groups and their lag")
    for name, lag in expected.items():
        group = ui.api(f"/consumer/{name}")
        equal([(one["partitionId"], one["offset"], one["size"], one["lag"])
               for one in group["topics"][0]["partitions"]],
              [(partition, RECORDS - lag, RECORDS, lag) for partition in EVERYTHING],
              f"offsets of {name}")
        holds(ui.page(f"/consumer/{name}"), name, ORDERS)
    holds(ui.page(f"/topic/{ORDERS}"), f"{ABSENT} {PARTITIONS * (RECORDS - COMMITTED)}",
          f"{PRESENT} 0")


def creates_and_deletes_a_topic(ui, broker):
    client = AdminClient({"bootstrap.servers": broker.address, "log_level": 0})

    def there():
        return client.list_topics(timeout=DEADLINE_S).topics

    form = {"name": "made", "partitionsNumber": 3, "replicationFactor": 1}
    ui.get("*/*", "/topic", urllib.parse.urlencode(form).encode())
    eventually(lambda: "made" in there() and len(there()["made"].partitions) == 3, "it is made")
    holds(ui.page("/topic/made"), "# of partitions 3")
    ui.get("*/*", "/topic/made/delete", b"")
    eventually(lambda: "made" not in there(), "it is deleted")


def logs_no_error(ui, _broker):
    bad = [line for line in ui.said().splitlines()
           if re.search(r"\b(WARN|ERROR|FATAL)\b|Exception", line)]
    equal(bad, [], "warnings and errors in its log")


CASES = (shows_the_broker, shows_topics_and_partitions, shows_configs, shows_messages,
         shows_groups_and_their_lag, creates_and_deletes_a_topic, logs_no_error)  # the log last


def picture(ui, path, page):
    subprocess.run(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
                    "--window-size=1280,1000", f"--screenshot={path}", ui.url(page)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)


def run(broker, options):
    """How many cases passed."""
    passed, member, ui = 0, None, None
    try:
        broker.start()
        ui = Kafdrop(options.jar, broker)  # comes up while the broker is filled
        member = fill(broker)
        ui.wait()
        for case in CASES:
            name = f"{broker.name} {case.__name__.replace('_', '-')}"
            try:
                case(ui, broker)
            except AssertionError as failure:
                print(f"FAIL {name}: {failure}", flush=True)
            else:
                passed += 1
                print(f"ok   {name}", flush=True)
        if options.screenshot:
            picture(ui, options.screenshot, options.page)
    finally:
        if ui is not None:
            ui.stop()
        if member is not None:
            member.kill()
        broker.kill()
    return passed


def main():
    parser = argparse.ArgumentParser(prog="ci/ui")
    parser.add_argument("--jar", required=True, help="Kafdrop")
    parser.add_argument("--broker", choices=["kafka", "sillon"], help="one of the two only")
    parser.add_argument("--screenshot", help="a picture of the UI, as a PNG file")
    parser.add_argument("--page", default="/", help="which page of it")
    parser.add_argument("--keep", action="store_true", help="keep the folders")
    options = parser.parse_args()
    work = tempfile.mkdtemp(prefix="ui-", dir=TARGET)
    brokers = [Kafka(f"{work}/kafka", OPTIONS), Sillon(f"{work}/sillon", SHARDS, OPTIONS)]
    brokers = [broker for broker in brokers if options.broker in (None, broker.name)]
    passed = 0
    try:
        for broker in brokers:
            passed += run(broker, options)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    failed = CHECKS * len(brokers) - passed
    print(f"ui: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

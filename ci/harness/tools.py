"""Kafka's own command line tools, the classes behind its scripts. Each case says what they print;
Apache Kafka prints the same."""

import json
import re
import subprocess
import tempfile

from harness import groups, wire
from harness.broker import CLIENTS
from harness.checks import equal, eventually, now_ms
from harness.clients.confluent import create_topic

TIMEOUT_S = 90
PACKAGE = "org.apache.kafka.tools."


def tool(broker, name, *arguments, code=0, first=False, reads=""):
    """What it prints, both streams. `first`: it wants the broker's address before its command.
    `reads`: what it is given on its standard input."""
    address = ["--bootstrap-server", broker.address]
    arguments = [*address, *arguments] if first else [*arguments, *address]
    command = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
               f"{CLIENTS}/lib/*", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", PACKAGE + name,
               *arguments]
    done = subprocess.run(command, input=reads, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=TIMEOUT_S, text=True)
    if done.returncode != code:
        raise AssertionError(f"{name} {arguments} ended with {done.returncode}: {done.stdout[-500:]}")
    return done.stdout


def holds(text, *parts):
    for part in parts:
        if part not in text:
            raise AssertionError(f"{part!r} is not in {text!r}")


def topics_tool(broker):
    topics = "TopicCommand"
    created = tool(broker, topics, "--create", "--topic", "tool", "--partitions", "2",
                   "--config", "retention.ms=1000000")
    holds(created, "Created topic tool.")
    tool(broker, topics, "--alter", "--topic", "tool", "--partitions", "3")
    lines = tool(broker, topics, "--describe", "--topic", "tool").splitlines()
    head = r"Topic: tool\tTopicId: \S{22}\tPartitionCount: 3\tReplicationFactor: 1\tConfigs: .*"
    if not re.fullmatch(head, lines[0]):
        raise AssertionError(f"{lines[0]!r}")
    holds(lines[0], "retention.ms=1000000", "segment.bytes=1048576")
    equal(lines[1:], [f"\tTopic: tool\tPartition: {index}\tLeader: 1\tReplicas: 1\tIsr: 1\tElr: "
                      "\tLastKnownElr: " for index in range(3)], "partitions")
    refused = tool(broker, topics, "--alter", "--topic", "tool", "--partitions", "2", code=1)
    holds(refused, "InvalidPartitionsException")
    tool(broker, topics, "--delete", "--topic", "tool")
    if "tool" in tool(broker, topics, "--list").split():
        raise AssertionError("the topic is listed after its deletion")


def configs_tool(broker):
    configs = "ConfigCommand"
    create_topic(broker.address, "config-tool")
    of_topic = ("--entity-type", "topics", "--entity-name", "config-tool")
    tool(broker, configs, "--alter", *of_topic,
         "--add-config", "max.message.bytes=2000,cleanup.policy=[compact,delete]")
    described = tool(broker, configs, "--describe", *of_topic)
    equal(described.splitlines(), [
        "Dynamic configs for topic config-tool are:",
        "  cleanup.policy=compact,delete sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:"
        "cleanup.policy=compact,delete, DEFAULT_CONFIG:log.cleanup.policy=delete}",
        "  max.message.bytes=2000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:"
        "max.message.bytes=2000, DEFAULT_CONFIG:message.max.bytes=1048588}"], "the topic's")
    tool(broker, configs, "--alter", *of_topic, "--delete-config", "max.message.bytes")
    everything = tool(broker, configs, "--describe", "--all", *of_topic)
    holds(everything, "  max.message.bytes=1048588 sensitive=false synonyms={DEFAULT_CONFIG:"
          "message.max.bytes=1048588}", "  retention.ms=604800000 sensitive=false synonyms={}")
    holds(tool(broker, configs, "--alter", *of_topic, "--add-config", "no.such.key=1", code=1),
          "InvalidConfigurationException")
    of_broker = ("--entity-type", "brokers", "--entity-name", "1")
    everything = tool(broker, configs, "--describe", "--all", *of_broker)
    holds(everything, "  num.partitions=4 sensitive=false synonyms={STATIC_BROKER_CONFIG:"
          "num.partitions=4, DEFAULT_CONFIG:num.partitions=1}")
    users = tool(broker, configs, "--describe", "--entity-type", "users")
    equal(users.strip(), "", "users")


def cluster_tools(broker):
    identity = tool(broker, "ClusterTool", "cluster-id")
    if not re.fullmatch(r"Cluster ID: \S{22}\n", identity):
        raise AssertionError(f"{identity!r}")
    host, port = broker.address.rsplit(":", 1)
    endpoints = tool(broker, "ClusterTool", "list-endpoints").splitlines()
    equal(endpoints[1].split(), ["1", host, port, "null", "unfenced", "broker"], "endpoints")
    status = tool(broker, "MetadataQuorumCommand", "describe", "--status", first=True)
    holds(status, "LeaderId:               1\n", "MaxFollowerLag:         0\n")
    known = tool(broker, "BrokerApiVersionsCommand")
    with wire.Connection(broker.address) as connection:
        advertised = connection.api_versions()
    for key, (low, high) in advertised.items():
        # Some are for nobody but other brokers, and not shown.
        if f"({key}): " in known:
            span = str(low) if low == high else f"{low} to {high}"
            holds(known, f"({key}): {span} [usable: ")


def logs_and_elections_tools(broker):
    create_topic(broker.address, "log-tool")
    batch = wire.build_batch([b"x"], now_ms())
    with wire.Connection(broker.address, greets=True) as connection:
        equal(connection.produce("log-tool", 1, batch)[0], 0, "Produce")
    printed = tool(broker, "LogDirsCommand", "--describe", "--topic-list", "log-tool")
    found = json.loads(printed.splitlines()[-1])
    partitions = found["brokers"][0]["logDirs"][0]["partitions"]
    sizes = {part["partition"]: part["size"] for part in partitions}
    equal(sizes, {f"log-tool-{index}": len(batch) if index == 1 else 0 for index in range(4)}, "sizes")
    offsets = tool(broker, "GetOffsetShell", "--topic", "log-tool")
    equal(sorted(offsets.split()), [f"log-tool:{index}:{int(index == 1)}" for index in range(4)],
          "offsets")
    elected = tool(broker, "LeaderElectionCommand", "--election-type", "preferred", "--topic",
                   "log-tool", "--partition", "0")
    holds(elected, "Valid replica already elected for partitions log-tool-0")
    moved = tool(broker, "reassign.ReassignPartitionsCommand", "--list")
    holds(moved, "No partition reassignments found.")
    holds(tool(broker, "AclCommand", "--list", code=1), "SecurityDisabledException")


def console_and_records_tools(broker):
    topic = "records-tool"
    create_topic(broker.address, topic)
    lines = [f"key {number}\tvalue {number}" for number in range(20)]
    tool(broker, "ConsoleProducer", "--topic", topic, "--property", "parse.key=true",
         reads="\n".join(lines) + "\n")
    printed = tool(broker, "consumer.ConsoleConsumer", "--topic", topic, "--from-beginning",
                   "--max-messages", "20", "--property", "print.key=true")
    equal(sorted(line for line in printed.splitlines() if line.startswith("key ")), sorted(lines),
          "what was typed is printed")
    holds(printed, "Processed a total of 20 messages")
    ends = dict(line.rsplit(":", 1) for line in tool(broker, "GetOffsetShell", "--topic", topic).split())
    equal(sum(map(int, ends.values())), 20, "the ends of all partitions")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as wish:
        json.dump({"version": 1,
                   "partitions": [{"topic": topic, "partition": 0, "offset": -1}]}, wish)
        wish.flush()
        deleted = tool(broker, "DeleteRecordsCommand", "--offset-json-file", wish.name)
    low = ends[f"{topic}:0"]
    holds(deleted, f"partition: {topic}-0\tlow_watermark: {low}")
    starts = tool(broker, "GetOffsetShell", "--topic", topic, "--time", "-2").split()
    equal(sorted(starts), [f"{topic}:0:{low}", *(f"{topic}:{index}:0" for index in range(1, 4))],
          "the beginnings of all partitions")


def performance_tools(broker):
    topic = "performance-tool"
    create_topic(broker.address, topic)
    sent = tool(broker, "ProducerPerformance", "--topic", topic, "--num-records", "5000",
                "--record-size", "100", "--throughput", "-1")
    holds(sent, "5000 records sent, ", " ms 99.9th.")
    read = tool(broker, "ConsumerPerformance", "--topic", topic, "--num-records", "5000",
                "--timeout", "20000")
    heading, row = [[cell.strip() for cell in line.split(",")] for line in read.splitlines()[-2:]]
    equal(int(float(row[heading.index("data.consumed.in.nMsg")])), 5000, "records read")


def groups_tool(broker):
    """The group is empty, with commits at 3 of what 10 records each left."""
    topic = group = "groups-tool"
    create_topic(broker.address, topic)
    groups.produce(broker, topic, [str(n) for n in range(40)])
    groups.commit_by_hand(broker, group, topic, 3)

    def run(*arguments, code=0):
        return tool(broker, "consumer.group.ConsumerGroupCommand", *arguments, code=code)

    def lines(*arguments, code=0):
        """Words of each line that is not empty."""
        return [line.split() for line in run(*arguments, code=code).splitlines() if line.strip()]

    if [group] not in lines("--list"):
        raise AssertionError("the group is not listed")
    if [group, "Classic", "Empty"] not in lines("--list", "--state", "--type"):
        raise AssertionError(f"{lines('--list', '--state', '--type')}")
    equal(lines("--describe", "--group", group, "--offsets"), [
        ["Consumer", "group", f"'{group}'", "has", "no", "active", "members."],
        ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID",
         "HOST", "CLIENT-ID"],
        *([group, topic, str(part), "3", "10", "7", "-", "-", "-"] for part in range(4))], "offsets")
    equal(lines("--describe", "--group", group, "--members"),
          [["Consumer", "group", f"'{group}'", "has", "no", "active", "members."],
           ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"]], "members")
    state = lines("--describe", "--group", group, "--state")
    equal([state[-1][0], state[-1][2:]], [group, ["(1)", "-", "Empty", "0"]], "state")
    moved = sorted([["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"],
                    *([group, topic, str(part), "5"] for part in range(4))])  # in any order
    by_two = ("--reset-offsets", "--group", group, "--topic", topic, "--shift-by", "2")
    equal(sorted(lines(*by_two, "--dry-run")), moved, "what a reset would do")
    equal(groups.committed(broker, group, topic), dict.fromkeys(range(4), 3), "after a dry run")
    equal(sorted(lines(*by_two, "--execute")), moved, "what a reset does")
    equal(groups.committed(broker, group, topic), dict.fromkeys(range(4), 5), "after the reset")
    run("--reset-offsets", "--group", group, "--topic", f"{topic}:1", "--to-latest", "--execute")
    run("--delete-offsets", "--group", group, "--topic", f"{topic}:0")
    equal(groups.committed(broker, group, topic), {0: -1001, 1: 10, 2: 5, 3: 5}, "after both")
    holds(run("--delete", "--group", group),
          f"Deletion of requested consumer groups ('{group}') was successful.")
    if [group] in lines("--list"):
        raise AssertionError("the group is listed after its deletion")
    holds(run("--describe", "--group", group), "GroupIdNotFoundException: ")


def groups_tool_sees_members(broker):
    topic = group = "groups-tool-members"
    create_topic(broker.address, topic)
    member = groups.Member(broker, topic, client_id="tool-member")
    try:
        eventually(lambda: groups.shares(member), "the member has everything")
        printed = tool(broker, "consumer.group.ConsumerGroupCommand", "--describe", "--group", group,
                       "--members", "--verbose")
        row = [line.split() for line in printed.splitlines() if line.startswith(group)][0]
        equal([row[0], row[1].startswith("tool-member-"), row[2:5]],
              [group, True, ["/127.0.0.1", "tool-member", "4"]], "the member")
        holds(printed, f"{topic}:0,1,2,3")
        refused = tool(broker, "consumer.group.ConsumerGroupCommand", "--reset-offsets", "--group",
                       group, "--topic", topic, "--to-earliest", "--execute")
        holds(refused, "Assignments can only be reset if the group")
    finally:
        member.kill()


CASES = [(case.__name__.replace("_", "-"), case) for case in (
    topics_tool, configs_tool, cluster_tools, logs_and_elections_tools, console_and_records_tools,
    performance_tools, groups_tool,
    groups_tool_sees_members)]

"""`sillon group` and `sillon consume --group` against the broker, whichever it is: next to Kafka's own
tool, and in groups with members of another client."""

import json
import subprocess
import threading

from harness.broker import TARGET
from harness.checks import DEADLINE_S, equal, eventually
from harness.groups import EVERYTHING, PARTITIONS, committed, produce, with_members
from harness.tools import tool

SILLON = TARGET / "release" / "sillon"
KAFKAS_TOOL = "consumer.group.ConsumerGroupCommand"
RANGE = {"partition_assignment_strategy": "range"}


def sillon(broker, *arguments, code=0):
    """What it prints on stdout."""
    done = subprocess.run([SILLON, *arguments, "--bootstrap", broker.address], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60)
    if done.returncode != code:
        raise AssertionError(f"sillon {arguments} ended with {done.returncode}: {done.stderr}")
    return done.stdout


class SillonMember(threading.Thread):
    """`sillon consume --group`, and what it prints."""

    def __init__(self, broker, topic, *arguments):
        super().__init__(daemon=True)
        command = [SILLON, "consume", topic, "--group", topic, "--from-beginning",
                   "--session-timeout-ms", "6000", "--auto-commit-interval-ms", "100",
                   *arguments, "--bootstrap", broker.address]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        self.values = []
        self.start()

    def run(self):
        for line in self.process.stdout:
            self.values.append(line.rstrip("\n"))

    def stop(self):
        self.process.terminate()
        equal(self.process.wait(DEADLINE_S), 0, "its exit code")
        self.join()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.join()


def with_sillon_members(case):
    """As with_members, with a second way to start some."""
    def run(broker, topic, member):
        members = []

        def sillon_member(*arguments):
            members.append(SillonMember(broker, topic, *arguments))
            return members[-1]

        try:
            return case(broker, topic, member, sillon_member)
        finally:
            for one in members:
                if one.process.poll() is None:
                    one.kill()
    run.__name__ = case.__name__
    return with_members(run)


def rows(text, heading):
    """The rows of a table below its heading, as {column: cell}, without the columns that are not in
    `heading`. Cells have no spaces."""
    lines = [line.split() for line in text.splitlines()]
    first = next((place for place, line in enumerate(lines) if line[:1] == ["GROUP"]), None)
    if first is None:
        raise AssertionError(f"no table in {text!r}")
    columns = lines[first]
    table = [dict(zip(columns, line)) for line in lines[first + 1:] if line]
    table = [{column: row.get(column) for column in heading} for row in table]
    return sorted(table, key=str)


def both(broker, topic, kafkas, ours, heading):
    """What both tools say, which must be the same."""
    expected = rows(tool(broker, KAFKAS_TOOL, *kafkas, "--group", topic), heading)
    equal(rows(sillon(broker, *ours), heading), expected, " ".join(ours))
    return expected


OFFSETS = ["GROUP", "TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CONSUMER-ID",
           "HOST", "CLIENT-ID"]


@with_members
def groups_are_described_as_kafkas_tool_describes_them(broker, topic, member):
    first = member(client_id="one", enable_auto_commit=False, **RANGE)
    second = member(client_id="other", enable_auto_commit=False, group_instance_id="static", **RANGE)
    eventually(lambda: len(first.partitions) == len(second.partitions) == 2, "they share")
    produce(broker, topic, [str(n) for n in range(40)])
    eventually(lambda: len(first.values + second.values) == 40, "all is read")
    first.commit()
    produce(broker, topic, [str(n) for n in range(8)])
    eventually(lambda: len(first.values + second.values) == 48, "the rest is read")
    describe, ours = ["--describe"], ["group", "describe", topic]
    found = both(broker, topic, describe, ours, OFFSETS)
    equal(sorted(row["LAG"] for row in found), ["-", "-", "2", "2"], "lags")
    heading = ["GROUP", "CONSUMER-ID", "GROUP-INSTANCE-ID", "HOST", "CLIENT-ID", "#PARTITIONS"]
    kafkas = rows(tool(broker, KAFKAS_TOOL, "--describe", "--members", "--verbose", "--group",
                       topic), [*heading, "CURRENT-ASSIGNMENT"])
    members = rows(sillon(broker, *ours, "--members"), [*heading, "ASSIGNMENT"])
    # Kafka's tool leaves the column of a member without an instance empty, which moves the others.
    static = {row["CONSUMER-ID"]: list(row.values()) for row in kafkas}
    for row in members:
        if row["GROUP-INSTANCE-ID"] != "-":
            equal(list(row.values())[:-1], static[row["CONSUMER-ID"]][:-1], "the static member")
    equal(sorted(row["ASSIGNMENT"] for row in members), [f"{topic}:0,1", f"{topic}:2,3"],
          "assignments")
    state = tool(broker, KAFKAS_TOOL, "--describe", "--state", "--group", topic).split("\n")[2]
    printed = sillon(broker, *ours, "--state").splitlines()[1]
    equal(printed.split(), state.split(), "the state")
    first.close()
    second.kill()
    heading = ["GROUP", "TYPE", "STATE"]
    # Both see a member's session end at their own time.
    eventually(lambda: "has no active members" in tool(broker, KAFKAS_TOOL, "--describe", "--group",
                                                       topic), "the killed member is gone")
    equal(rows(sillon(broker, "group", "list"), heading),
          rows(tool(broker, KAFKAS_TOOL, "--list", "--state", "--type"), heading), "the list")


@with_members
def offsets_are_reset_as_kafkas_tool_resets_them(broker, topic, member):
    produce(broker, topic, [str(n) for n in range(40)])
    sillon(broker, "group", "reset-offsets", "--group", topic, "--topic", topic, "--to-offset", "4",
           "--execute")
    equal(committed(broker, topic, topic), {p: 4 for p in EVERYTHING}, "offsets that were reset")
    heading = ["GROUP", "TOPIC", "PARTITION", "NEW-OFFSET"]
    for how in (["--to-earliest"], ["--to-latest"], ["--to-current"], ["--shift-by", "-3"],
                ["--shift-by", "100"], ["--to-offset", "7"], ["--by-duration", "PT1H"],
                ["--to-datetime", "2020-01-01T00:00:00.000"]):
        scope = ["--topic", f"{topic}:1,3"] if how[0] == "--to-latest" else ["--all-topics"]
        both(broker, topic, ["--reset-offsets", *scope, *how, "--dry-run"],
             ["group", "reset-offsets", "--group", topic, *scope, *how, "--dry-run"], heading)
    exported = sillon(broker, "group", "reset-offsets", "--group", topic, "--all-topics",
                      "--to-offset", "9", "--export")
    plan = broker.folder / "plan.csv"
    plan.write_text(exported)
    tool(broker, KAFKAS_TOOL, "--reset-offsets", "--group", topic, "--from-file", str(plan),
         "--execute")
    equal(committed(broker, topic, topic), {p: 9 for p in EVERYTHING}, "the exported plan")
    reader = member(**RANGE)
    eventually(lambda: len(reader.values) == PARTITIONS, "the last record of each is read")
    sillon(broker, "group", "reset-offsets", "--group", topic, "--all-topics", "--to-earliest",
           "--execute", code=1)
    reader.close()
    sillon(broker, "group", "delete-offsets", "--group", topic, "--topic", f"{topic}:0,1")
    equal(committed(broker, topic, topic), {0: -1001, 1: -1001, 2: 10, 3: 10}, "what is left")
    sillon(broker, "group", "delete", topic)
    sillon(broker, "group", "describe", topic, code=1)


def owners(broker, topic):
    """How many partitions each member has, as sillon describes it."""
    text = sillon(broker, "group", "describe", topic, "--members", "--format", "json")
    counts = [sum(len(part["partitions"]) for part in one["assignment"])
              for one in json.loads(text)[0]["members"]]
    return sorted(counts)


@with_sillon_members
def members_of_two_clients_share_a_group(broker, topic, member, sillon_member):
    other = member(auto_commit_interval_ms=100, **RANGE)
    eventually(lambda: len(other.partitions) == PARTITIONS, "one has everything")
    first, second = sillon_member(), sillon_member()
    eventually(lambda: owners(broker, topic) == [1, 1, 2], "three share")
    eventually(lambda: 0 < len(other.partitions) < PARTITIONS, "the other client knows")
    produce(broker, topic, [str(n) for n in range(400)])
    members = [first, second, other]
    eventually(lambda: sum(len(one.values) for one in members) >= 400, "all is read")
    read = sorted(int(value) for one in members for value in one.values)
    equal(read, list(range(400)), "what was read, once each")
    for one in members:
        if not one.values:
            raise AssertionError("a member has read nothing")
    other.close()
    eventually(lambda: owners(broker, topic) == [2, 2], "two share")
    first.stop()
    eventually(lambda: owners(broker, topic) == [4], "one has everything")
    produce(broker, topic, [str(n) for n in range(400, 440)])
    eventually(lambda: len(first.values + second.values + other.values) == 440, "the rest is read")
    second.stop()
    equal(committed(broker, topic, topic), {p: 110 for p in EVERYTHING}, "what is committed")


@with_sillon_members
def another_client_goes_on_where_a_killed_sillon_had_committed(broker, topic, member, sillon_member):
    produce(broker, topic, [str(n) for n in range(40)])
    first = sillon_member()
    eventually(lambda: len(first.values) == 40, "all is read")
    eventually(lambda: committed(broker, topic, topic) == {p: 10 for p in EVERYTHING},
               "it is committed")
    first.kill()
    produce(broker, topic, ["next"] * PARTITIONS)
    second = member(**RANGE)
    eventually(lambda: len(second.values) == PARTITIONS, "the other goes on")
    equal(second.values, ["next"] * PARTITIONS, "what it reads")


@with_sillon_members
def cooperative_members_of_two_clients_keep_what_they_need_not_give(broker, topic, member,
                                                                    sillon_member):
    sticky = ["--assignors", "cooperative-sticky"]
    other = member(auto_commit_interval_ms=100, partition_assignment_strategy="cooperative-sticky")
    eventually(lambda: len(other.partitions) == PARTITIONS, "one has everything")
    first = sillon_member(*sticky)
    eventually(lambda: owners(broker, topic) == [2, 2], "two share")
    eventually(lambda: len(other.partitions) == 2, "the other client knows")
    produce(broker, topic, [str(n) for n in range(40)])
    eventually(lambda: len(first.values + other.values) == 40, "all is read")
    equal(len(first.values), 20, "what sillon has read")
    # Now sillon leads the group.
    eventually(lambda: committed(broker, topic, topic) == {p: 10 for p in EVERYTHING}, "it is committed")
    other.close()
    eventually(lambda: owners(broker, topic) == [4], "one has everything")
    third = member(auto_commit_interval_ms=100, partition_assignment_strategy="cooperative-sticky")
    eventually(lambda: owners(broker, topic) == [2, 2], "two share again")
    eventually(lambda: len(third.partitions) == 2, "the other client knows")
    produce(broker, topic, [str(n) for n in range(40, 80)])
    eventually(lambda: len(first.values + third.values) == 60, "the rest is read")
    equal(sorted(int(value) for one in (first, other, third) for value in one.values),
          list(range(80)), "what was read, once each")
    first.stop()


CASES = [(case.__name__.replace("_", "-"), case) for case in (
    groups_are_described_as_kafkas_tool_describes_them,
    offsets_are_reset_as_kafkas_tool_resets_them,
    members_of_two_clients_share_a_group,
    another_client_goes_on_where_a_killed_sillon_had_committed,
    cooperative_members_of_two_clients_keep_what_they_need_not_give,
)]

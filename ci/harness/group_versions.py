"""Every advertised version of every group API, by raw requests: a group goes its whole way in each
version of an API, its bad cases are asked for beside it, and each answer must decode whole and have
the code that Apache Kafka gives. Encoders and decoders are kafka-python's."""

import struct
import uuid
from concurrent.futures import ThreadPoolExecutor

from kafka.protocol.admin import DeleteGroupsRequest, DescribeGroupsRequest, ListGroupsRequest
from kafka.protocol.consumer import (
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetDeleteRequest,
    OffsetFetchRequest, SyncGroupRequest)
from kafka.protocol.metadata import ApiVersionsRequest

from harness import wire
from harness.broker import PARTITIONS
from harness.checks import equal, eventually
from harness.clients.confluent import create_topic
from harness.versions import exchange, find_coordinator, topic_id

TOPIC, UNKNOWN_TOPIC = "group-versions", "group-versions-unknown"
UNKNOWN_ID = uuid.UUID(int=0x1234)
NOBODY = "nobody"
ASSIGNMENT = b"\0\1" + b"\0\0\0\0" + b"\xff\xff\xff\xff"
METADATA = b"\0\0" + b"\0\0\0\1" + struct.pack(">h", len(TOPIC)) + TOPIC.encode() + b"\0\0\0\0"

# Kafka's error codes.
NONE, UNKNOWN_TOPIC_OR_PARTITION, COORDINATOR_LOAD_IN_PROGRESS = 0, 3, 14
COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, ILLEGAL_GENERATION = 15, 16, 22
INCONSISTENT_GROUP_PROTOCOL, INVALID_GROUP_ID, UNKNOWN_MEMBER_ID = 23, 24, 25
INVALID_SESSION_TIMEOUT, NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND, MEMBER_ID_REQUIRED = 26, 68, 69, 79
GROUP_SUBSCRIBED_TO_TOPIC, UNKNOWN_TOPIC_ID = 86, 100
STILL_LOADING = {UNKNOWN_TOPIC_OR_PARTITION, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR}

# First versions with something of their own.
ID_REQUIRED_FROM = 4       # JoinGroup
INSTANCE_FROM = {"join": 5, "sync": 3, "heartbeat": 3, "leave": 3, "commit": 7}
SEVERAL_LEAVE_FROM = 3     # LeaveGroup
ALL_TOPICS_FROM = 2        # OffsetFetch
SEVERAL_GROUPS_FROM = 8    # OffsetFetch
TOPIC_IDS_FROM = 10        # OffsetCommit and OffsetFetch
NOT_FOUND_FROM = 6         # DescribeGroups

# What each of them must offer, so that a version that is lost is seen.
SERVED = {8: (2, 10), 9: (1, 10), 11: (0, 9), 12: (0, 4), 13: (0, 5), 14: (0, 5), 15: (0, 6),
          16: (0, 5), 42: (0, 3), 47: (0, 0)}
UNKNOWN_TO_KAFKA_PYTHON = {42: 3}


class Versions:
    """One broker, and requests in chosen versions to it."""

    def __init__(self, address):
        self.address = address
        self.topic = (TOPIC, topic_id(address, TOPIC))
        self.asked = 0

    def ask(self, request):
        self.asked += 1
        return exchange(self.address, request)

    def join(self, version, group, member="", instance=None, session_ms=10_000, name="range"):
        protocol = JoinGroupRequest.JoinGroupRequestProtocol(name=name, metadata=METADATA,
                                                             version=version)
        return self.ask(JoinGroupRequest(
            version=version, group_id=group, session_timeout_ms=session_ms,
            rebalance_timeout_ms=10_000, member_id=member,
            group_instance_id=instance if version >= INSTANCE_FROM["join"] else None,
            protocol_type="consumer", protocols=[protocol], reason="test"))

    def sync(self, version, group, member, generation, instance=None):
        of_member = SyncGroupRequest.SyncGroupRequestAssignment(
            member_id=member, assignment=ASSIGNMENT, version=version)
        return self.ask(SyncGroupRequest(
            version=version, group_id=group, generation_id=generation, member_id=member,
            group_instance_id=instance if version >= INSTANCE_FROM["sync"] else None,
            protocol_type="consumer", protocol_name="range", assignments=[of_member]))

    def heartbeat(self, version, group, member, generation, instance=None):
        return self.ask(HeartbeatRequest(
            version=version, group_id=group, generation_id=generation, member_id=member,
            group_instance_id=instance if version >= INSTANCE_FROM["heartbeat"] else None))

    def leave(self, version, group, *members):
        identities = [LeaveGroupRequest.MemberIdentity(
            member_id=member, group_instance_id=None, reason="test", version=version)
            for member in members] if version >= SEVERAL_LEAVE_FROM else []
        answer = self.ask(LeaveGroupRequest(version=version, group_id=group, member_id=members[0],
                                            members=identities))
        if version < SEVERAL_LEAVE_FROM:
            return [answer.error_code]
        return [answer.error_code or one.error_code for one in answer.members]

    def commit(self, version, group, offset, member="", generation=-1, topic=None):
        """The code of each partition asked for: the first one, and one that does not exist."""
        of_topic = OffsetCommitRequest.OffsetCommitRequestTopic
        name, ident = topic or self.topic
        parts = [of_topic.OffsetCommitRequestPartition(
            partition_index=index, committed_offset=offset, committed_leader_epoch=-1,
            committed_metadata=f"version {version}", version=version) for index in (0, PARTITIONS)]
        answer = self.ask(OffsetCommitRequest(
            version=version, group_id=group, generation_id_or_member_epoch=generation,
            member_id=member, group_instance_id=None, retention_time_ms=-1,
            topics=[of_topic(name=name, topic_id=ident, partitions=parts, version=version)]))
        found = {part.partition_index: part.error_code for part in answer.topics[0].partitions}
        return [found[0], found[PARTITIONS]]  # Kafka answers what does not exist first

    def fetch(self, version, groups, everything=False, topic=None):
        """{group: [(partition, offset, metadata, code)]}"""
        name, ident = topic or self.topic
        if version < SEVERAL_GROUPS_FROM:
            of_topic = OffsetFetchRequest.OffsetFetchRequestTopic(
                name=name, partition_indexes=[0, 1], version=version)
            answer = self.ask(OffsetFetchRequest(
                version=version, group_id=groups[0], require_stable=False,
                topics=None if everything else [of_topic]))
            return {groups[0]: fetched(answer)}
        of_group = OffsetFetchRequest.OffsetFetchRequestGroup
        asked = [of_group(
            group_id=group, member_id=None, member_epoch=-1, version=version,
            topics=None if everything else [of_group.OffsetFetchRequestTopics(
                name=name, topic_id=ident, partition_indexes=[0, 1], version=version)])
            for group in groups]
        answer = self.ask(OffsetFetchRequest(version=version, groups=asked, require_stable=False))
        return {group.group_id: fetched(group) for group in answer.groups}

    def member(self, version, group, instance=None):
        """(member id, generation) of a group's only member, by JoinGroup in that version."""
        answer = self.join(version, group, instance=instance)
        if version >= ID_REQUIRED_FROM and not (instance and version >= INSTANCE_FROM["join"]):
            equal(answer.error_code, MEMBER_ID_REQUIRED, f"JoinGroup {version} without a member id")
            answer = self.join(version, group, answer.member_id)
        equal(answer.error_code, NONE, f"JoinGroup {version}")
        equal((answer.leader, answer.protocol_name), (answer.member_id, "range"), "the leader")
        equal([one.member_id for one in answer.members], [answer.member_id], "members")
        equal(answer.members[0].metadata, METADATA, "what the member subscribes to")
        return answer.member_id, answer.generation_id

    def stable(self, group, instance=None):
        """The same, in the newest versions, once it has its assignment."""
        member, generation = self.member(9, group, instance)
        equal(self.sync(5, group, member, generation, instance).error_code, NONE, "SyncGroup 5")
        return member, generation


def fetched(answer):
    return [(part.partition_index, part.committed_offset, part.metadata, part.error_code)
            for topic in answer.topics for part in topic.partitions]


def join_group(ask, version):
    group = f"join-{version}"
    member, generation = ask.member(version, group)
    again = ask.join(version, group, member)
    equal((again.error_code, again.member_id, again.generation_id), (NONE, member, generation),
          "the same member again")
    if version >= INSTANCE_FROM["join"]:
        ask.member(version, group + "-static", instance="one")
    for code, asked in (
            (UNKNOWN_MEMBER_ID, (group, NOBODY)), (INVALID_GROUP_ID, ("",)),
            (INCONSISTENT_GROUP_PROTOCOL, (group, "", None, 10_000, "other")),
            (INVALID_SESSION_TIMEOUT, (group, "", None, 1))):
        equal(ask.join(version, *asked).error_code, code, f"JoinGroup {version} {asked}")


def sync_group(ask, version):
    group = f"sync-{version}"
    member, generation = ask.member(9, group)
    answer = ask.sync(version, group, member, generation)
    equal((answer.error_code, answer.assignment), (NONE, ASSIGNMENT), f"SyncGroup {version}")
    for code, asked in ((UNKNOWN_MEMBER_ID, (group, NOBODY, generation)),
                        (ILLEGAL_GENERATION, (group, member, generation + 1)),
                        (INVALID_GROUP_ID, ("", member, generation))):
        equal(ask.sync(version, *asked).error_code, code, f"SyncGroup {version} {asked}")


def heartbeat(ask, version):
    group = f"heartbeat-{version}"
    member, generation = ask.stable(group)
    for code, asked in ((NONE, (group, member, generation)),
                        (UNKNOWN_MEMBER_ID, (group, NOBODY, generation)),
                        (ILLEGAL_GENERATION, (group, member, generation + 1)),
                        (UNKNOWN_MEMBER_ID, (group + "-none", member, generation)),
                        (INVALID_GROUP_ID, ("", member, generation))):
        equal(ask.heartbeat(version, *asked).error_code, code, f"Heartbeat {version} {asked}")


def leave_group(ask, version):
    group = f"leave-{version}"
    member, generation = ask.stable(group)
    equal(ask.leave(version, group, NOBODY), [UNKNOWN_MEMBER_ID], f"LeaveGroup {version} of nobody")
    if version < SEVERAL_LEAVE_FROM:
        equal(ask.leave(version, group, member), [NONE], f"LeaveGroup {version}")
    else:
        equal(ask.leave(version, group, member, NOBODY), [NONE, UNKNOWN_MEMBER_ID],
              f"LeaveGroup {version} of several")
    equal(ask.heartbeat(4, group, member, generation).error_code, UNKNOWN_MEMBER_ID, "who has left")


def offset_commit(ask, version):
    group = f"commit-{version}"
    member, generation = ask.stable(group)
    asked = f"OffsetCommit {version}"
    equal(ask.commit(version, group, 5, member, generation), [NONE, UNKNOWN_TOPIC_OR_PARTITION], asked)
    equal(ask.fetch(5, [group])[group][0], (0, 5, f"version {version}", NONE), "what is committed")
    unknown = UNKNOWN_TOPIC_ID if version >= TOPIC_IDS_FROM else UNKNOWN_TOPIC_OR_PARTITION
    equal(ask.commit(version, group, 5, member, generation, (UNKNOWN_TOPIC, UNKNOWN_ID)),
          [unknown] * 2, f"{asked} to an unknown topic")
    equal(ask.commit(version, group, 6, NOBODY, generation)[0], UNKNOWN_MEMBER_ID, f"{asked} of nobody")
    equal(ask.commit(version, group, 6, member, generation + 1)[0], ILLEGAL_GENERATION,
          f"{asked} of another generation")
    equal(ask.commit(version, group + "-simple", 7)[0], NONE, f"{asked} without a member")
    equal(ask.fetch(5, [group])[group][0][1], 5, "what is committed in the end")


def offset_fetch(ask, version):
    groups = [f"fetch-{version}-{number}" for number in range(3)]
    for group in groups[:2]:
        equal(ask.commit(9, group, 3)[0], NONE, "OffsetCommit 9")
    there, absent = [(0, 3, "version 9", NONE), (1, -1, "", NONE)], [(0, -1, "", NONE), (1, -1, "", NONE)]
    expected = dict(zip(groups, (there, there, absent)))
    asked = groups if version >= SEVERAL_GROUPS_FROM else groups[:1]
    equal(ask.fetch(version, asked), {group: expected[group] for group in asked},
          f"OffsetFetch {version}")
    if version < SEVERAL_GROUPS_FROM:
        equal(ask.fetch(version, groups[2:]), {groups[2]: absent}, f"OffsetFetch {version} of none")
    if version >= ALL_TOPICS_FROM:
        equal(ask.fetch(version, groups[:1], everything=True), {groups[0]: there[:1]},
              f"OffsetFetch {version} of everything")
    code = UNKNOWN_TOPIC_ID if version >= TOPIC_IDS_FROM else NONE
    equal(ask.fetch(version, groups[:1], topic=(UNKNOWN_TOPIC, UNKNOWN_ID)),
          {groups[0]: [(index, -1, "", code) for index in (0, 1)]},
          f"OffsetFetch {version} of an unknown topic")


def offset_delete(ask, version):
    group = f"offset-delete-{version}"

    def delete(group, topic, index=0):
        of_topic = OffsetDeleteRequest.OffsetDeleteRequestTopic
        part = of_topic.OffsetDeleteRequestPartition(partition_index=index, version=version)
        answer = ask.ask(OffsetDeleteRequest(version=version, group_id=group, topics=[
            of_topic(name=topic, partitions=[part], version=version)]))
        return answer.error_code or answer.topics[0].partitions[0].error_code

    member, _ = ask.stable(group)
    equal(ask.commit(9, group + "-simple", 3)[0], NONE, "OffsetCommit 9")
    equal(delete(group, TOPIC), GROUP_SUBSCRIBED_TO_TOPIC, "offsets of a topic that is read")
    equal(delete(group + "-none", TOPIC), GROUP_ID_NOT_FOUND, "offsets of no group")
    equal(delete(group + "-simple", UNKNOWN_TOPIC), UNKNOWN_TOPIC_OR_PARTITION, "an unknown topic")
    equal(delete(group + "-simple", TOPIC), NONE, f"OffsetDelete {version}")
    equal(ask.fetch(5, [group + "-simple"])[group + "-simple"][0][1], -1, "what is left")


def describe_groups(ask, version):
    group = f"describe-{version}"
    member, _ = ask.stable(group, instance="one")
    answer = ask.ask(DescribeGroupsRequest(version=version, groups=[group, group + "-none"],
                                           include_authorized_operations=True))
    by_name = {one.group_id: one for one in answer.groups}
    there, absent = by_name[group], by_name[group + "-none"]
    equal((there.error_code, there.group_state, there.protocol_type, there.protocol_data),
          (NONE, "Stable", "consumer", "range"), f"DescribeGroups {version}")
    equal([(one.member_id, one.client_id, one.member_metadata, one.member_assignment)
           for one in there.members], [(member, "harness", METADATA, ASSIGNMENT)], "its members")
    if version >= 4:
        equal(there.members[0].group_instance_id, "one", "the member's instance")
    equal((absent.group_state, absent.error_code),
          ("Dead", GROUP_ID_NOT_FOUND if version >= NOT_FOUND_FROM else NONE), "no group")


def list_groups(ask, version):
    group = f"list-{version}"
    ask.stable(group)
    equal(ask.commit(9, group + "-simple", 3)[0], NONE, "OffsetCommit 9")

    def listed(states=(), types=()):
        answer = ask.ask(ListGroupsRequest(version=version, states_filter=list(states),
                                           types_filter=list(types)))
        equal(answer.error_code, NONE, f"ListGroups {version}")
        return {one.group_id: one for one in answer.groups if one.group_id.startswith(group)}

    both = {group, group + "-simple"}
    found = listed()
    equal(set(found), both, "groups")
    equal(found[group].protocol_type, "consumer", "the protocol type")
    if version >= 4:
        equal({name: one.group_state for name, one in found.items()},
              {group: "Stable", group + "-simple": "Empty"}, "states")
        equal(set(listed(["stable"])), {group}, "stable groups")
        equal(set(listed(["Dead"])), set(), "dead groups")
    if version >= 5:
        equal({one.group_type for one in found.values()}, {"classic"}, "types")
        equal(set(listed(types=["Classic"])), both, "classic groups")
        equal(set(listed(types=["consumer"])), set(), "groups of the newer protocol")


def delete_groups(ask, version):
    group = f"delete-{version}"
    ask.stable(group)
    equal(ask.commit(9, group + "-simple", 3)[0], NONE, "OffsetCommit 9")
    names = [group, group + "-simple", group + "-none"]
    if version >= UNKNOWN_TO_KAFKA_PYTHON[42]:
        found = delete_raw(ask, version, names)
    else:
        answer = ask.ask(DeleteGroupsRequest(version=version, groups_names=names))
        found = {one.group_id: one.error_code for one in answer.results}
    equal(found, dict(zip(names, (NON_EMPTY_GROUP, NONE, GROUP_ID_NOT_FOUND))),
          f"DeleteGroups {version}")


def delete_raw(ask, version, names):
    """The compact encoding by hand: {group: code}. Version 3 has room for a text."""
    ask.asked += 1

    def compact(text):
        return bytes([len(text) + 1]) + text.encode()

    def take(reader):
        length = reader.take("B")
        return None if length == 0 else reader.take(f"{length - 1}s").decode()

    body = b"\0" + bytes([len(names) + 1]) + b"".join(map(compact, names)) + b"\0"
    with wire.Connection(ask.address, greets=True) as connection:
        reader = connection.call(42, version, body)
    equal(reader.take("Bi"), (0, 0), "the header's tags and the throttle time")
    found = {}
    for _ in range(reader.take("B") - 1):
        name, code = take(reader), reader.take("h")
        said = take(reader)
        equal(said, None, "the error's text, which Kafka leaves out for these")
        equal(reader.take("B"), 0, "tags")
        found[name] = code
    equal(reader.take("B"), 0, "tags")
    equal(len(reader.data) - reader.at, 0, "bytes left")
    return found


APIS = {11: join_group, 14: sync_group, 12: heartbeat, 13: leave_group, 8: offset_commit,
        9: offset_fetch, 47: offset_delete, 15: describe_groups, 16: list_groups, 42: delete_groups}


def every_version_of_the_group_apis_is_answered_as_kafka_does(broker):
    create_topic(broker.address, TOPIC)
    with wire.Connection(broker.address) as connection:
        advertised = connection.api_versions()
    ask = Versions(broker.address)

    def is_there():
        """Finding a coordinator makes the topic of the offsets, where it is not there yet."""
        ask.ask(find_coordinator(3, 0))
        return ask.commit(9, "first", 1)[0] not in STILL_LOADING

    eventually(is_there, "the coordinators are there")
    failures = [f"api {api}: {advertised[api]} is advertised, not {low} to {high}"
                for api, (low, high) in SERVED.items() if advertised[api] != (low, high)]
    versions = [(api, version) for api, (low, high) in SERVED.items()
                for version in range(low, high + 1)]

    def check(one):
        """(requests, failure or None). Side by side: a new group waits for more members."""
        api, version = one
        ask = Versions(broker.address)
        try:
            APIS[api](ask, version)
        except Exception as error:
            return ask.asked, f"{APIS[api].__name__} {version}: {type(error).__name__} {error}"
        return ask.asked, None

    with ThreadPoolExecutor(len(versions)) as pool:
        found = list(pool.map(check, versions))
    failures += [failure for _, failure in found if failure]
    if failures:
        raise AssertionError(f"{len(failures)} of {len(versions)}: " + "; ".join(failures[:20]))
    return f"{len(versions)} versions, {sum(asked for asked, _ in found)} requests"


# Kafka's APIs that are not built: AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, WriteTxnMarkers,
# TxnOffsetCommit, SASL and delegation tokens, quotas' SCRAM, transactions' listings, the newer
# protocols' groups (ConsumerGroupDescribe, share and streams groups) and telemetry.
# ConsumerGroupHeartbeat is advertised, to be refused: see docs/protocol.md.
UNBUILT = {17, 24, 25, 26, 27, 28, 34, 36, 38, 39, 40, 41, 51, 64, 65, 66, 69, 71, 72, 73, 76, 77, 78,
           79, 80, 81, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94}


def nothing_that_is_not_built_is_advertised(broker):
    """Nor a feature, `transaction.version` among them. Kafka has all of it."""
    answer = exchange(broker.address, ApiVersionsRequest(
        version=4, client_software_name="harness", client_software_version="1"))
    keys = {one.api_key for one in answer.api_keys}
    features = sorted(one.name for one in answer.supported_features)
    if broker.name == "kafka":
        equal({24, 25, 26, 28, 68, 69, 76, 77} - keys, set(), "APIs that Kafka has")
        equal("transaction.version" in features, True, "the feature transaction.version")
        return ""
    equal(sorted(UNBUILT & keys), [], "APIs that are not built")
    equal(features, [], "features")
    return f"{len(keys)} APIs"


CASES = [(case.__name__.replace("_", "-"), case) for case in (
    every_version_of_the_group_apis_is_answered_as_kafka_does,
    nothing_that_is_not_built_is_advertised)]

//! Members of a consumer group, by the client that the command line has.

mod house;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use house::{Node, PATIENCE, batch};
use sillon_client::{
    Assignor, Client, ClientOptions, CommittedOffset, GroupEvent, GroupMember, GroupOptions,
    OffsetReset, TopicPartition,
};
use sillon_protocol::ErrorCode;
use tempfile::TempDir;

/// How long one poll of a member waits: short, as several take turns on one thread.
const POLL: Duration = Duration::from_millis(10);

fn folder() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A node with the topic `furrow` of four partitions, and two records in each.
fn start(folder: &Path) -> Node {
    let node = Node::start(folder);
    let mut client = node.client();
    client.create("furrow");
    client.await_topic("furrow");
    produce(&node, &["a", "b"]);
    node
}

/// Two values in each partition, told apart by it.
fn produce(node: &Node, values: &[&str]) {
    let batches = [0, 1, 2, 3].map(|index| {
        let values: Vec<String> = values
            .iter()
            .map(|value| format!("{value}{index}"))
            .collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        (index, batch(&values))
    });
    let answers = node.client().produce("furrow", &batches);
    assert!(answers.iter().all(|answer| answer.0 == 0), "{answers:?}");
}

fn client(node: &Node) -> Client {
    Client::connect(&node.address.to_string(), ClientOptions::default()).unwrap()
}

/// A member, what it was given and what it read.
struct Tested {
    member: GroupMember,
    events: Vec<GroupEvent>,
    values: Vec<String>,
    partitions: Vec<i32>,
}

impl Tested {
    fn new(node: &Node, change: impl FnOnce(&mut GroupOptions)) -> Tested {
        let mut options = GroupOptions::new("g", "furrow");
        options.offset_reset = OffsetReset::Earliest;
        options.heartbeat_interval = Duration::from_millis(20);
        change(&mut options);
        Tested {
            member: GroupMember::new(client(node), options).unwrap(),
            events: Vec::new(),
            values: Vec::new(),
            partitions: Vec::new(),
        }
    }

    fn poll(&mut self) {
        let values = &mut self.values;
        let event = self.member.poll(POLL, |delivered| {
            let value = delivered.record.value.unwrap();
            values.push(String::from_utf8(value.to_vec()).unwrap());
            ControlFlow::Continue(())
        });
        match event.unwrap() {
            GroupEvent::Records(_) => {}
            event => {
                let indexes =
                    |places: &[TopicPartition]| places.iter().map(|p| p.partition).collect();
                match &event {
                    GroupEvent::Assigned(given) => self.partitions = indexes(given),
                    GroupEvent::Revoking(gone) | GroupEvent::Lost(gone) => {
                        let gone: Vec<i32> = indexes(gone);
                        self.partitions.retain(|index| !gone.contains(index));
                    }
                    _ => {}
                }
                self.events.push(event);
            }
        }
    }
}

/// Has members take turns until something is so.
fn until(what: &str, members: &mut [Tested], is_so: impl Fn(&[Tested]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so(members) {
        assert!(Instant::now() < deadline, "{what}");
        for member in &mut *members {
            member.poll();
        }
    }
}

fn shared(members: &[Tested]) -> bool {
    let mut all: Vec<i32> = members.iter().flat_map(|m| m.partitions.clone()).collect();
    all.sort_unstable();
    all == [0, 1, 2, 3] && members.iter().all(|member| !member.partitions.is_empty())
}

fn read(members: &[Tested]) -> Vec<String> {
    let mut values: Vec<String> = members.iter().flat_map(|m| m.values.clone()).collect();
    values.sort();
    values
}

fn everything(values: &[&str]) -> Vec<String> {
    let of = |value: &&str| [0, 1, 2, 3].map(|index| format!("{value}{index}"));
    let mut values: Vec<String> = values.iter().flat_map(of).collect();
    values.sort();
    values
}

fn committed(node: &Node) -> BTreeMap<i32, i64> {
    let found = client(node).committed_offsets("g").unwrap().into_iter();
    found
        .map(|(place, known)| (place.partition, known.offset))
        .collect()
}

#[test]
fn members_share_the_partitions_and_each_record_is_delivered_once() {
    let folder = folder();
    let node = start(folder.path());
    let mut members = vec![Tested::new(&node, |_| {})];
    until("one has everything", &mut members, |members| {
        shared(members) && members[0].values.len() == 8
    });
    members.push(Tested::new(&node, |_| {}));
    until("two share", &mut members, shared);
    produce(&node, &["c", "d"]);
    until("all is read", &mut members, |members| {
        read(members).len() == 16
    });
    assert_eq!(read(&members), everything(&["a", "b", "c", "d"]));
    assert_eq!(members[0].partitions.len(), 2, "they are divided evenly");

    let described = client(&node).describe_group("g").unwrap();
    assert_eq!(
        (&*described.state, &*described.assignor),
        ("Stable", "range")
    );
    for member in &members {
        let id = member.member.member_id();
        let found = described.members.iter().find(|known| known.member_id == id);
        let found = found
            .unwrap()
            .assignment
            .iter()
            .map(|place| place.partition);
        assert!(found.eq(member.partitions.iter().copied()));
    }

    // The one that closes commits and leaves; the other takes over behind that.
    members.pop().unwrap().member.close().unwrap();
    until("the first has everything again", &mut members, shared);
    members.pop().unwrap().member.close().unwrap();
    assert_eq!(
        committed(&node),
        [0, 1, 2, 3].map(|index| (index, 4)).into()
    );
    let described = client(&node).describe_group("g").unwrap();
    assert_eq!((&*described.state, described.members.len()), ("Empty", 0));
    node.stop();
}

#[test]
fn a_member_goes_on_where_another_has_committed_and_not_where_it_has_only_read() {
    let folder = folder();
    let node = start(folder.path());
    let by_hand = |options: &mut GroupOptions| options.auto_commit = None;
    let mut members = [Tested::new(&node, by_hand)];
    until("all is read", &mut members, |members| {
        members[0].values.len() == 8
    });
    members[0].member.commit().unwrap();
    produce(&node, &["c", "d"]);
    until("the rest is read", &mut members, |members| {
        members[0].values.len() == 16
    });
    let [first] = members;
    first.member.close().unwrap();
    assert_eq!(
        committed(&node),
        [0, 1, 2, 3].map(|index| (index, 2)).into()
    );

    let mut members = [Tested::new(&node, by_hand)];
    until("what was not committed is read", &mut members, |members| {
        read(members).len() == 8
    });
    assert_eq!(read(&members), everything(&["c", "d"]));
    node.stop();
}

#[test]
fn what_was_read_can_be_committed_when_the_group_rebalances() {
    let folder = folder();
    let node = start(folder.path());
    let mut members = vec![Tested::new(&node, |options| options.auto_commit = None)];
    until("all is read", &mut members, |members| {
        members[0].values.len() == 8
    });
    let mut other = Tested::new(&node, |options| options.auto_commit = None);
    let revoking = |member: &Tested| {
        let last = member.events.last();
        matches!(last, Some(GroupEvent::Revoking(partitions)) if partitions.len() == 4)
    };
    let deadline = Instant::now() + PATIENCE;
    while !revoking(&members[0]) {
        assert!(Instant::now() < deadline);
        other.poll();
        members[0].poll();
    }
    members[0].member.commit().unwrap();
    members.push(other);
    until("two share", &mut members, shared);
    produce(&node, &["c"]);
    until("all is read", &mut members, |members| {
        read(members).len() == 12
    });
    assert_eq!(
        read(&members),
        everything(&["a", "b", "c"]),
        "nothing twice"
    );
    node.stop();
}

#[test]
fn a_static_member_that_comes_back_keeps_its_partitions_and_fences_who_it_was() {
    let folder = folder();
    let node = start(folder.path());
    let named = |name: &'static str| {
        move |options: &mut GroupOptions| options.instance_id = Some(name.to_string())
    };
    let mut members = vec![
        Tested::new(&node, named("1")),
        Tested::new(&node, named("2")),
    ];
    until("two share", &mut members, shared);
    let had = members[1].partitions.clone();
    let generation = members[1].member.generation();
    let old = members.pop().unwrap();
    members.push(Tested::new(&node, named("2")));
    until("it is back", &mut members, shared);
    assert_eq!(members[1].partitions, had);
    assert_eq!(
        members[1].member.generation(),
        generation,
        "without a rebalance"
    );

    let mut old = old.member;
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline);
        if let Err(error) = old.poll(POLL, |_| ControlFlow::Continue(())) {
            break error;
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
    assert!(error.to_string().contains("give each its own"), "{error}");
    node.stop();
}

#[test]
fn a_member_that_does_not_poll_loses_its_partitions_and_comes_back() {
    let folder = folder();
    let node = start(folder.path());
    let mut members = vec![Tested::new(&node, |options| {
        options.max_poll_interval = Duration::from_millis(200);
    })];
    until("it has everything", &mut members, shared);
    // Nothing but a poll keeps it, so waiting is what this is about.
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        std::thread::yield_now();
    }
    until("it knows", &mut members, |members| {
        let lost = |event: &GroupEvent| matches!(event, GroupEvent::Lost(all) if all.len() == 4);
        members[0].events.iter().any(lost)
    });
    until("it is back", &mut members, shared);
    node.stop();
}

#[test]
fn the_leader_sees_new_partitions_and_has_them_divided() {
    let folder = folder();
    let node = start(folder.path());
    let mut members = vec![Tested::new(&node, |options| {
        options.metadata_max_age = Duration::ZERO;
        options.assignors = vec![Assignor::RoundRobin];
    })];
    until("it has everything", &mut members, shared);
    client(&node).create_partitions("furrow", 6, false).unwrap();
    until("it has the new ones too", &mut members, |members| {
        members[0].partitions == [0, 1, 2, 3, 4, 5]
    });
    let described = client(&node).describe_group("g").unwrap();
    assert_eq!(described.assignor, "roundrobin");
    node.stop();
}

#[test]
fn cooperative_members_read_on_what_they_keep() {
    let folder = folder();
    let node = start(folder.path());
    let cooperative = |options: &mut GroupOptions| {
        options.assignors = vec![Assignor::CooperativeSticky];
        options.auto_commit = None;
    };
    let mut members = vec![Tested::new(&node, cooperative)];
    until("one has everything", &mut members, |members| {
        shared(members) && members[0].values.len() == 8
    });
    members.push(Tested::new(&node, cooperative));
    until("two share", &mut members, shared);
    let described = client(&node).describe_group("g").unwrap();
    assert_eq!(described.assignor, "cooperative-sticky");
    let place = |index| TopicPartition::new("furrow", index);
    let expected = [
        GroupEvent::Assigned([0, 1, 2, 3].map(place).to_vec()),
        GroupEvent::Revoking([2, 3].map(place).to_vec()),
        GroupEvent::Assigned([0, 1].map(place).to_vec()),
    ];
    assert_eq!(members[0].events[..3], expected);
    produce(&node, &["c"]);
    until("all is read", &mut members, |members| {
        members.iter().all(|member| {
            member
                .values
                .iter()
                .filter(|value| value.starts_with('c'))
                .count()
                == 2
        })
    });
    // Nothing was committed: what moved is read again, what stayed is not.
    let mut values = members[0].values.clone();
    values.sort();
    let mut expected = everything(&["a", "b"]);
    expected.extend(["c0", "c1"].map(str::to_string));
    assert_eq!(values, expected);

    let second = members.pop().unwrap();
    second.member.leave().unwrap();
    until("the first has everything again", &mut members, |members| {
        members[0].partitions == [0, 1, 2, 3]
    });
    let lost = members[0].events.iter();
    assert!(
        !lost
            .clone()
            .any(|event| matches!(event, GroupEvent::Lost(_)))
    );
}

#[test]
fn members_without_a_common_assignor_are_told_so() {
    let folder = folder();
    let node = start(folder.path());
    let mut members = vec![Tested::new(&node, |options| {
        options.assignors = vec![Assignor::RoundRobin];
    })];
    until("it has everything", &mut members, shared);
    let mut options = GroupOptions::new("g", "furrow");
    options.assignors = vec![Assignor::Range];
    let mut other = GroupMember::new(client(&node), options).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline);
        if let Err(error) = other.poll(POLL, |_| ControlFlow::Continue(())) {
            break error;
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::InconsistentGroupProtocol));
    assert!(error.to_string().contains("no assignor"), "{error}");
    node.stop();
}

#[test]
fn offsets_of_a_group_are_altered_and_deleted_while_it_has_no_members() {
    let folder = folder();
    let node = start(folder.path());
    let mut admin = client(&node);
    let place = |partition| TopicPartition::new("furrow", partition);
    let offsets = [0, 1].map(|index| (place(index), CommittedOffset::from(1)));
    admin.alter_committed_offsets("g", &offsets.into()).unwrap();
    assert_eq!(committed(&node), BTreeMap::from([(0, 1), (1, 1)]));
    let listed = admin.list_groups(&[], &[]).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&*listed[0].group, &*listed[0].state), ("g", "Empty"));
    assert_eq!(admin.list_groups(&["Stable".to_string()], &[]).unwrap(), []);

    let deleted = admin
        .delete_committed_offsets("g", &[place(1), place(2)])
        .unwrap();
    assert!(deleted.values().all(Option::is_none), "{deleted:?}");
    assert_eq!(committed(&node), BTreeMap::from([(0, 1)]));

    let mut members = [Tested::new(&node, |_| {})];
    until("a member goes on there", &mut members, |members| {
        shared(members) && read(members).len() == 7
    });
    let refused = admin.alter_committed_offsets("g", &[(place(0), 0.into())].into());
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("the group has members by now")
    );
    let refused = admin.delete_group("g").unwrap_err();
    assert!(refused.to_string().contains("stop them first"), "{refused}");
    let kept = admin.delete_committed_offsets("g", &[place(0)]).unwrap();
    let error = kept[&place(0)].as_ref().unwrap();
    assert_eq!(error.code(), Some(ErrorCode::GroupSubscribedToTopic));

    let [member] = members;
    member.member.close().unwrap();
    admin.delete_group("g").unwrap();
    assert_eq!(committed(&node), BTreeMap::new());
    assert_eq!(
        admin.describe_group("g").unwrap_err().to_string(),
        "there is no group g"
    );
    assert_eq!(
        admin.delete_group("g").unwrap_err().to_string(),
        "there is no group g"
    );
    node.stop();
}

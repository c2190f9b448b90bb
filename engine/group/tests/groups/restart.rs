use sillon_group::records::*;
use sillon_group::*;
use sillon_record::TopicId;

use crate::house::*;

#[test]
fn a_stable_group_goes_on_after_a_restart() {
    let mut house = House::new();
    let members = house.stable(2);
    let id = house.commit(commit_of(&members[1], "furrow", 41));
    house.committed(id).unwrap();
    house.restart();
    assert_eq!(house.state(), GroupState::Stable);
    assert_eq!(house.beat(&members[0]), Ok(()));
    let id = house.sync(&members[1], &[]);
    let synced = house.synced(id).unwrap().unwrap();
    assert_eq!(*synced.assignment, *part(&members[1].member_id));
    assert_eq!(house.offset("furrow"), 41);
    house.pass(10_100);
    assert_eq!(house.beat(&members[0]), Err(GroupError::UnknownMember));
}

#[test]
fn the_next_generation_after_a_restart_is_a_higher_one() {
    let mut house = House::new();
    let members = house.stable(1);
    house.restart();
    let id = house.join(again(&members[0]));
    assert_eq!(
        house.joined(id).unwrap().generation,
        members[0].generation + 1
    );
    house.restart();
    house.pass(10_100);
    assert_eq!(house.state(), GroupState::Empty);
    house.restart();
    let id = house.join(new_member());
    assert!(house.joined(id).unwrap().generation > members[0].generation);
}

#[test]
fn a_commit_that_was_not_durable_is_gone_after_a_restart() {
    let mut house = House::new();
    let id = house.commit(commit("furrow", 1));
    house.committed(id).unwrap();
    house.holds = true;
    house.commit(commit("furrow", 2));
    house.restart();
    assert_eq!(house.offset("furrow"), 1);
}

#[test]
fn while_a_partition_is_loaded_its_groups_are_not_served() {
    let mut house = House::new();
    let partition = partition_of(GROUP, PARTITIONS);
    let member = house.stable(1).remove(0);
    house.coordinator.loading(partition);
    assert_eq!(house.describe(), Err(GroupError::LoadInProgress));
    assert_eq!(house.beat(&member), Ok(()), "a member beats on");
    let id = house.join(again(&member));
    let error = house.joined(id).unwrap().error;
    assert_eq!(error, Some(GroupError::LoadInProgress));
    let id = house.commit(commit_of(&member, "furrow", 1));
    assert_eq!(house.committed(id), Some(Some(GroupError::LoadInProgress)));
    let id = house.ask(GroupRequest::List(ListGroups::default()));
    let answer = GroupResponse::List(Err(GroupError::LoadInProgress));
    assert_eq!(house.take(id), Some(answer));
}

#[test]
fn who_waits_in_a_partition_that_goes_looks_elsewhere() {
    let mut house = House::new();
    house.stable(2);
    let waiting = house.join(new_member());
    let mut effects = Vec::new();
    house.coordinator.unload_all(&mut effects);
    house.perform(effects);
    let error = house.joined(waiting).unwrap().error;
    assert_eq!(error, Some(GroupError::NotCoordinator));
    assert_eq!(house.describe(), Err(GroupError::NotCoordinator));
    assert_eq!(house.coordinator.groups_count(), 0);
}

#[test]
fn offsets_of_topics_that_went_meanwhile_are_dropped_when_they_are_loaded() {
    let mut house = House::new();
    let id = house.commit(commit("ploughed-under", 1));
    house.committed(id).unwrap();
    house.restart();
    assert_eq!(house.offset("ploughed-under"), -1);
    assert_eq!(house.log.last().unwrap().value, None);
}

#[test]
fn offsets_of_another_topic_of_the_name_are_dropped_when_they_are_loaded() {
    let mut house = House::new();
    let mut of_old = commit("furrow", 1);
    of_old.topics[0].id = TopicId([7; 16]);
    let id = house.commit(of_old);
    house.committed(id).unwrap();
    house.topic_id = TopicId([7; 16]);
    house.restart();
    assert_eq!(house.offset("furrow"), 1);
    house.topic_id = TopicId([8; 16]);
    house.restart();
    assert_eq!(house.offset("furrow"), -1);
    assert_eq!(house.log.last().unwrap().value, None);
}

#[test]
fn records_that_are_not_known_are_passed_over() {
    let mut coordinator = Coordinator::new(GroupConfig::default());
    coordinator.loading(0);
    // The key of a group of KIP-848, a key that is cut off, and none.
    assert!(!coordinator.load(0, Some(b"\0\x03\0\x01g"), Some(b"\0\0\0\0\0\x01")));
    assert!(!coordinator.load(0, Some(b"\0\x02\0\x05g"), Some(b"\0\x03")));
    assert!(!coordinator.load(0, None, Some(b"\0\x03")));
    let key = offset_tombstone("g", "t", 0).key;
    assert!(!coordinator.load(0, Some(&key), Some(b"\0\x09")));
    assert_eq!(coordinator.groups_count(), 0);
}

#[test]
fn every_version_of_a_value_that_kafka_has_written_is_read() {
    let offset = |version: i16| {
        let mut value = version.to_be_bytes().to_vec();
        value.extend_from_slice(&42i64.to_be_bytes());
        if version >= 3 {
            value.extend_from_slice(&7i32.to_be_bytes());
        }
        match version {
            4 => value.extend_from_slice(b"\x02m"),
            _ => value.extend_from_slice(b"\0\x01m"),
        }
        value.extend_from_slice(&1_000i64.to_be_bytes());
        match version {
            1 => value.extend_from_slice(&2_000i64.to_be_bytes()),
            4 => {
                value.extend_from_slice(b"\x02\x00\x10");
                value.extend_from_slice(&[7; 16]);
                value.extend_from_slice(b"\x05\x02xy");
            }
            _ => {}
        }
        decode_offset(&value)
    };
    for version in 0..=4 {
        let expected = CommittedOffset {
            topic_id: match version {
                4 => TopicId([7; 16]),
                _ => TopicId::ZERO,
            },
            offset: 42,
            leader_epoch: if version >= 3 { 7 } else { -1 },
            metadata: "m".into(),
            committed_ms: 1_000,
            expires_ms: (version == 1).then_some(2_000),
        };
        assert_eq!(offset(version), Some(expected), "version {version}");
    }
    assert_eq!(offset(5), None);
    let group = |version: i16| {
        let mut value = version.to_be_bytes().to_vec();
        let flexible = version == 4;
        let text = |value: &mut Vec<u8>, text: &[u8]| {
            match flexible {
                true => value.push(text.len() as u8 + 1),
                false => value.extend_from_slice(&(text.len() as i16).to_be_bytes()),
            }
            value.extend_from_slice(text);
        };
        let bytes = |value: &mut Vec<u8>, bytes: &[u8]| {
            match flexible {
                true => value.push(bytes.len() as u8 + 1),
                false => value.extend_from_slice(&(bytes.len() as i32).to_be_bytes()),
            }
            value.extend_from_slice(bytes);
        };
        text(&mut value, b"consumer");
        value.extend_from_slice(&5i32.to_be_bytes());
        text(&mut value, b"range");
        text(&mut value, b"m-1");
        if version >= 2 {
            value.extend_from_slice(&99i64.to_be_bytes());
        }
        match flexible {
            true => value.push(2),
            false => value.extend_from_slice(&1i32.to_be_bytes()),
        }
        text(&mut value, b"m-1");
        if version >= 3 {
            text(&mut value, b"i");
        }
        text(&mut value, b"c");
        text(&mut value, b"/h");
        if version >= 1 {
            value.extend_from_slice(&60_000i32.to_be_bytes());
        }
        value.extend_from_slice(&10_000i32.to_be_bytes());
        bytes(&mut value, b"sub");
        bytes(&mut value, b"part");
        if flexible {
            value.extend_from_slice(b"\0\0");
        }
        decode_group(&value)
    };
    for version in 0..=4 {
        let metadata = group(version).unwrap();
        assert_eq!((metadata.generation, metadata.members.len()), (5, 1));
        assert_eq!(metadata.state_since_ms, if version >= 2 { 99 } else { -1 });
        let member = &metadata.members[0];
        assert_eq!(member.instance_id.is_some(), version >= 3);
        let rebalance_timeout_ms = if version >= 1 { 60_000 } else { 10_000 };
        assert_eq!(member.rebalance_timeout_ms, rebalance_timeout_ms);
        assert_eq!(
            (&*member.subscription, &*member.assignment),
            (&b"sub"[..], &b"part"[..])
        );
    }
}

#[test]
fn what_a_leader_decided_first_holds_in_memory_and_after_a_restart() {
    let mut house = House::new();
    let id = house.join(new_member());
    house.pass(3_000);
    let leader = house.joined(id).expect("the delay is over");
    house.holds = true;
    house.sync(&leader, &[(&leader.member_id, b"first")]);
    let again = house.sync(&leader, &[(&leader.member_id, b"second")]);
    house.flush(Ok(()));
    house.holds = false;
    let synced = house.synced(again).expect("an answer").unwrap();
    assert_eq!(&*synced.assignment, b"first");
    house.restart();
    let id = house.sync(&leader, &[]);
    let synced = house.synced(id).expect("an answer").unwrap();
    assert_eq!(&*synced.assignment, b"first");
}

//! Memory that groups may take: what is there goes on, and nothing grows beyond it.

use sillon_group::*;

use crate::house::*;

const MEMORY_BYTES_MAX: u64 = 200_000;

fn small_house() -> House {
    House::with(GroupConfig {
        initial_rebalance_delay_ms: 0,
        memory_bytes_max: MEMORY_BYTES_MAX,
        ..GroupConfig::default()
    })
}

fn in_group(number: usize, join: JoinGroup) -> JoinGroup {
    JoinGroup {
        group_id: format!("flood-{number}").into(),
        ..join
    }
}

fn large(bytes: usize) -> JoinGroup {
    let mut join = JoinGroup {
        needs_member_id: false,
        ..new_member()
    };
    join.protocols[0].metadata = vec![0; bytes].into();
    join
}

/// Joins until one is refused for want of memory. Returns how many were not.
fn flood(house: &mut House, join: impl Fn(usize) -> JoinGroup) -> usize {
    for number in 0..10_000 {
        let id = house.join(join(number));
        let error = house.joined(id).and_then(|joined| joined.error);
        assert!(house.coordinator.memory_bytes() <= MEMORY_BYTES_MAX);
        if error == Some(GroupError::NotAvailable) {
            return number;
        }
    }
    panic!("a flood has no end");
}

#[test]
fn a_flood_of_groups_is_refused_and_those_there_are_go_on() {
    let mut house = small_house();
    let mut members = house.stable(2);
    let id = house.commit(commit_of(&members[0], "furrow", 1));
    assert_eq!(house.committed(id), Some(None));
    // Large members, then ever smaller ones, then ids of members that never come back.
    assert!(flood(&mut house, |number| in_group(number, large(20_000))) > 3);
    flood(&mut house, |number| in_group(1_000 + number, large(1)));
    let asks_for_id = |_| JoinGroup {
        needs_member_id: true,
        ..in_group(0, new_member())
    };
    flood(&mut house, asks_for_id);
    let mut outside = commit("furrow", 1);
    outside.group_id = "flood-outside".into();
    let id = house.commit(outside);
    assert_eq!(house.committed(id), Some(Some(GroupError::NotAvailable)));
    assert!(house.coordinator.memory_refusals() >= 4);

    assert_eq!(house.beat(&members[1]), Ok(()));
    let id = house.commit(commit_of(&members[0], "furrow", 2));
    assert_eq!(
        house.committed(id),
        Some(None),
        "it takes no more than before"
    );
    assert_eq!(house.offset("furrow"), 2);
    let id = house.commit(commit_of(&members[0], "stubble", 2));
    assert_eq!(house.committed(id), Some(Some(GroupError::NotAvailable)));
    let ids = [0, 1].map(|member| house.join(again(&members[member])));
    for (member, id) in members.iter_mut().zip(ids) {
        *member = house.joined(id).expect("the next generation");
        assert_eq!(member.error, None);
    }
}

#[test]
fn an_assignment_that_is_too_much_is_not_taken() {
    let mut house = small_house();
    let id = house.join(new_member());
    let leader = house.joined(id).unwrap();
    let too_much = vec![0; MEMORY_BYTES_MAX as usize];
    let id = house.sync(&leader, &[(&leader.member_id, &too_much)]);
    let refused = house.synced(id).unwrap();
    assert_eq!(refused, Err(GroupError::NotAvailable));
    assert!(house.coordinator.memory_bytes() <= MEMORY_BYTES_MAX);
    assert_eq!(house.state(), GroupState::PreparingRebalance);
}

#[test]
fn what_groups_took_is_given_back_with_them() {
    let mut house = small_house();
    let members = house.stable(3);
    for topic in ["furrow", "stubble"] {
        let id = house.commit(commit_of(&members[0], topic, 1));
        assert_eq!(house.committed(id), Some(None));
    }
    let before = house.coordinator.memory_bytes();
    house.restart();
    // Protocols that were not chosen are not in the log.
    let after = house.coordinator.memory_bytes();
    assert!(after > 0 && after <= before, "{after} of {before}");
    let ids: Vec<_> = members.iter().map(|m| (&*m.member_id, None)).collect();
    house.leave(&ids);
    assert!(house.coordinator.memory_bytes() < after);
    house.ask(GroupRequest::Delete(GROUP.into()));
    assert_eq!(house.coordinator.groups_count(), 0);
    assert_eq!(house.coordinator.memory_bytes(), 0);
}

use sillon_group::*;

use crate::house::*;

/// A stable group of one static member and one dynamic one, the leader first.
fn stable(house: &mut House) -> (Joined, Joined) {
    let id = house.join(static_member("east"));
    let east = house.joined(id).unwrap();
    let other = house.join(new_member());
    let id = house.join(JoinGroup {
        member_id: east.member_id.clone(),
        ..static_member("east")
    });
    let (east, other) = (house.joined(id).unwrap(), house.joined(other).unwrap());
    let parts: [(&str, &[u8]); 2] = [(&east.member_id, b"e"), (&other.member_id, b"o")];
    let syncs = [house.sync(&east, &parts), house.sync(&other, &[])];
    assert!(syncs.iter().all(|id| house.synced(*id).unwrap().is_ok()));
    (east, other)
}

#[test]
fn a_static_member_that_comes_back_keeps_its_part_without_a_rebalance() {
    let mut house = House::new();
    let (east, other) = stable(&mut house);
    let id = house.join(static_member("east"));
    let back = house.joined(id).unwrap();
    assert_eq!(back.error, None);
    assert_ne!(back.member_id, east.member_id);
    assert_eq!(back.generation, east.generation);
    assert!(back.skip_assignment && back.leader == back.member_id);
    assert_eq!(back.members.len(), 2);
    assert_eq!(house.state(), GroupState::Stable);
    assert_eq!(house.beat(&other), Ok(()));
    let id = house.sync(&back, &[]);
    assert_eq!(&*house.synced(id).unwrap().unwrap().assignment, b"e");
}

#[test]
fn an_old_client_that_leads_is_kept_from_assigning_by_its_old_id() {
    let mut house = House::new();
    let (east, _) = stable(&mut house);
    let id = house.join(JoinGroup {
        can_skip_assignment: false,
        ..static_member("east")
    });
    let back = house.joined(id).unwrap();
    assert_eq!(back.leader, east.member_id);
    assert!(back.members.is_empty() && !back.skip_assignment);
}

#[test]
fn the_old_id_of_a_static_member_is_fenced() {
    let mut house = House::new();
    let (east, _) = stable(&mut house);
    let id = house.join(static_member("east"));
    let back = house.joined(id).unwrap();
    let beat = |member_id: &std::sync::Arc<str>| {
        GroupRequest::Heartbeat(Heartbeat {
            group_id: GROUP.into(),
            member_id: member_id.clone(),
            instance_id: Some("east".into()),
            generation: east.generation,
        })
    };
    let id = house.ask(beat(&east.member_id));
    let fenced = GroupResponse::Heartbeat(Err(GroupError::FencedInstanceId));
    assert_eq!(house.take(id), Some(fenced));
    let id = house.ask(beat(&back.member_id));
    assert_eq!(house.take(id), Some(GroupResponse::Heartbeat(Ok(()))));
    let outcomes = house.leave(&[(&east.member_id, Some("east"))]);
    assert_eq!(outcomes, [Err(GroupError::FencedInstanceId)]);
    let old = OffsetCommit {
        instance_id: Some("east".into()),
        ..commit_of(&east, "furrow", 5)
    };
    let id = house.commit(old);
    let error = house.committed(id).unwrap();
    assert_eq!(error, Some(GroupError::FencedInstanceId));
}

#[test]
fn a_static_member_that_waits_to_join_is_fenced_by_its_successor() {
    let mut house = House::new();
    let (_, other) = stable(&mut house);
    house.join(new_member());
    let first = house.join(static_member("east"));
    assert_eq!(house.joined(first), None);
    let second = house.join(static_member("east"));
    let error = house.joined(first).unwrap().error;
    assert_eq!(error, Some(GroupError::FencedInstanceId));
    house.join(again(&other));
    assert_eq!(house.joined(second).unwrap().error, None);
}

#[test]
fn a_static_member_that_comes_back_while_the_leader_assigns_begins_a_rebalance() {
    let mut house = House::new();
    let (_, other) = stable(&mut house);
    house.leave(&[(&other.member_id, None)]);
    let id = house.join(static_member("east"));
    let east = house.joined(id).unwrap();
    assert_eq!(house.state(), GroupState::CompletingRebalance);
    let id = house.join(static_member("east"));
    let back = house.joined(id).unwrap();
    assert_eq!(back.error, None);
    assert_eq!(back.generation, east.generation + 1);
}

#[test]
fn a_static_member_with_another_favourite_rebalances() {
    let mut house = House::new();
    let id = house.join(static_member("east"));
    let east = house.joined(id).unwrap();
    let id = house.sync(&east, &[(&east.member_id, b"e")]);
    house.synced(id).unwrap().unwrap();
    let id = house.join(JoinGroup {
        protocols: vec![protocol("sticky", "furrow"), protocol("range", "furrow")],
        ..static_member("east")
    });
    let back = house.joined(id).unwrap();
    assert_eq!(back.generation, east.generation + 1);
    assert_eq!(back.protocol.as_deref(), Some("sticky"));
}

#[test]
fn a_static_member_leaves_by_its_instance_id_alone() {
    let mut house = House::new();
    let (_, other) = stable(&mut house);
    let outcomes = house.leave(&[("", Some("west")), ("", Some("east"))]);
    assert_eq!(outcomes, [Err(GroupError::UnknownMember), Ok(())]);
    let id = house.join(again(&other));
    assert_eq!(house.joined(id).unwrap().members.len(), 1);
}

#[test]
fn a_static_member_that_is_away_is_kept_through_a_rebalance_until_its_session_ends() {
    let mut house = House::new();
    let (east, other) = stable(&mut house);
    let newcomer = house.join(new_member());
    let again_id = house.join(again(&other));
    house.pass(10_100);
    let (first, second) = (house.joined(again_id), house.joined(newcomer));
    let leader = first.clone().unwrap();
    assert_eq!(leader.leader, leader.member_id);
    assert_eq!(leader.members.len() + second.unwrap().members.len(), 2);
    assert!(leader.members.iter().all(|m| m.member_id != east.member_id));
}

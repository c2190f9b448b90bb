use sillon_group::*;

use crate::house::*;

#[test]
fn a_group_has_one_leader_that_sees_everybody_and_each_gets_its_own_part() {
    let mut house = House::new();
    let members = house.stable(3);
    assert_eq!(members[0].members.len(), 3);
    assert!(members[1..].iter().all(|m| m.members.is_empty()));
    assert!(members.iter().all(|m| m.leader == members[0].member_id));
    assert!(members.iter().all(|m| m.generation == 3));
    assert!(
        members
            .iter()
            .all(|m| m.protocol.as_deref() == Some("range"))
    );
}

#[test]
fn a_dynamic_member_without_id_gets_one_and_joins_with_it() {
    let mut house = House::new();
    let asking = || JoinGroup {
        needs_member_id: true,
        ..new_member()
    };
    let id = house.join(asking());
    let told = house.joined(id).unwrap();
    assert_eq!(told.error, Some(GroupError::MemberIdRequired));
    assert!(told.member_id.starts_with("plough-"));
    let id = house.join(JoinGroup {
        member_id: told.member_id.clone(),
        ..asking()
    });
    let joined = house.joined(id).unwrap();
    assert_eq!((joined.error, joined.generation), (None, 1));
    assert_eq!(joined.member_id, told.member_id);
}

#[test]
fn an_id_that_nobody_joins_with_is_forgotten_after_the_session_timeout() {
    let mut house = House::new();
    let id = house.join(JoinGroup {
        needs_member_id: true,
        ..new_member()
    });
    let told = house.joined(id).unwrap();
    house.pass(9_900);
    assert!(house.describe().is_ok());
    house.pass(200);
    let id = house.join(again(&told));
    let error = house.joined(id).unwrap().error;
    assert_eq!(error, Some(GroupError::UnknownMember));
    assert_eq!(house.describe(), Err(GroupError::GroupIdNotFound));
}

#[test]
fn the_first_rebalance_of_a_group_waits_for_more_members() {
    let mut house = House::with(GroupConfig::default());
    let first = house.join(new_member());
    house.pass(2_000);
    let second = house.join(new_member());
    house.pass(1_500);
    assert_eq!(house.joined(first), None, "a new member prolongs the wait");
    house.pass(3_100);
    let generations = [first, second].map(|id| house.joined(id).unwrap().generation);
    assert_eq!(generations, [1, 1]);
}

#[test]
fn the_first_rebalance_does_not_wait_longer_than_the_rebalance_timeout() {
    let mut house = House::with(GroupConfig::default());
    let join = || JoinGroup {
        rebalance_timeout_ms: 5_000,
        ..new_member()
    };
    let first = house.join(join());
    for _ in 0..4 {
        house.pass(1_200);
        house.join(join());
    }
    house.pass(300);
    assert!(house.joined(first).is_some());
}

#[test]
fn a_new_member_has_the_others_rejoin_and_one_that_does_not_is_dropped_in_time() {
    let mut house = House::new();
    let members = house.stable(2);
    let newcomer = house.join(new_member());
    assert_eq!(
        house.beat(&members[0]),
        Err(GroupError::RebalanceInProgress)
    );
    let rejoined = house.join(again(&members[0]));
    assert_eq!(house.joined(newcomer), None);
    for _ in 0..12 {
        // It beats, but does not rejoin within its rebalance timeout.
        house.pass(5_000);
        let _ = house.beat(&members[1]);
    }
    house.pass(100);
    let first = house.joined(rejoined).unwrap();
    let second = house.joined(newcomer).unwrap();
    assert_eq!(first.generation, 3);
    assert_eq!(second.generation, 3);
    assert_eq!(first.members.len() + second.members.len(), 2);
    assert_eq!(house.beat(&members[1]), Err(GroupError::UnknownMember));
}

#[test]
fn a_silent_member_is_dropped_after_its_session_timeout() {
    let mut house = House::new();
    let members = house.stable(2);
    house.pass(9_000);
    assert_eq!(house.beat(&members[0]), Ok(()));
    house.pass(1_100);
    assert_eq!(house.state(), GroupState::PreparingRebalance);
    assert_eq!(house.beat(&members[1]), Err(GroupError::UnknownMember));
    let id = house.join(again(&members[0]));
    assert_eq!(house.joined(id).unwrap().members.len(), 1);
}

#[test]
fn a_leader_that_goes_before_it_has_assigned_makes_room_for_the_next_generation() {
    let mut house = House::new();
    let members = house.stable(1);
    let newcomer = house.join(new_member());
    let again_id = house.join(again(&members[0]));
    let (leader, follower) = (
        house.joined(again_id).unwrap(),
        house.joined(newcomer).unwrap(),
    );
    assert_eq!(leader.members.len(), 2);
    let waiting = house.sync(&follower, &[]);
    assert_eq!(house.synced(waiting), None);
    house.leave(&[(&leader.member_id, None)]);
    let answer = house.synced(waiting).unwrap();
    assert_eq!(answer, Err(GroupError::RebalanceInProgress));
    let id = house.join(again(&follower));
    assert_eq!(house.joined(id).unwrap().members.len(), 1);
}

#[test]
fn members_that_never_ask_for_their_assignment_are_dropped() {
    let mut house = House::new();
    let members = house.stable(1);
    let newcomer = house.join(new_member());
    let id = house.join(again(&members[0]));
    let (leader, follower) = (house.joined(id).unwrap(), house.joined(newcomer).unwrap());
    for _ in 0..13 {
        house.pass(4_900);
        let _ = (house.beat(&leader), house.beat(&follower));
    }
    assert_eq!(house.beat(&leader), Err(GroupError::UnknownMember));
    assert_eq!(house.beat(&follower), Err(GroupError::UnknownMember));
}

#[test]
fn an_assignment_is_told_when_it_is_durable() {
    let mut house = House::new();
    let members = house.stable(1);
    house.holds = true;
    let id = house.join(again(&members[0]));
    let leader = house.joined(id).unwrap();
    let id = house.sync(&leader, &[(&leader.member_id, b"new")]);
    assert_eq!(house.synced(id), None);
    house.flush(Ok(()));
    assert_eq!(&*house.synced(id).unwrap().unwrap().assignment, b"new");
}

#[test]
fn an_assignment_that_cannot_be_written_begins_the_next_rebalance() {
    let mut house = House::new();
    let members = house.stable(1);
    house.holds = true;
    let id = house.join(again(&members[0]));
    let leader = house.joined(id).unwrap();
    let id = house.sync(&leader, &[(&leader.member_id, b"new")]);
    house.flush(Err(AppendError::Storage));
    let answer = house.synced(id).unwrap();
    assert_eq!(answer, Err(GroupError::NotCoordinator));
    assert_eq!(house.state(), GroupState::PreparingRebalance);
}

#[test]
fn protocols_are_the_groups_when_all_know_them_and_the_favourite_wins() {
    let mut house = House::new();
    let with = |names: &[&str]| JoinGroup {
        protocols: names.iter().map(|name| protocol(name, "furrow")).collect(),
        ..new_member()
    };
    let id = house.join(with(&["sticky", "range"]));
    let first = house.joined(id).unwrap();
    assert_eq!(first.protocol.as_deref(), Some("sticky"));
    let stranger = house.join(with(&["other"]));
    let error = house.joined(stranger).unwrap().error;
    assert_eq!(error, Some(GroupError::InconsistentProtocol));
    let other_type = house.join(JoinGroup {
        protocol_type: "connect".into(),
        ..with(&["range"])
    });
    let error = house.joined(other_type).unwrap().error;
    assert_eq!(error, Some(GroupError::InconsistentProtocol));
    let second = house.join(with(&["range"]));
    let id = house.join(JoinGroup {
        member_id: first.member_id.clone(),
        ..with(&["sticky", "range"])
    });
    assert_eq!(house.joined(id).unwrap().protocol.as_deref(), Some("range"));
    assert!(house.joined(second).unwrap().error.is_none());
}

#[test]
fn who_is_of_another_generation_or_none_is_told_so() {
    let mut house = House::new();
    let members = house.stable(1);
    let old = Joined {
        generation: 0,
        ..members[0].clone()
    };
    let stranger = Joined {
        member_id: "stranger".into(),
        ..members[0].clone()
    };
    assert_eq!(house.beat(&old), Err(GroupError::IllegalGeneration));
    assert_eq!(house.beat(&stranger), Err(GroupError::UnknownMember));
    for (member, error) in [
        (&old, GroupError::IllegalGeneration),
        (&stranger, GroupError::UnknownMember),
    ] {
        let id = house.sync(member, &[]);
        assert_eq!(house.synced(id), Some(Err(error)));
    }
    let id = house.join(again(&stranger));
    let error = house.joined(id).unwrap().error;
    assert_eq!(error, Some(GroupError::UnknownMember));
}

#[test]
fn timeouts_and_ids_are_checked_before_anything_is_kept() {
    let mut house = House::new();
    for (session_timeout_ms, group_id, error) in [
        (5_999, GROUP, GroupError::InvalidSessionTimeout),
        (1_800_001, GROUP, GroupError::InvalidSessionTimeout),
        (10_000, "", GroupError::InvalidGroupId),
    ] {
        let id = house.join(JoinGroup {
            session_timeout_ms,
            group_id: group_id.into(),
            ..new_member()
        });
        assert_eq!(house.joined(id).unwrap().error, Some(error));
    }
    assert_eq!(house.coordinator.groups_count(), 0);
}

#[test]
fn a_group_takes_no_more_members_than_it_may_have() {
    let mut house = House::with(GroupConfig {
        members_max: 2,
        initial_rebalance_delay_ms: 0,
        ..GroupConfig::default()
    });
    house.stable(2);
    let id = house.join(new_member());
    let error = house.joined(id).unwrap().error;
    assert_eq!(error, Some(GroupError::GroupMaxSizeReached));
    assert_eq!(house.state(), GroupState::Stable);
}

#[test]
fn a_follower_that_says_the_same_again_hears_of_its_generation_again() {
    let mut house = House::new();
    let members = house.stable(2);
    let id = house.join(again(&members[1]));
    let joined = house.joined(id).unwrap();
    assert_eq!(joined.generation, members[1].generation);
    assert_eq!(house.state(), GroupState::Stable);
    house.join(again(&members[0]));
    assert_eq!(house.state(), GroupState::PreparingRebalance);
}

#[test]
fn several_members_leave_at_once_and_the_last_empties_the_group() {
    let mut house = House::new();
    let members = house.stable(3);
    let ids: Vec<_> = members.iter().map(|m| (&*m.member_id, None)).collect();
    let outcomes = house.leave(&[ids[0], ("stranger", None), ids[1]]);
    assert_eq!(outcomes, [Ok(()), Err(GroupError::UnknownMember), Ok(())]);
    assert_eq!(house.leave(&[ids[2]]), [Ok(())]);
    assert_eq!(house.state(), GroupState::Empty);
}

#[test]
fn a_member_whose_connection_ends_while_it_joins_is_not_waited_for_for_long() {
    let mut house = House::with(GroupConfig::default());
    let gone = house.join(new_member());
    let there = house.join(new_member());
    house.coordinator.cancel(house.now, RequestId(gone));
    house.pass(3_100);
    house.pass(3_100);
    assert_eq!(house.joined(gone), None, "nobody is answered");
    let joined = house.joined(there).unwrap();
    assert_eq!(joined.generation, 1);
    house.pass(9_500);
    assert_eq!(house.beat(&joined), Ok(()));
    house.pass(700);
    assert_eq!(house.beat(&joined), Err(GroupError::RebalanceInProgress));
}

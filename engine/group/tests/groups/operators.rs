use sillon_group::*;

use crate::house::*;

fn delete(house: &mut House) -> Option<Result<(), GroupError>> {
    let id = house.ask(GroupRequest::Delete(GROUP.into()));
    house.take(id).map(|response| match response {
        GroupResponse::Delete(outcome) => outcome,
        other => panic!("a deletion answers {other:?}"),
    })
}

#[test]
fn only_a_stable_group_shows_what_its_members_have() {
    let mut house = House::new();
    let members = house.stable(2);
    let described = house.describe().unwrap();
    assert_eq!(described.state.name(), "Stable");
    assert_eq!(
        (&*described.protocol_type, &*described.protocol),
        ("consumer", "range")
    );
    for member in &described.members {
        assert_eq!(*member.assignment, *part(&member.member_id));
        assert_eq!(member.metadata, subscription("furrow"));
        assert_eq!(
            (&*member.client_id, &*member.client_host),
            ("plough", "/127.0.0.1")
        );
    }
    house.leave(&[(&members[1].member_id, None)]);
    let described = house.describe().unwrap();
    assert_eq!(described.state.name(), "PreparingRebalance");
    assert_eq!(&*described.protocol, "");
    assert!(described.members.iter().all(|m| m.assignment.is_empty()));
}

#[test]
fn groups_are_listed_by_state_and_type_in_any_case() {
    let mut house = House::new();
    house.stable(1);
    let mut count = |states: &[&str], types: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect();
        let id = house.ask(GroupRequest::List(ListGroups {
            states: texts(states),
            types: texts(types),
        }));
        match house.take(id) {
            Some(GroupResponse::List(Ok(groups))) => groups.len(),
            other => panic!("a list answers {other:?}"),
        }
    };
    assert_eq!(count(&[], &[]), 1);
    assert_eq!(count(&["stable", "Empty"], &["Classic"]), 1);
    assert_eq!(count(&["Empty"], &[]), 0);
    assert_eq!(count(&[], &["consumer"]), 0);
}

#[test]
fn only_an_empty_group_is_deleted_and_nothing_of_it_comes_back() {
    let mut house = House::new();
    assert_eq!(delete(&mut house), Some(Err(GroupError::GroupIdNotFound)));
    let members = house.stable(1);
    let id = house.commit(commit_of(&members[0], "furrow", 5));
    house.committed(id).unwrap();
    assert_eq!(delete(&mut house), Some(Err(GroupError::NonEmptyGroup)));
    house.leave(&[(&members[0].member_id, None)]);
    assert_eq!(delete(&mut house), Some(Ok(())));
    assert_eq!(house.describe(), Err(GroupError::GroupIdNotFound));
    house.restart();
    assert_eq!(house.describe(), Err(GroupError::GroupIdNotFound));
    assert_eq!(house.offset("furrow"), -1);
}

#[test]
fn a_group_that_is_being_deleted_takes_nobody_in() {
    let mut house = House::new();
    let id = house.commit(commit("furrow", 5));
    house.committed(id).unwrap();
    house.holds = true;
    let deletion = house.ask(GroupRequest::Delete(GROUP.into()));
    assert_eq!(house.take(deletion), None);
    let id = house.join(new_member());
    let error = house.joined(id).unwrap().error;
    assert_eq!(error, Some(GroupError::LoadInProgress));
    let id = house.commit(commit("furrow", 6));
    assert_eq!(house.committed(id), Some(Some(GroupError::LoadInProgress)));
    house.flush(Ok(()));
    assert_eq!(house.take(deletion), Some(GroupResponse::Delete(Ok(()))));
    let id = house.join(new_member());
    assert_eq!(house.joined(id).unwrap().generation, 1);
}

#[test]
fn a_group_of_thousands_of_offsets_is_deleted_in_batches() {
    let mut house = House::new();
    let mut big = commit("furrow", 5);
    let partition = big.topics[0].partitions[0].clone();
    big.topics[0].partitions = (0..1_234)
        .map(|number| CommitPartition {
            partition: number,
            ..partition.clone()
        })
        .collect();
    let id = house.commit(big);
    house.committed(id).unwrap();
    let before = house.log.len();
    assert_eq!(delete(&mut house), Some(Ok(())));
    assert_eq!(house.log.len() - before, 1_235);
    house.restart();
    assert_eq!(house.coordinator.groups_count(), 0);
}

#[test]
fn a_group_that_is_being_deleted_has_no_members_whose_heartbeat_would_be_fine() {
    let mut house = House::new();
    let members = house.stable(1);
    house.leave(&[(&members[0].member_id, None)]);
    house.pass(60_000);
    house.holds = true;
    assert_eq!(delete(&mut house), None, "its tombstone is not durable");
    assert_eq!(house.beat(&members[0]), Err(GroupError::UnknownMember));
}

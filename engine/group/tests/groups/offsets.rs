use sillon_group::*;

use crate::house::*;

#[test]
fn a_commit_is_answered_and_seen_when_it_is_durable() {
    let mut house = House::new();
    let members = house.stable(1);
    house.holds = true;
    let id = house.commit(commit_of(&members[0], "furrow", 7));
    assert_eq!(house.committed(id), None);
    assert_eq!(house.offset("furrow"), -1);
    house.flush(Ok(()));
    assert_eq!(house.committed(id), Some(None));
    assert_eq!(house.offset("furrow"), 7);
}

#[test]
fn a_commit_that_is_not_durable_changes_nothing() {
    let mut house = House::new();
    let id = house.commit(commit("furrow", 3));
    assert_eq!(house.committed(id), Some(None));
    house.holds = true;
    for (result, error) in [
        (AppendError::Storage, GroupError::NotCoordinator),
        (AppendError::TooLarge, GroupError::InvalidCommitOffsetSize),
    ] {
        let id = house.commit(commit("furrow", 9));
        house.flush(Err(result));
        assert_eq!(house.committed(id), Some(Some(error)));
        assert_eq!(house.offset("furrow"), 3);
    }
}

#[test]
fn metadata_and_leader_epoch_are_kept_and_long_metadata_is_refused() {
    let mut house = House::new();
    let id = house.commit(commit("furrow", 3));
    house.committed(id).unwrap();
    let id = house.ask(GroupRequest::OffsetFetch(vec![OffsetFetch {
        group_id: GROUP.into(),
        topics: None,
    }]));
    let Some(GroupResponse::OffsetFetch(answers)) = house.take(id) else {
        panic!("offsets");
    };
    let topics = answers[0].as_ref().unwrap();
    assert_eq!((&*topics[0].name, topics.len()), ("furrow", 1));
    let partition = &topics[0].partitions[0];
    assert_eq!((partition.offset, partition.leader_epoch), (3, 3));
    assert_eq!(&*partition.metadata, "seen");
    for (len, error) in [
        (4_096, None),
        (4_097, Some(GroupError::OffsetMetadataTooLarge)),
    ] {
        let mut long = commit("furrow", 4);
        long.topics[0].partitions[0].metadata = "x".repeat(len).into();
        let id = house.commit(long);
        assert_eq!(house.committed(id), Some(error));
    }
}

#[test]
fn only_members_commit_while_there_are_any() {
    let mut house = House::new();
    let members = house.stable(1);
    let mut error_of = |commit| {
        let id = house.commit(commit);
        house.committed(id).unwrap()
    };
    let outsider = commit("furrow", 1);
    assert_eq!(error_of(outsider), Some(GroupError::UnknownMember));
    let old = OffsetCommit {
        generation: 0,
        ..commit_of(&members[0], "furrow", 1)
    };
    assert_eq!(error_of(old), Some(GroupError::IllegalGeneration));
    assert_eq!(error_of(commit_of(&members[0], "furrow", 1)), None);
}

#[test]
fn a_member_without_its_assignment_is_told_to_wait() {
    let mut house = House::new();
    let id = house.join(new_member());
    let member = house.joined(id).unwrap();
    let id = house.commit(commit_of(&member, "furrow", 1));
    let error = house.committed(id).unwrap();
    assert_eq!(error, Some(GroupError::RebalanceInProgress));
}

#[test]
fn a_member_of_a_group_that_does_not_exist_is_told_by_its_version() {
    let mut house = House::new();
    for (knows_missing_groups, error) in [
        (false, GroupError::IllegalGeneration),
        (true, GroupError::GroupIdNotFound),
    ] {
        let id = house.commit(OffsetCommit {
            generation: 1,
            member_id: "m".into(),
            knows_missing_groups,
            ..commit("furrow", 1)
        });
        assert_eq!(house.committed(id), Some(Some(error)));
    }
    assert_eq!(house.coordinator.groups_count(), 0);
}

#[test]
fn offsets_are_deleted_unless_the_group_reads_the_topic() {
    let mut house = House::new();
    let members = house.stable(1);
    for topic in ["furrow", "fallow"] {
        let id = house.commit(commit_of(&members[0], topic, 5));
        assert_eq!(house.committed(id), Some(None));
    }
    let id = house.ask(GroupRequest::OffsetDelete(OffsetDelete {
        group_id: GROUP.into(),
        topics: vec![("furrow".into(), vec![0]), ("fallow".into(), vec![0, 1])],
    }));
    let expected = vec![
        (
            "furrow".into(),
            vec![(0, Err(GroupError::GroupSubscribedToTopic))],
        ),
        ("fallow".into(), vec![(0, Ok(())), (1, Ok(()))]),
    ];
    assert_eq!(
        house.take(id),
        Some(GroupResponse::OffsetDelete(Ok(expected)))
    );
    assert_eq!(house.offset("furrow"), 5);
    assert_eq!(house.offset("fallow"), -1);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut house = House::new();
    let members = house.stable(1);
    for offset in 0..5 {
        house.pass(9_000);
        let id = house.commit(commit_of(&members[0], "furrow", offset));
        assert_eq!(house.committed(id), Some(None));
    }
    assert_eq!(house.beat(&members[0]), Ok(()));
}

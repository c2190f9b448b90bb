use sillon_group::*;

use crate::house::*;

const DAY_MS: u64 = 24 * 3_600_000;

/// Days go by for the coordinator, in one step.
fn skip(house: &mut House, ms: u64) {
    house.now.mono_ns += ms * 1_000_000;
    house.now.wall_ms += ms as i64;
    house.pass(50);
}

fn commit_one(house: &mut House, commit: OffsetCommit) {
    let id = house.commit(commit);
    assert_eq!(house.committed(id), Some(None));
}

#[test]
fn offsets_without_a_group_expire_by_their_commit() {
    let mut house = House::new();
    commit_one(&mut house, commit("furrow", 1));
    skip(&mut house, 6 * DAY_MS);
    commit_one(&mut house, commit("fallow", 2));
    skip(&mut house, DAY_MS + 600_000);
    assert_eq!((house.offset("furrow"), house.offset("fallow")), (-1, 2));
    skip(&mut house, 7 * DAY_MS);
    assert_eq!(house.coordinator.groups_count(), 0);
    house.restart();
    assert_eq!(house.offset("fallow"), -1);
}

#[test]
fn offsets_of_an_empty_group_expire_by_when_it_became_empty() {
    let mut house = House::new();
    let members = house.stable(1);
    commit_one(&mut house, commit_of(&members[0], "furrow", 1));
    house.now.wall_ms += 8 * DAY_MS as i64;
    house.leave(&[(&members[0].member_id, None)]);
    skip(&mut house, 6 * DAY_MS);
    assert_eq!(house.offset("furrow"), 1);
    house.restart();
    assert_eq!(house.offset("furrow"), 1);
    skip(&mut house, DAY_MS);
    skip(&mut house, 600_000);
    assert_eq!(house.offset("furrow"), -1);
    assert_eq!(house.describe(), Err(GroupError::GroupIdNotFound));
}

#[test]
fn a_stable_group_keeps_the_offsets_of_its_topics_only() {
    let mut house = House::new();
    let members = house.stable(1);
    commit_one(&mut house, commit_of(&members[0], "furrow", 1));
    commit_one(&mut house, commit_of(&members[0], "fallow", 2));
    house.now.wall_ms += 8 * DAY_MS as i64;
    for _ in 0..80 {
        house.pass(9_000);
        assert_eq!(house.beat(&members[0]), Ok(()));
    }
    assert_eq!((house.offset("furrow"), house.offset("fallow")), (1, -1));
}

#[test]
fn a_commit_that_says_how_long_it_is_kept_is_kept_so_long() {
    let mut house = House::new();
    let short = OffsetCommit {
        retention_ms: Some(DAY_MS as i64),
        ..commit("furrow", 1)
    };
    commit_one(&mut house, short);
    house.restart();
    skip(&mut house, DAY_MS - 60_000);
    assert_eq!(house.offset("furrow"), 1);
    skip(&mut house, 660_000);
    assert_eq!(house.offset("furrow"), -1);
}

#[test]
fn a_commit_on_its_way_is_not_lost_to_the_expiry_of_its_predecessor() {
    let mut house = House::new();
    commit_one(&mut house, commit("furrow", 1));
    house.pass(50);
    house.now.mono_ns += 8 * DAY_MS * 1_000_000;
    house.now.wall_ms += 8 * DAY_MS as i64;
    house.holds = true;
    let id = house.commit(commit("furrow", 2));
    house.pass(50);
    house.flush(Ok(()));
    assert_eq!(house.committed(id), Some(None));
    assert_eq!(house.offset("furrow"), 2);
}

#[test]
fn the_offsets_of_a_deleted_topic_go() {
    let mut house = House::new();
    commit_one(&mut house, commit("furrow", 1));
    commit_one(&mut house, commit("fallow", 2));
    let mut effects = Vec::new();
    house
        .coordinator
        .topic_removed(house.now, "furrow", &mut effects);
    house.perform(effects);
    assert_eq!((house.offset("furrow"), house.offset("fallow")), (-1, 2));
    house.restart();
    assert_eq!((house.offset("furrow"), house.offset("fallow")), (-1, 2));
}

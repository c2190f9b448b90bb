//! One rule of replication at a time.

use sillon_record::{BrokerId, LeaderEpoch, Offset};
use sillon_replication::Replicas;

const ONE: BrokerId = BrokerId(1);
const TWO: BrokerId = BrokerId(2);
const THREE: BrokerId = BrokerId(3);
const ALL: [BrokerId; 3] = [ONE, TWO, THREE];

fn leader(isr: &[BrokerId], log_end: i64) -> Replicas {
    let mut replicas = Replicas::new(ONE);
    replicas.recovered(Offset::ZERO, Offset(log_end));
    replicas.become_leader(LeaderEpoch(1), &ALL, isr, Offset(log_end));
    replicas
}

#[test]
fn a_leader_alone_advances_with_its_own_flushes() {
    let mut replicas = Replicas::new(ONE);
    replicas.recovered(Offset(3), Offset(7));
    assert_eq!(replicas.high_watermark(), Offset(3));
    let advanced = replicas.become_leader(LeaderEpoch(1), &[ONE], &[ONE], Offset(7));
    assert_eq!(advanced, Some(Offset(7)));
    assert_eq!(replicas.flushed(ONE, Offset(9)), Some(Offset(9)));
    assert_eq!(replicas.flushed(ONE, Offset(9)), None);
    assert_eq!(replicas.flushed(ONE, Offset(8)), None);
    assert_eq!(replicas.high_watermark(), Offset(9));
    assert_eq!(replicas.flushed(TWO, Offset(20)), None, "no replica");
}

#[test]
fn a_recovered_high_watermark_ends_where_the_log_ends() {
    let mut replicas = Replicas::new(ONE);
    replicas.recovered(Offset(9), Offset(7));
    assert_eq!(replicas.high_watermark(), Offset(7));
    assert_eq!(replicas.flushed_end(), Offset(7));
    assert_eq!(replicas.leader(), None);
}

#[test]
fn the_high_watermark_waits_for_the_slowest_in_sync_replica_and_never_goes_back() {
    let mut replicas = leader(&[ONE, TWO], 0);
    assert_eq!(replicas.flushed(ONE, Offset(10)), None);
    assert_eq!(replicas.flushed(THREE, Offset(10)), None, "not in sync");
    assert_eq!(replicas.flushed(TWO, Offset(4)), Some(Offset(4)));
    replicas.lost(TWO);
    assert_eq!(replicas.flushed(TWO, Offset(3)), None);
    assert_eq!(replicas.high_watermark(), Offset(4));
    // A new epoch knows nothing of the others.
    let advanced = replicas.become_leader(LeaderEpoch(2), &ALL, &[ONE, TWO], Offset(10));
    assert_eq!(advanced, None);
    assert_eq!(replicas.high_watermark(), Offset(4));
}

#[test]
fn what_a_replica_said_under_an_old_epoch_does_not_count() {
    let mut replicas = leader(&[ONE, TWO], 0);
    replicas.flushed(TWO, Offset(10));
    replicas.become_leader(LeaderEpoch(2), &ALL, &[ONE, TWO], Offset::ZERO);
    assert_eq!(replicas.flushed(ONE, Offset(10)), None);
    assert_eq!(replicas.flushed(TWO, Offset(10)), Some(Offset(10)));
    // The same epoch told again forgets nothing.
    let advanced = replicas.become_leader(LeaderEpoch(2), &ALL, &ALL, Offset(12));
    assert_eq!(advanced, None);
    assert_eq!(replicas.set_isr(&[ONE, TWO]), None);
    assert_eq!(replicas.flushed(ONE, Offset(11)), None);
    assert_eq!(replicas.flushed(TWO, Offset(11)), Some(Offset(11)));
}

#[test]
fn a_pending_change_of_the_isr_counts_both() {
    let mut replicas = leader(&[ONE, TWO], 0);
    replicas.flushed(ONE, Offset(10));
    // About to leave: still waited for.
    replicas.propose_isr(&[ONE]);
    assert_eq!(replicas.flushed(ONE, Offset(11)), None);
    assert_eq!(replicas.isr(), [ONE, TWO]);
    assert_eq!(replicas.set_isr(&[ONE]), Some(Offset(11)));
    // About to join: waited for already.
    replicas.propose_isr(&[ONE, THREE]);
    assert_eq!(replicas.flushed(ONE, Offset(12)), None);
    assert_eq!(replicas.flushed(THREE, Offset(12)), Some(Offset(12)));
    assert_eq!(replicas.set_isr(&[ONE, THREE]), None);
}

#[test]
fn who_joins_the_isr_has_all_that_was_there_before_the_epoch() {
    let mut replicas = leader(&[ONE, TWO], 8);
    assert_eq!(replicas.high_watermark(), Offset::ZERO);
    replicas.flushed(THREE, Offset(7));
    assert!(!replicas.can_join_isr(THREE), "the epoch began at 8");
    replicas.flushed(THREE, Offset(8));
    assert!(replicas.can_join_isr(THREE));
    assert!(!replicas.can_join_isr(TWO), "it is in");
    replicas.flushed(ONE, Offset(9));
    replicas.flushed(TWO, Offset(9));
    assert!(!replicas.can_join_isr(THREE), "the high watermark is 9");
    replicas.flushed(THREE, Offset(9));
    assert!(replicas.can_join_isr(THREE));
    replicas.lost(THREE);
    assert!(!replicas.can_join_isr(THREE));
}

#[test]
fn a_follower_shows_no_more_than_it_has_flushed() {
    let mut replicas = Replicas::new(ONE);
    replicas.become_follower(LeaderEpoch(3), TWO);
    assert!(!replicas.is_leader());
    assert_eq!(replicas.leader(), Some(TWO));
    assert_eq!(replicas.isr(), []);
    assert_eq!(replicas.flushed(ONE, Offset(5)), None);
    let told = replicas.follower_high_watermark(Offset(9), Offset(5));
    assert_eq!(told, Some(Offset(5)));
    let told = replicas.follower_high_watermark(Offset(4), Offset(5));
    assert_eq!(told, None, "it never goes back");
    replicas.truncated(Offset(3));
    assert_eq!(replicas.high_watermark(), Offset(3));
    assert_eq!(replicas.flushed_end(), Offset(3));
}

#[test]
#[should_panic(expected = "in order")]
fn an_older_epoch_is_refused() {
    let mut replicas = leader(&[ONE], 0);
    replicas.become_follower(LeaderEpoch(0), TWO);
}

//! Small histories by hand: each anomaly, and a twin without it.

use sillon_verify::{Anomaly, Checker, Event, Report, Run, Shortcoming, What};

const READER: u32 = 8;
const FINAL: u32 = 9;

fn check(whats: Vec<(u32, What)>) -> Report {
    let mut checker = Checker::new();
    for (line, (process, what)) in (1..).zip(whats) {
        let event = Event {
            time_ns: line,
            process,
            what,
        };
        checker.event(line, &event).unwrap();
    }
    checker.finish(false)
}

/// The one anomaly of a history, and the lines that prove it.
#[track_caller]
fn only(whats: Vec<(u32, What)>, anomaly: Anomaly) -> Vec<u32> {
    let report = check(whats);
    assert_eq!(report.found(), [anomaly], "{:#?}", report.findings);
    report.findings[0].lines.clone()
}

#[track_caller]
fn clean(whats: Vec<(u32, What)>) -> Report {
    let report = check(whats);
    assert_eq!(report.findings, []);
    report
}

fn begin(first: u64, count: u32) -> What {
    What::SendBegins {
        partition: 0,
        first,
        count,
        is_idempotent: true,
    }
}

fn begin_plain(first: u64) -> What {
    What::SendBegins {
        partition: 0,
        first,
        count: 1,
        is_idempotent: false,
    }
}

fn ok(first: u64, offset: i64) -> What {
    What::SendAcknowledged {
        partition: 0,
        first,
        offset: Some(offset),
    }
}

fn retried(first: u64) -> What {
    What::SendRetried {
        partition: 0,
        first,
    }
}

fn polled(runs: &[(i64, u64, u32)]) -> What {
    polled_in_epoch(runs, 0)
}

fn polled_in_epoch(runs: &[(i64, u64, u32)], epoch: i32) -> What {
    let run = |(offset, value, count): &(i64, u64, u32)| Run {
        offset: *offset,
        value: *value,
        count: *count,
        epoch,
    };
    What::Polled {
        partition: 0,
        runs: runs.iter().map(run).collect(),
        strangers: Vec::new(),
    }
}

fn at(offset: i64) -> What {
    What::Positioned {
        partition: 0,
        offset,
    }
}

fn drained(end: i64) -> What {
    What::Drained {
        partition: 0,
        from: 0,
        end,
    }
}

/// Ten values at ten offsets, acknowledged, by one producer.
fn sent() -> Vec<(u32, What)> {
    vec![
        (1, begin(100, 5)),
        (1, ok(100, 0)),
        (1, begin(105, 5)),
        (1, ok(105, 5)),
    ]
}

/// The same, read to its end.
fn with_drain(mut whats: Vec<(u32, What)>, runs: &[(i64, u64, u32)], end: i64) -> Vec<(u32, What)> {
    whats.extend([(FINAL, at(0)), (FINAL, polled(runs)), (FINAL, drained(end))]);
    whats
}

fn whole() -> Vec<(u32, What)> {
    with_drain(sent(), &[(0, 100, 10)], 10)
}

#[test]
fn a_history_in_which_all_is_well_is_clean() {
    let report = clean(whole());
    assert_eq!(report.shortcomings, []);
    assert_eq!(report.counts.acknowledged, 10);
    assert_eq!(report.counts.polled, 10);
    assert_eq!(report.anomalies_count(), 0);
}

#[test]
fn an_offset_with_two_values_is_inconsistent() {
    // One reader saw 104 at offset 4, another one saw what nobody else did.
    let other = (READER, polled(&[(4, 300, 1)]));
    let mut bad = whole();
    bad.extend([(2, begin(300, 1)), other]);
    assert_eq!(only(bad, Anomaly::InconsistentOffset), [2, 9]);
    let mut good = whole();
    good.push((READER, polled(&[(4, 104, 1)])));
    clean(good);
}

#[test]
fn an_acknowledgement_that_the_log_contradicts_is_inconsistent() {
    let mut bad = sent();
    bad.insert(0, (2, begin(300, 1)));
    bad.insert(1, (2, ok(300, 4)));
    let report = check(with_drain(bad, &[(0, 100, 10)], 10));
    assert!(report.found().contains(&Anomaly::InconsistentOffset));
    assert!(report.found().contains(&Anomaly::LostWrite));
}

#[test]
fn a_value_at_two_offsets_is_a_duplicate() {
    let bad = with_drain(sent(), &[(0, 100, 10), (10, 102, 1)], 11);
    assert_eq!(only(bad, Anomaly::Duplicate), [1, 2, 6]);
}

#[test]
fn a_retry_of_an_idempotent_producer_explains_no_duplicate() {
    let history = |begin: What| {
        let sent = vec![(1, begin), (1, retried(7)), (1, ok(7, 1))];
        with_drain(sent, &[(0, 7, 1), (1, 7, 1)], 2)
    };
    let idempotent = What::SendBegins {
        partition: 0,
        first: 7,
        count: 1,
        is_idempotent: true,
    };
    assert_eq!(only(history(idempotent), Anomaly::Duplicate), [1, 3, 5]);
    let report = clean(history(begin_plain(7)));
    assert_eq!(report.counts.copies, 1);
}

#[test]
fn a_plain_producer_that_sent_once_may_not_be_there_twice() {
    let sent = vec![(1, begin_plain(7)), (1, ok(7, 1))];
    let bad = with_drain(sent, &[(0, 7, 1), (1, 7, 1)], 2);
    assert_eq!(only(bad, Anomaly::Duplicate), [1, 2, 4]);
}

#[test]
fn a_value_that_was_refused_must_not_be_read() {
    let history = |end: What| {
        let mut sent = sent();
        sent.extend([(2, begin(300, 1)), (2, end)]);
        with_drain(sent, &[(0, 100, 10), (10, 300, 1)], 11)
    };
    let (partition, first) = (0, 300);
    let failed = What::SendFailed { partition, first };
    assert_eq!(only(history(failed), Anomaly::AbortedRead), [5, 6, 8]);
    let unknown = What::SendUnknown { partition, first };
    clean(history(unknown));
}

#[test]
fn an_acknowledged_value_below_what_was_read_is_lost() {
    // Offsets 3 and 4 never come, to nobody.
    let report = check(with_drain(sent(), &[(0, 100, 3), (5, 105, 5)], 10));
    let found = report.found();
    assert_eq!(
        found,
        [Anomaly::LostWrite, Anomaly::PollSkip, Anomaly::Unseen]
    );
    assert_eq!(report.anomalies[&Anomaly::LostWrite], 2);
    let lost = report.findings.iter();
    let mut lost = lost.filter(|finding| finding.anomaly == Anomaly::LostWrite);
    let lost = lost.next().unwrap();
    assert!(lost.detail.contains("value 103"), "{}", lost.detail);
    assert_eq!(lost.lines, [1, 2, 6]);
    // Before the final read it is neither: nobody has read beyond it.
    let mut open = sent();
    open.push((READER, polled(&[(0, 100, 3)])));
    let report = clean(open);
    assert_eq!(report.shortcomings, [Shortcoming::NotDrained]);
}

#[test]
fn a_reader_that_jumps_over_a_value_skips() {
    let mut bad = whole();
    bad.extend([
        (READER, at(0)),
        (READER, polled(&[(0, 100, 3)])),
        (READER, polled(&[(5, 105, 5)])),
    ]);
    assert_eq!(only(bad, Anomaly::PollSkip), [2, 9, 10]);
    let mut first = whole();
    first.extend([(READER, at(2)), (READER, polled(&[(3, 103, 2)]))]);
    assert_eq!(only(first, Anomaly::PollSkip), [2, 8, 9]);
    let mut good = whole();
    good.extend([
        (READER, at(0)),
        (READER, polled(&[(0, 100, 3)])),
        (READER, at(5)),
        (READER, polled(&[(5, 105, 5)])),
    ]);
    clean(good);
}

#[test]
fn offsets_without_values_are_no_skip() {
    // Offset 5 is a control record's, say.
    let sent = vec![
        (1, begin(100, 5)),
        (1, ok(100, 0)),
        (1, begin(105, 1)),
        (1, ok(105, 6)),
    ];
    clean(with_drain(sent, &[(0, 100, 5), (6, 105, 1)], 7));
}

#[test]
fn a_reader_that_goes_back_is_not_monotonic() {
    let again = |between: Option<(u32, What)>| {
        let mut whats = whole();
        whats.extend([(READER, at(0)), (READER, polled(&[(0, 100, 5)]))]);
        whats.extend(between);
        whats.push((READER, polled(&[(3, 103, 2)])));
        whats
    };
    assert_eq!(only(again(None), Anomaly::NonmonotonicPoll), [9, 10]);
    let reassigned = What::Assigned {
        group: "g".to_string(),
        generation: 2,
        member: "m".to_string(),
        partitions: vec![0],
    };
    clean(again(Some((READER, reassigned))));
    clean(again(Some((READER, at(3)))));
}

#[test]
fn a_producer_that_goes_back_is_not_monotonic() {
    let sent = |process| {
        let sent = vec![
            (1, begin(105, 5)),
            (1, ok(105, 5)),
            (process, begin(100, 5)),
            (process, ok(100, 0)),
        ];
        with_drain(sent, &[(0, 100, 10)], 10)
    };
    assert_eq!(only(sent(1), Anomaly::NonmonotonicSend), [1, 2, 3, 4]);
    clean(sent(2));
}

#[test]
fn an_acknowledged_value_that_is_not_there_at_the_end_is_unseen() {
    let bad = with_drain(sent(), &[(0, 100, 9)], 9);
    assert_eq!(only(bad, Anomaly::Unseen), [3, 4, 7]);
}

#[test]
fn a_value_that_was_read_once_and_is_not_there_at_the_end_is_unseen() {
    let history = |records| {
        let mut whats = sent();
        whats.push((2, begin(300, 1)));
        whats.push((READER, polled(&[(10, 300, 1)])));
        with_drain(
            whats,
            &[(0, 100, 10), (10, 300, 1)][..records],
            9 + records as i64,
        )
    };
    assert_eq!(only(history(1), Anomaly::Unseen), [6, 9]);
    clean(history(2));
}

#[test]
fn what_nobody_sent_must_not_be_read() {
    let bad = with_drain(sent(), &[(0, 100, 10), (10, 777, 1)], 11);
    assert_eq!(only(bad, Anomaly::Unwritten), [6]);
    let mut bad = whole();
    bad.push((
        READER,
        What::Polled {
            partition: 0,
            runs: Vec::new(),
            strangers: vec![4],
        },
    ));
    assert_eq!(only(bad, Anomaly::Unwritten), [8]);
}

#[test]
fn what_is_no_log_is_unreadable() {
    let mut bad = whole();
    let reason = "batch at offset 4: the checksum differs".to_string();
    let partition = 0;
    bad.push((READER, What::Unreadable { partition, reason }));
    assert_eq!(only(bad, Anomaly::Unreadable), [8]);
}

#[test]
fn a_leader_epoch_of_the_log_must_not_go_back() {
    let history = |first, second| {
        let mut whats = sent();
        whats.extend([
            (FINAL, at(0)),
            (FINAL, polled_in_epoch(&[(0, 100, 5)], first)),
            (FINAL, polled_in_epoch(&[(5, 105, 5)], second)),
            (FINAL, drained(10)),
        ]);
        whats
    };
    assert_eq!(only(history(4, 3), Anomaly::EpochRegression), [6, 7]);
    clean(history(3, 4));
    // Offset 2 in an epoch above that of offset 9, and in two epochs.
    let mut bad = history(3, 4);
    bad.push((READER, polled_in_epoch(&[(2, 102, 1)], 5)));
    assert_eq!(only(bad, Anomaly::EpochRegression), [7, 9]);
}

#[test]
fn a_leader_epoch_that_a_broker_tells_must_not_go_back() {
    let told = |broker, epoch| What::LeaderEpoch {
        partition: 0,
        broker,
        epoch,
    };
    let mut bad = whole();
    bad.extend([(READER, told(1, 7)), (READER, told(1, 6))]);
    assert_eq!(only(bad, Anomaly::EpochRegression), [8, 9]);
    // Another broker may be behind.
    let mut good = whole();
    good.extend([
        (READER, told(1, 7)),
        (READER, told(2, 6)),
        (READER, told(1, 7)),
    ]);
    clean(good);
}

fn assigned(generation: i32, member: &str, partitions: &[i32]) -> What {
    What::Assigned {
        group: "g".to_string(),
        generation,
        member: member.to_string(),
        partitions: partitions.to_vec(),
    }
}

#[test]
fn a_partition_has_one_owner_in_a_generation() {
    let mut bad = whole();
    bad.extend([
        (4, assigned(3, "a", &[0, 1])),
        (5, assigned(3, "b", &[1, 2])),
    ]);
    assert_eq!(only(bad, Anomaly::TwoOwners), [8, 9]);
    let mut good = whole();
    good.extend([
        (4, assigned(3, "a", &[0, 1])),
        (5, assigned(3, "b", &[2])),
        (5, assigned(4, "b", &[0, 1, 2])),
    ]);
    clean(good);
}

fn commit(offset: i64) -> What {
    What::CommitBegins {
        group: "g".to_string(),
        generation: 1,
        offsets: vec![(0, offset)],
    }
}

fn committed(offset: i64) -> What {
    What::CommitAcknowledged {
        group: "g".to_string(),
        offsets: vec![(0, offset)],
    }
}

fn commit_unknown() -> What {
    What::CommitUnknown {
        group: "g".to_string(),
    }
}

fn ask() -> What {
    What::FetchBegins {
        group: "g".to_string(),
    }
}

fn told(offset: i64) -> What {
    What::Fetched {
        group: "g".to_string(),
        offsets: vec![(0, offset)],
    }
}

fn with_group(events: &[(u32, What)]) -> Vec<(u32, What)> {
    let mut whats = whole();
    whats.extend(events.iter().cloned());
    whats
}

#[test]
fn a_committed_offset_must_not_be_lower_when_it_is_asked_for() {
    for lower in [3, 0, -1] {
        let bad = with_group(&[
            (4, commit(5)),
            (4, committed(5)),
            (5, ask()),
            (5, told(lower)),
        ]);
        assert_eq!(only(bad, Anomaly::OffsetRegression), [9, 10, 11]);
    }
    clean(with_group(&[
        (4, commit(5)),
        (4, committed(5)),
        (5, ask()),
        (5, told(5)),
    ]));
    // Asked before the commit was acknowledged: it may have been read before, too.
    clean(with_group(&[
        (5, ask()),
        (4, commit(5)),
        (4, committed(5)),
        (5, told(-1)),
    ]));
    let reset = What::Reset {
        group: "g".to_string(),
        partition: 0,
    };
    clean(with_group(&[
        (4, commit(5)),
        (4, committed(5)),
        (4, reset),
        (5, ask()),
        (5, told(2)),
    ]));
}

#[test]
fn an_offset_that_was_told_once_stays() {
    let bad = with_group(&[
        (4, commit(5)),
        (4, commit_unknown()),
        (5, ask()),
        (5, told(5)),
        (5, ask()),
        (5, told(-1)),
    ]);
    assert_eq!(only(bad, Anomaly::OffsetRegression), [11, 12, 13]);
}

#[test]
fn a_commit_below_the_one_before_is_a_regression() {
    let bad = with_group(&[
        (4, commit(5)),
        (4, committed(5)),
        (5, commit(3)),
        (5, committed(3)),
    ]);
    assert_eq!(only(bad, Anomaly::OffsetRegression), [9, 10, 11]);
    let failed = What::CommitFailed {
        group: "g".to_string(),
    };
    clean(with_group(&[
        (4, commit(5)),
        (4, committed(5)),
        (5, commit(3)),
        (5, failed),
    ]));
}

#[test]
fn a_commit_of_unknown_fate_may_take_effect_late() {
    clean(with_group(&[
        (4, commit(3)),
        (4, commit_unknown()),
        (4, commit(5)),
        (4, committed(5)),
        (5, ask()),
        (5, told(3)),
        // The next owner goes on from there.
        (5, commit(4)),
        (5, committed(4)),
    ]));
    // That explains its own offset and no other.
    let bad = with_group(&[
        (4, commit(3)),
        (4, commit_unknown()),
        (4, commit(5)),
        (4, committed(5)),
        (5, ask()),
        (5, told(2)),
    ]);
    only(bad, Anomaly::OffsetRegression);
}

#[test]
fn commits_at_once_may_take_effect_in_either_order() {
    for last in [3, 5] {
        clean(with_group(&[
            (4, commit(5)),
            (5, commit(3)),
            (4, committed(5)),
            (5, committed(3)),
            (6, ask()),
            (6, told(last)),
        ]));
    }
}

#[test]
fn a_history_with_too_little_in_it_proves_nothing() {
    use Shortcoming::*;
    let report = check(Vec::new());
    assert_eq!(report.shortcomings, [NothingAcknowledged, NothingPolled]);
    let report = check(vec![(1, begin(1, 1)), (1, ok(1, 0))]);
    let missing = report.shortcomings;
    assert!(
        missing.contains(&NothingPolled) && missing.contains(&NotDrained),
        "{missing:?}"
    );
    let report = Checker::new().finish(true);
    assert!(report.shortcomings.contains(&NothingAssigned));
    assert!(report.shortcomings.contains(&NothingCommitted));
}

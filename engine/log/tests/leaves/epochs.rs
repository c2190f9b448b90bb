use proptest::prelude::*;
use sillon_log::{LeaderEpochs, LeaderEpochsError};
use sillon_record::{LeaderEpoch, Offset};

fn epochs_of(entries: &[(i32, i64)]) -> LeaderEpochs {
    let mut epochs = LeaderEpochs::default();
    for &(epoch, start) in entries {
        epochs.assign(LeaderEpoch(epoch), Offset(start));
    }
    epochs
}

fn pairs(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
    epochs
        .entries()
        .iter()
        .map(|entry| (entry.epoch.0, entry.start_offset.0))
        .collect()
}

fn end_offset(epochs: &LeaderEpochs, requested: i32, log_end: i64) -> Option<(i32, i64)> {
    epochs
        .end_offset(LeaderEpoch(requested), Offset(log_end))
        .map(|(epoch, end)| (epoch.0, end.0))
}

#[test]
fn epoch_ends_are_answered_as_kafka_answers_them() {
    let epochs = epochs_of(&[(2, 10), (4, 20), (7, 30)]);
    assert_eq!(end_offset(&epochs, 7, 35), Some((7, 35)), "the latest");
    assert_eq!(end_offset(&epochs, 8, 35), None, "above all that is known");
    assert_eq!(end_offset(&epochs, 4, 35), Some((4, 30)), "known");
    assert_eq!(end_offset(&epochs, 6, 35), Some((4, 30)), "floor");
    assert_eq!(end_offset(&epochs, 3, 35), Some((2, 20)), "floor");
    assert_eq!(end_offset(&epochs, 1, 35), Some((1, 10)), "below the first");
    assert_eq!(end_offset(&LeaderEpochs::default(), 0, 35), None, "empty");
}

#[test]
fn an_epoch_begins_once_and_a_contradicted_one_is_forgotten() {
    let mut epochs = epochs_of(&[(1, 0), (1, 5), (2, 10)]);
    assert_eq!(pairs(&epochs), [(1, 0), (2, 10)]);
    epochs.assign(LeaderEpoch(3), Offset(10));
    assert_eq!(pairs(&epochs), [(1, 0), (3, 10)], "epoch 2 has no record");
    epochs.assign(LeaderEpoch(3), Offset(8));
    assert_eq!(pairs(&epochs), [(1, 0), (3, 8)], "it began earlier");
    epochs.assign(LeaderEpoch(2), Offset(20));
    assert_eq!(
        pairs(&epochs),
        [(1, 0), (2, 20)],
        "an older leader's log won"
    );
    epochs.assign(LeaderEpoch(-1), Offset(30));
    assert_eq!(pairs(&epochs), [(1, 0), (2, 20)], "no epoch");
}

#[test]
fn the_epoch_that_holds_the_new_start_begins_there() {
    let three = epochs_of(&[(1, 0), (2, 10), (3, 20)]);
    for (start, left) in [
        (0, vec![(1, 0), (2, 10), (3, 20)]),
        (9, vec![(1, 9), (2, 10), (3, 20)]),
        (10, vec![(2, 10), (3, 20)]),
        (25, vec![(3, 25)]),
    ] {
        let mut epochs = three.clone();
        epochs.truncate_from_start(Offset(start));
        assert_eq!(pairs(&epochs), left, "from {start}");
    }
}

#[test]
fn the_file_is_that_of_kafka() {
    let epochs = epochs_of(&[(1, 0), (4, 20)]);
    assert_eq!(epochs.encode(), "0\n2\n1 0\n4 20\n");
    assert_eq!(LeaderEpochs::decode("0\n2\n1 0\n4 20"), Ok(epochs));
    assert_eq!(LeaderEpochs::decode("0\n0\n"), Ok(LeaderEpochs::default()));
}

#[test]
fn a_wrong_file_says_what_is_wrong_and_where() {
    let wrong = |text: &str| LeaderEpochs::decode(text).unwrap_err();
    assert!(matches!(wrong(""), LeaderEpochsError::Version { .. }));
    assert!(matches!(wrong("1\n0\n"), LeaderEpochsError::Version { .. }));
    assert!(matches!(wrong("0\n"), LeaderEpochsError::Count { .. }));
    for claimed in ["1", "3", "99999999999999999999", "-1"] {
        let text = format!("0\n{claimed}\n1 0\n2 5\n");
        assert!(matches!(
            wrong(&text),
            LeaderEpochsError::Count { found: 2, .. }
        ));
    }
    assert!(matches!(
        wrong("0\n1\n1\n"),
        LeaderEpochsError::Line { line: 3, .. }
    ));
    for second in ["1 5", "2 0", "0 5", "-1 5"] {
        let text = format!("0\n2\n1 0\n{second}\n");
        assert!(matches!(
            wrong(&text),
            LeaderEpochsError::Order { line: 4, .. }
        ));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { new_epochs: i32, records: i64 },
    TruncateEnd(i64),
    TruncateStart(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3, 1..5_i64)
            .prop_map(|(new_epochs, records)| Step::Append { new_epochs, records }),
        1 => (0..60_i64).prop_map(Step::TruncateEnd),
        1 => (0..60_i64).prop_map(Step::TruncateStart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Against a log that remembers the epoch of every record.
    #[test]
    fn the_cache_knows_what_a_log_with_an_epoch_per_record_knows(
        steps in prop::collection::vec(step(), 0..30),
    ) {
        let mut epochs = LeaderEpochs::default();
        let (mut log, mut start, mut epoch) = (Vec::<i32>::new(), 0_i64, 0);
        for step in steps {
            match step {
                Step::Append { new_epochs, records } => {
                    epoch += new_epochs;
                    epochs.assign(LeaderEpoch(epoch), Offset(log.len() as i64));
                    log.extend((0..records).map(|_| epoch));
                }
                Step::TruncateEnd(end) => {
                    let end = end.clamp(start, log.len() as i64);
                    log.truncate(end as usize);
                    epochs.truncate_from_end(Offset(end));
                    // A new leader follows a truncation.
                    epoch += 1;
                }
                Step::TruncateStart(to) => {
                    start = to.clamp(start, log.len() as i64);
                    epochs.truncate_from_start(Offset(start));
                }
            }
            for offset in start..log.len() as i64 {
                let known = epochs.epoch_of(Offset(offset));
                prop_assert_eq!(known, Some(LeaderEpoch(log[offset as usize])));
            }
            let live = &log[start as usize..];
            if let Some(&latest) = live.last() {
                prop_assert_eq!(epochs.latest(), Some(LeaderEpoch(latest)));
                for requested in live[0]..=latest {
                    let above = live.iter().position(|epoch| *epoch > requested);
                    let end = above.map_or(log.len() as i64, |place| start + place as i64);
                    let floor = live.iter().rev().find(|epoch| **epoch <= requested);
                    let expected = Some((*floor.unwrap(), end));
                    prop_assert_eq!(end_offset(&epochs, requested, log.len() as i64), expected);
                }
            }
            let read = LeaderEpochs::decode(&epochs.encode());
            prop_assert_eq!(read, Ok(epochs.clone()));
        }
    }

    #[test]
    fn any_text_is_epochs_or_an_error(text in "[0-9 \n-]{0,60}|\\PC{0,60}") {
        let _ = LeaderEpochs::decode(&text);
        let _ = LeaderEpochs::decode(&format!("0\n{text}"));
    }
}

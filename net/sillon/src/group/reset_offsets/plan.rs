//! What a reset would do, without any I/O.

use std::collections::BTreeMap;

use sillon_client::TopicPartition;

use crate::group::GroupError;

/// Offsets by partition.
pub type Offsets = BTreeMap<TopicPartition, i64>;

/// Where a group is to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// At the first record that is left.
    Earliest,
    /// At the next record to come.
    Latest,
    /// At this offset, in every partition.
    Offset(i64),
    /// So many records later, or earlier when it is negative.
    ShiftBy(i64),
    /// Where it is; at the next record to come where it has committed nothing.
    Current,
    /// At these, which were found by their time; at the next record to come where none was.
    Found(Offsets),
    /// At these, which somebody wrote down.
    Given(Offsets),
}

/// What is known of a group and its partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// What the group has committed.
    pub committed: Offsets,
    /// The first offset that is left, of each of the partitions.
    pub log_starts: Offsets,
    /// The offset of the next record, of each of the partitions.
    pub log_ends: Offsets,
}

/// What happens to one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub partition: TopicPartition,
    /// What was committed; `None`: nothing.
    pub old_offset: Option<i64>,
    /// What will be.
    pub new_offset: i64,
    /// Why that is not what was asked for.
    pub notice: Option<Notice>,
}

/// Why a group goes on elsewhere than it was told to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// This offset is beyond the log's end.
    BeyondEnd(i64),
    /// This offset is before the log's start.
    BeforeStart(i64),
    /// No record is as late as asked for.
    NoneAsLate,
}

/// The plan for some partitions, in their order; each of them has a known log start and end.
pub fn plan(
    group: &str,
    target: &Target,
    partitions: &[TopicPartition],
    known: &Known,
) -> Result<Vec<Step>, GroupError> {
    let step = |place: &TopicPartition| {
        let old_offset = known.committed.get(place).copied();
        let (start, end) = (known.log_starts[place], known.log_ends[place]);
        let (new_offset, notice) = match target {
            Target::Earliest => (start, None),
            Target::Latest => (end, None),
            Target::Offset(offset) => within(*offset, start, end),
            Target::ShiftBy(count) => {
                let old = old_offset.ok_or_else(|| GroupError::NothingToShift {
                    group: group.to_string(),
                    partition: place.clone(),
                })?;
                within(old.saturating_add(*count), start, end)
            }
            Target::Current => (old_offset.unwrap_or(end), None),
            Target::Found(found) => match found.get(place) {
                Some(offset) => (*offset, None),
                None => (end, Some(Notice::NoneAsLate)),
            },
            Target::Given(given) => within(given[place], start, end),
        };
        Ok(Step {
            partition: place.clone(),
            old_offset,
            new_offset,
            notice,
        })
    };
    partitions.iter().map(step).collect()
}

fn within(offset: i64, start: i64, end: i64) -> (i64, Option<Notice>) {
    if offset > end {
        (end, Some(Notice::BeyondEnd(offset)))
    } else if offset < start {
        (start, Some(Notice::BeforeStart(offset)))
    } else {
        (offset, None)
    }
}

impl Step {
    /// The notice, in words.
    pub fn explained(&self) -> Option<String> {
        let (place, new) = (&self.partition, self.new_offset);
        Some(match self.notice? {
            Notice::BeyondEnd(offset) => {
                format!("{place}: offset {offset} is beyond the log's end; {new} is taken")
            }
            Notice::BeforeStart(offset) => {
                format!("{place}: offset {offset} is before the log's start; {new} is taken")
            }
            Notice::NoneAsLate => {
                format!("{place}: no record is as late as that; the log's end, {new}, is taken")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partition 0 holds offsets 10 to 99 and was read up to 50; partition 1 is empty and unread.
    fn known() -> (Vec<TopicPartition>, Known) {
        let places = [0, 1].map(|number| TopicPartition::new("t", number));
        let of = |offsets: [i64; 2]| places.iter().cloned().zip(offsets).collect();
        let mut known = Known {
            committed: Offsets::new(),
            log_starts: of([10, 0]),
            log_ends: of([100, 0]),
        };
        known.committed.insert(places[0].clone(), 50);
        (places.to_vec(), known)
    }

    /// Old and new offset of both partitions.
    fn planned(target: Target) -> Vec<(Option<i64>, i64, Option<Notice>)> {
        let (places, known) = known();
        let steps = plan("g", &target, &places, &known).unwrap();
        let steps = steps.into_iter();
        steps
            .map(|step| (step.old_offset, step.new_offset, step.notice))
            .collect()
    }

    #[test]
    fn the_ends_of_the_log_are_taken_as_they_are() {
        assert_eq!(
            planned(Target::Earliest),
            [(Some(50), 10, None), (None, 0, None)]
        );
        assert_eq!(
            planned(Target::Latest),
            [(Some(50), 100, None), (None, 0, None)]
        );
    }

    #[test]
    fn an_offset_outside_of_the_log_becomes_its_nearest_end_and_that_is_told() {
        let beyond = Some(Notice::BeyondEnd(20));
        assert_eq!(
            planned(Target::Offset(20)),
            [(Some(50), 20, None), (None, 0, beyond)]
        );
        let before = Some(Notice::BeforeStart(0));
        assert_eq!(
            planned(Target::Offset(0)),
            [(Some(50), 10, before), (None, 0, None)]
        );
        let (places, known) = known();
        let step = &plan("g", &Target::Offset(0), &places, &known).unwrap()[0];
        let words = step.explained().unwrap();
        assert_eq!(
            words,
            "t-0: offset 0 is before the log's start; 10 is taken"
        );
    }

    #[test]
    fn a_shift_starts_from_what_was_committed_and_needs_it() {
        let (places, known) = known();
        let shifted = |count| {
            let steps = plan("g", &Target::ShiftBy(count), &places[..1], &known);
            (
                steps.as_ref().unwrap()[0].new_offset,
                steps.unwrap()[0].notice,
            )
        };
        assert_eq!(shifted(-5), (45, None));
        assert_eq!(shifted(5), (55, None));
        assert_eq!(shifted(51), (100, Some(Notice::BeyondEnd(101))));
        assert_eq!(shifted(i64::MAX), (100, Some(Notice::BeyondEnd(i64::MAX))));
        let refused = plan("g", &Target::ShiftBy(1), &places, &known).unwrap_err();
        assert!(
            matches!(refused, GroupError::NothingToShift { .. }),
            "{refused}"
        );
    }

    #[test]
    fn current_keeps_what_was_committed_and_takes_the_end_elsewhere() {
        assert_eq!(
            planned(Target::Current),
            [(Some(50), 50, None), (None, 0, None)]
        );
    }

    #[test]
    fn where_no_record_is_as_late_the_end_is_taken_and_that_is_told() {
        let found = Offsets::from([(TopicPartition::new("t", 0), 70)]);
        let none = Some(Notice::NoneAsLate);
        assert_eq!(
            planned(Target::Found(found)),
            [(Some(50), 70, None), (None, 0, none)]
        );
    }

    #[test]
    fn given_offsets_are_held_to_the_log_too() {
        let given = [0, 1].map(|number| (TopicPartition::new("t", number), 60));
        let beyond = Some(Notice::BeyondEnd(60));
        let given = Target::Given(given.into_iter().collect());
        assert_eq!(planned(given), [(Some(50), 60, None), (None, 0, beyond)]);
    }
}

//! Correct histories are never flagged, and a single change of a kind always is.

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sillon_verify::synthetic::{self, FINAL_READER};
use sillon_verify::{Anomaly, Checker, Event, Report, Run, What};

const EVENTS: usize = 2_000;

fn check(events: &[Event]) -> Report {
    let mut checker = Checker::new();
    for (line, event) in (1..).zip(events) {
        checker.event(line, event).unwrap();
    }
    checker.finish(true)
}

/// A record that a poll returned: the event, the run, and its place in the run.
#[derive(Clone, Copy)]
struct Spot {
    event: usize,
    run: usize,
    nth: u32,
    process: u32,
    partition: i32,
    offset: i64,
    value: u64,
}

fn spots(events: &[Event]) -> Vec<Spot> {
    let mut spots = Vec::new();
    for (event, of) in events.iter().enumerate() {
        let What::Polled {
            partition, runs, ..
        } = &of.what
        else {
            continue;
        };
        for (index, run) in runs.iter().enumerate() {
            spots.extend((0..run.count).map(|nth| Spot {
                event,
                run: index,
                nth,
                process: of.process,
                partition: *partition,
                offset: run.offset + i64::from(nth),
                value: run.value + u64::from(nth),
            }));
        }
    }
    spots
}

fn runs_of(event: &mut Event) -> &mut Vec<Run> {
    match &mut event.what {
        What::Polled { runs, .. } => runs,
        other => panic!("{other:?} is no poll"),
    }
}

/// Puts what `change` makes of a record in its place.
fn change(events: &mut [Event], spot: Spot, change: impl FnOnce(&mut Run)) {
    let runs = runs_of(&mut events[spot.event]);
    let run = runs.remove(spot.run);
    let part = |from: u32, to: u32| Run {
        offset: run.offset + i64::from(from),
        value: run.value + u64::from(from),
        count: to - from,
        ..run
    };
    let mut one = part(spot.nth, spot.nth + 1);
    change(&mut one);
    let parts = [part(0, spot.nth), one, part(spot.nth + 1, run.count)];
    let parts = parts.into_iter().filter(|part| part.count > 0);
    runs.splice(spot.run..spot.run, parts);
}

fn remove(events: &mut [Event], spot: Spot) {
    change(events, spot, |run| run.count = 0);
    runs_of(&mut events[spot.event]).retain(|run| run.count > 0);
}

fn choose<T: Clone>(random: &mut StdRng, from: &[T]) -> Option<T> {
    (!from.is_empty()).then(|| from[random.random_range(0..from.len())].clone())
}

/// By send: where it ends, its partition, first value and count, and whether it was retried.
fn acknowledged(events: &[Event]) -> Vec<(usize, u32, i32, u64, u32, Option<i64>)> {
    let mut found = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if let What::SendAcknowledged {
            partition,
            first,
            offset,
        } = event.what
        {
            let count = events.iter().find_map(|event| match event.what {
                What::SendBegins {
                    first: other,
                    count,
                    ..
                } if other == first => Some(count),
                _ => None,
            });
            let count = count.expect("what ends has begun");
            found.push((index, event.process, partition, first, count, offset));
        }
    }
    found
}

fn was_retried(events: &[Event], value: u64) -> bool {
    let mut of_value = events.iter().filter_map(|event| match event.what {
        What::SendRetried { first, .. } => Some(first),
        _ => None,
    });
    of_value.any(|first| first <= value && value < first + 10)
}

/// Plants an anomaly; `None`: this history has no place for it.
fn plant(events: &mut Vec<Event>, anomaly: Anomaly, random: &mut StdRng) -> Option<()> {
    let all = spots(events);
    let by_members: Vec<Spot> = all
        .iter()
        .filter(|spot| spot.process != FINAL_READER)
        .copied()
        .collect();
    match anomaly {
        Anomaly::InconsistentOffset => {
            let spot = choose(random, &by_members)?;
            change(events, spot, |run| run.value += 500_000_000_000);
        }
        Anomaly::Unwritten => {
            let spot = choose(random, &all)?;
            change(events, spot, |run| run.value += 500_000_000_000);
        }
        Anomaly::Duplicate => {
            let sent_once = all.iter().filter(|spot| !was_retried(events, spot.value));
            let sent_once: Vec<Spot> = sent_once.copied().collect();
            let spot = choose(random, &sent_once)?;
            let same = all.iter().filter(|other| other.partition == spot.partition);
            let last = *same.max_by_key(|other| (other.offset, other.event))?;
            let runs = runs_of(&mut events[last.event]);
            let epoch = runs.last()?.epoch;
            runs.push(Run {
                offset: last.offset + 1,
                value: spot.value,
                count: 1,
                epoch,
            });
        }
        Anomaly::AbortedRead => {
            let sends = acknowledged(events);
            let (index, _, partition, first, ..) = choose(random, &sends)?;
            events[index].what = What::SendFailed { partition, first };
        }
        Anomaly::LostWrite => {
            let sends = acknowledged(events);
            let inner = sends.iter().filter(|(_, _, partition, first, _, offset)| {
                let last = all.iter().filter(|spot| spot.partition == *partition);
                let last = last.map(|spot| spot.offset).max().unwrap_or(0);
                offset.is_some_and(|offset| offset < last) && !was_retried(events, *first)
            });
            let inner: Vec<_> = inner.copied().collect();
            let (.., first, _, _) = choose(random, &inner)?;
            loop {
                let found = spots(events);
                let Some(spot) = found.into_iter().find(|spot| spot.value == first) else {
                    break;
                };
                remove(events, spot);
            }
        }
        Anomaly::Unseen => {
            let sends = acknowledged(events);
            let placed: Vec<_> = sends.iter().filter(|send| send.5.is_some()).collect();
            let (_, _, partition, _, _, offset) = **choose(random, &placed).as_ref()?;
            let from = offset?;
            loop {
                let found = spots(events);
                let mut behind = found.into_iter();
                let behind = behind.find(|spot| spot.partition == partition && spot.offset >= from);
                let Some(spot) = behind else {
                    break;
                };
                remove(events, spot);
            }
        }
        Anomaly::PollSkip => {
            let inner = by_members.iter().filter(|spot| {
                let next = all.iter();
                let mut next =
                    next.filter(|next| next.event == spot.event && next.offset == spot.offset + 1);
                next.next().is_some()
            });
            let inner: Vec<Spot> = inner.copied().collect();
            let spot = choose(random, &inner)?;
            remove(events, spot);
        }
        Anomaly::NonmonotonicPoll => {
            let spot = choose(random, &all)?;
            let again = events[spot.event].clone();
            events.insert(spot.event, again);
        }
        Anomaly::NonmonotonicSend => {
            let sends = acknowledged(events);
            let pairs: Vec<_> = sends
                .iter()
                .flat_map(|a| sends.iter().map(move |b| (*a, *b)))
                .filter(|(a, b)| a.0 < b.0 && a.1 == b.1 && a.2 == b.2)
                .filter(|(a, b)| a.5.is_some() && b.5.is_some())
                .collect();
            let (a, b) = choose(random, &pairs)?;
            for (index, new) in [(a.0, b.5), (b.0, a.5)] {
                if let What::SendAcknowledged { offset, .. } = &mut events[index].what {
                    *offset = new;
                }
            }
        }
        Anomaly::OffsetRegression => {
            // An answer after a commit that was acknowledged before the question.
            let mut places = Vec::new();
            for (index, event) in events.iter().enumerate() {
                let What::Fetched { group, offsets } = &event.what else {
                    continue;
                };
                let asked = events[..index].iter().rposition(|other| {
                    other.process == event.process && matches!(other.what, What::FetchBegins { .. })
                })?;
                for (nth, (partition, _)) in offsets.iter().enumerate() {
                    let is_committed = events[..asked].iter().any(|other| match &other.what {
                        What::CommitAcknowledged {
                            group: other,
                            offsets,
                        } => {
                            let mut of = offsets.iter();
                            other == group && of.any(|(p, at)| p == partition && *at > 0)
                        }
                        _ => false,
                    });
                    if is_committed {
                        places.push((index, nth));
                    }
                }
            }
            let (index, nth) = choose(random, &places)?;
            if let What::Fetched { offsets, .. } = &mut events[index].what {
                offsets[nth].1 = -1;
            }
        }
        Anomaly::EpochRegression => {
            let inner: Vec<Spot> = all.iter().filter(|spot| spot.offset > 0).copied().collect();
            let spot = choose(random, &inner)?;
            change(events, spot, |run| run.epoch = 1);
        }
        Anomaly::TwoOwners => {
            let mut places = Vec::new();
            for (index, event) in events.iter().enumerate() {
                let What::Assigned {
                    group,
                    generation,
                    member,
                    ..
                } = &event.what
                else {
                    continue;
                };
                for other in events.iter() {
                    if let What::Assigned {
                        group: g,
                        generation: n,
                        member: m,
                        partitions,
                    } = &other.what
                        && (g, n) == (group, generation)
                        && m != member
                    {
                        places.extend(partitions.iter().map(|partition| (index, *partition)));
                    }
                }
            }
            let (index, partition) = choose(random, &places)?;
            if let What::Assigned { partitions, .. } = &mut events[index].what {
                partitions.push(partition);
            }
        }
        Anomaly::Unreadable => {
            let index = random.random_range(0..events.len());
            let mut event = events[index].clone();
            event.what = What::Unreadable {
                partition: 0,
                reason: "the checksum differs".to_string(),
            };
            events.insert(index, event);
        }
    }
    Some(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_correct_history_is_never_flagged(seed in any::<u64>()) {
        let report = check(&synthetic::history(seed, EVENTS));
        prop_assert_eq!(&report.findings, &[]);
        prop_assert_eq!(&report.shortcomings, &[]);
        prop_assert!(report.counts.copies > 0 && report.counts.failed > 0);
        prop_assert!(report.counts.unknown > 0 && report.counts.commits_unknown > 0);
    }

    #[test]
    fn a_single_change_is_always_found(seed in any::<u64>()) {
        let correct = synthetic::history(seed, EVENTS);
        let mut random = StdRng::seed_from_u64(seed);
        for anomaly in Anomaly::ALL {
            let mut events = correct.clone();
            prop_assert!(plant(&mut events, anomaly, &mut random).is_some(), "{:?}", anomaly);
            let report = check(&events);
            let found = report.found();
            prop_assert!(found.contains(&anomaly), "{:?} is not among {:?}", anomaly, found);
            let last = events.len() as u32;
            for finding in &report.findings {
                prop_assert!(!finding.lines.is_empty(), "{:?}", finding);
                prop_assert!(finding.lines.iter().all(|line| *line <= last), "{:?}", finding);
            }
        }
    }
}

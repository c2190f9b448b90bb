//! The assignor `cooperative-sticky`: members keep what they have as far as that is even, and what
//! has to move is given to nobody until its owner has given it up (KIP-429).

use std::collections::{BTreeMap, BTreeSet};

use super::assignor::{Assignment, Subscriber};
use crate::topic_partition::TopicPartition;

/// Divides partitions over members, sorted as their order is to count.
pub(super) fn divide(
    partitions: &BTreeMap<String, i32>,
    members: &[&Subscriber],
    assignment: &mut Assignment,
) {
    let owners = owners(members);
    let mut given: Vec<BTreeSet<TopicPartition>> = vec![BTreeSet::new(); members.len()];
    let all = partitions.iter().flat_map(|(topic, count)| {
        (0..*count).map(|index| TopicPartition::new(topic.as_str(), index))
    });
    let all: Vec<TopicPartition> = all.collect();
    let reads =
        |member: usize, place: &TopicPartition| members[member].topics.contains(&place.topic);
    let mut free = Vec::new();
    for place in &all {
        match owners.get(place) {
            Some(owner) if reads(*owner, place) => {
                given[*owner].insert(place.clone());
            }
            _ => free.push(place),
        }
    }
    for place in free {
        if let Some(member) = least(&given, |member| reads(member, place)) {
            given[member].insert(place.clone());
        }
    }
    while even_out(&all, &mut given, reads) {}
    let had: BTreeSet<&TopicPartition> = members.iter().flat_map(|member| &member.owned).collect();
    for (member, places) in members.iter().zip(given) {
        let is_free = |place: &TopicPartition| member.owned.contains(place) || !had.contains(place);
        let places = places.into_iter().filter(is_free).collect();
        assignment.insert(member.member_id.clone(), places);
    }
}

/// Who has each partition: of several that say so the one of the newest generation, and nobody when
/// there are two of that.
fn owners(members: &[&Subscriber]) -> BTreeMap<TopicPartition, usize> {
    let mut claims: BTreeMap<TopicPartition, (i32, Option<usize>)> = BTreeMap::new();
    for (member, subscriber) in members.iter().enumerate() {
        for place in &subscriber.owned {
            let generation = subscriber.generation;
            let claim = claims.entry(place.clone()).or_insert((generation, None));
            *claim = match claim {
                (newest, _) if *newest < generation => (generation, Some(member)),
                (newest, owner) if *newest > generation => (*newest, *owner),
                (_, None) if !claimed_before(members, member, place) => (generation, Some(member)),
                _ => (generation, None),
            };
        }
    }
    let owned = claims.into_iter();
    owned
        .filter_map(|(place, (_, owner))| Some((place, owner?)))
        .collect()
}

/// Whether an earlier member of the same generation has the partition as well.
fn claimed_before(members: &[&Subscriber], member: usize, place: &TopicPartition) -> bool {
    let generation = members[member].generation;
    members[..member]
        .iter()
        .any(|other| other.generation == generation && other.owned.contains(place))
}

/// The member with the fewest partitions, of those that may have one; the first of equals.
fn least(given: &[BTreeSet<TopicPartition>], may: impl Fn(usize) -> bool) -> Option<usize> {
    let members = (0..given.len()).filter(|member| may(*member));
    members.min_by_key(|member| given[*member].len())
}

/// Moves partitions to members that have two less or more. Whether there were any: each move makes
/// the sum of the squares of the numbers smaller, so there is an end.
fn even_out(
    all: &[TopicPartition],
    given: &mut [BTreeSet<TopicPartition>],
    reads: impl Fn(usize, &TopicPartition) -> bool,
) -> bool {
    let mut has_moved = false;
    // Backwards, so that a member keeps its first ones.
    for place in all.iter().rev() {
        let Some(owner) = given.iter().position(|places| places.contains(place)) else {
            continue;
        };
        let Some(to) = least(given, |member| reads(member, place)) else {
            continue;
        };
        if given[owner].len() > given[to].len() + 1 {
            given[owner].remove(place);
            given[to].insert(place.clone());
            has_moved = true;
        }
    }
    has_moved
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assignor::Assignor;

    fn member(id: &str, generation: i32, topics: &[&str], owned: &[i32]) -> Subscriber {
        Subscriber {
            member_id: id.to_string(),
            instance_id: None,
            topics: topics.iter().map(|topic| topic.to_string()).collect(),
            owned: owned
                .iter()
                .map(|index| TopicPartition::new("t", *index))
                .collect(),
            generation,
        }
    }

    /// Each member's partitions of t.
    fn assigned(count: i32, members: &[Subscriber]) -> Vec<Vec<i32>> {
        let counts = BTreeMap::from([("t".to_string(), count)]);
        let assignment = Assignor::CooperativeSticky.assign(&counts, members);
        let places = assignment.into_values();
        places
            .map(|places| places.iter().map(|place| place.partition).collect())
            .collect()
    }

    #[test]
    fn what_nobody_has_is_divided_evenly() {
        let members = ["a", "b", "c"].map(|id| member(id, -1, &["t"], &[]));
        let found = assigned(7, &members);
        assert_eq!(found, [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
    }

    #[test]
    fn what_moves_is_given_to_nobody_until_its_owner_has_given_it_up() {
        let first = member("a", 1, &["t"], &[0, 1, 2, 3]);
        let found = assigned(4, &[first, member("b", -1, &["t"], &[])]);
        assert_eq!(found, [vec![0, 1], vec![]]);
        let first = member("a", 2, &["t"], &[0, 1]);
        let found = assigned(4, &[first, member("b", 2, &["t"], &[])]);
        assert_eq!(found, [vec![0, 1], vec![2, 3]]);
    }

    #[test]
    fn who_goes_leaves_the_others_what_they_have() {
        let first = member("a", 3, &["t"], &[1, 4]);
        let second = member("b", 3, &["t"], &[0, 5]);
        let found = assigned(6, &[first, second]);
        assert_eq!(found, [vec![1, 2, 4], vec![0, 3, 5]]);
    }

    #[test]
    fn the_newest_generation_counts_and_two_of_it_are_none() {
        let old = member("a", 1, &["t"], &[0, 1]);
        let new = member("b", 2, &["t"], &[0]);
        // a says that it has 0, so b gets it, and keeps it; 1 stays.
        assert_eq!(assigned(2, &[old, new]), [vec![1], vec![0]]);
        let one = member("a", 2, &["t"], &[0, 1]);
        let other = member("b", 2, &["t"], &[0]);
        let third = member("c", 2, &["t"], &[0]);
        let found = assigned(1, &[one, other, third]);
        assert_eq!(found.concat(), [0], "one of them keeps it");
    }

    #[test]
    fn a_member_gives_up_what_it_does_not_read_any_more() {
        let first = member("a", 1, &["other"], &[0, 1]);
        let second = member("b", 1, &["t"], &[]);
        assert_eq!(assigned(2, &[first, second]), [vec![], vec![]]);
        let first = member("a", 2, &["other"], &[]);
        let second = member("b", 2, &["t"], &[]);
        assert_eq!(assigned(2, &[first, second]), [vec![], vec![0, 1]]);
    }
}

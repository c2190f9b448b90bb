use std::collections::{BTreeMap, BTreeSet};

use super::sticky;
use crate::topic_partition::TopicPartition;

/// How the leader of a group divides partitions. The first two give what Kafka's Java assignors of
/// the same name give, so that a group may be led by any client; of the third the same holds but
/// for which partitions move, which clients see differently anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// Topic by topic, each member a run of neighbouring partitions: partition n of topics with as
    /// many partitions goes to the same member.
    Range,
    /// Partition by partition over all topics, each to the next member that reads its topic.
    RoundRobin,
    /// As even as can be, with as few partitions as can be taken from those that have them; in two
    /// steps where all members can go on with the others meanwhile (KIP-429).
    CooperativeSticky,
}

/// A member as its group's leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`, when it is a static member.
    pub instance_id: Option<String>,
    /// What it reads.
    pub topics: BTreeSet<String>,
    /// What it had when it joined, in a cooperative rebalance.
    pub owned: BTreeSet<TopicPartition>,
    /// The generation that it had it in; -1: none, or it does not say.
    pub generation: i32,
}

/// The partitions of every member, by its id.
pub type Assignment = BTreeMap<String, Vec<TopicPartition>>;

impl Assignor {
    /// All of them.
    pub const ALL: [Assignor; 3] = [
        Assignor::Range,
        Assignor::RoundRobin,
        Assignor::CooperativeSticky,
    ];

    /// Kafka's name of it, by which the members of a group agree on one.
    pub fn name(self) -> &'static str {
        match self {
            Assignor::Range => "range",
            Assignor::RoundRobin => "roundrobin",
            Assignor::CooperativeSticky => "cooperative-sticky",
        }
    }

    /// Whether members that can do nothing else keep their partitions while the group rebalances.
    pub fn is_cooperative(self) -> bool {
        self == Assignor::CooperativeSticky
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Assignor> {
        Assignor::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Divides the partitions of topics (their numbers of partitions) over members. Topics without a
    /// number do not exist.
    pub fn assign(self, partitions: &BTreeMap<String, i32>, members: &[Subscriber]) -> Assignment {
        let mut sorted: Vec<&Subscriber> = members.iter().collect();
        // Static members keep their place however often they come back with another member id.
        sorted.sort_by_key(|member| match &member.instance_id {
            Some(instance_id) => (0, instance_id, &member.member_id),
            None => (1, &member.member_id, &member.member_id),
        });
        let mut assignment = Assignment::new();
        for member in &sorted {
            assignment.insert(member.member_id.clone(), Vec::new());
        }
        match self {
            Assignor::Range => range(partitions, &sorted, &mut assignment),
            Assignor::RoundRobin => round_robin(partitions, &sorted, &mut assignment),
            Assignor::CooperativeSticky => sticky::divide(partitions, &sorted, &mut assignment),
        }
        assignment
    }
}

fn range(partitions: &BTreeMap<String, i32>, members: &[&Subscriber], assignment: &mut Assignment) {
    for (topic, count) in partitions {
        let readers: Vec<&&Subscriber> = members
            .iter()
            .filter(|member| member.topics.contains(topic))
            .collect();
        let Some(each) = count.checked_div(readers.len() as i32) else {
            continue;
        };
        // The first members take one more when it does not come out even.
        let more = *count as usize % readers.len();
        let mut next = 0;
        for (place, member) in readers.iter().enumerate() {
            let end = next + each + i32::from(place < more);
            let run = (next..end).map(|index| TopicPartition::new(topic.as_str(), index));
            let given = assignment.get_mut(&member.member_id);
            given.expect("every member has its list").extend(run);
            next = end;
        }
    }
}

fn round_robin(
    partitions: &BTreeMap<String, i32>,
    members: &[&Subscriber],
    assignment: &mut Assignment,
) {
    let mut turn = members.iter().cycle();
    for (topic, count) in partitions {
        if !members.iter().any(|member| member.topics.contains(topic)) {
            continue;
        }
        for index in 0..*count {
            let member = turn.find(|member| member.topics.contains(topic));
            let member = member.expect("somebody reads it, so a turn finds somebody");
            let given = assignment.get_mut(&member.member_id);
            let given = given.expect("every member has its list");
            given.push(TopicPartition::new(topic.as_str(), index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(counts: &[(&str, i32)]) -> BTreeMap<String, i32> {
        counts
            .iter()
            .map(|(name, count)| (name.to_string(), *count))
            .collect()
    }

    fn member(id: &str, instance_id: Option<&str>, topics: &[&str]) -> Subscriber {
        Subscriber {
            member_id: id.to_string(),
            instance_id: instance_id.map(str::to_string),
            topics: topics.iter().map(|topic| topic.to_string()).collect(),
            owned: BTreeSet::new(),
            generation: -1,
        }
    }

    /// Each member's partitions, written as in the documentation of Kafka's assignors.
    fn assigned(
        assignor: Assignor,
        counts: &[(&str, i32)],
        members: &[Subscriber],
    ) -> Vec<(String, String)> {
        let assignment = assignor.assign(&topics(counts), members);
        let listed = assignment.into_iter().map(|(member, places)| {
            let places = places.iter();
            let places = places.map(|place| format!("{}p{}", place.topic, place.partition));
            (member, places.collect::<Vec<_>>().join(" "))
        });
        listed.collect()
    }

    fn is(found: Vec<(String, String)>, expected: &[(&str, &str)]) {
        let expected = expected.iter().map(|(a, b)| (a.to_string(), b.to_string()));
        assert_eq!(found, expected.collect::<Vec<_>>());
    }

    #[test]
    fn range_gives_neighbours_and_the_first_members_one_more() {
        let both = ["t0", "t1"];
        let members = [member("C1", None, &both), member("C0", None, &both)];
        let found = assigned(Assignor::Range, &[("t0", 3), ("t1", 3)], &members);
        is(found, &[("C0", "t0p0 t0p1 t1p0 t1p1"), ("C1", "t0p2 t1p2")]);
    }

    #[test]
    fn range_leaves_members_out_where_there_are_more_of_them_than_partitions() {
        let members = ["a", "b", "c"].map(|id| member(id, None, &["t"]));
        let found = assigned(Assignor::Range, &[("t", 2)], &members);
        is(found, &[("a", "tp0"), ("b", "tp1"), ("c", "")]);
    }

    #[test]
    fn round_robin_goes_on_from_topic_to_topic() {
        let both = ["t0", "t1"];
        let members = [member("C0", None, &both), member("C1", None, &both)];
        let found = assigned(Assignor::RoundRobin, &[("t0", 3), ("t1", 3)], &members);
        is(found, &[("C0", "t0p0 t0p2 t1p1"), ("C1", "t0p1 t1p0 t1p2")]);
    }

    #[test]
    fn round_robin_skips_members_that_do_not_read_a_topic() {
        let members = [
            member("C0", None, &["t0"]),
            member("C1", None, &["t0", "t1"]),
            member("C2", None, &["t0", "t1", "t2"]),
        ];
        let counts = [("t0", 1), ("t1", 2), ("t2", 3)];
        let found = assigned(Assignor::RoundRobin, &counts, &members);
        is(
            found,
            &[
                ("C0", "t0p0"),
                ("C1", "t1p0"),
                ("C2", "t1p1 t2p0 t2p1 t2p2"),
            ],
        );
    }

    #[test]
    fn static_members_come_first_by_their_instance() {
        let members = [
            member("a", None, &["t"]),
            member("z", Some("1"), &["t"]),
            member("y", Some("2"), &["t"]),
        ];
        for assignor in Assignor::ALL {
            let found = assigned(assignor, &[("t", 3)], &members);
            is(found, &[("a", "tp2"), ("y", "tp1"), ("z", "tp0")]);
        }
    }

    #[test]
    fn topics_that_do_not_exist_or_that_nobody_reads_are_given_to_nobody() {
        let members = [member("a", None, &["t", "gone"])];
        for assignor in Assignor::ALL {
            let found = assigned(assignor, &[("t", 1), ("unread", 4)], &members);
            is(found, &[("a", "tp0")]);
            assert_eq!(Assignor::named(assignor.name()), Some(assignor));
        }
        assert_eq!(Assignor::named("sticky"), None);
    }
}

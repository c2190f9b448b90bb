//! The memory of groups, in a coordinator whose log is durable at once.

use std::sync::Arc;

use sillon_group::{
    CommitPartition, CommitTopic, Coordinator, Effect, GroupConfig, GroupRequest, GroupResponse,
    JoinGroup, Joined, Now, OffsetCommit, Protocol, RequestId, SyncGroup,
};
use sillon_record::TopicId;

use crate::sys::allocator::{Count, count};

const PARTITIONS: i32 = 50;

/// Offsets that each member commits.
const OFFSETS: i32 = 4;

/// What a member says and is given, in bytes: as of a consumer of one topic.
const METADATA_BYTES: usize = 40;

const NOW: Now = Now {
    mono_ns: 1_000_000_000,
    wall_ms: 1_700_000_000_000,
};

/// Prints what groups take: with their members stable, and with their offsets.
pub fn print() {
    println!(
        "{:28}  {:>14}  {:>14}  {:>14}  {:>14}",
        "bytes", "per group", "per member", "per offset", "of the budget"
    );
    for (groups, members) in [(10_000, 1), (200, 50), (10, 1_000)] {
        let before = count();
        let mut house = House::new();
        let empty = count();
        let joined: Vec<(String, Vec<Joined>)> = (0..groups)
            .map(|number| {
                let group = format!("invoicing-{number:05}");
                let members = house.stable(&group, members);
                (group, members)
            })
            .collect();
        let (live, names) = (count(), names_bytes(&joined));
        let stable = (held(live, empty) - names) as f64;
        for (group, members) in &joined {
            for (place, member) in members.iter().enumerate() {
                house.commit(group, member, place as i32 * OFFSETS);
            }
        }
        let offsets = held(count(), live) as f64;
        let all = (groups * members) as f64;
        println!(
            "{:28}  {:>14.0}  {:>14.0}  {:>14.0}  {:>14.2}",
            format!("{groups} groups of {members}"),
            stable / groups as f64,
            stable / all,
            offsets / all / f64::from(OFFSETS),
            house.coordinator.memory_bytes() as f64 / (stable + offsets),
        );
        drop((house, joined));
        assert_eq!(held(count(), before), 0, "everything is given back");
    }
}

fn held(now: Count, before: Count) -> u64 {
    (now.bytes - before.bytes) - (now.freed_bytes - before.freed_bytes)
}

/// What the answers take that are kept here.
fn names_bytes(joined: &Vec<(String, Vec<Joined>)>) -> u64 {
    let vectors = joined.iter();
    let vectors = vectors.map(|(name, members)| {
        name.capacity() + members.capacity() * std::mem::size_of::<Joined>()
    });
    let vectors: usize = vectors.sum();
    let own = joined.capacity() * std::mem::size_of::<(String, Vec<Joined>)>();
    (own + vectors) as u64
}

struct House {
    coordinator: Coordinator,
    request: u128,
}

impl House {
    fn new() -> House {
        let mut coordinator = Coordinator::new(GroupConfig::default());
        coordinator.set_partitions_count(PARTITIONS);
        for partition in 0..PARTITIONS {
            coordinator.loading(partition);
            coordinator.loaded(NOW, partition, |_| Some(TopicId::ZERO), &mut Vec::new());
        }
        House {
            coordinator,
            request: 0,
        }
    }

    /// Asks, and makes everything durable that follows. Returns the answers in their order.
    fn ask(&mut self, request: GroupRequest) -> Vec<GroupResponse> {
        self.request += 1;
        let mut effects = Vec::new();
        let id = RequestId(self.request);
        self.coordinator.handle(NOW, id, request, &mut effects);
        self.settle(effects)
    }

    fn settle(&mut self, mut effects: Vec<Effect>) -> Vec<GroupResponse> {
        let mut answers = Vec::new();
        while let Some(effect) = effects.pop() {
            match effect {
                Effect::Reply { response, .. } => answers.push(response),
                Effect::Append { token, .. } => {
                    self.coordinator.appended(NOW, token, Ok(()), &mut effects);
                }
            }
        }
        answers
    }

    /// A stable group of so many members. None but the leader keeps what it was told of others.
    fn stable(&mut self, group: &str, members: usize) -> Vec<Joined> {
        for _ in 0..members {
            let join = JoinGroup {
                group_id: group.into(),
                client_id: "consumer-invoicing".into(),
                client_host: "/127.0.0.1".into(),
                session_timeout_ms: 45_000,
                rebalance_timeout_ms: 300_000,
                protocol_type: "consumer".into(),
                protocols: ["range", "cooperative-sticky"].map(protocol).to_vec(),
                fresh_id: self.request,
                ..JoinGroup::default()
            };
            self.ask(GroupRequest::Join(join));
        }
        // The initial delay of 3 s, as often as it is put off.
        let mut effects = Vec::new();
        let mut now = NOW;
        let mut joined = Vec::new();
        while joined.len() < members {
            now.mono_ns += 3_000_000_000;
            self.coordinator.tick(now, &mut effects);
            for answer in self.settle(std::mem::take(&mut effects)) {
                if let GroupResponse::Join(answer) = answer {
                    joined.push(answer);
                }
            }
        }
        let leader = joined[0].leader.clone();
        joined.sort_by_key(|member| member.member_id != leader);
        let assignments = joined.iter().map(|member| {
            let assignment = Arc::from([0; METADATA_BYTES]);
            (member.member_id.clone(), assignment)
        });
        let assignments: Vec<(Arc<str>, Arc<[u8]>)> = assignments.collect();
        for member in &mut joined {
            member.members = Vec::new();
            self.ask(GroupRequest::Sync(SyncGroup {
                group_id: group.into(),
                member_id: member.member_id.clone(),
                generation: member.generation,
                assignments: match member.member_id == leader {
                    true => assignments.clone(),
                    false => Vec::new(),
                },
                ..SyncGroup::default()
            }));
        }
        joined
    }

    fn commit(&mut self, group: &str, member: &Joined, from: i32) {
        let partitions = (from..from + OFFSETS).map(|partition| CommitPartition {
            partition,
            offset: 1_000,
            leader_epoch: 1,
            ..CommitPartition::default()
        });
        let commit = OffsetCommit {
            group_id: group.into(),
            member_id: member.member_id.clone(),
            generation: member.generation,
            topics: vec![CommitTopic {
                name: "paiement".into(),
                id: TopicId([7; 16]),
                partitions: partitions.collect(),
            }],
            ..OffsetCommit::default()
        };
        let answers = self.ask(GroupRequest::OffsetCommit(commit));
        let Some(GroupResponse::OffsetCommit(topics)) = answers.first() else {
            panic!("a commit is answered");
        };
        assert_eq!(topics[0].partitions[0].error, None);
    }
}

fn protocol(name: &str) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: Arc::from([0; METADATA_BYTES]),
    }
}

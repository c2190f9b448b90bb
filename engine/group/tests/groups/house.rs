//! A coordinator with a log that is durable at once, or when the test says so.

use std::collections::BTreeMap;
use std::sync::Arc;

use sillon_group::*;
use sillon_record::TopicId;

/// A subscription of version 1 to one topic.
pub fn subscription(topic: &str) -> Arc<[u8]> {
    let mut bytes = vec![0, 1, 0, 0, 0, 1, 0, topic.len() as u8];
    bytes.extend_from_slice(topic.as_bytes());
    bytes.extend_from_slice(&[0xff; 4]);
    bytes.into()
}

pub fn protocol(name: &str, topic: &str) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: subscription(topic),
    }
}

pub struct House {
    pub coordinator: Coordinator,
    pub now: Now,
    pub log: Vec<LogRecord>,
    /// Appends wait for [`House::flush`].
    pub holds: bool,
    held: Vec<(u64, Vec<LogRecord>)>,
    replies: BTreeMap<u128, GroupResponse>,
    next: u128,
    config: GroupConfig,
    /// What a coordinator that takes over knows topics by.
    pub topic_id: TopicId,
}

pub const GROUP: &str = "harvest";
/// 50, as in Kafka; the tests' groups are all in one coordinator.
pub const PARTITIONS: i32 = 50;

impl House {
    pub fn new() -> House {
        House::with(GroupConfig {
            initial_rebalance_delay_ms: 0,
            ..GroupConfig::default()
        })
    }

    pub fn with(config: GroupConfig) -> House {
        House {
            coordinator: coordinator(config, &[]),
            now: Now {
                mono_ns: 1_000_000_000,
                wall_ms: 1_700_000_000_000,
            },
            log: Vec::new(),
            holds: false,
            held: Vec::new(),
            replies: BTreeMap::new(),
            next: 1,
            config,
            topic_id: TopicId::ZERO,
        }
    }

    /// Another coordinator takes over with what is in the log. Nothing that waits is answered.
    pub fn restart(&mut self) {
        self.held.clear();
        self.coordinator = coordinator(self.config, &self.log);
        let mut effects = Vec::new();
        for partition in 0..PARTITIONS {
            let topic = |name: &str| (name != "ploughed-under").then_some(self.topic_id);
            self.coordinator
                .loaded(self.now, partition, topic, &mut effects);
        }
        self.perform(effects);
    }

    pub fn ask(&mut self, request: GroupRequest) -> u128 {
        let id = self.next;
        self.next += 1;
        let mut effects = Vec::new();
        self.coordinator
            .handle(self.now, RequestId(id), request, &mut effects);
        self.perform(effects);
        id
    }

    pub fn perform(&mut self, effects: Vec<Effect>) {
        let mut queue: std::collections::VecDeque<Effect> = effects.into();
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Reply { request, response } => {
                    let before = self.replies.insert(request.0, response);
                    assert_eq!(before, None, "request {} is answered once", request.0);
                }
                Effect::Append {
                    partition,
                    token,
                    records,
                } => {
                    assert!((0..PARTITIONS).contains(&partition));
                    if self.holds {
                        self.held.push((token, records));
                        continue;
                    }
                    self.log.extend(records);
                    let mut more = Vec::new();
                    self.coordinator
                        .appended(self.now, token, Ok(()), &mut more);
                    queue.extend(more);
                }
            }
        }
    }

    /// Ends the appends that were held.
    pub fn flush(&mut self, result: Result<(), AppendError>) {
        for (token, records) in std::mem::take(&mut self.held) {
            if result.is_ok() {
                self.log.extend(records);
            }
            let mut effects = Vec::new();
            self.coordinator
                .appended(self.now, token, result, &mut effects);
            self.perform(effects);
        }
    }

    pub fn pass(&mut self, ms: u64) {
        let until_ns = self.now.mono_ns + ms * 1_000_000;
        while self.now.mono_ns < until_ns {
            let step_ns = (until_ns - self.now.mono_ns).min(50_000_000);
            self.now.mono_ns += step_ns;
            self.now.wall_ms += (step_ns / 1_000_000) as i64;
            let mut effects = Vec::new();
            self.coordinator.tick(self.now, &mut effects);
            self.perform(effects);
        }
    }

    pub fn take(&mut self, id: u128) -> Option<GroupResponse> {
        self.replies.remove(&id)
    }

    pub fn joined(&mut self, id: u128) -> Option<Joined> {
        self.take(id).map(|response| match response {
            GroupResponse::Join(joined) => joined,
            other => panic!("a join answers {other:?}"),
        })
    }

    pub fn join(&mut self, join: JoinGroup) -> u128 {
        self.ask(GroupRequest::Join(join))
    }

    pub fn sync(&mut self, member: &Joined, assignments: &[(&str, &[u8])]) -> u128 {
        let assignments = assignments.iter();
        let assignments = assignments.map(|(id, bytes)| ((*id).into(), (*bytes).into()));
        self.ask(GroupRequest::Sync(SyncGroup {
            group_id: GROUP.into(),
            member_id: member.member_id.clone(),
            generation: member.generation,
            assignments: assignments.collect(),
            ..SyncGroup::default()
        }))
    }

    pub fn synced(&mut self, id: u128) -> Option<Result<Synced, GroupError>> {
        self.take(id).map(|response| match response {
            GroupResponse::Sync(synced) => synced,
            other => panic!("a sync answers {other:?}"),
        })
    }

    pub fn beat(&mut self, member: &Joined) -> Result<(), GroupError> {
        let id = self.ask(GroupRequest::Heartbeat(Heartbeat {
            group_id: GROUP.into(),
            member_id: member.member_id.clone(),
            instance_id: None,
            generation: member.generation,
        }));
        match self.take(id) {
            Some(GroupResponse::Heartbeat(outcome)) => outcome,
            other => panic!("a heartbeat answers {other:?}"),
        }
    }

    pub fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<Result<(), GroupError>> {
        let members = members.iter().map(|(member_id, instance_id)| Leaving {
            member_id: (*member_id).into(),
            instance_id: instance_id.map(Into::into),
        });
        let id = self.ask(GroupRequest::Leave(LeaveGroup {
            group_id: GROUP.into(),
            members: members.collect(),
        }));
        match self.take(id) {
            Some(GroupResponse::Leave(Ok(outcomes))) => outcomes,
            other => panic!("a leave answers {other:?}"),
        }
    }

    pub fn describe(&mut self) -> Result<DescribedGroup, GroupError> {
        let id = self.ask(GroupRequest::Describe(vec![GROUP.into()]));
        match self.take(id) {
            Some(GroupResponse::Describe(mut groups)) => groups.remove(0),
            other => panic!("a question for a group answers {other:?}"),
        }
    }

    pub fn state(&mut self) -> GroupState {
        self.describe().expect("a group").state
    }

    pub fn commit(&mut self, commit: OffsetCommit) -> u128 {
        self.ask(GroupRequest::OffsetCommit(commit))
    }

    pub fn committed(&mut self, id: u128) -> Option<Option<GroupError>> {
        self.take(id).map(|response| match response {
            GroupResponse::OffsetCommit(topics) => topics[0].partitions[0].error,
            other => panic!("a commit answers {other:?}"),
        })
    }

    /// The committed offset of partition 0 of a topic.
    pub fn offset(&mut self, topic: &str) -> i64 {
        let id = self.ask(GroupRequest::OffsetFetch(vec![OffsetFetch {
            group_id: GROUP.into(),
            topics: Some(vec![(topic.into(), vec![0])]),
        }]));
        match self.take(id) {
            Some(GroupResponse::OffsetFetch(mut answers)) => {
                answers.remove(0).expect("offsets")[0].partitions[0].offset
            }
            other => panic!("a question for offsets answers {other:?}"),
        }
    }

    /// A stable group of dynamic members, the leader first.
    pub fn stable(&mut self, count: usize) -> Vec<Joined> {
        let mut members: Vec<Joined> = Vec::new();
        for _ in 0..count {
            let mut joins = vec![self.join(new_member())];
            for member in &members {
                joins.push(self.join(again(member)));
            }
            let joined: Vec<Joined> = joins
                .into_iter()
                .map(|id| self.joined(id).expect("the rebalance ends at once"))
                .collect();
            assert!(joined.iter().all(|joined| joined.error.is_none()));
            members = joined;
        }
        members.sort_by_key(|member| member.members.is_empty());
        let assignments: Vec<(String, Vec<u8>)> = members
            .iter()
            .map(|member| (member.member_id.to_string(), part(&member.member_id)))
            .collect();
        let syncs: Vec<u128> = members
            .iter()
            .map(|member| {
                let assignments = assignments.iter().map(|(id, a)| (&**id, &**a));
                let assignments: Vec<_> = assignments.collect();
                match member.members.is_empty() {
                    true => self.sync(member, &[]),
                    false => self.sync(member, &assignments),
                }
            })
            .collect();
        for (member, id) in members.iter().zip(syncs) {
            let synced = self.synced(id).expect("the leader has assigned");
            assert_eq!(*synced.unwrap().assignment, *part(&member.member_id));
        }
        assert_eq!(self.state(), GroupState::Stable);
        members
    }
}

/// What a member is assigned in [`House::stable`].
pub fn part(member_id: &str) -> Vec<u8> {
    format!("the part of {member_id}").into_bytes()
}

fn coordinator(config: GroupConfig, log: &[LogRecord]) -> Coordinator {
    let mut coordinator = Coordinator::new(config);
    coordinator.set_partitions_count(PARTITIONS);
    for partition in 0..PARTITIONS {
        coordinator.loading(partition);
        if partition == partition_of(GROUP, PARTITIONS) {
            for record in log {
                let is_known =
                    coordinator.load(partition, Some(&record.key), record.value.as_deref());
                assert!(is_known);
            }
        }
        if log.is_empty() {
            let topic = |_: &str| Some(TopicId::ZERO);
            coordinator.loaded(Now::default(), partition, topic, &mut Vec::new());
        }
    }
    coordinator
}

/// A dynamic member as clients before KIP-394 join.
pub fn new_member() -> JoinGroup {
    use std::sync::atomic::{AtomicU64, Ordering};
    static FRESH: AtomicU64 = AtomicU64::new(1);
    JoinGroup {
        group_id: GROUP.into(),
        client_id: "plough".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range", "furrow")],
        fresh_id: u128::from(FRESH.fetch_add(1, Ordering::Relaxed)),
        ..JoinGroup::default()
    }
}

pub fn static_member(instance_id: &str) -> JoinGroup {
    JoinGroup {
        instance_id: Some(instance_id.into()),
        can_skip_assignment: true,
        ..new_member()
    }
}

/// The same member once more, with what it says.
pub fn again(member: &Joined) -> JoinGroup {
    JoinGroup {
        member_id: member.member_id.clone(),
        ..new_member()
    }
}

/// One offset of partition 0 of a topic, from outside of any group.
pub fn commit(topic: &str, offset: i64) -> OffsetCommit {
    OffsetCommit {
        group_id: GROUP.into(),
        generation: -1,
        topics: vec![CommitTopic {
            name: topic.into(),
            partitions: vec![CommitPartition {
                offset,
                leader_epoch: 3,
                metadata: "seen".into(),
                ..CommitPartition::default()
            }],
            ..CommitTopic::default()
        }],
        ..OffsetCommit::default()
    }
}

/// The same from a member.
pub fn commit_of(member: &Joined, topic: &str, offset: i64) -> OffsetCommit {
    OffsetCommit {
        member_id: member.member_id.clone(),
        generation: member.generation,
        ..commit(topic, offset)
    }
}

//! Consumer groups in a whole node: their records go through the journal, and come back from the
//! segments after a restart.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use crate::node::{BROKER, MemoryDisk, Node, config};
use sillon_controller::MetadataRecord;
use sillon_group::{
    CommitPartition, CommitTopic, GroupError, GroupRequest, GroupResponse, GroupState, JoinGroup,
    Joined, OffsetCommit, OffsetFetch, Protocol, SyncGroup,
};
use sillon_record::TopicId;
use sillon_shard::{Event, GroupCall, OFFSETS_TOPIC, Request, ShardId, Ticket, group_partition};

const SHARDS: u16 = 2;
const GROUP: &str = "harvest";

struct Groups {
    node: Node,
    topic: TopicId,
}

impl Groups {
    fn new() -> Groups {
        let disk = Rc::new(RefCell::new(MemoryDisk::default()));
        let mut groups = Groups {
            node: start(disk, 1),
            topic: TopicId([7; 16]),
        };
        groups
            .node
            .create(OFFSETS_TOPIC, 9, 5, &[("cleanup.policy", "compact")]);
        groups.topic = groups.node.create("furrow", 7, 1, &[]);
        groups
    }

    fn restart(self, seed: u128, cleanly: bool) -> Groups {
        let Groups { mut node, topic } = self;
        if cleanly {
            node.stop();
        }
        let mut node = start(node.disk.clone(), seed);
        node.tick(10);
        Groups { node, topic }
    }

    fn ask(&mut self, group: &str, request: GroupRequest) -> u64 {
        let partition = group_partition(&self.node.shards[0].image(), group);
        let partition = partition.expect("there is a topic for offsets");
        let call = GroupCall::Ask(request);
        self.node.send(partition, Request::Group(Box::new(call)))
    }

    fn take(&mut self, key: u64) -> Option<GroupResponse> {
        self.node.take(key).map(|request| match request {
            Request::Group(call) => match *call {
                GroupCall::Answer(response) => response,
                GroupCall::Ask(asked) => panic!("{asked:?} comes back unanswered"),
            },
            other => panic!("a question about groups answers {other:?}"),
        })
    }

    fn commit(&mut self, group: &str, offset: i64) -> u64 {
        let commit = OffsetCommit {
            group_id: group.into(),
            generation: -1,
            topics: vec![CommitTopic {
                name: "furrow".into(),
                id: self.topic,
                partitions: vec![CommitPartition {
                    offset,
                    leader_epoch: -1,
                    ..CommitPartition::default()
                }],
            }],
            ..OffsetCommit::default()
        };
        self.ask(group, GroupRequest::OffsetCommit(commit))
    }

    fn committed(&mut self, key: u64) -> Option<Option<GroupError>> {
        self.take(key).map(|response| match response {
            GroupResponse::OffsetCommit(topics) => topics[0].partitions[0].error,
            other => panic!("a commit answers {other:?}"),
        })
    }

    fn offset(&mut self, group: &str) -> Result<i64, GroupError> {
        self.found(group).map(|(_, offset)| offset)
    }

    /// The offset, and the topic that it is of.
    fn found(&mut self, group: &str) -> Result<(TopicId, i64), GroupError> {
        let question = OffsetFetch {
            group_id: group.into(),
            topics: Some(vec![("furrow".into(), vec![0])]),
        };
        let key = self.ask(group, GroupRequest::OffsetFetch(vec![question]));
        match self.take(key) {
            Some(GroupResponse::OffsetFetch(mut answers)) => {
                let topics = answers.remove(0)?;
                let found = &topics[0].partitions[0];
                Ok((found.topic_id, found.offset))
            }
            other => panic!("a question for offsets answers {other:?}"),
        }
    }

    fn join(&mut self, member_id: Arc<str>) -> u64 {
        let join = JoinGroup {
            group_id: GROUP.into(),
            member_id,
            client_id: "plough".into(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 20_000,
            protocol_type: "consumer".into(),
            protocols: vec![Protocol {
                name: "range".into(),
                metadata: Arc::from(*b"\0\0\0\0\0\0"),
            }],
            fresh_id: 5,
            ..JoinGroup::default()
        };
        self.ask(GROUP, GroupRequest::Join(join))
    }

    fn joined(&mut self, key: u64) -> Option<Joined> {
        self.take(key).map(|response| match response {
            GroupResponse::Join(joined) => joined,
            other => panic!("a join answers {other:?}"),
        })
    }

    fn state(&mut self) -> Result<GroupState, GroupError> {
        let key = self.ask(GROUP, GroupRequest::Describe(vec![GROUP.into()]));
        match self.take(key) {
            Some(GroupResponse::Describe(mut groups)) => groups.remove(0).map(|group| group.state),
            other => panic!("a question for a group answers {other:?}"),
        }
    }
}

fn start(disk: Rc<RefCell<MemoryDisk>>, seed: u128) -> Node {
    let mut config = config(SHARDS);
    config.topic_defaults.segment_bytes = 20_000;
    let mut node = Node::start(disk, config, seed);
    node.tick(10);
    node
}

#[test]
fn commits_are_answered_when_they_are_flushed_and_survive_every_kind_of_stop() {
    let mut groups = Groups::new();
    let owners: Vec<u64> = (0..20)
        .map(|number| groups.commit(&format!("group-{number}"), number))
        .collect();
    for key in owners {
        assert_eq!(groups.committed(key), Some(None));
    }
    groups.node.disk.borrow_mut().holds_syncs = true;
    let key = groups.commit("group-3", 77);
    assert_eq!(groups.committed(key), None, "its round is not flushed");
    assert_eq!(groups.offset("group-3"), Ok(3));
    for shard in 0..usize::from(SHARDS) {
        groups.node.release_syncs(shard);
    }
    assert_eq!(groups.committed(key), Some(None));
    assert_eq!(groups.offset("group-3"), Ok(77));
    for (seed, cleanly) in [(2, false), (3, true), (4, false)] {
        groups = groups.restart(seed, cleanly);
        for number in 0..20 {
            let expected = if number == 3 { 77 } else { number };
            assert_eq!(groups.offset(&format!("group-{number}")), Ok(expected));
        }
    }
}

#[test]
fn groups_are_read_from_any_number_of_segments() {
    let mut groups = Groups::new();
    for round in 0..300 {
        for number in 0..10 {
            let key = groups.commit(&format!("group-{number}"), round * 10 + number);
            assert_eq!(groups.committed(key), Some(None));
        }
    }
    let segments = |groups: &Groups| {
        let disk = groups.node.disk.borrow();
        let names = disk.files.keys();
        names
            .filter(|name| name.starts_with(OFFSETS_TOPIC) && name.ends_with(".log"))
            .count()
    };
    assert!(segments(&groups) > 10, "{}", segments(&groups));
    for (seed, cleanly) in [(2, true), (3, false)] {
        groups = groups.restart(seed, cleanly);
        // A piece at a time: each tick is an event.
        for _ in 0..100 {
            groups.node.tick(10);
        }
        for number in 0..10 {
            assert_eq!(groups.offset(&format!("group-{number}")), Ok(2990 + number));
        }
    }
}

#[test]
fn a_group_joins_syncs_and_is_stable_after_a_restart() {
    let mut groups = Groups::new();
    let key = groups.join(Arc::default());
    assert_eq!(groups.joined(key), None);
    for _ in 0..301 {
        groups.node.tick(10);
    }
    let joined = groups.joined(key).expect("the initial delay is over");
    let sync = SyncGroup {
        group_id: GROUP.into(),
        member_id: joined.member_id.clone(),
        generation: joined.generation,
        assignments: vec![(joined.member_id.clone(), Arc::from(*b"all"))],
        ..SyncGroup::default()
    };
    let key = groups.ask(GROUP, GroupRequest::Sync(sync.clone()));
    let Some(GroupResponse::Sync(Ok(synced))) = groups.take(key) else {
        panic!("an assignment");
    };
    assert_eq!(&*synced.assignment, b"all");
    let mut groups = groups.restart(2, false);
    assert_eq!(groups.state(), Ok(GroupState::Stable));
    let key = groups.ask(GROUP, GroupRequest::Sync(sync));
    assert!(matches!(groups.take(key), Some(GroupResponse::Sync(Ok(_)))));
}

#[test]
fn who_waits_for_a_rebalance_is_answered_when_the_broker_stops() {
    let mut groups = Groups::new();
    let key = groups.join(Arc::default());
    groups.node.stop();
    let error = groups.joined(key).expect("an answer").error;
    assert_eq!(error, Some(GroupError::NotCoordinator));
}

#[test]
fn a_closed_connection_leaves_nobody_waiting() {
    let mut groups = Groups::new();
    let key = groups.join(Arc::default());
    let ticket = Ticket {
        shard: ShardId(0),
        key,
    };
    for shard in 0..usize::from(SHARDS) {
        groups.node.event(shard, Event::Cancel { ticket });
    }
    for _ in 0..30 {
        groups.node.tick(500);
    }
    assert_eq!(groups.joined(key), None);
    // Its session ended after the rebalance that it was in.
    assert_eq!(groups.state(), Ok(GroupState::Empty));
}

#[test]
fn the_offsets_of_a_deleted_topic_go_for_good() {
    let mut groups = Groups::new();
    let key = groups.commit(GROUP, 5);
    assert_eq!(groups.committed(key), Some(None));
    let id = groups.topic;
    groups
        .node
        .metadata(vec![MetadataRecord::TopicRemoved { id }]);
    assert_eq!(groups.offset(GROUP), Ok(-1));
    let key = groups.commit(GROUP, 6);
    let error = groups.committed(key);
    assert_eq!(error, Some(Some(GroupError::UnknownTopicOrPartition)));
    let mut groups = groups.restart(2, false);
    assert_eq!(groups.offset(GROUP), Ok(-1));
}

/// The topic goes, and another one gets its name.
fn created_again(groups: &Groups, new: TopicId) -> Vec<MetadataRecord> {
    vec![
        MetadataRecord::TopicRemoved { id: groups.topic },
        MetadataRecord::Topic {
            id: new,
            name: "furrow".to_owned(),
        },
        MetadataRecord::Partition {
            topic: new,
            partition: 0,
            incarnation: groups.node.shards[0].image().next_incarnation(),
            replicas: vec![BROKER],
        },
    ]
}

#[test]
fn the_offsets_of_a_deleted_topic_are_not_those_of_the_next_one_of_its_name() {
    let new = TopicId([8; 16]);
    for is_killed_at_once in [false, true] {
        let mut groups = Groups::new();
        let key = groups.commit(GROUP, 5);
        assert_eq!(groups.committed(key), Some(None));
        let records = created_again(&groups, new);
        if is_killed_at_once {
            // Before any shard has heard of it: nothing forgets the old offsets.
            groups.node.durable_metadata(&records).unwrap();
        } else {
            groups.node.disk.borrow_mut().holds_syncs = true;
            let late = groups.commit(GROUP, 6);
            groups.node.metadata(records);
            for _ in 0..2 {
                // A client is not shown an offset of another topic's id.
                let (found, offset) = groups.found(GROUP).unwrap();
                assert!(found != new || offset == -1, "{offset}");
                for shard in 0..usize::from(SHARDS) {
                    groups.node.release_syncs(shard);
                }
            }
            assert!(groups.committed(late).is_some());
        }
        let mut groups = groups.restart(2, false);
        groups.topic = new;
        assert_eq!(groups.offset(GROUP), Ok(-1));
        let key = groups.commit(GROUP, 1);
        assert_eq!(groups.committed(key), Some(None));
        let mut groups = groups.restart(3, false);
        assert_eq!(groups.found(GROUP), Ok((new, 1)));
    }
}

#[test]
fn without_its_topic_a_group_has_no_coordinator() {
    let mut groups = Groups::new();
    let key = groups.commit(GROUP, 5);
    assert_eq!(groups.committed(key), Some(None));
    let partition = group_partition(&groups.node.shards[0].image(), GROUP).unwrap();
    let waiting = groups.join(Arc::default());
    let id = partition.topic;
    groups
        .node
        .metadata(vec![MetadataRecord::TopicRemoved { id }]);
    let error = groups.joined(waiting).expect("an answer").error;
    assert_eq!(error, Some(GroupError::NotCoordinator));
    groups.node.create(OFFSETS_TOPIC, 10, 5, &[]);
    assert_eq!(groups.offset(GROUP), Ok(-1));
}

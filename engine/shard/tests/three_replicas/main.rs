//! Three brokers run the same machine on one partition: appends, flushes, acknowledgements that
//! are late or lost, crashes of what is not flushed, new leaders, and truncation by leader epoch.

mod log;

use std::collections::BTreeMap;

use log::Log;
use proptest::prelude::*;
use sillon_record::{BrokerId, LeaderEpoch, Offset};
use sillon_replication::Replicas;

const BROKERS: [BrokerId; 3] = [BrokerId(1), BrokerId(2), BrokerId(3)];

struct Broker {
    replicas: Replicas,
    log: Log,
}

/// One partition on three brokers, and the controller that names leader and ISR.
struct Cluster {
    brokers: BTreeMap<BrokerId, Broker>,
    leader: BrokerId,
    epoch: LeaderEpoch,
    isr: Vec<BrokerId>,
    next_record: u64,
    /// Every record that was ever below a leader's high watermark, by offset.
    committed: Vec<u64>,
}

impl Cluster {
    fn new() -> Cluster {
        let brokers = BROKERS.map(|id| {
            let replicas = Replicas::new(id);
            (
                id,
                Broker {
                    replicas,
                    log: Log::default(),
                },
            )
        });
        let mut cluster = Cluster {
            brokers: brokers.into(),
            leader: BROKERS[0],
            epoch: LeaderEpoch(0),
            isr: BROKERS.to_vec(),
            next_record: 0,
            committed: Vec::new(),
        };
        cluster.elect(BROKERS[0]);
        cluster
    }

    fn broker(&mut self, id: BrokerId) -> &mut Broker {
        self.brokers.get_mut(&id).unwrap()
    }

    /// A new epoch, led by a member of the ISR. Followers truncate to where their log parts from
    /// the new leader's.
    fn elect(&mut self, leader: BrokerId) {
        assert!(self.isr.contains(&leader));
        self.epoch = LeaderEpoch(self.epoch.0 + 1);
        self.leader = leader;
        let (epoch, isr) = (self.epoch, self.isr.clone());
        let broker = self.broker(leader);
        let log_end = broker.log.end();
        broker.log.epochs.assign(epoch, log_end);
        broker
            .replicas
            .become_leader(epoch, &BROKERS, &isr, log_end);
        for follower in BROKERS.into_iter().filter(|id| *id != leader) {
            self.broker(follower)
                .replicas
                .become_follower(epoch, leader);
            self.truncate_to_leader(follower);
        }
        self.check();
    }

    /// KIP-101 and KIP-279: asks the leader where the follower's latest epoch ends, until both
    /// agree on one.
    fn truncate_to_leader(&mut self, follower: BrokerId) {
        loop {
            let broker = &self.brokers[&follower];
            let Some(latest) = broker.log.epochs.latest() else {
                break;
            };
            let leader_log = &self.brokers[&self.leader].log;
            let (leader_epoch, leader_end) = leader_log
                .epochs
                .end_offset(latest, leader_log.end())
                .expect("a leader has assigned its own epoch, which is above all others");
            let (_, own_end) = broker
                .log
                .epochs
                .end_offset(leader_epoch, broker.log.end())
                .expect("it is not above the latest");
            let end = leader_end.min(own_end);
            let broker = self.broker(follower);
            broker.log.truncate(end);
            broker.replicas.truncated(end);
            if leader_epoch == latest {
                break;
            }
        }
        let broker = self.broker(follower);
        let flushed = broker.log.flushed;
        broker.replicas.flushed(follower, flushed);
    }

    fn append(&mut self) {
        let (record, epoch, leader) = (self.next_record, self.epoch, self.leader);
        self.next_record += 1;
        self.broker(leader).log.append(epoch, record);
    }

    /// A follower takes up to `count` records and the leader's high watermark.
    fn fetch(&mut self, follower: BrokerId, count: usize) {
        let leader = &self.brokers[&self.leader];
        let high_watermark = leader.replicas.high_watermark();
        let at = self.brokers[&follower].log.end();
        let records = leader.log.read(at, count);
        let broker = self.broker(follower);
        for (epoch, record) in records {
            broker.log.append(epoch, record);
        }
        let flushed = broker.log.flushed;
        broker
            .replicas
            .follower_high_watermark(high_watermark, flushed);
    }

    /// A broker flushes; a follower's acknowledgement may be lost on its way to the leader.
    fn flush(&mut self, id: BrokerId, is_heard: bool) {
        let broker = self.broker(id);
        broker.log.flushed = broker.log.end();
        let end = broker.log.flushed;
        broker.replicas.flushed(id, end);
        let leader = self.leader;
        if id != leader && is_heard {
            self.broker(leader).replicas.flushed(id, end);
        }
    }

    fn shrink(&mut self, id: BrokerId, is_committed: bool) {
        if id == self.leader || !self.isr.contains(&id) {
            return;
        }
        let shrunk: Vec<_> = self
            .isr
            .iter()
            .copied()
            .filter(|known| *known != id)
            .collect();
        self.change_isr(shrunk, is_committed);
    }

    fn expand(&mut self, id: BrokerId, is_committed: bool) {
        if self.brokers[&self.leader].replicas.can_join_isr(id) {
            let mut grown = self.isr.clone();
            grown.push(id);
            self.change_isr(grown, is_committed);
        }
    }

    fn change_isr(&mut self, isr: Vec<BrokerId>, is_committed: bool) {
        let leader = self.leader;
        let replicas = &mut self.broker(leader).replicas;
        replicas.propose_isr(&isr);
        if is_committed {
            replicas.set_isr(&isr);
            self.isr = isr;
        } else {
            // The controller has committed it, but the leader does not hear of it before it is
            // replaced: an election then uses an ISR that the leader only proposed.
            self.isr = isr;
        }
    }

    /// The power fails on one broker: what is not flushed is gone. A leader is replaced.
    fn crash(&mut self, id: BrokerId) {
        let broker = self.broker(id);
        let flushed = broker.log.flushed;
        broker.log.truncate(flushed);
        let high_watermark = broker.replicas.high_watermark();
        broker.replicas = Replicas::new(id);
        broker.replicas.recovered(high_watermark, flushed);
        let leader = if id == self.leader {
            let mut others = self.isr.iter().copied().filter(|other| *other != id);
            others.next_back().unwrap_or(id)
        } else {
            self.leader
        };
        self.elect(leader);
    }

    fn check(&mut self) {
        let leader = &self.brokers[&self.leader];
        let high_watermark = leader.replicas.high_watermark();
        let below = leader.log.read(Offset::ZERO, high_watermark.0 as usize);
        assert_eq!(below.len() as i64, high_watermark.0, "all of it is there");
        for (offset, (_, record)) in below.iter().enumerate() {
            match self.committed.get(offset) {
                Some(committed) => assert_eq!(committed, record, "offset {offset} has changed"),
                None => self.committed.push(*record),
            }
        }
        // What was acknowledged is flushed on every replica that may lead next.
        for id in &self.isr {
            let log = &self.brokers[id].log;
            assert!(
                log.flushed.0 >= self.committed.len() as i64,
                "{id:?} lacks records"
            );
            let kept = log.read(Offset::ZERO, self.committed.len());
            assert!(kept.iter().map(|(_, record)| record).eq(&self.committed));
        }
        for broker in self.brokers.values() {
            let high_watermark = broker.replicas.high_watermark();
            assert!(
                high_watermark <= broker.log.flushed,
                "a reader is above flushed"
            );
            assert!(high_watermark.0 <= self.committed.len() as i64);
        }
    }
}

#[test]
fn a_follower_that_ran_ahead_of_its_old_leader_truncates_to_the_new_one() {
    let mut cluster = Cluster::new();
    let [first, second, third] = BROKERS;
    for _ in 0..3 {
        cluster.append();
    }
    for id in BROKERS {
        cluster.fetch(id, 9);
        cluster.flush(id, true);
    }
    cluster.check();
    assert_eq!(cluster.committed, [0, 1, 2]);
    // Two more reach the third broker only, and are not acknowledged.
    cluster.append();
    cluster.append();
    cluster.flush(first, true);
    cluster.fetch(third, 9);
    cluster.flush(third, true);
    cluster.check();
    assert_eq!(
        cluster.committed,
        [0, 1, 2],
        "the second has not flushed them"
    );
    cluster.elect(second);
    assert_eq!(cluster.brokers[&third].log.end(), Offset(3), "truncated");
    assert_eq!(cluster.brokers[&first].log.end(), Offset(3), "truncated");
    cluster.append();
    for id in BROKERS {
        cluster.fetch(id, 9);
        cluster.flush(id, true);
    }
    cluster.check();
    assert_eq!(cluster.committed, [0, 1, 2, 5]);
    let log = &cluster.brokers[&third].log;
    assert_eq!(log.epochs.epoch_of(Offset(3)), Some(LeaderEpoch(2)));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Append,
    Fetch(usize, usize),
    Flush(usize, bool),
    Lost(usize),
    Shrink(usize, bool),
    Expand(usize, bool),
    Elect(usize),
    Crash(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let broker = 0..BROKERS.len();
    prop_oneof![
        6 => Just(Step::Append),
        8 => (broker.clone(), 1..4_usize).prop_map(|(id, count)| Step::Fetch(id, count)),
        8 => (broker.clone(), any::<bool>()).prop_map(|(id, heard)| Step::Flush(id, heard)),
        1 => broker.clone().prop_map(Step::Lost),
        1 => (broker.clone(), any::<bool>()).prop_map(|(id, done)| Step::Shrink(id, done)),
        2 => (broker.clone(), any::<bool>()).prop_map(|(id, done)| Step::Expand(id, done)),
        1 => broker.clone().prop_map(Step::Elect),
        1 => broker.prop_map(Step::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn nothing_below_a_high_watermark_is_ever_lost_or_changed(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut cluster = Cluster::new();
        for step in steps {
            let leader = cluster.leader;
            match step {
                Step::Append => cluster.append(),
                Step::Fetch(id, count) if BROKERS[id] != leader => cluster.fetch(BROKERS[id], count),
                Step::Flush(id, is_heard) => cluster.flush(BROKERS[id], is_heard),
                Step::Lost(id) => cluster.broker(leader).replicas.lost(BROKERS[id]),
                Step::Shrink(id, is_committed) => cluster.shrink(BROKERS[id], is_committed),
                Step::Expand(id, is_committed) => cluster.expand(BROKERS[id], is_committed),
                Step::Elect(id) if cluster.isr.contains(&BROKERS[id]) => cluster.elect(BROKERS[id]),
                Step::Crash(id) => cluster.crash(BROKERS[id]),
                Step::Fetch(..) | Step::Elect(_) => {}
            }
            cluster.check();
        }
    }
}

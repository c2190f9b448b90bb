//! Random events against the coordinator, with the promises that must hold after each: every
//! request is answered at most once, generations only grow, a stable generation has one leader
//! and everybody has the part that this leader gave it, offsets are what was committed last.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sillon_group::*;

use crate::house::*;

#[derive(Clone, Debug)]
enum Step {
    Join { client: usize },
    Sync { client: usize },
    Beat { client: usize },
    Leave { client: usize },
    Commit { client: usize, offset: i64 },
    Forget { client: usize },
    Cancel { client: usize },
    Pass { ms: u64 },
    Hold,
    Flush,
    Fail,
    Restart,
}

const CLIENTS: usize = 5;

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        6 => client.clone().prop_map(|client| Step::Join { client }),
        8 => client.clone().prop_map(|client| Step::Sync { client }),
        2 => client.clone().prop_map(|client| Step::Beat { client }),
        1 => client.clone().prop_map(|client| Step::Leave { client }),
        4 => (client.clone(), 0..1000i64)
            .prop_map(|(client, offset)| Step::Commit { client, offset }),
        1 => client.clone().prop_map(|client| Step::Forget { client }),
        1 => client.prop_map(|client| Step::Cancel { client }),
        3 => (1..8_000u64).prop_map(|ms| Step::Pass { ms }),
        1 => Just(Step::Hold),
        3 => Just(Step::Flush),
        1 => Just(Step::Fail),
        1 => Just(Step::Restart),
    ]
}

/// A client as it sees itself.
#[derive(Clone, Debug, Default)]
struct Client {
    member: Option<Joined>,
    joining: Option<u128>,
    syncing: Option<(u128, i32)>,
}

#[derive(Default)]
struct Model {
    clients: Vec<Client>,
    highest_generation: i32,
    /// By generation: who led it.
    leaders: BTreeMap<i32, String>,
    commits: BTreeMap<u128, i64>,
    committed: i64,
}

impl Model {
    fn parts(members: &[JoinedMember], generation: i32) -> Vec<(String, Vec<u8>)> {
        let part = |member: &JoinedMember| {
            let id = member.member_id.to_string();
            let part = format!("{id} in {generation}").into_bytes();
            (id, part)
        };
        members.iter().map(part).collect()
    }

    fn apply(&mut self, house: &mut House, step: Step) {
        match step {
            Step::Join { client } => {
                let is_static = client == 0;
                let known = self.clients[client].member.clone();
                let join = JoinGroup {
                    member_id: known.map(|m| m.member_id).unwrap_or_default(),
                    instance_id: is_static.then(|| "east".into()),
                    can_skip_assignment: true,
                    needs_member_id: client % 2 == 1,
                    ..new_member()
                };
                // A client that asks again has given up on its last question.
                self.clients[client].syncing = None;
                self.clients[client].joining = Some(house.join(join));
            }
            Step::Sync { client } => {
                let Some(member) = self.clients[client].member.clone() else {
                    return;
                };
                let parts = match member.skip_assignment {
                    true => Vec::new(),
                    false => Model::parts(&member.members, member.generation),
                };
                let parts: Vec<_> = parts.iter().map(|(id, part)| (&**id, &**part)).collect();
                let id = house.sync(&member, &parts);
                self.clients[client].syncing = Some((id, member.generation));
            }
            Step::Beat { client } => {
                if let Some(member) = self.clients[client].member.clone()
                    && house.beat(&member) == Err(GroupError::UnknownMember)
                {
                    self.clients[client].member = None;
                }
            }
            Step::Leave { client } => {
                if let Some(member) = self.clients[client].member.take() {
                    house.leave(&[(&member.member_id, None)]);
                }
            }
            Step::Commit { client, offset } => {
                let commit = match self.clients[client].member.clone() {
                    Some(member) => commit_of(&member, "furrow", offset),
                    None => commit("furrow", offset),
                };
                let id = house.commit(commit);
                self.commits.insert(id, offset);
            }
            Step::Forget { client } => self.clients[client] = Client::default(),
            Step::Cancel { client } => {
                let client = &mut self.clients[client];
                let waiting = [client.joining.take(), client.syncing.take().map(|s| s.0)];
                for id in waiting.into_iter().flatten() {
                    house.coordinator.cancel(house.now, RequestId(id));
                }
            }
            Step::Pass { ms } => house.pass(ms),
            Step::Hold => house.holds = true,
            Step::Flush => {
                house.flush(Ok(()));
                house.holds = false;
            }
            Step::Fail => house.flush(Err(AppendError::Storage)),
            Step::Restart => {
                house.restart();
                self.commits.clear();
                for client in &mut self.clients {
                    (client.joining, client.syncing) = (None, None);
                }
            }
        }
    }

    fn hear(&mut self, house: &mut House) {
        for number in 0..CLIENTS {
            if let Some(id) = self.clients[number].joining
                && let Some(joined) = house.joined(id)
            {
                self.clients[number].joining = None;
                self.joined(number, joined);
            }
            if let Some((id, generation)) = self.clients[number].syncing
                && let Some(synced) = house.synced(id)
            {
                self.clients[number].syncing = None;
                if let (Ok(synced), Some(member)) = (synced, &self.clients[number].member)
                    && number != 0
                {
                    let part = format!("{} in {generation}", member.member_id);
                    assert_eq!(*synced.assignment, *part.into_bytes());
                }
            }
        }
        let commits: Vec<(u128, i64)> = self.commits.iter().map(|(id, o)| (*id, *o)).collect();
        for (id, offset) in commits {
            if let Some(error) = house.committed(id) {
                self.commits.remove(&id);
                if error.is_none() {
                    self.committed = offset;
                }
            }
        }
    }

    fn joined(&mut self, number: usize, joined: Joined) {
        match joined.error {
            None => {}
            Some(GroupError::MemberIdRequired) => {
                self.clients[number].member = Some(Joined {
                    generation: -1,
                    ..joined
                });
                return;
            }
            Some(_) => {
                self.clients[number].member = None;
                return;
            }
        }
        assert!(joined.generation > 0);
        self.highest_generation = self.highest_generation.max(joined.generation);
        if !joined.members.is_empty() && !joined.skip_assignment {
            let ids: BTreeSet<_> = joined.members.iter().map(|m| &m.member_id).collect();
            assert_eq!(ids.len(), joined.members.len());
            assert!(ids.contains(&joined.member_id));
            assert_eq!(joined.leader, joined.member_id);
            let leader = joined.member_id.to_string();
            let before = self
                .leaders
                .entry(joined.generation)
                .or_insert(leader.clone());
            // A static leader that comes back leads the same generation under a new id.
            if number != 0 && !before.starts_with("east") {
                assert_eq!(*before, leader, "generation {}", joined.generation);
            }
        }
        self.clients[number].member = Some(joined);
    }

    fn check(&mut self, house: &mut House) {
        assert_eq!(house.offset("furrow").max(0), self.committed);
        let Ok(described) = house.describe() else {
            return;
        };
        if described.state == GroupState::Stable {
            let ids: BTreeSet<_> = described.members.iter().map(|m| &m.member_id).collect();
            assert_eq!(ids.len(), described.members.len());
            assert!(!described.members.is_empty());
            let endings: BTreeSet<String> = described
                .members
                .iter()
                .map(|member| String::from_utf8(member.assignment.to_vec()).unwrap())
                .filter_map(|part| part.rsplit(' ').next().map(str::to_owned))
                .collect();
            assert_eq!(endings.len(), 1, "parts of one generation: {endings:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_a_group_keeps_its_promises(
        steps in proptest::collection::vec(step(), 1..120)
    ) {
        let mut house = House::new();
        let mut model = Model {
            clients: vec![Client::default(); CLIENTS],
            ..Model::default()
        };
        for step in steps {
            let is_restart = matches!(step, Step::Restart);
            model.apply(&mut house, step);
            model.hear(&mut house);
            if is_restart || house.describe().is_err() {
                // A group that was forgotten begins anew. Generations whose assignment was never durable may come again.
                model.leaders.clear();
            }
            if !house.holds {
                model.check(&mut house);
            }
        }
        // Nobody waits for ever.
        house.flush(Ok(()));
        house.holds = false;
        house.pass(700_000);
        model.hear(&mut house);
        for client in &model.clients {
            prop_assert_eq!(client.joining, None);
            prop_assert_eq!(client.syncing, None);
        }
        prop_assert!(model.commits.is_empty());
    }
}

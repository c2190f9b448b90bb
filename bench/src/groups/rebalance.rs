//! Rebalances of a broker that runs: each member has a connection, all of them are driven by one
//! thread that sends to all before it reads from any.

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sillon_client::{Connection, ConnectionOptions};
use sillon_protocol::message::join_group_request::JoinGroupRequestProtocol;
use sillon_protocol::message::sync_group_request::SyncGroupRequestAssignment;
use sillon_protocol::message::{
    self, FindCoordinatorRequest, JoinGroupRequest, JoinGroupResponse, RequestResponsePair,
    StrBytes, SyncGroupRequest, SyncGroupResponse,
};
use sillon_protocol::{Api, ErrorCode};

use crate::report::{Format, percentile};

/// No member sends heartbeats: this is longer than any measurement, and what Kafka allows at most.
const TIMEOUT_MS: i32 = 1_800_000;

/// What a member says and is given, in bytes: as of a consumer of one topic.
const METADATA_BYTES: usize = 40;

/// How long a group's first generation may be put off, with what all members need to connect.
const PATIENCE: Duration = Duration::from_secs(120);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Which groups there are.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// How many.
    pub groups: usize,
    /// Of how many members.
    pub members: usize,
}

struct Member {
    connection: Connection,
    id: StrBytes,
    generation: i32,
}

struct Group {
    id: StrBytes,
    members: Vec<Member>,
}

/// Makes the groups, and measures `singles` rebalances of one group while the others rest, and then
/// `rounds` of all groups at once.
pub fn measure(
    broker: &str,
    shape: Shape,
    singles: usize,
    rounds: usize,
    format: Format,
) -> Outcome<()> {
    let mut groups = Vec::with_capacity(shape.groups);
    for number in 0..shape.groups {
        groups.push(Group::open(broker, number, shape.members)?);
    }
    let mut all: Vec<&mut Group> = groups.iter_mut().collect();
    rebalance(&mut all, 0)?;
    let mut single_ms = Vec::with_capacity(singles);
    for sample in 0..singles {
        let group = &mut groups[sample % shape.groups];
        let began = Instant::now();
        rebalance(&mut [group], 1 + sample as u32)?;
        single_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let mut all_ms = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let mut all: Vec<&mut Group> = groups.iter_mut().collect();
        let began = Instant::now();
        rebalance(&mut all, (1 + singles + round) as u32)?;
        all_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    single_ms.sort_by(f64::total_cmp);
    all_ms.sort_by(f64::total_cmp);
    let (p50, p99) = (percentile(&single_ms, 0.5), percentile(&single_ms, 0.99));
    let all = percentile(&all_ms, 0.5);
    let Shape { groups, members } = shape;
    match format {
        Format::Table => println!(
            "{groups} groups of {members}: one at a time p50 {p50:.2} ms, p99 {p99:.2} ms \
             ({singles} times); all at once {all:.0} ms, {:.0} groups/s (median of {rounds})",
            groups as f64 / all * 1e3
        ),
        Format::Json => println!(
            "{}",
            serde_json::json!({
                "groups": groups,
                "members": members,
                "one_p50_ms": p50,
                "one_p99_ms": p99,
                "all_ms": all,
            })
        ),
    }
    Ok(())
}

/// Every group gets a generation in which all of its members are, and all have their assignments.
fn rebalance(groups: &mut [&mut Group], round: u32) -> Outcome<()> {
    for group in groups.iter_mut() {
        for member in &mut group.members {
            // What it says differs from the last time: no member is answered as if nothing were.
            let join = join(&group.id, &member.id, round);
            ask(&mut member.connection, &join)?;
        }
    }
    for group in groups.iter_mut() {
        let mut leader = None;
        for (place, member) in group.members.iter_mut().enumerate() {
            let joined: JoinGroupResponse = answer::<JoinGroupRequest>(&mut member.connection)?;
            check(joined.error_code, "JoinGroup")?;
            member.generation = joined.generation_id;
            if joined.leader == joined.member_id {
                leader = Some(place);
            }
        }
        let leader = leader.ok_or("no member of a group leads it")?;
        let assignments: Vec<SyncGroupRequestAssignment> =
            group.members.iter().map(assignment).collect();
        for (place, member) in group.members.iter_mut().enumerate() {
            let mut sync = SyncGroupRequest::default();
            sync.group_id = group.id.clone();
            sync.generation_id = member.generation;
            sync.member_id = member.id.clone();
            sync.protocol_type = Some(StrBytes::from("consumer"));
            sync.protocol_name = Some(StrBytes::from("range"));
            if place == leader {
                sync.assignments = assignments.clone();
            }
            ask(&mut member.connection, &sync)?;
        }
    }
    for group in groups.iter_mut() {
        for member in &mut group.members {
            let synced: SyncGroupResponse = answer::<SyncGroupRequest>(&mut member.connection)?;
            check(synced.error_code, "SyncGroup")?;
        }
    }
    Ok(())
}

impl Group {
    /// Its members know their ids, and have not joined with them.
    fn open(broker: &str, number: usize, members: usize) -> Outcome<Group> {
        let id = StrBytes::from(format!("invoicing-{number:05}"));
        let options = ConnectionOptions {
            request_timeout: PATIENCE,
            ..ConnectionOptions::default()
        };
        let mut opened = Vec::with_capacity(members);
        for _ in 0..members {
            let mut connection = Connection::open(broker, options.clone())?;
            if number == 0 && opened.is_empty() {
                await_coordinator(&mut connection, &id)?;
            }
            let id = member_id(&mut connection, &id)?;
            opened.push(Member {
                connection,
                id,
                generation: -1,
            });
        }
        Ok(Group {
            id,
            members: opened,
        })
    }
}

/// The id that a new member is told to join with, once the coordinator has loaded its groups.
fn member_id(connection: &mut Connection, group: &StrBytes) -> Outcome<StrBytes> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = connection.call(&join(group, &StrBytes::default(), 0))?;
        if told.error_code == ErrorCode::MemberIdRequired.code() {
            return Ok(told.member_id);
        }
        if Instant::now() > deadline {
            return Err(format!("no member id is given: error {}", told.error_code).into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The first question for a coordinator makes the topic for offsets.
fn await_coordinator(connection: &mut Connection, group: &StrBytes) -> Outcome<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut find = FindCoordinatorRequest::default();
        find.coordinator_keys = vec![group.clone()];
        let found = connection.call(&find)?;
        let is_there = found.coordinators.iter().any(|found| found.error_code == 0);
        if is_there {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err("the broker does not become coordinator of a group".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn join(group: &StrBytes, member: &StrBytes, round: u32) -> JoinGroupRequest {
    let mut metadata = vec![0; METADATA_BYTES];
    metadata[METADATA_BYTES - 4..].copy_from_slice(&round.to_be_bytes());
    let mut protocol = JoinGroupRequestProtocol::default();
    protocol.name = StrBytes::from("range");
    protocol.metadata = Bytes::from(metadata);
    let mut join = JoinGroupRequest::default();
    join.group_id = group.clone();
    join.session_timeout_ms = TIMEOUT_MS;
    join.rebalance_timeout_ms = TIMEOUT_MS;
    join.member_id = member.clone();
    join.protocol_type = StrBytes::from("consumer");
    join.protocols = vec![protocol];
    join
}

fn assignment(member: &Member) -> SyncGroupRequestAssignment {
    let mut assignment = SyncGroupRequestAssignment::default();
    assignment.member_id = member.id.clone();
    assignment.assignment = Bytes::from_static(&[0; METADATA_BYTES]);
    assignment
}

fn ask<M: RequestResponsePair>(connection: &mut Connection, request: &M) -> Outcome<()> {
    let version = connection.version(message::api::<M>())?;
    connection.send(|out, correlation_id, client_id| {
        message::encode_request(out, version, correlation_id, client_id, request)
    })?;
    Ok(connection.flush()?)
}

fn answer<M: RequestResponsePair>(connection: &mut Connection) -> Outcome<M::Response> {
    let api: Api = message::api::<M>();
    let version = connection.version(api)?;
    let (frame, body) = connection.receive(api, version)?;
    Ok(message::decode_response(frame, version, body)?)
}

fn check(error_code: i16, what: &str) -> Outcome<()> {
    match error_code {
        0 => Ok(()),
        code => Err(format!("{what} is refused with error {code}").into()),
    }
}

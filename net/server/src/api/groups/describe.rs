use std::rc::Rc;

use sillon_group::{DescribedGroup, DescribedMember, GroupError, GroupRequest, GroupResponse};
use sillon_protocol::message::describe_groups_response::{
    DescribedGroup as WireGroup, DescribedGroupMember,
};
use sillon_protocol::message::{DescribeGroupsRequest, DescribeGroupsResponse, StrBytes};
use sillon_runtime::Call;
use sillon_shard::ShardId;

use super::{answered, ask, code, coordinator, own, wire, wire_bytes, wire_option};
use crate::api::{RequestError, decode, operations, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that may ask for what a client may do.
const FIRST_VERSION_WITH_OPERATIONS: i16 = 3;
/// First version in which a group that is not there is an error (KIP-1043).
const FIRST_VERSION_WITH_MISSING_GROUPS: i16 = 6;
/// Kafka's state of a group that is not there.
const DEAD: &str = "Dead";

/// Groups and their members.
pub(in crate::api) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeGroupsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        // Not before its turn: what shards answer may be large.
        let calls = ask_all(&context, &request.groups).await;
        let mut groups: Vec<WireGroup> = vec![WireGroup::default(); request.groups.len()];
        for (places, call) in calls {
            let GroupResponse::Describe(described) = answered(call).await? else {
                unreachable!("a question for groups is answered as one");
            };
            for (place, described) in places.into_iter().zip(described) {
                let group_id = request.groups[place].clone();
                let mut group = answer(group_id, &described, asked.version);
                let wants_operations = request.include_authorized_operations;
                if asked.version >= FIRST_VERSION_WITH_OPERATIONS && wants_operations {
                    group.authorized_operations = operations::ON_GROUP;
                }
                groups[place] = group;
            }
        }
        let mut response = DescribeGroupsResponse::default();
        response.groups = groups;
        respond(&asked, &response)
    }))
}

/// One call for each shard, with the places of its groups.
async fn ask_all(context: &Context, groups: &[StrBytes]) -> Vec<(Vec<usize>, Call)> {
    let mut by_shard: Vec<(ShardId, Vec<usize>)> = Vec::new();
    for (place, group_id) in groups.iter().enumerate() {
        let shard = coordinator(context, group_id);
        match by_shard.iter_mut().find(|(known, _)| *known == shard) {
            Some((_, places)) => places.push(place),
            None => by_shard.push((shard, vec![place])),
        }
    }
    let mut calls = Vec::with_capacity(by_shard.len());
    for (shard, places) in by_shard {
        let asked = places.iter().map(|place| own(&groups[*place]));
        let call = ask(context, shard, GroupRequest::Describe(asked.collect())).await;
        calls.push((places, call));
    }
    calls
}

fn answer(
    group_id: StrBytes,
    described: &Result<DescribedGroup, GroupError>,
    version: i16,
) -> WireGroup {
    let mut response = WireGroup::default();
    response.error_message = None;
    match described {
        Ok(group) => {
            response.group_state = StrBytes::from(group.state.name());
            response.protocol_type = wire(&group.protocol_type);
            response.protocol_data = wire(&group.protocol);
            response.members = group.members.iter().map(member).collect();
        }
        Err(GroupError::GroupIdNotFound) => {
            response.group_state = StrBytes::from(DEAD);
            if version >= FIRST_VERSION_WITH_MISSING_GROUPS {
                response.error_code = code(Err(GroupError::GroupIdNotFound));
                response.error_message = Some(text(format!("there is no group {}", &*group_id)));
            }
        }
        Err(error) => response.error_code = code(Err(*error)),
    }
    response.group_id = group_id;
    response
}

fn member(member: &DescribedMember) -> DescribedGroupMember {
    let mut response = DescribedGroupMember::default();
    response.member_id = wire(&member.member_id);
    // Ignored by versions that do not know it.
    response.group_instance_id = wire_option(member.instance_id.as_ref());
    response.client_id = wire(&member.client_id);
    response.client_host = wire(&member.client_host);
    response.member_metadata = wire_bytes(&member.metadata);
    response.member_assignment = wire_bytes(&member.assignment);
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_group::GroupState;
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn a_missing_group_is_dead_and_an_error_from_version_6_on() {
        let described = DescribedGroup {
            state: GroupState::Stable,
            protocol_type: "consumer".into(),
            protocol: "range".into(),
            members: vec![DescribedMember {
                member_id: "m".into(),
                instance_id: Some("i".into()),
                client_id: "c".into(),
                client_host: "/h".into(),
                metadata: (*b"a").into(),
                assignment: (*b"b").into(),
            }],
        };
        let spec = Api::DescribeGroups.spec();
        for version in spec.min..=spec.max {
            let missing = Err(GroupError::GroupIdNotFound);
            let mut response = DescribeGroupsResponse::default();
            for described in [Ok(described.clone()), missing] {
                let group = answer(StrBytes::from("g"), &described, version);
                response.groups.push(group);
            }
            let missing = &response.groups[1];
            assert_eq!(&*missing.group_state, "Dead");
            assert_eq!(missing.error_code, if version >= 6 { 69 } else { 0 });
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}

use std::rc::Rc;

use sillon_group::{GroupRequest, GroupResponse, ListGroups, ListedGroup};
use sillon_protocol::message::list_groups_response::ListedGroup as WireGroup;
use sillon_protocol::message::{ListGroupsRequest, ListGroupsResponse, StrBytes};
use sillon_shard::ShardId;

use super::{answered, ask, code, own, wire};
use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that tells the groups' states (KIP-518).
const FIRST_VERSION_WITH_STATE: i16 = 4;
/// First version that tells their type (KIP-848).
const FIRST_VERSION_WITH_TYPE: i16 = 5;
/// The type of all groups here.
const CLASSIC: &str = "classic";

/// The groups of all shards.
pub(in crate::api) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: ListGroupsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let filter = ListGroups {
        states: request.states_filter.iter().map(own).collect(),
        types: request.types_filter.iter().map(own).collect(),
    };
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        // Not before its turn: what shards answer may be large.
        let mut calls = Vec::new();
        for shard in 0..context.core.shards() {
            let request = GroupRequest::List(filter.clone());
            calls.push(ask(&context, ShardId(shard), request).await);
        }
        let mut response = ListGroupsResponse::default();
        for call in calls {
            match answered(call).await? {
                GroupResponse::List(Ok(groups)) => {
                    let groups = groups.iter().map(|group| answer(group, asked.version));
                    response.groups.extend(groups);
                }
                GroupResponse::List(Err(error)) => response.error_code = code(Err(error)),
                _ => unreachable!("a question for the groups is answered as one"),
            }
        }
        if response.error_code != 0 {
            response.groups.clear();
        }
        response.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        respond(&asked, &response)
    }))
}

fn answer(group: &ListedGroup, version: i16) -> WireGroup {
    let mut response = WireGroup::default();
    response.group_id = wire(&group.group_id);
    response.protocol_type = wire(&group.protocol_type);
    if version >= FIRST_VERSION_WITH_STATE {
        response.group_state = StrBytes::from(group.state.name());
    }
    if version >= FIRST_VERSION_WITH_TYPE {
        response.group_type = StrBytes::from(CLASSIC);
    }
    response
}

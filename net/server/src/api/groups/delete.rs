use std::rc::Rc;

use sillon_group::{GroupError, GroupRequest, GroupResponse};
use sillon_protocol::message::delete_groups_response::DeletableGroupResult;
use sillon_protocol::message::{DeleteGroupsRequest, DeleteGroupsResponse};

use super::{answered, ask, code, coordinator, own};
use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// Deletes groups without members; answered when that is durable.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DeleteGroupsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let mut calls = Vec::with_capacity(request.groups_names.len());
    for group_id in request.groups_names {
        let call = match group_id.is_empty() {
            true => None,
            false => {
                let shard = coordinator(context, &group_id);
                Some(ask(context, shard, GroupRequest::Delete(own(&group_id))).await)
            }
        };
        calls.push((group_id, call));
    }
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut response = DeleteGroupsResponse::default();
        for (group_id, call) in calls {
            let outcome = match call {
                None => Err(GroupError::InvalidGroupId),
                Some(call) => match answered(call).await? {
                    GroupResponse::Delete(outcome) => outcome,
                    _ => unreachable!("a deletion is answered as one"),
                },
            };
            let mut result = DeletableGroupResult::default();
            // The generated default may be an empty text, which clients show.
            result.error_message = None;
            result.group_id = group_id;
            result.error_code = code(outcome);
            response.results.push(result);
        }
        respond(&asked, &response)
    }))
}

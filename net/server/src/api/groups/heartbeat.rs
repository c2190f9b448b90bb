use std::rc::Rc;

use sillon_group::{GroupRequest, GroupResponse, Heartbeat};
use sillon_protocol::message::{HeartbeatRequest, HeartbeatResponse};

use super::{answered, ask, code, coordinator, own, own_option};
use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// A member is alive.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: HeartbeatRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let beat = Heartbeat {
        group_id: own(&request.group_id),
        member_id: own(&request.member_id),
        instance_id: own_option(request.group_instance_id.as_ref()),
        generation: request.generation_id,
    };
    let shard = coordinator(context, &beat.group_id);
    let call = ask(context, shard, GroupRequest::Heartbeat(beat)).await;
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut response = HeartbeatResponse::default();
        match answered(call).await? {
            GroupResponse::Heartbeat(outcome) => response.error_code = code(outcome),
            _ => unreachable!("a heartbeat is answered as one"),
        }
        respond(&asked, &response)
    }))
}

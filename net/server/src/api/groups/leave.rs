use std::rc::Rc;

use sillon_group::{GroupError, GroupRequest, GroupResponse, LeaveGroup, Leaving};
use sillon_protocol::message::leave_group_response::MemberResponse;
use sillon_protocol::message::{LeaveGroupRequest, LeaveGroupResponse};

use super::{answered, ask, code, coordinator, own, own_option, wire, wire_option};
use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version in which several members leave at once (KIP-345).
const FIRST_VERSION_WITH_MEMBERS: i16 = 3;

/// Members leave.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: LeaveGroupRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let leave = leave_group(&request, asked.version);
    let members = leave.members.clone();
    let shard = coordinator(context, &leave.group_id);
    let call = ask(context, shard, GroupRequest::Leave(leave)).await;
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        match answered(call).await? {
            GroupResponse::Leave(outcome) => {
                respond(&asked, &answer(&members, outcome, asked.version))
            }
            _ => unreachable!("a leave is answered as one"),
        }
    }))
}

fn leave_group(request: &LeaveGroupRequest, version: i16) -> LeaveGroup {
    let members = match version >= FIRST_VERSION_WITH_MEMBERS {
        true => request
            .members
            .iter()
            .map(|member| Leaving {
                member_id: own(&member.member_id),
                instance_id: own_option(member.group_instance_id.as_ref()),
            })
            .collect(),
        false => vec![Leaving {
            member_id: own(&request.member_id),
            instance_id: None,
        }],
    };
    LeaveGroup {
        group_id: own(&request.group_id),
        members,
    }
}

fn answer(
    members: &[Leaving],
    outcome: Result<Vec<Result<(), GroupError>>, GroupError>,
    version: i16,
) -> LeaveGroupResponse {
    let mut response = LeaveGroupResponse::default();
    match outcome {
        Err(error) => response.error_code = code(Err(error)),
        Ok(outcomes) if version < FIRST_VERSION_WITH_MEMBERS => {
            response.error_code = code(outcomes[0]);
        }
        Ok(outcomes) => {
            for (member, outcome) in members.iter().zip(outcomes) {
                let mut left = MemberResponse::default();
                left.member_id = wire(&member.member_id);
                left.group_instance_id = wire_option(member.instance_id.as_ref());
                left.error_code = code(outcome);
                response.members.push(left);
            }
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let members = [Leaving {
            member_id: "m".into(),
            instance_id: Some("i".into()),
        }];
        let spec = Api::LeaveGroup.spec();
        for version in spec.min..=spec.max {
            for outcome in [
                Ok(vec![Err(GroupError::UnknownMember)]),
                Err(GroupError::NotCoordinator),
            ] {
                let response = answer(&members, outcome, version);
                let mut out = BytesMut::new();
                message::encode_response(&mut out, version, 0, &response).unwrap();
            }
        }
    }
}

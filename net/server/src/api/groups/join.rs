use std::rc::Rc;
use std::sync::Arc;

use sillon_group::{GroupRequest, GroupResponse, JoinGroup, Joined, Protocol};
use sillon_protocol::frame::RequestHeader;
use sillon_protocol::message::join_group_response::JoinGroupResponseMember;
use sillon_protocol::message::{JoinGroupRequest, JoinGroupResponse, StrBytes};

use super::{answered, ask, code_of, coordinator, own, own_option, wire, wire_bytes, wire_option};
use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version with a rebalance timeout of its own (KIP-62).
const FIRST_VERSION_WITH_REBALANCE_TIMEOUT: i16 = 1;
/// First version whose client can be told its id first (KIP-394).
const FIRST_VERSION_WITH_REQUIRED_ID: i16 = 4;
/// First version in which there may be no protocol.
const FIRST_VERSION_WITH_NULL_PROTOCOL: i16 = 7;
/// First version whose client can skip the assignment (KIP-814).
const FIRST_VERSION_WITH_SKIPPING: i16 = 9;

/// A member joins its group; answered when the rebalance is over.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: JoinGroupRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let join = join_group(&incoming, &request, asked.version);
    // The answer may take minutes: nothing of the frame is kept meanwhile.
    drop((request, incoming));
    let shard = coordinator(context, &join.group_id);
    let call = ask(context, shard, GroupRequest::Join(join)).await;
    Ok(Box::pin(async move {
        match answered(call).await? {
            GroupResponse::Join(joined) => respond(&asked, &answer(&joined, asked.version)),
            _ => unreachable!("a join is answered as one"),
        }
    }))
}

fn join_group(incoming: &Incoming, request: &JoinGroupRequest, version: i16) -> JoinGroup {
    let header = RequestHeader::decode(&incoming.frame, incoming.is_first).ok();
    let client_id = header.and_then(|header| header.client_id);
    let client_host = match incoming.peer {
        Some(address) => format!("/{address}"),
        None => String::new(),
    };
    let protocols = request.protocols.iter().map(|protocol| Protocol {
        name: own(&protocol.name),
        metadata: Arc::from(&*protocol.metadata),
    });
    let mut fresh = [0; 16];
    getrandom::fill(&mut fresh).expect("the kernel gives random bytes");
    JoinGroup {
        group_id: own(&request.group_id),
        member_id: own(&request.member_id),
        instance_id: own_option(request.group_instance_id.as_ref()),
        client_id: client_id.unwrap_or_default().into(),
        client_host: client_host.into(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms: match version >= FIRST_VERSION_WITH_REBALANCE_TIMEOUT {
            true => request.rebalance_timeout_ms,
            false => request.session_timeout_ms,
        },
        protocol_type: own(&request.protocol_type),
        protocols: protocols.collect(),
        needs_member_id: version >= FIRST_VERSION_WITH_REQUIRED_ID,
        can_skip_assignment: version >= FIRST_VERSION_WITH_SKIPPING,
        fresh_id: u128::from_le_bytes(fresh),
    }
}

fn answer(joined: &Joined, version: i16) -> JoinGroupResponse {
    let mut response = JoinGroupResponse::default();
    response.error_code = code_of(joined.error);
    response.generation_id = joined.generation;
    if version >= FIRST_VERSION_WITH_NULL_PROTOCOL {
        response.protocol_type = wire_option(joined.protocol_type.as_ref());
        response.protocol_name = wire_option(joined.protocol.as_ref());
    } else {
        let protocol = joined.protocol.as_deref().unwrap_or_default();
        response.protocol_name = Some(StrBytes::from(protocol.to_owned()));
    }
    if version >= FIRST_VERSION_WITH_SKIPPING {
        response.skip_assignment = joined.skip_assignment;
    }
    response.leader = wire(&joined.leader);
    response.member_id = wire(&joined.member_id);
    let members = joined.members.iter().map(|member| {
        let mut response = JoinGroupResponseMember::default();
        response.member_id = wire(&member.member_id);
        // Ignored by versions that do not know it.
        response.group_instance_id = wire_option(member.instance_id.as_ref());
        response.metadata = wire_bytes(&member.metadata);
        response
    });
    response.members = members.collect();
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_group::{GroupError, JoinedMember};
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let joined = Joined {
            generation: 3,
            protocol_type: Some("consumer".into()),
            protocol: Some("range".into()),
            leader: "m".into(),
            member_id: "m".into(),
            skip_assignment: true,
            members: vec![JoinedMember {
                member_id: "m".into(),
                instance_id: Some("i".into()),
                metadata: Arc::from(*b"abc"),
            }],
            error: None,
        };
        let refused = Joined {
            error: Some(GroupError::MemberIdRequired),
            generation: -1,
            ..Joined::default()
        };
        let spec = Api::JoinGroup.spec();
        for version in spec.min..=spec.max {
            for joined in [&joined, &refused] {
                let mut out = BytesMut::new();
                message::encode_response(&mut out, version, 0, &answer(joined, version)).unwrap();
            }
        }
    }
}

use std::rc::Rc;
use std::sync::Arc;

use sillon_group::{GroupError, GroupRequest, GroupResponse, SyncGroup, Synced};
use sillon_protocol::message::{SyncGroupRequest, SyncGroupResponse};

use super::{answered, ask, code, coordinator, own, own_option, wire_bytes, wire_option};
use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that says what it takes the group's protocol to be (KIP-559).
const FIRST_VERSION_WITH_PROTOCOL: i16 = 5;

/// A member asks for its assignment; answered when the leader has assigned.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: SyncGroupRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let names_nothing = request.protocol_type.is_none() || request.protocol_name.is_none();
    if asked.version >= FIRST_VERSION_WITH_PROTOCOL && names_nothing {
        return Ok(Box::pin(async move {
            respond(
                &asked,
                &answer(&Err(GroupError::InconsistentProtocol), asked.version),
            )
        }));
    }
    let sync = sync_group(&request);
    // The answer may take a while: nothing of the frame is kept meanwhile.
    drop((request, incoming));
    let shard = coordinator(context, &sync.group_id);
    let call = ask(context, shard, GroupRequest::Sync(sync)).await;
    Ok(Box::pin(async move {
        match answered(call).await? {
            GroupResponse::Sync(synced) => respond(&asked, &answer(&synced, asked.version)),
            _ => unreachable!("a sync is answered as one"),
        }
    }))
}

fn sync_group(request: &SyncGroupRequest) -> SyncGroup {
    let assignments = request.assignments.iter();
    let assignments = assignments.map(|a| (own(&a.member_id), Arc::from(&*a.assignment)));
    SyncGroup {
        group_id: own(&request.group_id),
        member_id: own(&request.member_id),
        instance_id: own_option(request.group_instance_id.as_ref()),
        generation: request.generation_id,
        protocol_type: own_option(request.protocol_type.as_ref()),
        protocol: own_option(request.protocol_name.as_ref()),
        assignments: assignments.collect(),
    }
}

fn answer(synced: &Result<Synced, GroupError>, version: i16) -> SyncGroupResponse {
    let mut response = SyncGroupResponse::default();
    match synced {
        Ok(synced) => {
            if version >= FIRST_VERSION_WITH_PROTOCOL {
                response.protocol_type = wire_option(synced.protocol_type.as_ref());
                response.protocol_name = wire_option(synced.protocol.as_ref());
            }
            response.assignment = wire_bytes(&synced.assignment);
        }
        Err(error) => response.error_code = code(Err(*error)),
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
        let synced = Synced {
            protocol_type: Some("consumer".into()),
            protocol: Some("range".into()),
            assignment: Arc::from(*b"abc"),
        };
        let spec = Api::SyncGroup.spec();
        for version in spec.min..=spec.max {
            for synced in [Ok(synced.clone()), Err(GroupError::UnknownMember)] {
                let mut out = BytesMut::new();
                message::encode_response(&mut out, version, 0, &answer(&synced, version)).unwrap();
            }
        }
    }
}

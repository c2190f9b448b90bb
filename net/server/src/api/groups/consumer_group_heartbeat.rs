use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// A member of a group of the newer protocol (KIP-848). There are none: answered as Kafka answers
/// where that protocol is switched off, which each client takes as final, with a message of its
/// own. Were the API not advertised, librdkafka would wait for ever and say nothing.
pub(in crate::api) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let _request: ConsumerGroupHeartbeatRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        respond(&asked, &refusal())
    }))
}

fn refusal() -> ConsumerGroupHeartbeatResponse {
    let mut response = ConsumerGroupHeartbeatResponse::default();
    response.error_code = ErrorCode::UnsupportedVersion.code();
    response.error_message = None;
    response
}

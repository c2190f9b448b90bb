use std::rc::Rc;

use sillon_controller::{ControlReply, ControlRequest};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::{InitProducerIdRequest, InitProducerIdResponse};

use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::route::stopped;

/// An id for an idempotent producer. There are no transactions: a transactional id is answered
/// with the code that Java clients and librdkafka take as final; others are retried for ever.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: InitProducerIdRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let mut response = InitProducerIdResponse::default();
        response.producer_id = -1;
        response.producer_epoch = -1;
        match &request.transactional_id {
            Some(id) if id.is_empty() => {
                response.error_code = ErrorCode::InvalidRequest.code();
            }
            Some(_) => {
                response.error_code = ErrorCode::TransactionalIdAuthorizationFailed.code();
            }
            None => {
                let reply = context.core.control(ControlRequest::ProducerId);
                match reply.await.map_err(stopped)? {
                    ControlReply::ProducerId(id) => {
                        response.producer_id = id;
                        response.producer_epoch = 0;
                    }
                    // Retried by clients, as long as their time lasts.
                    ControlReply::NoSpace => {
                        response.error_code = ErrorCode::CoordinatorNotAvailable.code();
                    }
                    _ => unreachable!("the controller answers what it was asked"),
                }
            }
        }
        respond(&asked, &response)
    }))
}

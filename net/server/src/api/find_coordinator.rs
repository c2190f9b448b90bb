use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::find_coordinator_response::Coordinator;
use sillon_protocol::message::{FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};

use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that asks for several keys at once (KIP-699).
const FIRST_VERSION_WITH_KEYS: i16 = 4;

/// First version with an error's text.
const FIRST_VERSION_WITH_MESSAGE: i16 = 1;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// Who coordinates a group or a transaction: nobody yet.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: FindCoordinatorRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        respond(&asked, &answer(request, asked.version))
    }))
}

fn answer(request: FindCoordinatorRequest, version: i16) -> FindCoordinatorResponse {
    let (error, message) = match request.key_type {
        GROUP => (
            ErrorCode::CoordinatorNotAvailable,
            "consumer groups are not served yet: assign partitions instead",
        ),
        // The code that Java clients and librdkafka take as final; others are retried for ever.
        TRANSACTION => (
            ErrorCode::TransactionalIdAuthorizationFailed,
            "transactions are not served yet: leave transactional.id away",
        ),
        _ => (ErrorCode::InvalidRequest, "no coordinator is of this type"),
    };
    let message = StrBytes::from(message);
    let mut response = FindCoordinatorResponse::default();
    if version >= FIRST_VERSION_WITH_KEYS {
        let coordinator = |key| {
            let mut coordinator = Coordinator::default();
            coordinator.key = key;
            coordinator.node_id = -1;
            coordinator.port = -1;
            coordinator.error_code = error.code();
            coordinator.error_message = Some(message.clone());
            coordinator
        };
        let keys = request.coordinator_keys.into_iter();
        response.coordinators = keys.map(coordinator).collect();
        return response;
    }
    response.node_id = -1;
    response.port = -1;
    response.error_code = error.code();
    if version >= FIRST_VERSION_WITH_MESSAGE {
        response.error_message = Some(message);
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
        let spec = Api::FindCoordinator.spec();
        for version in spec.min..=spec.max {
            let mut request = FindCoordinatorRequest::default();
            request.coordinator_keys = vec![StrBytes::from("a")];
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &answer(request, version)).unwrap();
        }
    }

    #[test]
    fn a_transaction_is_refused_for_good_and_a_group_for_now() {
        for (key_type, code) in [(0, 15), (1, 53), (7, 42)] {
            let mut request = FindCoordinatorRequest::default();
            request.key_type = key_type;
            request.coordinator_keys = vec![StrBytes::from("a"), StrBytes::from("b")];
            assert_eq!(answer(request.clone(), 3).error_code, code);
            let response = answer(request, 4);
            assert_eq!(response.error_code, 0);
            assert!(response.coordinators.iter().all(|c| c.error_code == code));
            assert_eq!(response.coordinators.len(), 2);
        }
    }
}

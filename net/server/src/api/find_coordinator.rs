use std::rc::Rc;

use sillon_controller::{ControlRequest, NewTopic};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::find_coordinator_response::Coordinator;
use sillon_protocol::message::{FindCoordinatorRequest, FindCoordinatorResponse, StrBytes};
use sillon_shard::OFFSETS_TOPIC;

use super::{RequestError, control, decode, random_topic_id, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::{Answer, Ended};
use crate::limits::AUTO_CREATE_MS;

/// First version that asks for several keys at once (KIP-699).
const FIRST_VERSION_WITH_KEYS: i16 = 4;

/// First version with an error's text.
const FIRST_VERSION_WITH_MESSAGE: i16 = 1;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// `__consumer_offsets` as Kafka makes it: segments of 100 MiB are compacted piece by piece.
const OFFSETS_CONFIGS: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("compression.type", "producer"),
    ("segment.bytes", "104857600"),
];

/// Who coordinates a group or a transaction: this node the groups, nobody the transactions yet.
/// The first one who asks for a group has `__consumer_offsets` made.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: FindCoordinatorRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let found = match request.key_type {
            GROUP => find_for_groups(&context, incoming.listener).await?,
            // The code that Java clients and librdkafka take as final; others are retried for
            // ever.
            TRANSACTION => Err((
                ErrorCode::TransactionalIdAuthorizationFailed,
                "transactions are not served yet: leave transactional.id away",
            )),
            _ => Err((ErrorCode::InvalidRequest, "no coordinator is of this type")),
        };
        respond(&asked, &answer(request, &found, asked.version))
    }))
}

/// A coordinator's node, host and port, or why there is none.
type Found = Result<(i32, String, i32), (ErrorCode, &'static str)>;

async fn find_for_groups(context: &Context, listener: usize) -> Result<Found, Ended> {
    let exists = || {
        let core = &context.core;
        core.with_image(|image| image.topic_named(OFFSETS_TOPIC).is_some())
    };
    if !exists() {
        let configs = OFFSETS_CONFIGS.iter();
        let configs = configs.map(|(key, value)| (key.to_string(), Some(value.to_string())));
        let topic = NewTopic {
            partitions: context.offsets_partitions,
            configs: configs.collect(),
            ..NewTopic::with_defaults(random_topic_id(), OFFSETS_TOPIC)
        };
        let request = ControlRequest::CreateTopics {
            topics: vec![topic],
            validate_only: false,
        };
        // A refusal shows in that the topic is not there; somebody else may have made it.
        control(context, request, AUTO_CREATE_MS as i32).await?;
    }
    if !exists() {
        let code = ErrorCode::CoordinatorNotAvailable;
        return Ok(Err((
            code,
            "__consumer_offsets is being created: ask again",
        )));
    }
    let broker = context.core.broker();
    let (host, port) = match context.told(broker.0, listener) {
        Some(told) => (told.host.to_string(), i32::from(told.port)),
        None => context.core.with_image(|image| {
            let broker = image
                .broker(broker)
                .expect("a broker registers at its start");
            (broker.host.to_string(), i32::from(broker.port))
        }),
    };
    Ok(Ok((broker.0, host, port)))
}

fn answer(request: FindCoordinatorRequest, found: &Found, version: i16) -> FindCoordinatorResponse {
    let nobody = (-1, String::new(), -1);
    let (node_id, host, port) = found.as_ref().unwrap_or(&nobody);
    let error = found.as_ref().err();
    let code = error.map_or(ErrorCode::None, |(code, _)| *code).code();
    let message = error.map(|(_, message)| StrBytes::from(*message));
    let mut response = FindCoordinatorResponse::default();
    if version >= FIRST_VERSION_WITH_KEYS {
        let coordinator = |key| {
            let mut coordinator = Coordinator::default();
            coordinator.key = key;
            coordinator.node_id = *node_id;
            coordinator.host = StrBytes::from(host.clone());
            coordinator.port = *port;
            coordinator.error_code = code;
            coordinator.error_message = message.clone();
            coordinator
        };
        let keys = request.coordinator_keys.into_iter();
        response.coordinators = keys.map(coordinator).collect();
        return response;
    }
    response.node_id = *node_id;
    response.host = StrBytes::from(host.clone());
    response.port = *port;
    response.error_code = code;
    if version >= FIRST_VERSION_WITH_MESSAGE {
        response.error_message = message;
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
        let refused = ErrorCode::TransactionalIdAuthorizationFailed;
        let spec = Api::FindCoordinator.spec();
        for version in spec.min..=spec.max {
            for found in [Ok((1, "field".to_owned(), 9092)), Err((refused, "not yet"))] {
                let mut request = FindCoordinatorRequest::default();
                request.coordinator_keys = vec![StrBytes::from("a"), StrBytes::from("b")];
                let response = answer(request, &found, version);
                let keys = if version >= FIRST_VERSION_WITH_KEYS {
                    2
                } else {
                    0
                };
                assert_eq!(response.coordinators.len(), keys);
                let mut out = BytesMut::new();
                message::encode_response(&mut out, version, 0, &response).unwrap();
            }
        }
    }
}

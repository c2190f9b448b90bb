use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::describe_cluster_response::DescribeClusterBroker;
use sillon_protocol::message::{DescribeClusterRequest, DescribeClusterResponse};

use super::{RequestError, decode, operations, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// `endpoint_type`: the brokers.
const BROKERS: i8 = 1;
/// `endpoint_type`: the controllers, which clients do not reach here.
const CONTROLLERS: i8 = 2;

/// First version that asks for one kind of endpoints (KIP-919).
const FIRST_VERSION_WITH_TYPE: i16 = 1;

/// Brokers and who controls them.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeClusterRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let core = &context.core;
        let mut response = DescribeClusterResponse::default();
        response.endpoint_type = request.endpoint_type;
        response.controller_id = -1;
        let is_typed = asked.version >= FIRST_VERSION_WITH_TYPE;
        if is_typed && request.endpoint_type != BROKERS {
            let (error, message) = match request.endpoint_type {
                CONTROLLERS => (
                    ErrorCode::MismatchedEndpointType,
                    "this is an endpoint of brokers",
                ),
                _ => (ErrorCode::UnsupportedEndpointType, "unknown endpoint type"),
            };
            response.error_code = error.code();
            response.error_message = Some(text(message));
            return respond(&asked, &response);
        }
        response.cluster_id = text(&*core.cluster_id());
        response.controller_id = core.broker().0;
        response.brokers = core.with_image(|image| {
            let broker = |broker: &sillon_controller::Broker| {
                let mut response = DescribeClusterBroker::default();
                response.broker_id = broker.id.0;
                response.host = text(&*broker.host);
                response.port = i32::from(broker.port);
                response
            };
            image.brokers().map(broker).collect()
        });
        if request.include_cluster_authorized_operations {
            response.cluster_authorized_operations = operations::ON_CLUSTER;
        }
        respond(&asked, &response)
    }))
}

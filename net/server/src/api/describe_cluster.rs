use std::rc::Rc;

use sillon_controller::{Broker, Image};
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
        let mut response = core.with_image(|image| answer(image, &request, asked.version));
        for broker in &mut response.brokers {
            if let Some(told) = context.told(broker.broker_id, incoming.listener) {
                broker.host = text(&*told.host);
                broker.port = i32::from(told.port);
            }
        }
        if response.error_code == 0 {
            response.cluster_id = text(&*core.cluster_id());
            response.controller_id = core.broker().0;
        }
        respond(&asked, &response)
    }))
}

fn answer(
    image: &Image,
    request: &DescribeClusterRequest,
    version: i16,
) -> DescribeClusterResponse {
    let mut response = DescribeClusterResponse::default();
    response.controller_id = -1;
    // The generated default is an empty text, which clients show.
    response.error_message = None;
    if version >= FIRST_VERSION_WITH_TYPE {
        response.endpoint_type = request.endpoint_type;
        let refused = match request.endpoint_type {
            BROKERS => None,
            CONTROLLERS => Some((
                ErrorCode::MismatchedEndpointType,
                "this is an endpoint of brokers",
            )),
            _ => Some((ErrorCode::UnsupportedEndpointType, "unknown endpoint type")),
        };
        if let Some((error, message)) = refused {
            response.error_code = error.code();
            response.error_message = Some(text(message));
            return response;
        }
    }
    let broker = |broker: &Broker| {
        let mut response = DescribeClusterBroker::default();
        response.broker_id = broker.id.0;
        response.host = text(&*broker.host);
        response.port = i32::from(broker.port);
        response
    };
    response.brokers = image.brokers().map(broker).collect();
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = operations::ON_CLUSTER;
    }
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};

    use super::*;

    #[test]
    fn controllers_are_not_reached_here() {
        for (endpoint_type, code) in [(1, 0), (2, 114), (3, 115)] {
            let mut request = DescribeClusterRequest::default();
            request.endpoint_type = endpoint_type;
            request.include_cluster_authorized_operations = true;
            let spec = Api::DescribeCluster.spec();
            for version in spec.min..=spec.max {
                let response = answer(&Image::default(), &request, version);
                let expected = if version == 0 { 0 } else { code };
                assert_eq!(response.error_code, expected);
                let mut out = BytesMut::new();
                message::encode_response(&mut out, version, 0, &response).unwrap();
            }
        }
    }
}

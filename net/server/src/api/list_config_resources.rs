use std::rc::Rc;

use sillon_controller::Image;
use sillon_protocol::ErrorCode;
use sillon_protocol::message::list_config_resources_response::ConfigResource;
use sillon_protocol::message::{ListConfigResourcesRequest, ListConfigResourcesResponse, StrBytes};

use super::config_resource::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that lists more than subscriptions of client metrics (KIP-1142).
const FIRST_VERSION_WITH_TYPES: i16 = 1;

/// What has a configuration.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: ListConfigResourcesRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let core = &context.core;
        let response =
            core.with_image(|image| answer(image, &request.resource_types, asked.version));
        respond(&asked, &response)
    }))
}

fn answer(image: &Image, types: &[i8], version: i16) -> ListConfigResourcesResponse {
    const ALL: &[i8] = &[TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP];
    let mut response = ListConfigResourcesResponse::default();
    let types = match (version >= FIRST_VERSION_WITH_TYPES, types) {
        // Nobody subscribes to metrics of clients.
        (false, _) => &[],
        (true, []) => ALL,
        (true, types) => types,
    };
    if types.iter().any(|kind| !ALL.contains(kind)) {
        response.error_code = ErrorCode::UnsupportedVersion.code();
        return response;
    }
    let mut types = types.to_vec();
    types.sort_unstable();
    types.dedup();
    for kind in types {
        let names: Vec<StrBytes> = match kind {
            TOPIC => image
                .topics_by_name()
                .map(|topic| text(&*topic.name))
                .collect(),
            BROKER | BROKER_LOGGER => {
                let brokers = image.brokers();
                brokers
                    .map(|broker| text(broker.id.0.to_string()))
                    .collect()
            }
            _ => Vec::new(),
        };
        for name in names {
            let mut resource = ConfigResource::default();
            resource.resource_name = name;
            if version >= FIRST_VERSION_WITH_TYPES {
                resource.resource_type = kind;
            }
            response.config_resources.push(resource);
        }
    }
    response
}

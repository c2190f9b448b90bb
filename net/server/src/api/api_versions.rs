use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::{self, ApiVersionsRequest, ApiVersionsResponse};
use sillon_record::BrokerId;

use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version in which the client says what it is (KIP-511).
const FIRST_VERSION_WITH_SOFTWARE: i16 = 3;

/// What is served.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: ApiVersionsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let cluster_id = context.core.cluster_id();
        let broker = context.core.broker();
        respond(
            &asked,
            &answer(&request, asked.version, &cluster_id, broker),
        )
    }))
}

fn answer(
    request: &ApiVersionsRequest,
    version: i16,
    cluster_id: &str,
    broker: BrokerId,
) -> ApiVersionsResponse {
    let mut response = ApiVersionsResponse::default();
    let software = [
        &request.client_software_name,
        &request.client_software_version,
    ];
    if version >= FIRST_VERSION_WITH_SOFTWARE && !software.iter().all(|text| is_plain(text)) {
        response.error_code = ErrorCode::InvalidRequest.code();
        return response;
    }
    let other_cluster = request
        .cluster_id
        .as_ref()
        .is_some_and(|id| **id != *cluster_id);
    let other_node = request.node_id != -1 && request.node_id != broker.0;
    if other_cluster || other_node {
        response.error_code = ErrorCode::RebootstrapRequired.code();
        return response;
    }
    message::api_versions()
}

/// Kafka's pattern `[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?`.
fn is_plain(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    bytes.iter().all(|byte| is_inner(*byte))
        && ends
            .iter()
            .all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use sillon_protocol::message::StrBytes;

    use super::*;

    fn request() -> ApiVersionsRequest {
        let mut request = ApiVersionsRequest::default();
        request.client_software_name = StrBytes::from("plough-1.0");
        request.client_software_version = StrBytes::from("2");
        request.node_id = -1;
        request
    }

    #[test]
    fn a_client_that_names_itself_badly_is_refused() {
        for name in ["", "-a", "a.", "a b", "é"] {
            let mut request = request();
            request.client_software_name = StrBytes::from(name);
            let code = answer(&request, 3, "c", BrokerId(1)).error_code;
            assert_eq!(code, ErrorCode::InvalidRequest.code(), "{name}");
            assert_eq!(answer(&request, 2, "c", BrokerId(1)).error_code, 0);
        }
        assert_eq!(answer(&request(), 3, "c", BrokerId(1)).error_code, 0);
    }

    #[test]
    fn a_client_of_another_cluster_or_broker_is_sent_back_to_its_bootstrap_servers() {
        let expected = ErrorCode::RebootstrapRequired.code();
        let mut stranger = request();
        stranger.cluster_id = Some(StrBytes::from("other"));
        assert_eq!(answer(&stranger, 5, "c", BrokerId(1)).error_code, expected);
        stranger.cluster_id = Some(StrBytes::from("c"));
        assert_eq!(answer(&stranger, 5, "c", BrokerId(1)).error_code, 0);
        stranger.node_id = 2;
        assert_eq!(answer(&stranger, 5, "c", BrokerId(1)).error_code, expected);
        stranger.node_id = 1;
        assert_eq!(answer(&stranger, 5, "c", BrokerId(1)).error_code, 0);
    }
}

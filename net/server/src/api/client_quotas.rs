//! There are no quotas: nobody has any, and who sets one is told that it would not hold.

use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::alter_client_quotas_response::{EntityData, EntryData};
use sillon_protocol::message::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, DescribeClientQuotasRequest,
    DescribeClientQuotasResponse, StrBytes, alter_client_quotas_request,
};

use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// What clients are held to.
pub(super) fn describe(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let _: DescribeClientQuotasRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let mut response = DescribeClientQuotasResponse::default();
        response.error_message = None;
        response.entries = Some(Vec::new());
        respond(&asked, &response)
    }))
}

/// Holds clients to something.
pub(super) fn alter(context: &Rc<Context>, mut incoming: Incoming) -> Result<Answer, RequestError> {
    let request: AlterClientQuotasRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut response = AlterClientQuotasResponse::default();
        response.entries = request.entries.into_iter().map(refuse).collect();
        respond(&asked, &response)
    }))
}

fn refuse(entry: alter_client_quotas_request::EntryData) -> EntryData {
    let mut response = EntryData::default();
    response.error_code = ErrorCode::InvalidRequest.code();
    response.error_message = Some(StrBytes::from(
        "quotas are not built yet: nothing was changed",
    ));
    let entities = entry.entity.into_iter().map(|entity| {
        let mut response = EntityData::default();
        response.entity_type = entity.entity_type;
        response.entity_name = entity.entity_name;
        response
    });
    response.entity = entities.collect();
    response
}

//! There is no authorizer: whoever asks about ACLs is told so, as by Kafka without one.

use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::create_acls_response::AclCreationResult;
use sillon_protocol::message::delete_acls_response::DeleteAclsFilterResult;
use sillon_protocol::message::{
    CreateAclsRequest, CreateAclsResponse, DeleteAclsRequest, DeleteAclsResponse,
    DescribeAclsRequest, DescribeAclsResponse, StrBytes,
};

use super::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

const DISABLED: ErrorCode = ErrorCode::SecurityDisabled;

fn message() -> Option<StrBytes> {
    Some(StrBytes::from(
        "there are no ACLs: everybody may do everything",
    ))
}

/// Who may do what.
pub(super) fn describe(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let _: DescribeAclsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let mut response = DescribeAclsResponse::default();
        response.error_code = DISABLED.code();
        response.error_message = message();
        respond(&asked, &response)
    }))
}

/// Lets somebody do something.
pub(super) fn create(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: CreateAclsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let mut response = CreateAclsResponse::default();
        let result = |_| {
            let mut result = AclCreationResult::default();
            result.error_code = DISABLED.code();
            result.error_message = message();
            result
        };
        response.results = request.creations.iter().map(result).collect();
        respond(&asked, &response)
    }))
}

/// Takes that back.
pub(super) fn delete(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DeleteAclsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let mut response = DeleteAclsResponse::default();
        let result = |_| {
            let mut result = DeleteAclsFilterResult::default();
            result.error_code = DISABLED.code();
            result.error_message = message();
            result
        };
        response.filter_results = request.filters.iter().map(result).collect();
        respond(&asked, &response)
    }))
}

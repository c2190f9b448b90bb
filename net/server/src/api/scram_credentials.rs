use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::describe_user_scram_credentials_request::UserName;
use sillon_protocol::message::describe_user_scram_credentials_response::DescribeUserScramCredentialsResult;
use sillon_protocol::message::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
};

use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// Who has credentials: nobody. `kafka-configs` asks for them next to a user's quotas.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeUserScramCredentialsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut response = DescribeUserScramCredentialsResponse::default();
        response.error_message = None;
        let users = request.users.into_iter().flatten();
        response.results = users.map(unknown).collect();
        respond(&asked, &response)
    }))
}

fn unknown(user: UserName) -> DescribeUserScramCredentialsResult {
    let mut result = DescribeUserScramCredentialsResult::default();
    result.error_code = ErrorCode::ResourceNotFound.code();
    result.error_message = Some(text(format!("user {} has no credentials", user.name)));
    result.user = user.name;
    result
}

use std::rc::Rc;

use sillon_controller::{
    ControlReply, ControlRequest, DeleteTopicError, DeletedTopic, TopicTarget,
};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::delete_topics_request::DeleteTopicState;
use sillon_protocol::message::delete_topics_response::DeletableTopicResult;
use sillon_protocol::message::{DeleteTopicsRequest, DeleteTopicsResponse, StrBytes, Uuid};

use super::{RequestError, Unanswered, control, decode, respond, text, topic_id, uuid};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version in which a topic may be named by its id (KIP-516).
const FIRST_VERSION_BY_ID: i16 = 6;

/// First version with an error's text (KIP-599).
const FIRST_VERSION_WITH_MESSAGE: i16 = 5;

/// A topic as the request names it.
struct Named {
    name: Option<StrBytes>,
    id: Uuid,
}

/// Deletes topics; answers when their deletion is durable.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DeleteTopicsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let timeout_ms = request.timeout_ms;
        let named: Vec<Named> = if asked.version >= FIRST_VERSION_BY_ID {
            request.topics.into_iter().map(Named::of).collect()
        } else {
            let names = request.topic_names.into_iter();
            names.map(Named::by_name).collect()
        };
        let targets = named.iter().filter_map(Named::target).collect();
        let asking = ControlRequest::DeleteTopics { topics: targets };
        let (results, unanswered) = match control(&context, asking, timeout_ms).await? {
            Some(ControlReply::DeleteTopics(results)) => (results, Unanswered::Late),
            Some(ControlReply::NoSpace) => (Vec::new(), Unanswered::NoSpace),
            Some(_) => unreachable!("the controller answers what it was asked"),
            None => (Vec::new(), Unanswered::Late),
        };
        let mut results = results.into_iter();
        let mut response = DeleteTopicsResponse::default();
        for named in named {
            let result = named.target();
            let result = result.map(|_| results.next().ok_or(unanswered));
            response
                .responses
                .push(answer(named, result, asked.version));
        }
        respond(&asked, &response)
    }))
}

impl Named {
    fn of(topic: DeleteTopicState) -> Named {
        Named {
            name: topic.name,
            id: topic.topic_id,
        }
    }

    fn by_name(name: StrBytes) -> Named {
        Named {
            name: Some(name),
            id: Uuid::ZERO,
        }
    }

    /// `None`: both ways or neither, which makes no sense.
    fn target(&self) -> Option<TopicTarget> {
        match &self.name {
            Some(name) if self.id == Uuid::ZERO => Some(TopicTarget::Name(name.to_string())),
            None if self.id != Uuid::ZERO => Some(TopicTarget::Id(topic_id(self.id))),
            _ => None,
        }
    }
}

/// `result` is `None` when the topic was not named properly.
fn answer(
    named: Named,
    result: Option<Result<Result<DeletedTopic, DeleteTopicError>, Unanswered>>,
    version: i16,
) -> DeletableTopicResult {
    let mut response = DeletableTopicResult::default();
    // The generated default is an empty text, which clients show.
    response.error_message = None;
    response.name = named.name;
    response.topic_id = named.id;
    let (error, message) = match result {
        Some(Ok(Ok(deleted))) => {
            response.name = Some(text(deleted.name));
            response.topic_id = uuid(deleted.id);
            return response;
        }
        Some(Ok(Err(error))) => (code(&error), error.to_string()),
        Some(Err(unanswered)) => (unanswered.code(), unanswered.message().to_owned()),
        None => {
            let message = "name the topic either by its name or by its id";
            (ErrorCode::InvalidRequest, message.to_owned())
        }
    };
    response.error_code = error.code();
    if version >= FIRST_VERSION_WITH_MESSAGE {
        response.error_message = Some(text(message));
    }
    response
}

fn code(error: &DeleteTopicError) -> ErrorCode {
    match error {
        DeleteTopicError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
        DeleteTopicError::UnknownTopicId { .. } => ErrorCode::UnknownTopicId,
        DeleteTopicError::NamedTwice => ErrorCode::InvalidRequest,
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};
    use sillon_record::TopicId;

    use super::*;

    #[test]
    fn a_topic_is_named_one_way() {
        let named = |name: Option<&str>, id| Named {
            name: name.map(StrBytes::from),
            id: Uuid::from_bytes([id; 16]),
        };
        let by_name = TopicTarget::Name("furrow".to_owned());
        assert_eq!(named(Some("furrow"), 0).target(), Some(by_name));
        let by_id = TopicTarget::Id(TopicId([1; 16]));
        assert_eq!(named(None, 1).target(), Some(by_id));
        assert_eq!(named(None, 0).target(), None);
        assert_eq!(named(Some("furrow"), 1).target(), None);
    }

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let deleted = DeletedTopic {
            id: TopicId([1; 16]),
            name: "furrow".to_owned(),
        };
        let refused = DeleteTopicError::NamedTwice;
        let spec = Api::DeleteTopics.spec();
        for version in spec.min..=spec.max {
            let mut response = DeleteTopicsResponse::default();
            let done = [
                Some(Ok(Ok(deleted.clone()))),
                Some(Ok(Err(refused.clone()))),
                Some(Err(Unanswered::Late)),
                None,
            ];
            for result in done {
                let named = Named::by_name(StrBytes::from("furrow"));
                response.responses.push(answer(named, result, version));
            }
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }
}

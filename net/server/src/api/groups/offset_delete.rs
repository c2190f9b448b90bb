use std::rc::Rc;
use std::sync::Arc;

use sillon_group::{GroupError, GroupRequest, GroupResponse, OffsetDelete, TopicOutcome};
use sillon_protocol::message::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use sillon_protocol::message::{OffsetDeleteRequest, OffsetDeleteResponse};

use super::{answered, ask, code, coordinator, own, wire};
use crate::api::{RequestError, decode, respond};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// Forgets offsets; answered when that is durable.
pub(in crate::api) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: OffsetDeleteRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let (mut delete, mut unknown) = (OffsetDelete::default(), Vec::new());
    delete.group_id = own(&request.group_id);
    context.core.with_image(|image| {
        for topic in &request.topics {
            let partitions = topic.partitions.iter().map(|p| p.partition_index);
            let found = image.topic_named(&topic.name);
            let exists = |number: &i32| found.is_some_and(|f| f.partition(*number).is_some());
            let (known, missing) = partitions.partition::<Vec<i32>, _>(exists);
            let name = own(&topic.name);
            unknown.push((name.clone(), missing));
            delete.topics.push((name, known));
        }
    });
    let shard = coordinator(context, &delete.group_id);
    let call = ask(context, shard, GroupRequest::OffsetDelete(delete)).await;
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        match answered(call).await? {
            GroupResponse::OffsetDelete(outcome) => respond(&asked, &answer(outcome, unknown)),
            _ => unreachable!("a deletion of offsets is answered as one"),
        }
    }))
}

fn answer(
    outcome: Result<Vec<TopicOutcome>, GroupError>,
    unknown: Vec<(Arc<str>, Vec<i32>)>,
) -> OffsetDeleteResponse {
    let mut response = OffsetDeleteResponse::default();
    let outcomes = match outcome {
        Ok(outcomes) => outcomes,
        Err(error) => {
            response.error_code = code(Err(error));
            return response;
        }
    };
    for ((name, mut partitions), (_, unknown)) in outcomes.into_iter().zip(unknown) {
        let missing = Err(GroupError::UnknownTopicOrPartition);
        partitions.extend(unknown.into_iter().map(|number| (number, missing)));
        let mut topic = OffsetDeleteResponseTopic::default();
        topic.name = wire(&name);
        let partitions = partitions.into_iter().map(|(number, outcome)| {
            let mut partition = OffsetDeleteResponsePartition::default();
            partition.partition_index = number;
            partition.error_code = code(outcome);
            partition
        });
        topic.partitions = partitions.collect();
        response.topics.push(topic);
    }
    response
}

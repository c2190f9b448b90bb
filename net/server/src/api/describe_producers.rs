use std::rc::Rc;

use sillon_protocol::message::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use sillon_protocol::message::{DescribeProducersRequest, DescribeProducersResponse, StrBytes};
use sillon_protocol::{ErrorCode, TopicKey};
use sillon_record::TopicPartition;
use sillon_shard::{Describe, Described, KnownProducer, Request};

use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::limits::DESCRIBED_PRODUCERS_MAX;
use crate::route::{ByOwner, Place, Refused, answers, find_led, find_topic};

/// Idempotent producers of partitions (KIP-664).
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeProducersRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        // The topics' names are parts of the frame.
        let _permit = incoming.permit;
        // Not before its turn: what shards answer may be large.
        let (topics, by_owner) = route(&context, &request);
        let calls = by_owner.ask(&context.core, Request::Describe).await;
        let answered = answers(calls, |request| match request {
            Request::Describe(entries) => Some(entries),
            _ => None,
        });
        let mut answered = answered.await?;
        let mut left = DESCRIBED_PRODUCERS_MAX;
        let mut response = DescribeProducersResponse::default();
        for (name, partitions) in topics {
            let mut topic = TopicResponse::default();
            topic.name = name;
            for (index, fate) in partitions {
                let partition = answer(index, fate, &mut answered, &mut left);
                topic.partitions.push(partition);
            }
            response.topics.push(topic);
        }
        respond(&asked, &response)
    }))
}

type Topics = Vec<(StrBytes, Vec<(i32, Result<Place, ErrorCode>)>)>;

fn route(context: &Context, request: &DescribeProducersRequest) -> (Topics, ByOwner<Describe>) {
    let mut by_owner = ByOwner::new(context.core.shards());
    let topics = context.core.with_image(|image| {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let found = find_topic(image, &TopicKey::Name(&*topic.name));
            let mut fate = |index: i32| {
                let topic = found?;
                find_led(topic, index, context.core.broker())?;
                let partition = TopicPartition {
                    topic: topic.id,
                    partition: index,
                };
                let entry = Describe {
                    partition,
                    producers_max: DESCRIBED_PRODUCERS_MAX,
                    outcome: None,
                };
                Ok(by_owner.push(partition, entry))
            };
            let indexes = topic.partition_indexes.iter();
            let fates = indexes.map(|index| (*index, fate(*index)));
            topics.push((topic.name.clone(), fates.collect()));
        }
        topics
    });
    (topics, by_owner)
}

fn answer(
    index: i32,
    fate: Result<Place, ErrorCode>,
    answered: &mut [Vec<Describe>],
    left: &mut usize,
) -> PartitionResponse {
    let mut response = PartitionResponse::default();
    response.partition_index = index;
    response.error_message = None;
    let outcome = fate.map_err(Refused::from).and_then(|place| {
        let outcome = answered[place.group][place.entry].outcome.take();
        let outcome = outcome.expect("a shard fills in every outcome");
        within(outcome.map_err(Refused::from)?, left)
    });
    match outcome {
        Ok(described) => {
            response.active_producers = described.into_iter().map(producer).collect();
        }
        Err(refused) => {
            response.error_code = refused.code.code();
            response.error_message = refused.message.map(text);
        }
    }
    response
}

/// The producers, as long as the whole answer may have them.
fn within(described: Described, left: &mut usize) -> Result<Vec<KnownProducer>, Refused> {
    let rest = |producers: &Vec<KnownProducer>| left.checked_sub(producers.len());
    match described
        .producers
        .map(|producers| (rest(&producers), producers))
    {
        Some((Some(rest), producers)) => {
            *left = rest;
            Ok(producers)
        }
        _ => Err(Refused {
            code: ErrorCode::InvalidRequest,
            message: Some(format!(
                "one answer has {DESCRIBED_PRODUCERS_MAX} producers at most: ask for fewer \
                 partitions at a time"
            )),
        }),
    }
}

fn producer(producer: KnownProducer) -> ProducerState {
    let mut state = ProducerState::default();
    state.producer_id = producer.id;
    state.producer_epoch = i32::from(producer.epoch);
    state.last_sequence = producer.last_sequence;
    state.last_timestamp = producer.last_timestamp_ms;
    // There are no transactions.
    state.coordinator_epoch = -1;
    state.current_txn_start_offset = -1;
    state
}

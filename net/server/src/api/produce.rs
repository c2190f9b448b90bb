use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use sillon_buffer::Slice;
use sillon_controller::TopicConfig;
use sillon_protocol::produce::{
    PartitionProduced, ProducePartition, ProduceRequest, ProduceResponseWriter, RecordError,
};
use sillon_protocol::{ErrorCode, TopicKey};
use sillon_record::{
    BatchError, BatchErrorClass, BatchRules, DECOMPRESSED_BYTES_MAX, Scratch, TopicPartition,
    ValidBatch, needs_helper_thread,
};
use sillon_shard::{Appended, Produce, ProduceEntry, Request, STAGES, Stage, Stamps};

use super::RequestError;
use super::metadata::is_internal;
use crate::context::{Asked, Context, Incoming};
use crate::in_flight::{Answer, Ended};
use crate::limits::INLINE_DECOMPRESSED_BYTES_MAX;
use crate::reply::Reply;
use crate::route::{ByOwner, Leaders, Place, Refused, answers, find_led, find_topic, own_key};

/// First version that may carry zstd.
const FIRST_VERSION_WITH_ZSTD: i16 = 7;

/// acks=0: the producer wants no answer.
const ACKS_NONE: i16 = 0;
/// acks=all.
const ACKS_ALL: i16 = -1;

thread_local! {
    /// For batches that are checked on a helper thread.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Where a partition of the request goes.
struct Routed {
    partition: TopicPartition,
    config: TopicConfig,
}

/// A partition of the request, for its response.
struct Asking {
    index: i32,
    fate: Result<Place, Refusing>,
}

/// A batch that goes to no shard.
struct Refusing {
    refused: Refused,
    /// The record that is at fault, when one is.
    record: Option<i32>,
}

/// A topic of the request, for its response.
struct Topic {
    key: TopicKey<Arc<str>>,
    partitions: Vec<Asking>,
}

/// Appends batches: checks them, hands them to the shards that own their partitions, and answers
/// when they are as durable as the producer asks for.
pub(super) async fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let mut request = ProduceRequest::default();
    let Incoming {
        version, is_first, ..
    } = incoming;
    request.decode(&incoming.frame, version, incoming.body, is_first)?;
    let (mut topics, routes) = route(context, &request);
    let mut by_owner = ByOwner::new(context.core.shards());
    let asking = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    for ((asking, sent), route) in asking.zip(&mut request.partitions).zip(routes) {
        asking.fate = match route {
            Ok(routed) => admit(context, version, sent, routed).await.map(|entry| {
                let partition = entry.partition;
                by_owner.push(partition, entry)
            }),
            Err(refused) => Err(refused.into()),
        };
    }
    let asked = incoming.parsed(context);
    let acks = request.acks;
    // The entries hold what is still needed of the frame.
    drop((request, incoming.frame));
    let produce = |entries| {
        Request::Produce(Produce {
            entries,
            wait: acks != ACKS_NONE,
            stamps: asked.stamps,
        })
    };
    let calls = by_owner.ask(&context.core, produce).await;
    let (context, permit) = (context.clone(), incoming.permit);
    Ok(Box::pin(async move {
        let answered = answers(calls, |request| match request {
            Request::Produce(produce) => Some(produce),
            _ => None,
        });
        let answered = answered.await?;
        drop(permit);
        if acks == ACKS_NONE {
            return unacknowledged(&topics, &answered);
        }
        Ok(Some(encode(&context, &asked, &topics, &answered)))
    }))
}

/// Where each partition of the request goes, in the order of the request.
fn route(
    context: &Context,
    request: &ProduceRequest<Slice>,
) -> (Vec<Topic>, Vec<Result<Routed, Refused>>) {
    let mut routes = Vec::with_capacity(request.partitions.len());
    let topics = context.core.with_image(|image| {
        let one = |topic: &sillon_protocol::Topic<Slice>| {
            let found = find_topic(image, &topic.key);
            let partitions = request.partitions_of(topic);
            for partition in partitions {
                routes.push(route_one(context, request.acks, found, partition.index));
            }
            let asking = |partition: &ProducePartition<Slice>| Asking {
                index: partition.index,
                fate: Err(Refused::from(ErrorCode::UnknownServerError).into()),
            };
            Topic {
                key: own_key(&topic.key, found.ok()),
                partitions: partitions.iter().map(asking).collect(),
            }
        };
        request.topics.iter().map(one).collect()
    });
    (topics, routes)
}

fn route_one(
    context: &Context,
    acks: i16,
    topic: Result<&sillon_controller::Topic, ErrorCode>,
    index: i32,
) -> Result<Routed, Refused> {
    if !(-1..=1).contains(&acks) {
        return Err(Refused {
            code: ErrorCode::InvalidRequiredAcks,
            message: Some(format!("acks={acks}; 0, 1 and -1 (all) are known")),
        });
    }
    let topic = topic?;
    if is_internal(&topic.name) {
        return Err(Refused {
            code: ErrorCode::InvalidTopic,
            message: Some(format!("{} is written by the broker alone", topic.name)),
        });
    }
    let partition = find_led(topic, index, context.core.broker())?;
    let in_sync = partition.isr.len();
    let needed = topic.config.min_insync_replicas;
    if acks == ACKS_ALL && in_sync < needed as usize {
        return Err(Refused {
            code: ErrorCode::NotEnoughReplicas,
            message: Some(format!(
                "{in_sync} replicas are in sync, min.insync.replicas is {needed}"
            )),
        });
    }
    Ok(Routed {
        partition: TopicPartition {
            topic: topic.id,
            partition: index,
        },
        config: topic.config,
    })
}

/// Checks a batch. Takes it out of the request.
async fn admit(
    context: &Context,
    version: i16,
    sent: &mut ProducePartition<Slice>,
    routed: Routed,
) -> Result<ProduceEntry, Refusing> {
    let config = &routed.config;
    let rules = BatchRules {
        now_ms: context.core.now().wall_ms,
        max_message_bytes: config.max_message_bytes,
        decompressed_bytes_max: DECOMPRESSED_BYTES_MAX
            .min(config.max_decompressed_message_bytes.into()),
        is_compacted: config.cleanup_policy.compact,
        zstd_is_allowed: version >= FIRST_VERSION_WITH_ZSTD,
        timestamp_type: config.timestamp_type,
        timestamp_after_max_ms: config.timestamp_after_max_ms,
        timestamp_before_max_ms: config.timestamp_before_max_ms,
    };
    let records = sent.records.take().unwrap_or_default();
    let batch = check(context, records, rules).await?;
    Ok(ProduceEntry {
        partition: routed.partition,
        batch,
        outcome: None,
    })
}

/// Checks on this thread what takes no longer than a handler may, and on a helper's the rest.
async fn check(
    context: &Context,
    records: Slice,
    rules: BatchRules,
) -> Result<ValidBatch, Refusing> {
    if !needs_helper_thread(&records) {
        let inline = BatchRules {
            decompressed_bytes_max: INLINE_DECOMPRESSED_BYTES_MAX.min(rules.decompressed_bytes_max),
            ..rules
        };
        let mut scratch = context.scratch.borrow_mut();
        match ValidBatch::check(records.clone(), &inline, &mut scratch) {
            Err(BatchError::DecompressedTooLarge { .. })
                if inline.decompressed_bytes_max < rules.decompressed_bytes_max => {}
            checked => return Ok(checked?),
        }
    }
    let check =
        move || SCRATCH.with_borrow_mut(|scratch| ValidBatch::check(records, &rules, scratch));
    match context.checkers.run(check).await {
        Ok(checked) => Ok(checked?),
        Err(lost) => Err(Refusing {
            refused: Refused {
                code: ErrorCode::UnknownServerError,
                message: Some(lost.to_string()),
            },
            record: None,
        }),
    }
}

impl From<Refused> for Refusing {
    fn from(refused: Refused) -> Refusing {
        Refusing {
            refused,
            record: None,
        }
    }
}

impl From<BatchError> for Refusing {
    fn from(error: BatchError) -> Refusing {
        let code = match error.class() {
            BatchErrorClass::CorruptMessage => ErrorCode::CorruptMessage,
            BatchErrorClass::MessageTooLarge => ErrorCode::MessageTooLarge,
            BatchErrorClass::InvalidTimestamp => ErrorCode::InvalidTimestamp,
            BatchErrorClass::InvalidTxnState => ErrorCode::InvalidTxnState,
            BatchErrorClass::UnsupportedCompressionType => ErrorCode::UnsupportedCompressionType,
            BatchErrorClass::InvalidRecord => ErrorCode::InvalidRecord,
        };
        let record = match error {
            BatchError::Record { index, .. }
            | BatchError::OffsetDelta { index, .. }
            | BatchError::NullKey { index }
            | BatchError::Timestamp { index, .. } => Some(index),
            _ => None,
        };
        Refusing {
            refused: Refused {
                code,
                message: Some(error.to_string()),
            },
            record,
        }
    }
}

/// What became of a partition's batch.
fn outcome(asking: &Asking, answered: &[Produce]) -> Result<Appended, Refused> {
    match &asking.fate {
        Err(refusing) => Err(refusing.refused.clone()),
        Ok(place) => {
            let outcome = &answered[place.group].entries[place.entry].outcome;
            let outcome = outcome.expect("a shard fills in every outcome");
            outcome.map_err(Refused::from)
        }
    }
}

/// acks=0: a failure ends the connection, which is all that the producer can see of it.
fn unacknowledged(topics: &[Topic], answered: &[Produce]) -> Result<Option<Reply>, Ended> {
    for topic in topics {
        for asking in &topic.partitions {
            if let Err(refused) = outcome(asking, answered) {
                let (key, index) = (&topic.key, asking.index);
                tracing::debug!(?key, index, code = %refused.code, "acks=0");
                return Err(Ended::Unacknowledged);
            }
        }
    }
    Ok(None)
}

fn encode(context: &Context, asked: &Asked, topics: &[Topic], answered: &[Produce]) -> Reply {
    let mut out = BytesMut::new();
    let (version, correlation_id) = (asked.version, asked.correlation_id);
    let mut writer = ProduceResponseWriter::begin(&mut out, version, correlation_id, topics.len());
    let mut leaders = Leaders::default();
    for topic in topics {
        writer.topic(topic.key.as_ref(), topic.partitions.len());
        for asking in &topic.partitions {
            let mut produced = match outcome(asking, answered) {
                Ok(appended) => PartitionProduced {
                    base_offset: appended.base_offset.0,
                    log_append_time_ms: appended.log_append_time_ms,
                    log_start_offset: appended.log_start_offset.0,
                    ..PartitionProduced::failed(asking.index, ErrorCode::None)
                },
                Err(refused) => PartitionProduced {
                    error_message: refused.message,
                    ..PartitionProduced::failed(asking.index, refused.code)
                },
            };
            if let Err(Refusing {
                record: Some(index),
                ..
            }) = &asking.fate
            {
                produced.record_errors.push(RecordError {
                    batch_index: *index,
                    message: produced.error_message.clone(),
                });
            }
            let (core, error) = (&context.core, produced.error);
            produced.current_leader = leaders.hint(core, error, &topic.key, asking.index);
            writer.partition(&produced);
        }
    }
    writer.finish(0, &leaders.endpoints);
    Reply::of(asked.api, stamps(asked.stamps, answered), out)
}

/// A request has passed a stage when the last of its shards has.
fn stamps(parsed: Stamps, answered: &[Produce]) -> Stamps {
    let mut stamps = parsed;
    for produce in answered {
        for stage in Stage::Owned as usize..STAGES {
            let at_ns = produce.stamps.at_ns[stage];
            stamps.at_ns[stage] = stamps.at_ns[stage].max(at_ns);
        }
        stamps.owner = produce.stamps.owner;
    }
    stamps
}

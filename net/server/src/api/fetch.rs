use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use futures_lite::future;
use sillon_buffer::Slice;
use sillon_protocol::fetch::{
    DivergingEpoch, FetchHead, FetchPartition, FetchRequest, FetchResponseHead,
    FetchResponseWriter, PartitionFetched,
};
use sillon_protocol::{ErrorCode, TopicKey};
use sillon_record::{Offset, TopicPartition};
use sillon_shard::{Extent, Fetch, FetchEntry, Fetched, Stamps};

mod session;
mod wait;

use self::session::InSession;
use super::RequestError;
use crate::context::{Asked, Context, Incoming};
use crate::fetch_sessions::Session;
use crate::in_flight::{Answer, Ended, answered};
use crate::limits::FETCH_BYTES_MIN;
use crate::reply::{Held, Reply};
use crate::route::{ByOwner, Leaders, Place, Refused, find_led, find_topic, own_key};

const READ_COMMITTED: i8 = 1;

/// A partition of the request, for its response.
struct Asking {
    index: i32,
    fate: Result<Place, Refused>,
}

/// A topic of the request, for its response.
struct Topic {
    key: TopicKey<Arc<str>>,
    partitions: Vec<Asking>,
}

/// What the client gets, and when.
#[derive(Clone, Copy)]
struct Bounds {
    min_bytes: u64,
    max_bytes: u64,
    deadline_ns: u64,
}

/// What was read of a partition, and the records.
type Read = (PartitionFetched<usize>, Vec<Extent>);

/// Reads records: waits until there are enough of them, and sends them from where they are.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let mut request = FetchRequest::default();
    let Incoming {
        version, is_first, ..
    } = incoming;
    request.decode(&incoming.frame, version, incoming.body, is_first)?;
    let asked = incoming.parsed(context);
    let session = match InSession::take_up(context, &request, version) {
        Ok(session) => session,
        Err(code) => return Ok(answered(Ok(Some(no_session(&asked, code))))),
    };
    let (topics, by_owner) = match &session {
        InSession::Known { session, .. } => route_session(context, &session.borrow()),
        InSession::None | InSession::New(_) => route(context, &request),
    };
    let is_committed = request.head.isolation_level == READ_COMMITTED;
    let are_refused = topics
        .iter()
        .flat_map(|t| &t.partitions)
        .any(|p| p.fate.is_err());
    let bounds = bounds(&request.head, &asked, are_refused, context.fetch_bytes_max);
    // A waiting fetch holds neither its frame nor memory of the budget.
    drop((request, incoming));
    let context = context.clone();
    // Not before its turn: else a client that takes no response could have any number of them
    // hold records in memory.
    Ok(Box::pin(async move {
        let left = context
            .held_bytes_max
            .saturating_sub(context.held_bytes.get() + context.unsent.bytes());
        let max_bytes = bounds.max_bytes.min(left.max(FETCH_BYTES_MIN));
        let bounds = Bounds {
            max_bytes,
            min_bytes: bounds.min_bytes.min(max_bytes),
            ..bounds
        };
        let waiting = wait::begin(&context, by_owner, bounds, asked.stamps).await;
        let stopping = async {
            context.core.stopping().await;
            Err(Ended::Stopping)
        };
        let mut fetches = future::or(waiting.finish(&context), stopping).await?;
        let unread = open_segments(&context, &mut fetches).await;
        debug_assert!(
            fetches
                .iter()
                .all(|f| f.entries.iter().all(|e| e.outcome.is_some()))
        );
        Ok(Some(encode(
            &context,
            &asked,
            &topics,
            fetches,
            bounds,
            is_committed,
            &unread,
            session,
        )))
    }))
}

/// An error is answered at once, and so is who asks for no bytes.
fn bounds(head: &FetchHead, asked: &Asked, are_refused: bool, bytes_max: u64) -> Bounds {
    let unsigned = |number: i32| number.max(0) as u64;
    let received_ns = asked.stamps.at_ns[0];
    Bounds {
        min_bytes: match are_refused {
            true => 0,
            false => unsigned(head.min_bytes).min(bytes_max),
        },
        max_bytes: unsigned(head.max_bytes).min(bytes_max),
        deadline_ns: received_ns + unsigned(head.max_wait_ms) * 1_000_000,
    }
}

fn no_session(asked: &Asked, error: ErrorCode) -> Reply {
    let head = FetchResponseHead {
        error,
        ..FetchResponseHead::default()
    };
    let mut out = BytesMut::new();
    let (version, correlation_id) = (asked.version, asked.correlation_id);
    let writer = FetchResponseWriter::begin(&mut out, version, correlation_id, head, 0);
    writer.finish::<&str>(&[]);
    Reply::of(asked.api, asked.stamps, out)
}

fn route(context: &Context, request: &FetchRequest<Slice>) -> (Vec<Topic>, ByOwner<FetchEntry>) {
    let mut by_owner = ByOwner::new(context.core.shards());
    let topics = context.core.with_image(|image| {
        let one = |topic: &sillon_protocol::Topic<Slice>| {
            let found = find_topic(image, &topic.key);
            let mut ask = |partition: &FetchPartition| {
                let topic = found?;
                find_led(topic, partition.index, context.core.broker())?;
                let place = TopicPartition {
                    topic: topic.id,
                    partition: partition.index,
                };
                Ok(by_owner.push(place, entry(place, partition)))
            };
            let partitions = request.partitions_of(topic).iter();
            let partitions = partitions.map(|partition| Asking {
                index: partition.index,
                fate: ask(partition),
            });
            Topic {
                partitions: partitions.collect(),
                key: own_key(&topic.key, found.ok()),
            }
        };
        request.topics.iter().map(one).collect()
    });
    (topics, by_owner)
}

/// As [`route`], with all that the client has asked for in its session.
fn route_session(context: &Context, session: &Session) -> (Vec<Topic>, ByOwner<FetchEntry>) {
    let mut by_owner = ByOwner::new(context.core.shards());
    let mut topics: Vec<Topic> = Vec::new();
    context.core.with_image(|image| {
        for (key, partition) in session.asked() {
            let mut ask = || {
                let topic = find_topic(image, key)?;
                find_led(topic, partition.index, context.core.broker())?;
                let place = TopicPartition {
                    topic: topic.id,
                    partition: partition.index,
                };
                Ok(by_owner.push(place, entry(place, partition)))
            };
            let asking = Asking {
                index: partition.index,
                fate: ask(),
            };
            match topics.last_mut() {
                Some(last) if last.key == *key => last.partitions.push(asking),
                _ => topics.push(Topic {
                    key: key.clone(),
                    partitions: vec![asking],
                }),
            }
        }
    });
    (topics, by_owner)
}

fn entry(place: TopicPartition, partition: &FetchPartition) -> FetchEntry {
    FetchEntry {
        partition: place,
        offset: Offset(partition.offset),
        current_leader_epoch: partition.current_leader_epoch,
        last_fetched_epoch: partition.last_fetched_epoch,
        max_bytes: partition.max_bytes.max(0) as u64,
        outcome: None,
    }
}

/// Opens the segments that are to be sent. Returns the partitions for which that failed: after
/// the response's first byte it would be too late to say so.
async fn open_segments(context: &Context, fetches: &mut [Fetch]) -> Vec<TopicPartition> {
    let mut unread = Vec::new();
    for entry in fetches.iter_mut().flat_map(|fetch| &mut fetch.entries) {
        let Some(Ok(fetched)) = &entry.outcome else {
            continue;
        };
        for extent in &fetched.records {
            let Extent::File { segment, .. } = extent else {
                continue;
            };
            if let Err(error) = context.cold.open(segment).await {
                tracing::error!(%error, path = &*segment.path, "a segment cannot be opened");
                unread.push(entry.partition);
                break;
            }
        }
    }
    unread
}

/// Lays down the response around the records: of all partitions, or, in a session, of those with
/// news.
#[allow(clippy::too_many_arguments, reason = "all that a fetch has come to")]
fn encode(
    context: &Context,
    asked: &Asked,
    topics: &[Topic],
    mut fetches: Vec<Fetch>,
    bounds: Bounds,
    is_committed: bool,
    unread: &[TopicPartition],
    session: InSession,
) -> Reply {
    let mut leaders = Leaders::default();
    let mut read = read_all(topics, &mut fetches, bounds, is_committed, unread);
    for (topic, read) in topics.iter().zip(&mut read) {
        for (answer, _) in read {
            let (core, error) = (&context.core, answer.error);
            answer.current_leader = leaders.hint(core, error, &topic.key, answer.index);
        }
    }
    let head = FetchResponseHead {
        session_id: session.answered(context, topics, &mut read),
        ..FetchResponseHead::default()
    };
    let mut out = BytesMut::new();
    let mut records = Vec::new();
    let (version, correlation_id) = (asked.version, asked.correlation_id);
    let told = topics.iter().zip(read);
    let told = told.filter(|(topic, read)| topic.partitions.is_empty() || !read.is_empty());
    let told: Vec<(&Topic, Vec<Read>)> = told.collect();
    let mut writer =
        FetchResponseWriter::begin(&mut out, version, correlation_id, head, told.len());
    for (topic, read) in told {
        writer.topic(topic.key.as_ref(), read.len());
        for (answer, extents) in read {
            let position = writer.partition(&answer);
            records.extend(extents.into_iter().map(|extent| (position, extent)));
        }
    }
    writer.finish(&leaders.endpoints);
    let stamps = last_stamps(asked.stamps, &fetches);
    let in_memory = records.iter().map(|(_, extent)| match extent {
        Extent::Memory(slice) => slice.len() as u64,
        Extent::File { .. } => 0,
    });
    let held = Held::new(&context.held_bytes, in_memory.sum());
    let mut reply = Reply::with_records(asked.api, stamps, out, records);
    reply.held = Some(held);
    reply
}

/// What was read, by topic. When several shards have given records, what would be beyond the limit
/// of the whole answer is left out, last partitions first; its client asks again for it.
fn read_all(
    topics: &[Topic],
    fetches: &mut [Fetch],
    bounds: Bounds,
    is_committed: bool,
    unread: &[TopicPartition],
) -> Vec<Vec<Read>> {
    let mut total_bytes = 0;
    let mut read_one = |asking: &Asking| {
        let index = asking.index;
        let (mut answer, mut extents) = match take_outcome(asking, fetches, unread) {
            Ok(fetched) => fetched_answer(index, fetched, is_committed),
            Err(refused) => (PartitionFetched::failed(index, refused.code), Vec::new()),
        };
        let bytes = answer.records as u64;
        if total_bytes == 0 || total_bytes + bytes <= bounds.max_bytes {
            total_bytes += bytes;
        } else {
            answer.records = 0;
            extents.clear();
        }
        (answer, extents)
    };
    let topics = topics.iter();
    topics
        .map(|topic| topic.partitions.iter().map(&mut read_one).collect())
        .collect()
}

fn take_outcome(
    asking: &Asking,
    fetches: &mut [Fetch],
    unread: &[TopicPartition],
) -> Result<Fetched, Refused> {
    let place = match &asking.fate {
        Ok(place) => place,
        Err(refused) => return Err(refused.clone()),
    };
    let entry = &mut fetches[place.group].entries[place.entry];
    if unread.contains(&entry.partition) {
        return Err(ErrorCode::KafkaStorageError.into());
    }
    let outcome = entry.outcome.take();
    let outcome = outcome.expect("a shard fills in every outcome");
    outcome.map_err(Refused::from)
}

fn fetched_answer(
    index: i32,
    fetched: Fetched,
    is_committed: bool,
) -> (PartitionFetched<usize>, Vec<Extent>) {
    let high_watermark = fetched.high_watermark.0;
    let diverging = fetched.diverging.map(|(epoch, end_offset)| DivergingEpoch {
        epoch,
        end_offset: end_offset.0,
    });
    let answer = PartitionFetched {
        high_watermark,
        // Without transactions everything below the high watermark is decided.
        last_stable_offset: high_watermark,
        log_start_offset: fetched.log_start_offset.0,
        diverging,
        aborted: is_committed.then(Vec::new),
        records: fetched.records_bytes as usize,
        ..PartitionFetched::failed(index, ErrorCode::None)
    };
    (answer, fetched.records)
}

fn last_stamps(parsed: Stamps, fetches: &[Fetch]) -> Stamps {
    fetches.last().map_or(parsed, |fetch| fetch.stamps)
}

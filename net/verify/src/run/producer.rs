use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sillon_client::{Acks, Client, ClientError};
use sillon_protocol::produce::{
    FIRST_VERSION_BY_ID, ProduceHead, ProduceRequestWriter, ProduceResponse,
};
use sillon_protocol::{Api, ErrorCode, TopicKey};
use sillon_record::{
    BatchBuilder, Compression, Producer as ProducerId, TopicId, increment_sequence,
};

use super::session::{RETRY_AFTER, Session};
use super::tally::count;
use super::{Context, Idempotence};
use crate::event::What;

/// Values of one producer begin here, times its number and one: a person can read whose they are.
const VALUES: u64 = 1_000_000_000_000;

/// Records of one batch.
const BATCH_RECORDS_MAX: u32 = 10;

/// How long a batch is sent again before its producer gives up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// How long the broker may wait for replicas, in ms.
const TIMEOUT_MS: i32 = 10_000;

/// What became of one attempt.
enum Attempt {
    Acknowledged(Option<i64>),
    /// Nothing was appended, and the same may work later.
    NotYet,
    /// Nothing was appended, nor will be.
    Refused(ErrorCode),
    /// Something may have been appended; whether the same producer id can go on.
    Unknown {
        is_id_dead: bool,
    },
}

struct Producer<'a> {
    context: &'a Context<'a>,
    session: Session<'a>,
    process: u32,
    is_idempotent: bool,
    id: Option<ProducerId>,
    /// By partition, the next sequence number.
    sequences: Vec<i32>,
    next_value: u64,
    random: StdRng,
}

/// Produces until it is told to stop, one batch at a time.
pub(super) fn run(context: &Context<'_>, number: u32) {
    let process = context.process();
    let is_idempotent = match context.options.idempotence {
        Idempotence::All => true,
        Idempotence::None => false,
        Idempotence::Half => number.is_multiple_of(2),
    };
    let mut producer = Producer {
        context,
        session: Session::new(context),
        process,
        is_idempotent: is_idempotent && context.options.acks == Acks::All,
        id: None,
        sequences: vec![0; context.partitions as usize],
        next_value: VALUES * u64::from(number + 1),
        random: StdRng::seed_from_u64(context.options.seed ^ u64::from(number) << 32),
    };
    let pace = pace(context.options.rate, context.options.producers);
    let mut due = Instant::now();
    while !context.produced.load(Ordering::Relaxed) {
        let records = producer.random.random_range(1..=BATCH_RECORDS_MAX);
        if producer.is_idempotent && producer.id.is_none() && !producer.get_id() {
            continue;
        }
        producer.send(records);
        due += pace * records;
        let mut left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // What could not be done in time is not made up for.
            due = Instant::now();
        }
        while !left.is_zero() && !context.produced.load(Ordering::Relaxed) {
            thread::sleep(left.min(RETRY_AFTER));
            left = due.saturating_duration_since(Instant::now());
        }
    }
}

/// Time per record of one producer.
fn pace(rate: u32, producers: u32) -> Duration {
    match rate {
        0 => Duration::ZERO,
        rate => Duration::from_secs(1) * producers / rate,
    }
}

impl Producer<'_> {
    fn get_id(&mut self) -> bool {
        match self.session.client().and_then(Client::producer_id) {
            Ok(id) => {
                self.id = Some(id);
                self.sequences.fill(0);
                true
            }
            Err(_) => {
                self.session.recover();
                false
            }
        }
    }

    /// Sends one batch until its fate is known, or nobody can tell.
    fn send(&mut self, count_records: u32) {
        let (context, process) = (self.context, self.process);
        let partition = self.random.random_range(0..context.partitions);
        let first = self.next_value;
        self.next_value += u64::from(count_records);
        let sequence = self.sequences[partition as usize];
        let batch = self.batch(first, count_records, sequence);
        context.record(
            process,
            What::SendBegins {
                partition,
                first,
                count: count_records,
                is_idempotent: self.is_idempotent,
            },
        );
        let deadline = Instant::now() + GIVE_UP_AFTER;
        let mut may_be_there = false;
        loop {
            match self.attempt(partition, &batch) {
                Attempt::Acknowledged(offset) => {
                    let acknowledged = What::SendAcknowledged {
                        partition,
                        first,
                        offset,
                    };
                    context.record(process, acknowledged);
                    count(&context.tally.acknowledged, u64::from(count_records));
                    let next = increment_sequence(sequence, count_records as i32);
                    self.sequences[partition as usize] = next;
                    return;
                }
                Attempt::NotYet => thread::sleep(RETRY_AFTER),
                Attempt::Refused(error) => {
                    context
                        .tally
                        .surprise(format!("a batch was refused: {error}"));
                    context.note(process, format!("value {first} was refused: {error}"));
                    let what = match may_be_there {
                        true => What::SendUnknown { partition, first },
                        false => What::SendFailed { partition, first },
                    };
                    context.record(process, what);
                    // What comes next must not depend on whether this one is there.
                    self.id = None;
                    return;
                }
                Attempt::Unknown { is_id_dead } => {
                    may_be_there = true;
                    if is_id_dead {
                        break;
                    }
                }
            }
            if Instant::now() >= deadline {
                break;
            }
            if may_be_there {
                context.record(process, What::SendRetried { partition, first });
                count(&context.tally.retried, 1);
            }
        }
        let what = match may_be_there {
            true => {
                count(&context.tally.unknown, u64::from(count_records));
                What::SendUnknown { partition, first }
            }
            false => What::SendFailed { partition, first },
        };
        context.record(process, what);
        self.id = None;
    }

    fn batch(&self, first: u64, count_records: u32, sequence: i32) -> Vec<u8> {
        let mut builder = BatchBuilder::new(Compression::None);
        if let Some(id) = self.id {
            builder.producer(id, sequence);
        }
        for value in first..first + u64::from(count_records) {
            let text = value_text(self.context.options.seed, value);
            builder
                .append(now_ms(), None, Some(text.as_bytes()), &[])
                .expect("a few short records fit");
        }
        builder.build()
    }

    fn attempt(&mut self, partition: i32, batch: &[u8]) -> Attempt {
        let (acks, id) = (self.context.options.acks, self.context.place.id);
        let topic = self.context.place.topic.as_str();
        let client = match self.session.client() {
            Ok(client) => client,
            Err(_) => {
                self.session.recover();
                return Attempt::NotYet;
            }
        };
        let leader = client.leader(topic, partition);
        let connection = leader.and_then(|leader| client.connection(leader));
        let Ok(connection) = connection else {
            self.session.recover();
            return Attempt::NotYet;
        };
        match exchange(connection, topic, id, partition, acks, batch) {
            Ok((ErrorCode::None, offset)) => Attempt::Acknowledged((offset >= 0).then_some(offset)),
            Ok((ErrorCode::DuplicateSequenceNumber, _)) => Attempt::Acknowledged(None),
            Ok((error, _)) => {
                let attempt = classify(error);
                if let Attempt::Unknown { is_id_dead: true } = attempt {
                    let text = format!("an idempotent producer was told {error}");
                    self.context.tally.surprise(text);
                }
                self.session.recover();
                attempt
            }
            Err(_) => {
                self.session.recover();
                Attempt::Unknown { is_id_dead: false }
            }
        }
    }
}

/// What an error says about the batch.
fn classify(error: ErrorCode) -> Attempt {
    use ErrorCode::*;
    match error {
        LeaderNotAvailable
        | NotLeaderOrFollower
        | UnknownTopicOrPartition
        | UnknownTopicId
        | NotEnoughReplicas
        | ThrottlingQuotaExceeded
        | CoordinatorLoadInProgress => Attempt::NotYet,
        MessageTooLarge
        | InvalidTopic
        | RecordListTooLarge
        | InvalidRequiredAcks
        | InvalidTimestamp
        | InvalidRecord
        | UnsupportedForMessageFormat
        | PolicyViolation
        | TopicAuthorizationFailed
        | ClusterAuthorizationFailed
        | UnsupportedCompressionType
        | CorruptMessage => Attempt::Refused(error),
        OutOfOrderSequenceNumber
        | UnknownProducerId
        | InvalidProducerEpoch
        | InvalidProducerIdMapping => Attempt::Unknown { is_id_dead: true },
        _ => Attempt::Unknown { is_id_dead: false },
    }
}

/// Sends a batch and waits for its answer: the error and the first offset.
fn exchange(
    connection: &mut sillon_client::Connection,
    topic: &str,
    id: TopicId,
    partition: i32,
    acks: Acks,
    batch: &[u8],
) -> Result<(ErrorCode, i64), ClientError> {
    let version = connection.version(Api::Produce)?;
    let version = match id == TopicId::ZERO {
        true => version.min(FIRST_VERSION_BY_ID - 1),
        false => version,
    };
    let key = match version >= FIRST_VERSION_BY_ID {
        true => TopicKey::Id(id),
        false => TopicKey::Name(topic),
    };
    let head = ProduceHead {
        transactional_id: None,
        acks: if acks == Acks::Leader { 1 } else { -1 },
        timeout_ms: TIMEOUT_MS,
    };
    let write = |out: &mut BytesMut, correlation_id, client_id: Option<&str>| {
        let mut writer =
            ProduceRequestWriter::begin(out, version, correlation_id, client_id, head, 1);
        writer.topic(key, 1);
        writer.partition(partition, Some(batch));
        writer.finish();
        Ok::<(), Infallible>(())
    };
    let Ok(()) = connection.send(write);
    connection.flush()?;
    let (frame, body) = connection.receive(Api::Produce, version)?;
    let mut response = ProduceResponse::default();
    // What cannot be read is as good as no answer.
    let decoded = response.decode(&frame, version, body);
    let produced = decoded.ok().and_then(|()| response.partitions.first());
    Ok(
        produced.map_or((ErrorCode::UnknownServerError, -1), |produced| {
            (produced.error, produced.base_offset)
        }),
    )
}

/// The content of a record: whose run, and which value.
pub(super) fn value_text(seed: u64, value: u64) -> String {
    format!("verify:{seed:016x}:{value}")
}

/// The value of a record of this run.
pub(super) fn value_of(seed: u64, content: Option<&[u8]>) -> Option<u64> {
    let text = std::str::from_utf8(content?).ok()?;
    let (whose, value) = text.strip_prefix("verify:")?.split_once(':')?;
    let value = value.parse().ok()?;
    (whose == format!("{seed:016x}")).then_some(value)
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_reads_back_and_others_do_not() {
        let text = value_text(7, 1_000_000_000_017);
        assert_eq!(value_of(7, Some(text.as_bytes())), Some(1_000_000_000_017));
        assert_eq!(value_of(8, Some(text.as_bytes())), None);
        assert_eq!(value_of(7, Some(b"verify:")), None);
        assert_eq!(value_of(7, None), None);
    }

    #[test]
    fn the_pace_is_shared_by_all_producers() {
        assert_eq!(pace(0, 4), Duration::ZERO);
        assert_eq!(pace(1_000, 4), Duration::from_millis(4));
    }
}

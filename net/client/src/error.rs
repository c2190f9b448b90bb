use std::io;
use std::time::Duration;

use sillon_protocol::message::{DecodeError, EncodeError};
use sillon_protocol::{Api, ErrorCode, WireError};
use sillon_record::{BatchFull, BatchesError, RecordsError};

/// Why something could not be done, in words for whoever asked for it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not `host:port`.
    #[error("{address:?} is no address; host:port is needed, such as localhost:9092")]
    Address {
        /// As given.
        address: String,
    },
    /// No connection can be made.
    #[error("cannot reach the broker at {address}: {source}")]
    Unreachable {
        /// `host:port`.
        address: String,
        /// The system's words.
        source: io::Error,
    },
    /// A connection broke.
    #[error("the connection to {address} broke: {source}")]
    Broken {
        /// `host:port`.
        address: String,
        /// The system's words.
        source: io::Error,
    },
    /// The broker closed the connection, which it also does when it does not understand or does
    /// not allow something.
    #[error("the broker at {address} closed the connection")]
    Closed {
        /// `host:port`.
        address: String,
    },
    /// No answer within the request timeout.
    #[error("the broker at {address} did not answer {api} within {} ms", timeout.as_millis())]
    TimedOut {
        /// `host:port`.
        address: String,
        /// What was asked.
        api: Api,
        /// How long was waited.
        timeout: Duration,
    },
    /// The answer's length is negative or beyond what a frame may have.
    #[error("the broker at {address} announces an answer of {length} bytes; is it a Kafka port?")]
    FrameLength {
        /// `host:port`.
        address: String,
        /// As announced.
        length: i64,
    },
    /// The answer is to another question.
    #[error("the broker at {address} answers request {found}, {expected} was due")]
    OutOfOrder {
        /// `host:port`.
        address: String,
        /// The correlation id that was due.
        expected: i32,
        /// The answer's.
        found: i32,
    },
    /// The answer cannot be read.
    #[error("the answer to {api} from {address} is malformed: {reason}")]
    Malformed {
        /// `host:port`.
        address: String,
        /// What was asked.
        api: Api,
        /// Where and why.
        reason: Malformed,
    },
    /// Broker and client have no version of an API in common.
    #[error("the broker at {address} does not speak a version of {api} that this client does")]
    NoCommonVersion {
        /// `host:port`.
        address: String,
        /// Which API.
        api: Api,
    },
    /// The request has a field that no common version carries.
    #[error("the broker at {address} speaks a version of {api} that cannot carry this: {source}")]
    Unencodable {
        /// `host:port`.
        address: String,
        /// Which API.
        api: Api,
        /// What it cannot carry.
        source: EncodeError,
    },
    /// The broker says no.
    #[error("{what}: {}{} [{error}]", message.as_deref().unwrap_or(error.description()),
        if *retried { " (retried until the time was up)" } else { "" })]
    Refused {
        /// What was asked.
        what: String,
        /// Kafka's error code.
        error: ErrorCode,
        /// What the broker says about it.
        message: Option<String>,
        /// The error passes, but did not within the time.
        retried: bool,
    },
    /// The cluster has no such topic.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The topic has no such partition.
    #[error("topic {topic} has no partition {partition}; it has {count}, counted from 0")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How many it has.
        count: usize,
    },
    /// A partition has no such offset, or not any more.
    #[error(
        "fetch topic {topic}, partition {partition}, offset {offset}: {} [{}]",
        ErrorCode::OffsetOutOfRange.description(), ErrorCode::OffsetOutOfRange
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
    /// There is no such group.
    #[error("there is no group {group}")]
    UnknownGroup {
        /// Its id.
        group: String,
    },
    /// The system gives no thread.
    #[error("cannot start the thread that sends heartbeats: {source}")]
    Thread {
        /// The system's words.
        source: io::Error,
    },
    /// A record does not fit.
    #[error("topic {topic}: {source}")]
    Full {
        /// The topic.
        topic: String,
        /// By how much.
        source: BatchFull,
    },
    /// What was fetched is no log.
    #[error("topic {topic}, partition {partition}: {source}")]
    Batches {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// What it is instead.
        source: BatchesError,
    },
    /// The records of a batch cannot be read.
    #[error("topic {topic}, partition {partition}, batch at offset {offset}: {source}")]
    Records {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The batch's first offset.
        offset: i64,
        /// Which record, and why.
        source: RecordsError,
    },
}

/// Why an answer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Produce, Fetch, or a header.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Anything else.
    #[error(transparent)]
    Message(#[from] DecodeError),
    /// The question named something that the answer does not.
    #[error("it says nothing about {0}")]
    Silent(String),
}

impl ClientError {
    /// The broker said no, for now or for ever.
    pub(crate) fn refused(
        what: impl Into<String>,
        error: ErrorCode,
        message: Option<impl AsRef<str>>,
    ) -> ClientError {
        ClientError::Refused {
            what: what.into(),
            error,
            message: message.map(|message| message.as_ref().to_string()),
            retried: false,
        }
    }

    /// Whether the same may succeed a moment later, after asking who leads what.
    pub fn is_retriable(&self) -> bool {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::Broken { .. }
            | ClientError::Closed { .. }
            | ClientError::TimedOut { .. } => true,
            ClientError::Refused { error, .. } => is_retriable(*error),
            _ => false,
        }
    }

    /// The broker's error code, when that is what it is about.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            ClientError::Refused { error, .. } => Some(*error),
            ClientError::OffsetOutOfRange { .. } => Some(ErrorCode::OffsetOutOfRange),
            ClientError::UnknownGroup { .. } => Some(ErrorCode::GroupIdNotFound),
            _ => None,
        }
    }

    /// Whether the connection cannot be used any more.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(
            self,
            ClientError::Broken { .. }
                | ClientError::Closed { .. }
                | ClientError::TimedOut { .. }
                | ClientError::FrameLength { .. }
                | ClientError::OutOfOrder { .. }
                | ClientError::Malformed { .. }
        )
    }

    /// The same, after it was tried again until the time was up.
    pub(crate) fn after_retries(self) -> ClientError {
        match self {
            ClientError::Refused {
                what,
                error,
                message,
                ..
            } => ClientError::Refused {
                what,
                error,
                message,
                retried: true,
            },
            other => other,
        }
    }
}

/// The errors that pass: a leader that moves, a broker that starts or is short of replicas.
pub(crate) fn is_retriable(error: ErrorCode) -> bool {
    use ErrorCode::*;
    matches!(
        error,
        CorruptMessage
            | UnknownTopicOrPartition
            | LeaderNotAvailable
            | NotLeaderOrFollower
            | RequestTimedOut
            | ReplicaNotAvailable
            | NetworkException
            | CoordinatorLoadInProgress
            | CoordinatorNotAvailable
            | NotCoordinator
            | NotEnoughReplicas
            | NotEnoughReplicasAfterAppend
            | NotController
            | KafkaStorageError
            | FencedLeaderEpoch
            | UnknownLeaderEpoch
            | OffsetNotAvailable
            | UnknownTopicId
            | ThrottlingQuotaExceeded
            | UnstableOffsetCommit
    )
}

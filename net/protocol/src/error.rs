//! Kafka's error codes, and the one place where the broker's own errors become one.

use std::fmt;

use sillon_group::GroupError;
use sillon_shard::Refusal;

use crate::wire::{Reader, WireError};

macro_rules! codes {
    ($($code:literal $variant:ident $name:literal $description:literal)*) => {
        /// An error code of the protocol, by its number on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(
                #[doc = $description]
                $variant = $code,
            )*
        }

        impl ErrorCode {
            /// All of them.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$variant),*];

            /// The code of a number; `None` when it is not one that this version knows.
            pub const fn from_code(code: i16) -> Option<ErrorCode> {
                match code {
                    $($code => Some(ErrorCode::$variant),)*
                    _ => None,
                }
            }

            /// Kafka's name of it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $name,)*
                }
            }

            /// What it means, in a sentence.
            pub const fn description(self) -> &'static str {
                match self {
                    $(ErrorCode::$variant => $description,)*
                }
            }
        }
    };
}

codes! {
    -1 UnknownServerError "UNKNOWN_SERVER_ERROR"
        "The server met an error that it has no code for."
    0 None "NONE"
        "No error."
    1 OffsetOutOfRange "OFFSET_OUT_OF_RANGE"
        "The offset is not between the log's start and its end."
    2 CorruptMessage "CORRUPT_MESSAGE"
        "The batch fails its checksum or is otherwise damaged."
    3 UnknownTopicOrPartition "UNKNOWN_TOPIC_OR_PARTITION"
        "This broker does not host the topic or partition."
    4 InvalidFetchSize "INVALID_FETCH_SIZE"
        "The fetch size is invalid."
    5 LeaderNotAvailable "LEADER_NOT_AVAILABLE"
        "The partition has no leader at the moment."
    6 NotLeaderOrFollower "NOT_LEADER_OR_FOLLOWER"
        "This broker does not lead the partition, or is no replica of it."
    7 RequestTimedOut "REQUEST_TIMED_OUT"
        "The request was not done within its time."
    8 BrokerNotAvailable "BROKER_NOT_AVAILABLE"
        "The broker is not available."
    9 ReplicaNotAvailable "REPLICA_NOT_AVAILABLE"
        "The replica is not available."
    10 MessageTooLarge "MESSAGE_TOO_LARGE"
        "The batch is larger than max.message.bytes."
    11 StaleControllerEpoch "STALE_CONTROLLER_EPOCH"
        "The controller has moved on to a newer epoch."
    12 OffsetMetadataTooLarge "OFFSET_METADATA_TOO_LARGE"
        "The metadata of a committed offset is too large."
    13 NetworkException "NETWORK_EXCEPTION"
        "The server was cut off before it answered."
    14 CoordinatorLoadInProgress "COORDINATOR_LOAD_IN_PROGRESS"
        "The coordinator is still loading its state."
    15 CoordinatorNotAvailable "COORDINATOR_NOT_AVAILABLE"
        "The coordinator is not available."
    16 NotCoordinator "NOT_COORDINATOR"
        "This broker is not the coordinator."
    17 InvalidTopic "INVALID_TOPIC_EXCEPTION"
        "The topic's name is invalid, or an operation on it is not allowed."
    18 RecordListTooLarge "RECORD_LIST_TOO_LARGE"
        "The batch is larger than a segment."
    19 NotEnoughReplicas "NOT_ENOUGH_REPLICAS"
        "Fewer replicas are in sync than min.insync.replicas asks for."
    20 NotEnoughReplicasAfterAppend "NOT_ENOUGH_REPLICAS_AFTER_APPEND"
        "The records were appended, but to fewer replicas than asked for."
    21 InvalidRequiredAcks "INVALID_REQUIRED_ACKS"
        "acks is none of 0, 1 and -1 (all)."
    22 IllegalGeneration "ILLEGAL_GENERATION"
        "The group's generation is another one."
    23 InconsistentGroupProtocol "INCONSISTENT_GROUP_PROTOCOL"
        "The member shares no protocol with its group."
    24 InvalidGroupId "INVALID_GROUP_ID"
        "The group id is invalid."
    25 UnknownMemberId "UNKNOWN_MEMBER_ID"
        "The coordinator does not know this member."
    26 InvalidSessionTimeout "INVALID_SESSION_TIMEOUT"
        "The session timeout is outside what the broker allows."
    27 RebalanceInProgress "REBALANCE_IN_PROGRESS"
        "The group is rebalancing: rejoin it."
    28 InvalidCommitOffsetSize "INVALID_COMMIT_OFFSET_SIZE"
        "The committed offsets are too large."
    29 TopicAuthorizationFailed "TOPIC_AUTHORIZATION_FAILED"
        "Access to the topic is not allowed."
    30 GroupAuthorizationFailed "GROUP_AUTHORIZATION_FAILED"
        "Access to the group is not allowed."
    31 ClusterAuthorizationFailed "CLUSTER_AUTHORIZATION_FAILED"
        "This operation on the cluster is not allowed."
    32 InvalidTimestamp "INVALID_TIMESTAMP"
        "A record's timestamp is outside what the topic allows."
    33 UnsupportedSaslMechanism "UNSUPPORTED_SASL_MECHANISM"
        "The broker does not offer this SASL mechanism."
    34 IllegalSaslState "ILLEGAL_SASL_STATE"
        "The request does not fit the state of authentication."
    35 UnsupportedVersion "UNSUPPORTED_VERSION"
        "The version of this API is not served."
    36 TopicAlreadyExists "TOPIC_ALREADY_EXISTS"
        "A topic of this name exists."
    37 InvalidPartitions "INVALID_PARTITIONS"
        "The number of partitions is below 1 or too large."
    38 InvalidReplicationFactor "INVALID_REPLICATION_FACTOR"
        "The replication factor is below 1 or above the number of brokers."
    39 InvalidReplicaAssignment "INVALID_REPLICA_ASSIGNMENT"
        "The replica assignment is invalid."
    40 InvalidConfig "INVALID_CONFIG"
        "The configuration is invalid."
    41 NotController "NOT_CONTROLLER"
        "This broker is not the controller."
    42 InvalidRequest "INVALID_REQUEST"
        "The request contradicts itself or the protocol."
    43 UnsupportedForMessageFormat "UNSUPPORTED_FOR_MESSAGE_FORMAT"
        "The broker's message format does not allow this."
    44 PolicyViolation "POLICY_VIOLATION"
        "The request violates a policy of the broker or topic."
    45 OutOfOrderSequenceNumber "OUT_OF_ORDER_SEQUENCE_NUMBER"
        "The batch does not follow its producer's last one."
    46 DuplicateSequenceNumber "DUPLICATE_SEQUENCE_NUMBER"
        "The batch is older than those the broker remembers of its producer."
    47 InvalidProducerEpoch "INVALID_PRODUCER_EPOCH"
        "A newer epoch of this producer has written."
    48 InvalidTxnState "INVALID_TXN_STATE"
        "The transaction's state does not allow this."
    49 InvalidProducerIdMapping "INVALID_PRODUCER_ID_MAPPING"
        "The producer id is not the one of this transactional id."
    50 InvalidTransactionTimeout "INVALID_TRANSACTION_TIMEOUT"
        "The transaction timeout is above what the broker allows."
    51 ConcurrentTransactions "CONCURRENT_TRANSACTIONS"
        "The producer's last transaction is still being completed."
    52 TransactionCoordinatorFenced "TRANSACTION_COORDINATOR_FENCED"
        "A newer transaction coordinator has taken over."
    53 TransactionalIdAuthorizationFailed "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"
        "Use of the transactional id is not allowed."
    54 SecurityDisabled "SECURITY_DISABLED"
        "The broker has no authorizer."
    55 OperationNotAttempted "OPERATION_NOT_ATTEMPTED"
        "Another part of the request failed, so this one was not tried."
    56 KafkaStorageError "KAFKA_STORAGE_ERROR"
        "The broker's disk failed or is full."
    57 LogDirNotFound "LOG_DIR_NOT_FOUND"
        "The broker has no such log directory."
    58 SaslAuthenticationFailed "SASL_AUTHENTICATION_FAILED"
        "Authentication failed."
    59 UnknownProducerId "UNKNOWN_PRODUCER_ID"
        "The broker remembers nothing of this producer."
    60 ReassignmentInProgress "REASSIGNMENT_IN_PROGRESS"
        "The partition is being reassigned."
    61 DelegationTokenAuthDisabled "DELEGATION_TOKEN_AUTH_DISABLED"
        "Delegation tokens are not enabled."
    62 DelegationTokenNotFound "DELEGATION_TOKEN_NOT_FOUND"
        "The broker does not know the delegation token."
    63 DelegationTokenOwnerMismatch "DELEGATION_TOKEN_OWNER_MISMATCH"
        "The delegation token belongs to another principal."
    64 DelegationTokenRequestNotAllowed "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED"
        "Delegation tokens are not given out on this connection."
    65 DelegationTokenAuthorizationFailed "DELEGATION_TOKEN_AUTHORIZATION_FAILED"
        "Access to the delegation token is not allowed."
    66 DelegationTokenExpired "DELEGATION_TOKEN_EXPIRED"
        "The delegation token has expired."
    67 InvalidPrincipalType "INVALID_PRINCIPAL_TYPE"
        "The principal's type is not supported."
    68 NonEmptyGroup "NON_EMPTY_GROUP"
        "The group has members."
    69 GroupIdNotFound "GROUP_ID_NOT_FOUND"
        "There is no such group."
    70 FetchSessionIdNotFound "FETCH_SESSION_ID_NOT_FOUND"
        "There is no such fetch session."
    71 InvalidFetchSessionEpoch "INVALID_FETCH_SESSION_EPOCH"
        "The fetch session is at another epoch."
    72 ListenerNotFound "LISTENER_NOT_FOUND"
        "The leader has no listener of this name."
    73 TopicDeletionDisabled "TOPIC_DELETION_DISABLED"
        "Topics cannot be deleted here."
    74 FencedLeaderEpoch "FENCED_LEADER_EPOCH"
        "The request's leader epoch is older than the partition's."
    75 UnknownLeaderEpoch "UNKNOWN_LEADER_EPOCH"
        "The request's leader epoch is newer than the partition's."
    76 UnsupportedCompressionType "UNSUPPORTED_COMPRESSION_TYPE"
        "This compression is not allowed in this version of the request."
    77 StaleBrokerEpoch "STALE_BROKER_EPOCH"
        "The broker has registered anew since."
    78 OffsetNotAvailable "OFFSET_NOT_AVAILABLE"
        "The leader's high watermark has not caught up since it was elected."
    79 MemberIdRequired "MEMBER_ID_REQUIRED"
        "Join again with the member id given here."
    80 PreferredLeaderNotAvailable "PREFERRED_LEADER_NOT_AVAILABLE"
        "The preferred leader is not available."
    81 GroupMaxSizeReached "GROUP_MAX_SIZE_REACHED"
        "The group has as many members as it may have."
    82 FencedInstanceId "FENCED_INSTANCE_ID"
        "Another member has joined with this group.instance.id."
    83 EligibleLeadersNotAvailable "ELIGIBLE_LEADERS_NOT_AVAILABLE"
        "No replica may become leader."
    84 ElectionNotNeeded "ELECTION_NOT_NEEDED"
        "The partition has the leader it should have."
    85 NoReassignmentInProgress "NO_REASSIGNMENT_IN_PROGRESS"
        "The partition is not being reassigned."
    86 GroupSubscribedToTopic "GROUP_SUBSCRIBED_TO_TOPIC"
        "The group still subscribes to the topic."
    87 InvalidRecord "INVALID_RECORD"
        "A record or its batch is not what the log accepts."
    88 UnstableOffsetCommit "UNSTABLE_OFFSET_COMMIT"
        "An open transaction may still change these offsets."
    89 ThrottlingQuotaExceeded "THROTTLING_QUOTA_EXCEEDED"
        "A quota is used up."
    90 ProducerFenced "PRODUCER_FENCED"
        "A newer producer has the same transactional id."
    91 ResourceNotFound "RESOURCE_NOT_FOUND"
        "There is no such resource."
    92 DuplicateResource "DUPLICATE_RESOURCE"
        "The resource exists already."
    93 UnacceptableCredential "UNACCEPTABLE_CREDENTIAL"
        "The credential does not meet the rules."
    94 InconsistentVoterSet "INCONSISTENT_VOTER_SET"
        "The sender's voter set is another one."
    95 InvalidUpdateVersion "INVALID_UPDATE_VERSION"
        "The version to update to is invalid."
    96 FeatureUpdateFailed "FEATURE_UPDATE_FAILED"
        "The feature could not be updated."
    97 PrincipalDeserializationFailure "PRINCIPAL_DESERIALIZATION_FAILURE"
        "The forwarded principal cannot be read."
    98 SnapshotNotFound "SNAPSHOT_NOT_FOUND"
        "There is no such snapshot."
    99 PositionOutOfRange "POSITION_OUT_OF_RANGE"
        "The position is not within the snapshot."
    100 UnknownTopicId "UNKNOWN_TOPIC_ID"
        "This broker does not host a topic of this id."
    101 DuplicateBrokerRegistration "DUPLICATE_BROKER_REGISTRATION"
        "A broker of this id is registered and alive."
    102 BrokerIdNotRegistered "BROKER_ID_NOT_REGISTERED"
        "No broker of this id is registered."
    103 InconsistentTopicId "INCONSISTENT_TOPIC_ID"
        "The log belongs to a topic of another id."
    104 InconsistentClusterId "INCONSISTENT_CLUSTER_ID"
        "The request is for another cluster."
    105 TransactionalIdNotFound "TRANSACTIONAL_ID_NOT_FOUND"
        "There is no such transactional id."
    106 FetchSessionTopicIdError "FETCH_SESSION_TOPIC_ID_ERROR"
        "The fetch session mixes topic ids and names."
    107 IneligibleReplica "INELIGIBLE_REPLICA"
        "The replica may not join the in-sync replicas."
    108 NewLeaderElected "NEW_LEADER_ELECTED"
        "The change moved leadership to another broker."
    109 OffsetMovedToTieredStorage "OFFSET_MOVED_TO_TIERED_STORAGE"
        "The offset is in tiered storage."
    110 FencedMemberEpoch "FENCED_MEMBER_EPOCH"
        "The member's epoch is not the coordinator's: rejoin."
    111 UnreleasedInstanceId "UNRELEASED_INSTANCE_ID"
        "Another member still uses this group.instance.id."
    112 UnsupportedAssignor "UNSUPPORTED_ASSIGNOR"
        "The group does not have this assignor."
    113 StaleMemberEpoch "STALE_MEMBER_EPOCH"
        "The member's epoch is old: retry with the one of its next heartbeat."
    114 MismatchedEndpointType "MISMATCHED_ENDPOINT_TYPE"
        "The request went to an endpoint of the wrong kind."
    115 UnsupportedEndpointType "UNSUPPORTED_ENDPOINT_TYPE"
        "This kind of endpoint is not supported."
    116 UnknownControllerId "UNKNOWN_CONTROLLER_ID"
        "There is no controller of this id."
    117 UnknownSubscriptionId "UNKNOWN_SUBSCRIPTION_ID"
        "The telemetry subscription is an old one."
    118 TelemetryTooLarge "TELEMETRY_TOO_LARGE"
        "The telemetry is larger than allowed."
    119 InvalidRegistration "INVALID_REGISTRATION"
        "The broker's registration is invalid."
    120 TransactionAbortable "TRANSACTION_ABORTABLE"
        "The transaction must be aborted; the producer can go on."
    121 InvalidRecordState "INVALID_RECORD_STATE"
        "The record's state does not allow this acknowledgement."
    122 ShareSessionNotFound "SHARE_SESSION_NOT_FOUND"
        "There is no such share session."
    123 InvalidShareSessionEpoch "INVALID_SHARE_SESSION_EPOCH"
        "The share session is at another epoch."
    124 FencedStateEpoch "FENCED_STATE_EPOCH"
        "The share coordinator has a newer state epoch."
    125 InvalidVoterKey "INVALID_VOTER_KEY"
        "The voter's key is not the one it has."
    126 DuplicateVoter "DUPLICATE_VOTER"
        "The voter is in the set already."
    127 VoterNotFound "VOTER_NOT_FOUND"
        "The voter is not in the set."
    128 InvalidRegularExpression "INVALID_REGULAR_EXPRESSION"
        "The regular expression is invalid."
    129 RebootstrapRequired "REBOOTSTRAP_REQUIRED"
        "This is not the cluster or broker asked for: start again from the bootstrap servers."
    130 StreamsInvalidTopology "STREAMS_INVALID_TOPOLOGY"
        "The topology is invalid."
    131 StreamsInvalidTopologyEpoch "STREAMS_INVALID_TOPOLOGY_EPOCH"
        "The topology's epoch is invalid."
    132 StreamsTopologyFenced "STREAMS_TOPOLOGY_FENCED"
        "The topology's epoch is outdated."
    133 ShareSessionLimitReached "SHARE_SESSION_LIMIT_REACHED"
        "There are as many share sessions as there may be."
}

// The variants come from a macro, where `#[default]` has no place.
#[allow(clippy::derivable_impls)]
impl Default for ErrorCode {
    fn default() -> ErrorCode {
        ErrorCode::None
    }
}

impl ErrorCode {
    /// Its number on the wire.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Reads one, as a client does: a number that this version does not know says that something
    /// went wrong, and no more.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<ErrorCode, WireError> {
        let code = reader.i16()?;
        Ok(ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError))
    }

    /// Whether it says that something went wrong.
    pub const fn is_error(self) -> bool {
        !matches!(self, ErrorCode::None)
    }
}

/// Name and number: `NOT_LEADER_OR_FOLLOWER (6)`.
impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.code())
    }
}

impl From<GroupError> for ErrorCode {
    fn from(error: GroupError) -> ErrorCode {
        match error {
            GroupError::InvalidGroupId => ErrorCode::InvalidGroupId,
            GroupError::UnknownMember => ErrorCode::UnknownMemberId,
            GroupError::IllegalGeneration => ErrorCode::IllegalGeneration,
            GroupError::InconsistentProtocol => ErrorCode::InconsistentGroupProtocol,
            GroupError::InvalidSessionTimeout => ErrorCode::InvalidSessionTimeout,
            GroupError::RebalanceInProgress => ErrorCode::RebalanceInProgress,
            GroupError::FencedInstanceId => ErrorCode::FencedInstanceId,
            GroupError::MemberIdRequired => ErrorCode::MemberIdRequired,
            GroupError::GroupMaxSizeReached => ErrorCode::GroupMaxSizeReached,
            GroupError::LoadInProgress => ErrorCode::CoordinatorLoadInProgress,
            GroupError::NotAvailable => ErrorCode::CoordinatorNotAvailable,
            GroupError::NotCoordinator => ErrorCode::NotCoordinator,
            GroupError::OffsetMetadataTooLarge => ErrorCode::OffsetMetadataTooLarge,
            GroupError::InvalidCommitOffsetSize => ErrorCode::InvalidCommitOffsetSize,
            GroupError::GroupTooLarge => ErrorCode::UnknownServerError,
            GroupError::GroupIdNotFound => ErrorCode::GroupIdNotFound,
            GroupError::NonEmptyGroup => ErrorCode::NonEmptyGroup,
            GroupError::GroupSubscribedToTopic => ErrorCode::GroupSubscribedToTopic,
            GroupError::UnknownTopicOrPartition => ErrorCode::UnknownTopicOrPartition,
        }
    }
}

impl From<Refusal> for ErrorCode {
    fn from(refusal: Refusal) -> ErrorCode {
        match refusal {
            Refusal::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
            // A client that is told so asks for metadata and finds the new leader.
            Refusal::NotLeader | Refusal::Stopping => ErrorCode::NotLeaderOrFollower,
            Refusal::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
            Refusal::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
            Refusal::OffsetOutOfRange => ErrorCode::OffsetOutOfRange,
            Refusal::Storage => ErrorCode::KafkaStorageError,
            Refusal::OutOfOrderSequence => ErrorCode::OutOfOrderSequenceNumber,
            Refusal::DuplicateSequence => ErrorCode::DuplicateSequenceNumber,
            Refusal::InvalidProducerEpoch => ErrorCode::InvalidProducerEpoch,
            Refusal::MessageTooLarge => ErrorCode::MessageTooLarge,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_gap_and_read_back() {
        for (code, error) in (-1..).zip(ErrorCode::ALL) {
            assert_eq!(error.code(), code);
            assert_eq!(ErrorCode::from_code(code), Some(*error));
        }
        assert_eq!(ErrorCode::from_code(ErrorCode::ALL.len() as i16 - 1), None);
        assert_eq!(
            ErrorCode::NotLeaderOrFollower.to_string(),
            "NOT_LEADER_OR_FOLLOWER (6)"
        );
    }
}

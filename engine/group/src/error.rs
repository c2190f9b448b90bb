/// Why a coordinator does not do what is asked, each with one error code of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// INVALID_GROUP_ID
    #[error("the group id must not be empty")]
    InvalidGroupId,
    /// UNKNOWN_MEMBER_ID
    #[error("the group has no such member: join again")]
    UnknownMember,
    /// ILLEGAL_GENERATION
    #[error("the group is in another generation")]
    IllegalGeneration,
    /// INCONSISTENT_GROUP_PROTOCOL
    #[error("the member has no protocol in common with the group")]
    InconsistentProtocol,
    /// INVALID_SESSION_TIMEOUT
    #[error("the session timeout is outside of group.min/max.session.timeout.ms")]
    InvalidSessionTimeout,
    /// REBALANCE_IN_PROGRESS
    #[error("the group is rebalancing: join again")]
    RebalanceInProgress,
    /// FENCED_INSTANCE_ID
    #[error("another member has joined with this group.instance.id")]
    FencedInstanceId,
    /// MEMBER_ID_REQUIRED
    #[error("join again with the member id given here")]
    MemberIdRequired,
    /// GROUP_MAX_SIZE_REACHED
    #[error("the group has group.max.size members")]
    GroupMaxSizeReached,
    /// COORDINATOR_LOAD_IN_PROGRESS
    #[error("the coordinator is loading the group: ask again")]
    LoadInProgress,
    /// COORDINATOR_NOT_AVAILABLE
    #[error("the coordinator cannot write its log: ask again")]
    NotAvailable,
    /// NOT_COORDINATOR
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    /// OFFSET_METADATA_TOO_LARGE
    #[error("the text beside the offset is longer than offset.metadata.max.bytes")]
    OffsetMetadataTooLarge,
    /// INVALID_COMMIT_OFFSET_SIZE
    #[error("the offsets of one commit do not fit into a batch: commit fewer at once")]
    InvalidCommitOffsetSize,
    /// UNKNOWN_SERVER_ERROR
    #[error("the group's members and assignments do not fit into a batch")]
    GroupTooLarge,
    /// GROUP_ID_NOT_FOUND
    #[error("there is no such group")]
    GroupIdNotFound,
    /// NON_EMPTY_GROUP
    #[error("the group has members")]
    NonEmptyGroup,
    /// GROUP_SUBSCRIBED_TO_TOPIC
    #[error("the group subscribes to the topic")]
    GroupSubscribedToTopic,
    /// UNKNOWN_TOPIC_OR_PARTITION
    #[error("there is no such topic or partition")]
    UnknownTopicOrPartition,
}

/// Why records did not get into the log of a group's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// They are more than one batch may hold.
    #[error("the batch is larger than max.message.bytes")]
    TooLarge,
    /// The partition is not here any more.
    #[error("this broker does not lead the partition")]
    NotLeader,
    /// The disk failed or is full.
    #[error("the records could not be made durable")]
    Storage,
}

impl AppendError {
    /// What a client hears. `too_large` is what it means for what was appended.
    pub(crate) fn for_client(self, too_large: GroupError) -> GroupError {
        match self {
            AppendError::TooLarge => too_large,
            // Clients look for the coordinator anew, as Kafka has them do.
            AppendError::NotLeader | AppendError::Storage => GroupError::NotCoordinator,
        }
    }
}

use std::path::PathBuf;

use sillon_client::TopicPartition;

/// Why something about a consumer group cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// There is no such group.
    #[error("there is no group {group}; sillon group list names those there are")]
    Unknown {
        /// As given.
        group: String,
    },
    /// The group is one of the newer protocol (KIP-848).
    #[error(
        "group {group} uses the consumer protocol (KIP-848), whose members this version of sillon \
         cannot describe"
    )]
    NewProtocol {
        /// As given.
        group: String,
    },
    /// The group has members, which would go on where they are.
    #[error(
        "group {group} is {state}: offsets can only be reset while a group has no members; stop \
         them, or wait until their sessions have ended"
    )]
    Active {
        /// As given.
        group: String,
        /// Kafka's name of its state.
        state: String,
    },
    /// Some of what was asked for was not done.
    #[error("{failed} of {all} {what}")]
    Partly {
        /// How many were not done.
        failed: usize,
        /// How many were asked for.
        all: usize,
        /// What did not happen to them.
        what: &'static str,
    },
    /// All topics of a group that has none.
    #[error("group {group} has committed nothing: name topics with --topic")]
    NothingCommitted {
        /// As given.
        group: String,
    },
    /// A partition has nothing to start from.
    #[error("group {group} has committed nothing of {partition}: there is no offset to shift")]
    NothingToShift {
        /// As given.
        group: String,
        /// Which partition.
        partition: TopicPartition,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// Where and why.
        source: csv::Error,
    },
    /// A line of a file is no offset.
    #[error(
        "{}, line {line}: {problem}; topic,partition,offset or group,topic,partition,offset is \
         needed",
        path.display()
    )]
    Line {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A file says nothing about a group.
    #[error("{} has no offset for group {group}", path.display())]
    NothingInFile {
        /// As given.
        path: PathBuf,
        /// As given.
        group: String,
    },
}

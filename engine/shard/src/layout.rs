//! Names in the data folder that are Sillon's own.
//!
//! ```text
//! meta.properties               cluster and node id, as Kafka's
//! sillon.manifest               shard count and journals
//! metadata.log                  cluster metadata
//! reserve                       space for metadata, and a checkpoint that grows, on a full disk
//! journal-<32 hex digits>/      one shard's journal: ring-0 ... ring-3, checkpoint, and
//!                               checkpoint.new, over which the next one is written
//! <topic>-<partition>/          segments, indexes, partition.metadata, as Kafka's
//! ```

use sillon_journal::JournalId;

/// Name of the checkpoint in a journal's folder.
pub const CHECKPOINT: &str = "checkpoint";
pub(crate) const CHECKPOINT_NEW: &str = "checkpoint.new";
/// Name of the metadata log in the data folder.
pub const METADATA_LOG: &str = "metadata.log";
const JOURNAL_PREFIX: &str = "journal-";
/// What a partition's folder is called until it is complete.
const CREATING_SUFFIX: &str = ".creating";

/// Folder of a journal, below the data folder.
pub fn journal_folder(journal: JournalId) -> String {
    format!("{JOURNAL_PREFIX}{:032x}", journal.0)
}

pub(crate) fn parse_journal_folder(name: &str) -> Option<JournalId> {
    let digits = name.strip_prefix(JOURNAL_PREFIX)?;
    let is_ours = digits.len() == 32;
    is_ours
        .then(|| u128::from_str_radix(digits, 16).ok().map(JournalId))
        .flatten()
}

/// A file of a journal's ring, below the data folder.
pub fn ring_file(journal: JournalId, file: u32) -> String {
    format!("{}/ring-{file}", journal_folder(journal))
}

pub(crate) fn creating_folder(topic: &str, partition: i32, unique: u64) -> String {
    format!("{topic}-{partition}.{unique:016x}{CREATING_SUFFIX}")
}

pub(crate) fn is_creating_folder(name: &str) -> bool {
    name.ends_with(CREATING_SUFFIX)
}

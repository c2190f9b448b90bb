use sillon_record::Offset;

/// Longest name that Linux's file systems take, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Digits of a segment's base offset in its name.
const OFFSET_DIGITS: usize = 20;

/// Suffix of a file that is being deleted, and may be removed at any start.
const DELETED_SUFFIX: &str = ".deleted";

/// Suffix of a file that compaction has not finished: worth nothing after a crash.
const CLEANED_SUFFIX: &str = ".cleaned";

/// Suffix of a compacted segment's file that is complete and has not taken its place: the
/// checkpoint says whether it is to.
const SWAP_SUFFIX: &str = ".swap";

/// Suffix of a partition's folder that is being deleted.
const DELETE_FOLDER_SUFFIX: &str = "-delete";

/// Name of the leader epochs' file in a partition's folder.
pub const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// Name of the file in a partition's folder that says which topic it belongs to.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// Name of the file in the data folder that says whose it is.
pub const META_PROPERTIES_FILE: &str = "meta.properties";

/// Name of the file in the data folder that lists the journals.
pub const MANIFEST_FILE: &str = "sillon.manifest";

/// A partition's folder: `<topic>-<partition>`.
pub fn partition_folder(topic: &str, partition: i32) -> String {
    format!("{topic}-{partition}")
}

/// Topic and partition of a folder's name; `None` when it is no partition's folder, or that of
/// one which is being deleted.
pub fn parse_partition_folder(name: &str) -> Option<(&str, i32)> {
    let (topic, number) = name.rsplit_once('-')?;
    let partition: i32 = number.parse().ok()?;
    // Only what `partition_folder` would write: no sign, no leading zeros.
    let is_ours = !topic.is_empty() && partition >= 0 && partition.to_string() == number;
    is_ours.then_some((topic, partition))
}

/// The name that a partition's folder gets when it is deleted, as in Kafka:
/// `<topic>-<partition>.<32 hex digits>-delete`, the topic shortened when the whole is too long.
/// `unique` tells apart the lives of a partition.
pub fn deleted_partition_folder(topic: &str, partition: i32, unique: u128) -> String {
    let rest = format!("-{partition}.{unique:032x}{DELETE_FOLDER_SUFFIX}");
    let mut kept = topic.len().min(NAME_BYTES_MAX - rest.len());
    while !topic.is_char_boundary(kept) {
        kept -= 1;
    }
    format!("{}{rest}", &topic[..kept])
}

/// Whether a folder is that of a partition which is being deleted.
pub fn is_deleted_partition_folder(name: &str) -> bool {
    name.strip_suffix(DELETE_FOLDER_SUFFIX)
        .and_then(|rest| rest.rsplit_once('.'))
        .is_some_and(|(folder, unique)| {
            let is_hex = unique.bytes().all(|digit| digit.is_ascii_hexdigit());
            unique.len() == 32 && is_hex && parse_partition_name(folder)
        })
}

/// As [`parse_partition_folder`], with a topic that may have been shortened to nothing.
fn parse_partition_name(folder: &str) -> bool {
    folder
        .rsplit_once('-')
        .is_some_and(|(_, number)| number.parse::<u32>().is_ok())
}

/// What a file of a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SegmentFileKind {
    /// `.log`: the batches.
    Log,
    /// `.index`: positions by offset.
    OffsetIndex,
    /// `.timeindex`: offsets by timestamp.
    TimeIndex,
    /// `.snapshot`: the idempotent producers before its base offset.
    ProducerSnapshot,
}

impl SegmentFileKind {
    /// All of them.
    pub const ALL: [SegmentFileKind; 4] = [
        SegmentFileKind::Log,
        SegmentFileKind::OffsetIndex,
        SegmentFileKind::TimeIndex,
        SegmentFileKind::ProducerSnapshot,
    ];

    /// Its suffix, with the dot.
    pub fn suffix(self) -> &'static str {
        match self {
            SegmentFileKind::Log => ".log",
            SegmentFileKind::OffsetIndex => ".index",
            SegmentFileKind::TimeIndex => ".timeindex",
            SegmentFileKind::ProducerSnapshot => ".snapshot",
        }
    }
}

/// A segment's `.log` file: `<folder>/<20-digit base offset>.log`.
pub fn segment_path(folder: &str, base: Offset) -> String {
    segment_file_path(folder, base, SegmentFileKind::Log)
}

/// A segment's `.index` file.
pub fn offset_index_path(folder: &str, base: Offset) -> String {
    segment_file_path(folder, base, SegmentFileKind::OffsetIndex)
}

/// A segment's `.timeindex` file.
pub fn time_index_path(folder: &str, base: Offset) -> String {
    segment_file_path(folder, base, SegmentFileKind::TimeIndex)
}

/// A segment's file of that kind.
pub fn segment_file_path(folder: &str, base: Offset, kind: SegmentFileKind) -> String {
    format!("{folder}/{:020}{}", base.0, kind.suffix())
}

/// What a file is renamed to before it is deleted.
pub fn deleted_path(path: &str) -> String {
    format!("{path}{DELETED_SUFFIX}")
}

/// What a file is called while compaction writes it.
pub fn cleaned_path(path: &str) -> String {
    format!("{path}{CLEANED_SUFFIX}")
}

/// Whether compaction had not finished a file.
pub fn is_cleaned_file(name: &str) -> bool {
    name.ends_with(CLEANED_SUFFIX)
}

/// What a compacted segment's file is called until it takes its place.
pub fn swap_path(path: &str, generation: u32) -> String {
    format!("{path}.{generation}{SWAP_SUFFIX}")
}

/// What a segment's file is called when compaction has replaced it, until it is removed.
pub fn swapped_out_path(path: &str, generation: u32) -> String {
    format!("{path}.{generation}{DELETED_SUFFIX}")
}

/// The name to come and the generation of a file that [`swap_path`] named; `None`: it is none.
pub fn parse_swap_file(name: &str) -> Option<(&str, u32)> {
    let (to_come, generation) = name.strip_suffix(SWAP_SUFFIX)?.rsplit_once('.')?;
    parse_segment_file(to_come)?;
    Some((to_come, generation.parse().ok()?))
}

/// Whether a file is being deleted.
pub fn is_deleted_file(name: &str) -> bool {
    name.ends_with(DELETED_SUFFIX)
}

/// Base offset and kind of a file's name (without folder); `None` when it is no segment's file,
/// or one that is being deleted.
pub fn parse_segment_file(name: &str) -> Option<(Offset, SegmentFileKind)> {
    let (digits, _) = name.split_at_checked(OFFSET_DIGITS)?;
    let kind = SegmentFileKind::ALL
        .into_iter()
        .find(|kind| &name[OFFSET_DIGITS..] == kind.suffix())?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
    let base = is_number.then(|| digits.parse().ok())??;
    Some((Offset(base), kind))
}

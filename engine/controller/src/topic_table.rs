//! Kafka 4's keys of topic configuration, by name. `docs/configs.md` is written from here.

use sillon_record::TimestampType;

use crate::config::{CleanupPolicy, CompressionType, Ratio};
use crate::config_keys::{
    ConfigKey, DECOMPRESSED_MAX, INT_MAX, SEGMENT_BYTES_MIN, Treatment, field, int, kept, long,
};
use crate::config_kind::ConfigKind;

const POLICIES: &[&str] = &["delete", "compact"];
const CODECS: &[&str] = &["producer", "uncompressed", "zstd", "lz4", "snappy", "gzip"];
const TIMESTAMP_TYPES: &[&str] = &["CreateTime", "LogAppendTime"];

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

const AS_SENT: &str = "batches are stored as their producer sent them";
const NO_TIERS: &str = "tiered storage is not built";
const NO_THROTTLE: &str = "replication is not throttled";

/// The table.
pub(crate) const KEYS: &[ConfigKey] = &[
    field(
        "cleanup.policy",
        ConfigKind::ListOf(POLICIES),
        &[("log.cleanup.policy", 1)],
        |c| i64::from(c.cleanup_policy.delete) | i64::from(c.cleanup_policy.compact) << 1,
        |c, bits| {
            c.cleanup_policy = CleanupPolicy {
                delete: bits & 1 != 0,
                compact: bits & 2 != 0,
            }
        },
        "Whether old segments are deleted, or only the newest record of each key is kept.",
    ),
    kept(
        "compression.gzip.level",
        int(-1, 9),
        "-1",
        &[("compression.gzip.level", 1)],
        AS_SENT,
        "Level at which the broker compresses with gzip; -1 is the codec's own.",
    ),
    kept(
        "compression.lz4.level",
        int(1, 17),
        "9",
        &[("compression.lz4.level", 1)],
        AS_SENT,
        "Level at which the broker compresses with lz4.",
    ),
    field(
        "compression.type",
        ConfigKind::OneOf(CODECS),
        &[("compression.type", 1)],
        |c| i64::from(c.compression_type.0),
        |c, place| c.compression_type = CompressionType(place as u8),
        "Codec in which the broker stores batches; producer leaves them as they come.",
    )
    .but(Treatment::NoEffect(AS_SENT)),
    kept(
        "compression.zstd.level",
        int(-131_072, 22),
        "3",
        &[("compression.zstd.level", 1)],
        AS_SENT,
        "Level at which the broker compresses with zstd.",
    ),
    field(
        "delete.retention.ms",
        long(0),
        &[("log.cleaner.delete.retention.ms", 1)],
        |c| c.delete_retention_ms,
        |c, value| c.delete_retention_ms = value,
        "How long a compacted topic keeps the mark of a deleted key.",
    ),
    kept(
        "errors.deadletterqueue.group.enable",
        ConfigKind::Boolean,
        "false",
        &[],
        "share groups are not built yet",
        "Whether share groups may put here what they give up.",
    ),
    kept(
        "file.delete.delay.ms",
        long(0),
        "60000",
        &[("log.segment.delete.delay.ms", 1)],
        "a deleted segment's file goes as soon as its last reader is done",
        "How long the file of a deleted segment stays.",
    ),
    field(
        "flush.messages",
        long(1),
        &[("log.flush.interval.messages", 1)],
        |c| c.flush_messages,
        |c, value| c.flush_messages = value,
        "Records after which a flush is due. 1 flushes before every acknowledgement: the default \
         here, unlike in Kafka.",
    ),
    field(
        "flush.ms",
        long(0),
        &[
            ("log.flush.interval.ms", 1),
            ("log.flush.scheduler.interval.ms", 1),
        ],
        |c| c.flush_ms,
        |c, value| c.flush_ms = value,
        "Time after which a flush is due, where flush.messages does not make it due earlier.",
    ),
    kept(
        "follower.replication.throttled.replicas",
        ConfigKind::Replicas,
        "",
        &[],
        NO_THROTTLE,
        "Replicas whose fetching is throttled.",
    ),
    kept(
        "index.interval.bytes",
        int(0, INT_MAX),
        "4096",
        &[("log.index.interval.bytes", 1)],
        "a segment's index chooses its own distances, within a bound of memory",
        "Bytes of records between two entries of a segment's index.",
    ),
    kept(
        "leader.replication.throttled.replicas",
        ConfigKind::Replicas,
        "",
        &[],
        NO_THROTTLE,
        "Replicas whose serving of followers is throttled.",
    ),
    kept(
        "local.retention.bytes",
        long(-2),
        "-2",
        &[("log.local.retention.bytes", 1)],
        NO_TIERS,
        "Bytes of a tiered partition that stay on the local disk; -2 is retention.bytes.",
    ),
    kept(
        "local.retention.ms",
        long(-2),
        "-2",
        &[("log.local.retention.ms", 1)],
        NO_TIERS,
        "How long a tiered partition's records stay on the local disk; -2 is retention.ms.",
    ),
    field(
        "max.compaction.lag.ms",
        long(1),
        &[("log.cleaner.max.compaction.lag.ms", 1)],
        |c| c.max_compaction_lag_ms,
        |c, value| c.max_compaction_lag_ms = value,
        "How long a record may at most stay uncompacted.",
    ),
    field(
        "max.decompressed.message.bytes",
        int(1, DECOMPRESSED_MAX),
        &[("max.decompressed.message.bytes", 1)],
        |c| i64::from(c.max_decompressed_message_bytes),
        |c, value| c.max_decompressed_message_bytes = value as u32,
        "Largest size of a compressed batch's records.",
    )
    .but(Treatment::Partly("more than 64 MiB are never taken")),
    field(
        "max.message.bytes",
        int(0, INT_MAX),
        &[("message.max.bytes", 1)],
        |c| i64::from(c.max_message_bytes),
        |c, value| c.max_message_bytes = value as u32,
        "Largest batch, as it is sent.",
    ),
    field(
        "message.timestamp.after.max.ms",
        long(0),
        &[("log.message.timestamp.after.max.ms", 1)],
        |c| c.timestamp_after_max_ms,
        |c, value| c.timestamp_after_max_ms = value,
        "How far a record's timestamp may lie in the broker's future.",
    ),
    field(
        "message.timestamp.before.max.ms",
        long(0),
        &[("log.message.timestamp.before.max.ms", 1)],
        |c| c.timestamp_before_max_ms,
        |c, value| c.timestamp_before_max_ms = value,
        "How far a record's timestamp may lie in the broker's past.",
    ),
    field(
        "message.timestamp.type",
        ConfigKind::OneOf(TIMESTAMP_TYPES),
        &[("log.message.timestamp.type", 1)],
        |c| i64::from(c.timestamp_type == TimestampType::LogAppendTime),
        |c, place| {
            c.timestamp_type = match place {
                0 => TimestampType::CreateTime,
                _ => TimestampType::LogAppendTime,
            }
        },
        "Whether records carry their producer's time or that of their append.",
    ),
    field(
        "min.cleanable.dirty.ratio",
        ConfigKind::Double { min: 0.0, max: 1.0 },
        &[("log.cleaner.min.cleanable.ratio", 1)],
        |c| i64::from(c.min_cleanable_dirty_ratio.0),
        |c, parts| c.min_cleanable_dirty_ratio = Ratio(parts as u32),
        "Share of a log that must be uncompacted before it is compacted.",
    ),
    field(
        "min.compaction.lag.ms",
        long(0),
        &[("log.cleaner.min.compaction.lag.ms", 1)],
        |c| c.min_compaction_lag_ms,
        |c, value| c.min_compaction_lag_ms = value,
        "How long a record stays uncompacted at least.",
    ),
    field(
        "min.insync.replicas",
        int(1, INT_MAX),
        &[("min.insync.replicas", 1)],
        |c| i64::from(c.min_insync_replicas),
        |c, value| c.min_insync_replicas = value as u32,
        "Replicas that must be in sync for a write with acks=all.",
    ),
    kept(
        "preallocate",
        ConfigKind::Boolean,
        "false",
        &[("log.preallocate", 1)],
        "space of the active segment is always reserved ahead",
        "Whether a new segment's file is allocated whole.",
    ),
    kept(
        "remote.copy.lag.bytes",
        long(-1),
        "-1",
        &[("log.remote.copy.lag.bytes", 1)],
        NO_TIERS,
        "Bytes of closed segments that are not copied to remote storage yet.",
    ),
    kept(
        "remote.copy.lag.ms",
        long(-1),
        "0",
        &[("log.remote.copy.lag.ms", 1)],
        NO_TIERS,
        "How long a closed segment is not copied to remote storage yet.",
    ),
    kept(
        "remote.log.copy.disable",
        ConfigKind::Boolean,
        "false",
        &[],
        NO_TIERS,
        "Whether a tiered topic stops copying segments.",
    ),
    kept(
        "remote.log.delete.on.disable",
        ConfigKind::Boolean,
        "false",
        &[],
        NO_TIERS,
        "Whether tiered segments go when tiering is turned off.",
    ),
    kept(
        "remote.storage.enable",
        ConfigKind::OneOf(&["false"]),
        "false",
        &[],
        NO_TIERS,
        "Whether closed segments are copied to remote storage.",
    )
    .but(Treatment::Refused(NO_TIERS)),
    field(
        "retention.bytes",
        long(-1),
        &[("log.retention.bytes", 1)],
        |c| c.retention_bytes.map_or(-1, |bytes| bytes as i64),
        |c, value| c.retention_bytes = u64::try_from(value).ok(),
        "Size of a partition beyond which its oldest segments go; -1 is without bound.",
    ),
    field(
        "retention.ms",
        long(-1),
        &[
            ("log.retention.ms", 1),
            ("log.retention.minutes", MINUTE_MS),
            ("log.retention.hours", HOUR_MS),
        ],
        |c| c.retention_ms.unwrap_or(-1),
        |c, value| c.retention_ms = (value >= 0).then_some(value),
        "Age of its newest record at which a segment goes; -1 is without bound.",
    ),
    field(
        "segment.bytes",
        int(SEGMENT_BYTES_MIN, INT_MAX),
        &[("log.segment.bytes", 1)],
        |c| i64::from(c.segment_bytes),
        |c, value| c.segment_bytes = value as u32,
        "Size at which a new segment begins.",
    ),
    kept(
        "segment.index.bytes",
        int(4, INT_MAX),
        "10485760",
        &[("log.index.size.max.bytes", 1)],
        "a segment's index has a bound of its own",
        "Largest size of a segment's index.",
    ),
    kept(
        "segment.jitter.ms",
        long(0),
        "0",
        &[
            ("log.roll.jitter.ms", 1),
            ("log.roll.jitter.hours", HOUR_MS),
        ],
        "segments roll on time: nothing here minds many at once",
        "Random part of segment.ms, against many segments rolling at once.",
    ),
    field(
        "segment.ms",
        long(1),
        &[("log.roll.ms", 1), ("log.roll.hours", HOUR_MS)],
        |c| c.segment_ms,
        |c, value| c.segment_ms = value,
        "Age of the active segment at which a new one begins.",
    ),
    kept(
        "unclean.leader.election.enable",
        ConfigKind::Boolean,
        "false",
        &[("unclean.leader.election.enable", 1)],
        "a partition has one replica: there is nobody else to elect",
        "Whether a replica that is not in sync may lead when no other is left.",
    ),
];

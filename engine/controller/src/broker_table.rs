//! The broker's own keys, by name, and the families of those that have no row.

use crate::Treatment;
use crate::broker_keys::Family;
use crate::config_keys::{int, long};
use crate::config_kind::ConfigKind;

/// Name, values, default, what becomes of it, what it is for.
pub(crate) type Row = (
    &'static str,
    ConfigKind,
    Option<&'static str>,
    Treatment,
    &'static str,
);

const INT_MAX: i64 = i32::MAX as i64;
const SHORT_MAX: i64 = i16::MAX as i64;

const fn short(min: i64) -> ConfigKind {
    let max = SHORT_MAX;
    ConfigKind::Short { min, max }
}

const ANY_DOUBLE: ConfigKind = ConfigKind::Double {
    min: 0.0,
    max: f64::MAX,
};
const HONOURED: Treatment = Treatment::Honoured;
const THREADS: Treatment =
    Treatment::NoEffect("each shard is one thread that does all of it: see --shards");
const ONE_NODE: Treatment = Treatment::NoEffect("one node is its own controller");
const ONE_REPLICA: Treatment = Treatment::NoEffect("partitions have one replica");
const NO_TRANSACTIONS: Treatment = Treatment::NoEffect("transactions are not built yet");
const NO_SHARE_GROUPS: Treatment = Treatment::NoEffect("share groups are not built yet");
const GROUPS: Treatment = Treatment::NoEffect("consumer groups keep to Kafka's default");
const SOCKETS: Treatment = Treatment::NoEffect("the kernel sizes a socket's buffers by itself");
pub(crate) const NO_TLS: Treatment = Treatment::Refused("TLS, SASL and ACLs are not built yet");
const COMPACTION: Treatment =
    Treatment::NoEffect("one thread beside the shards compacts, in pieces of 64 KiB");
const NO_TIERS: Treatment = Treatment::NoEffect("tiered storage is not built");
const NO_JAVA: Treatment = Treatment::Refused("there is no JVM that could load a class");
const NO_PURGATORY: Treatment =
    Treatment::NoEffect("a request that ends leaves nothing to be purged");
const ONE_FOLDER: Treatment = Treatment::NoEffect("a node has one folder");
const NO_QUOTAS: Treatment = Treatment::NoEffect("quotas are not built yet");
const JOURNAL: Treatment =
    Treatment::NoEffect("the journal's checkpoints bound what a restart reads: see --journal");
const METRICS: Treatment = Treatment::NoEffect("metrics are not given out in this way");

/// The broker's own keys, by name.
pub(crate) const OWN_KEYS: &[Row] = &[
    (
        "advertised.listeners",
        ConfigKind::List,
        None,
        HONOURED,
        "Where clients are told to connect, by listener. `--advertise` is that of the first.",
    ),
    (
        "authorizer.class.name",
        ConfigKind::OneOf(&[""]),
        Some(""),
        NO_TLS,
        "The class that decides who may do what.",
    ),
    (
        "auto.create.topics.enable",
        ConfigKind::Boolean,
        Some("true"),
        HONOURED,
        "Whether a topic that a client asks for by name is made.",
    ),
    (
        "auto.leader.rebalance.enable",
        ConfigKind::Boolean,
        Some("true"),
        ONE_REPLICA,
        "Whether preferred leaders get their partitions back.",
    ),
    (
        "background.threads",
        int(1, INT_MAX),
        Some("10"),
        THREADS,
        "Threads for work in the background.",
    ),
    (
        "broker.heartbeat.interval.ms",
        int(1, INT_MAX),
        Some("2000"),
        ONE_NODE,
        "How often a broker tells the controller that it lives.",
    ),
    (
        "broker.id",
        int(-1, INT_MAX),
        Some("-1"),
        HONOURED,
        "Older name of node.id.",
    ),
    (
        "broker.rack",
        ConfigKind::Text,
        None,
        ONE_REPLICA,
        "Where the broker stands, so that replicas are spread.",
    ),
    (
        "broker.session.timeout.ms",
        int(1, INT_MAX),
        Some("9000"),
        ONE_NODE,
        "How long a broker may be silent before it is fenced.",
    ),
    (
        "connections.max.idle.ms",
        long(-1),
        Some("600000"),
        HONOURED,
        "How long a connection may be silent; below 0 for ever.",
    ),
    (
        "controlled.shutdown.enable",
        ConfigKind::Boolean,
        Some("true"),
        Treatment::NoEffect("a stop always writes everything back first"),
        "Whether a stopping broker hands over first.",
    ),
    (
        "controller.listener.names",
        ConfigKind::List,
        Some("CONTROLLER"),
        ONE_NODE,
        "Listeners of the controller; they are left out of listeners.",
    ),
    (
        "controller.quorum.bootstrap.servers",
        ConfigKind::List,
        Some(""),
        ONE_NODE,
        "Where the controllers are found.",
    ),
    (
        "controller.quorum.voters",
        ConfigKind::List,
        Some(""),
        ONE_NODE,
        "The controllers, listed by hand.",
    ),
    (
        "default.replication.factor",
        int(1, INT_MAX),
        Some("1"),
        HONOURED,
        "Replicas of topics that are made without a number.",
    ),
    (
        "delete.topic.enable",
        ConfigKind::OneOf(&["true"]),
        Some("true"),
        Treatment::Refused("topics can always be deleted"),
        "Whether topics can be deleted.",
    ),
    (
        "fetch.max.bytes",
        int(1024, INT_MAX),
        Some("57671680"),
        HONOURED,
        "Most records of one Fetch answer, whatever its client asks for.",
    ),
    (
        "group.consumer.heartbeat.interval.ms",
        int(1, INT_MAX),
        Some("5000"),
        GROUPS,
        "How often members of a consumer group of the new protocol report.",
    ),
    (
        "group.consumer.session.timeout.ms",
        int(1, INT_MAX),
        Some("45000"),
        GROUPS,
        "How long such a member may be silent.",
    ),
    (
        "group.coordinator.rebalance.protocols",
        ConfigKind::ListOf(&["classic", "consumer", "streams", "share"]),
        Some("classic,consumer,streams"),
        GROUPS,
        "Protocols of groups that are spoken.",
    ),
    (
        "group.initial.rebalance.delay.ms",
        int(0, INT_MAX),
        Some("3000"),
        HONOURED,
        "How long a new group waits for more members.",
    ),
    (
        "group.max.session.timeout.ms",
        int(1, INT_MAX),
        Some("1800000"),
        HONOURED,
        "Longest session timeout that a member may ask for.",
    ),
    (
        "group.max.size",
        int(1, INT_MAX),
        Some("2147483647"),
        HONOURED,
        "Most members of a group.",
    ),
    (
        "group.min.session.timeout.ms",
        int(1, INT_MAX),
        Some("6000"),
        HONOURED,
        "Shortest session timeout that a member may ask for.",
    ),
    (
        "inter.broker.listener.name",
        ConfigKind::Text,
        None,
        ONE_NODE,
        "Listener that brokers use among each other.",
    ),
    (
        "leader.imbalance.check.interval.seconds",
        long(1),
        Some("300"),
        ONE_REPLICA,
        "How often the controller looks for partitions away from their preferred leader.",
    ),
    (
        "leader.imbalance.per.broker.percentage",
        int(0, INT_MAX),
        Some("10"),
        ONE_REPLICA,
        "Share of such partitions that is borne.",
    ),
    (
        "listener.security.protocol.map",
        ConfigKind::List,
        Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"),
        Treatment::Partly("a listener that is served must map to PLAINTEXT"),
        "Security protocol of each listener.",
    ),
    (
        "listeners",
        ConfigKind::List,
        Some("PLAINTEXT://:9092"),
        Treatment::Partly("PLAINTEXT ones; the controller's are left out"),
        "Where the broker listens. `--listen` goes before all of them.",
    ),
    (
        "log.cleaner.backoff.ms",
        long(0),
        Some("15000"),
        HONOURED,
        "How long compaction rests when it has found nothing to do.",
    ),
    (
        "log.cleaner.dedupe.buffer.size",
        long(1),
        Some("134217728"),
        Treatment::Partly("a sixteenth of --memory at most"),
        "Memory for the keys of the partitions that are being compacted.",
    ),
    (
        "log.cleaner.enable",
        ConfigKind::OneOf(&["true"]),
        Some("true"),
        Treatment::Refused("compaction cannot be turned off: topics ask for it by cleanup.policy"),
        "Whether compacted topics are compacted.",
    ),
    (
        "log.cleaner.io.buffer.load.factor",
        ANY_DOUBLE,
        Some("0.9"),
        COMPACTION,
        "How full the memory for keys may become.",
    ),
    (
        "log.cleaner.io.buffer.size",
        int(0, INT_MAX),
        Some("524288"),
        COMPACTION,
        "Memory for reading and writing while compacting.",
    ),
    (
        "log.cleaner.io.max.bytes.per.second",
        ANY_DOUBLE,
        Some("1.7976931348623157E308"),
        HONOURED,
        "What compaction reads and writes in a second. It yields to appends in any case.",
    ),
    (
        "log.cleaner.threads",
        int(0, INT_MAX),
        Some("1"),
        COMPACTION,
        "Threads that compact.",
    ),
    (
        "log.dir",
        ConfigKind::List,
        Some("/tmp/kafka-logs"),
        HONOURED,
        "As log.dirs, which wins.",
    ),
    (
        "log.dirs",
        ConfigKind::List,
        None,
        Treatment::Partly("one folder"),
        "Where the data lies. `--data-dir` is the same.",
    ),
    (
        "log.flush.offset.checkpoint.interval.ms",
        int(0, INT_MAX),
        Some("60000"),
        JOURNAL,
        "How often the recovery point is noted.",
    ),
    (
        "log.flush.start.offset.checkpoint.interval.ms",
        int(0, INT_MAX),
        Some("60000"),
        JOURNAL,
        "How often the log start offset is noted.",
    ),
    (
        "log.message.downconversion.enable",
        ConfigKind::Boolean,
        Some("true"),
        Treatment::NoEffect("batches of older formats are not stored, so none are converted"),
        "Whether old consumers get converted batches.",
    ),
    (
        "log.retention.check.interval.ms",
        long(1),
        Some("300000"),
        HONOURED,
        "How often retention looks.",
    ),
    (
        "max.connection.creation.rate",
        int(0, INT_MAX),
        Some("2147483647"),
        NO_QUOTAS,
        "New connections a second.",
    ),
    (
        "max.connections",
        int(1, INT_MAX),
        Some("10000"),
        HONOURED,
        "Connections at the same time. Kafka's default is without bound.",
    ),
    (
        "max.connections.per.ip",
        int(0, INT_MAX),
        Some("2147483647"),
        HONOURED,
        "Connections from one address.",
    ),
    (
        "max.connections.per.ip.overrides",
        ConfigKind::List,
        Some(""),
        HONOURED,
        "Other numbers for some addresses or host names, such as `10.0.0.1:200`.",
    ),
    (
        "max.incremental.fetch.session.cache.slots",
        int(0, INT_MAX),
        Some("1000"),
        HONOURED,
        "Incremental fetch sessions (KIP-227) that are kept.",
    ),
    (
        "max.request.partition.size.limit",
        int(1, INT_MAX),
        Some("2000"),
        Treatment::NoEffect("it is always 2000"),
        "Most partitions of one DescribeTopicPartitions answer.",
    ),
    (
        "metadata.log.dir",
        ConfigKind::Text,
        None,
        ONE_NODE,
        "Where the metadata log lies: in the data folder.",
    ),
    (
        "node.id",
        int(0, INT_MAX),
        Some("1"),
        HONOURED,
        "The node's number in its cluster.",
    ),
    (
        "num.io.threads",
        int(1, INT_MAX),
        Some("8"),
        THREADS,
        "Threads that work on requests.",
    ),
    (
        "num.network.threads",
        int(1, INT_MAX),
        Some("3"),
        THREADS,
        "Threads that read and write sockets.",
    ),
    (
        "num.partitions",
        int(1, INT_MAX),
        Some("1"),
        HONOURED,
        "Partitions of topics that are made without a number.",
    ),
    (
        "num.recovery.threads.per.data.dir",
        int(1, INT_MAX),
        Some("2"),
        THREADS,
        "Threads that recover logs.",
    ),
    (
        "num.replica.fetchers",
        int(1, INT_MAX),
        Some("1"),
        ONE_REPLICA,
        "Threads that fetch from leaders.",
    ),
    (
        "offset.metadata.max.bytes",
        int(0, INT_MAX),
        Some("4096"),
        HONOURED,
        "Longest metadata of a committed offset.",
    ),
    (
        "offsets.commit.timeout.ms",
        int(1, INT_MAX),
        Some("5000"),
        GROUPS,
        "How long a commit waits for its replicas.",
    ),
    (
        "offsets.load.buffer.size",
        int(1, INT_MAX),
        Some("5242880"),
        GROUPS,
        "Piece in which committed offsets are read at a start.",
    ),
    (
        "offsets.retention.check.interval.ms",
        long(1),
        Some("600000"),
        HONOURED,
        "How often old committed offsets are looked for.",
    ),
    (
        "offsets.retention.minutes",
        int(1, INT_MAX),
        Some("10080"),
        HONOURED,
        "How long the offsets of an empty group stay.",
    ),
    (
        "offsets.topic.compression.codec",
        int(0, 4),
        Some("0"),
        GROUPS,
        "Codec of the topic of committed offsets.",
    ),
    (
        "offsets.topic.num.partitions",
        int(1, INT_MAX),
        Some("50"),
        HONOURED,
        "Partitions of the topic of committed offsets.",
    ),
    (
        "offsets.topic.replication.factor",
        short(1),
        Some("3"),
        GROUPS,
        "Replicas of the topic of committed offsets.",
    ),
    (
        "offsets.topic.segment.bytes",
        int(1, INT_MAX),
        Some("104857600"),
        GROUPS,
        "Segment size of the topic of committed offsets.",
    ),
    (
        "process.roles",
        ConfigKind::ListOf(&["broker", "controller"]),
        Some("broker,controller"),
        ONE_NODE,
        "What the node is: always both.",
    ),
    (
        "producer.id.expiration.ms",
        int(1, INT_MAX),
        Some("86400000"),
        Treatment::NoEffect("producers are forgotten by their number, oldest first"),
        "How long an idle idempotent producer is remembered.",
    ),
    (
        "queued.max.requests",
        int(1, INT_MAX),
        Some("500"),
        Treatment::NoEffect("requests in flight are bounded in bytes: see --memory"),
        "Requests that wait to be worked on.",
    ),
    (
        "request.timeout.ms",
        int(1, INT_MAX),
        Some("30000"),
        ONE_NODE,
        "How long a broker waits for another one's answer.",
    ),
    (
        "security.inter.broker.protocol",
        ConfigKind::OneOf(&["PLAINTEXT"]),
        Some("PLAINTEXT"),
        NO_TLS,
        "Security protocol that brokers use among each other.",
    ),
    (
        "share.coordinator.state.topic.min.isr",
        short(1),
        Some("2"),
        NO_SHARE_GROUPS,
        "In-sync replicas that the state of share groups needs.",
    ),
    (
        "share.coordinator.state.topic.num.partitions",
        int(1, INT_MAX),
        Some("50"),
        NO_SHARE_GROUPS,
        "Partitions of the state of share groups.",
    ),
    (
        "share.coordinator.state.topic.replication.factor",
        short(1),
        Some("3"),
        NO_SHARE_GROUPS,
        "Replicas of the state of share groups.",
    ),
    (
        "socket.listen.backlog.size",
        int(1, INT_MAX),
        Some("50"),
        Treatment::NoEffect("it is always 4096, as far as the kernel allows"),
        "Connections that wait to be accepted.",
    ),
    (
        "socket.receive.buffer.bytes",
        int(-1, INT_MAX),
        Some("102400"),
        SOCKETS,
        "Size of a socket's receive buffer.",
    ),
    (
        "socket.request.max.bytes",
        int(1, INT_MAX),
        Some("104857600"),
        Treatment::NoEffect("each API has a limit of its own, 100 MiB at most"),
        "Largest request.",
    ),
    (
        "socket.send.buffer.bytes",
        int(-1, INT_MAX),
        Some("102400"),
        SOCKETS,
        "Size of a socket's send buffer.",
    ),
    (
        "transaction.max.timeout.ms",
        int(1, INT_MAX),
        Some("900000"),
        NO_TRANSACTIONS,
        "Longest timeout that a transaction may ask for.",
    ),
    (
        "transaction.state.log.min.isr",
        int(1, INT_MAX),
        Some("2"),
        NO_TRANSACTIONS,
        "In-sync replicas that the state of transactions needs.",
    ),
    (
        "transaction.state.log.num.partitions",
        int(1, INT_MAX),
        Some("50"),
        NO_TRANSACTIONS,
        "Partitions of the state of transactions.",
    ),
    (
        "transaction.state.log.replication.factor",
        short(1),
        Some("3"),
        NO_TRANSACTIONS,
        "Replicas of the state of transactions.",
    ),
    (
        "transactional.id.expiration.ms",
        int(1, INT_MAX),
        Some("604800000"),
        NO_TRANSACTIONS,
        "How long an idle transactional id is remembered.",
    ),
];

/// Keys that are known by their beginning; the first that fits counts.
pub(crate) const FAMILIES: &[Family] = &[
    family("add.partitions.to.txn.", NO_TRANSACTIONS),
    family("alter.config.policy.", NO_JAVA),
    family("alter.log.dirs.", ONE_FOLDER),
    family("authorizer.", NO_TLS),
    family("client.quota.", NO_QUOTAS),
    family("config.providers", NO_JAVA),
    family("connection.failed.authentication.", NO_TLS),
    family("connections.max.reauth.", NO_TLS),
    family("controller.", ONE_NODE),
    family("cordoned.log.dirs", ONE_FOLDER),
    family("create.topic.policy.", NO_JAVA),
    family("delegation.token.", NO_TLS),
    family("delete.records.purgatory.", NO_PURGATORY),
    family("early.start.listeners", NO_TLS),
    family("errors.deadletterqueue.", NO_SHARE_GROUPS),
    family("fetch.purgatory.", NO_PURGATORY),
    family("follower.", ONE_REPLICA),
    family("group.share.", NO_SHARE_GROUPS),
    family(
        "group.streams.",
        Treatment::NoEffect("streams groups are not built yet"),
    ),
    family("group.", GROUPS),
    family("initial.broker.registration.", ONE_NODE),
    family("kafka.metrics.", METRICS),
    family("leader.replication.throttled.", ONE_REPLICA),
    family("listener.name.", NO_TLS),
    family("log.dir.failure.", ONE_FOLDER),
    family("metadata.", ONE_NODE),
    family("metric.reporters", METRICS),
    family("metrics.", METRICS),
    family("num.replica.alter.log.dirs.", ONE_FOLDER),
    family("principal.builder.class", NO_TLS),
    family("producer.purgatory.", NO_PURGATORY),
    family(
        "queued.",
        Treatment::NoEffect("requests in flight are bounded: see --memory"),
    ),
    family("quota.", NO_QUOTAS),
    family("remote.", NO_TIERS),
    family("replica.", ONE_REPLICA),
    family("replication.quota.", ONE_REPLICA),
    family("rlmm.", NO_TIERS),
    family("sasl.", NO_TLS),
    family("security.", NO_TLS),
    family("share.", NO_SHARE_GROUPS),
    family("socket.connection.setup.", ONE_NODE),
    family("ssl.", NO_TLS),
    family("super.users", NO_TLS),
    family("telemetry.", METRICS),
    family("transaction.", NO_TRANSACTIONS),
    family(
        "zookeeper.",
        Treatment::Refused("Kafka 4 has no ZooKeeper, nor has Sillon"),
    ),
];

const fn family(prefix: &'static str, treatment: Treatment) -> Family {
    Family { prefix, treatment }
}

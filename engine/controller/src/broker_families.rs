//! Families of the broker's keys that have no row of their own.

use crate::Treatment;
use crate::broker_keys::Family;
use crate::treatments::{
    GROUPS, METRICS, NO_JAVA, NO_PURGATORY, NO_QUOTAS, NO_SHARE_GROUPS, NO_TIERS, NO_TLS,
    NO_TRANSACTIONS, ONE_FOLDER, ONE_NODE, ONE_REPLICA,
};

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

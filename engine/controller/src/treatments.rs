//! What becomes of several of the broker's keys, and why.

use crate::Treatment;

pub(crate) const HONOURED: Treatment = Treatment::Honoured;
pub(crate) const THREADS: Treatment =
    Treatment::NoEffect("each shard is one thread that does all of it: see --shards");
pub(crate) const ONE_NODE: Treatment = Treatment::NoEffect("one node is its own controller");
pub(crate) const ONE_REPLICA: Treatment = Treatment::NoEffect("partitions have one replica");
pub(crate) const NO_TRANSACTIONS: Treatment = Treatment::NoEffect("transactions are not built yet");
pub(crate) const NO_SHARE_GROUPS: Treatment = Treatment::NoEffect("share groups are not built yet");
pub(crate) const GROUPS: Treatment = Treatment::NoEffect("consumer groups keep to Kafka's default");
pub(crate) const SOCKETS: Treatment =
    Treatment::NoEffect("the kernel sizes a socket's buffers by itself");
pub(crate) const NO_TLS: Treatment = Treatment::Refused("TLS, SASL and ACLs are not built yet");
pub(crate) const COMPACTION: Treatment =
    Treatment::NoEffect("one thread beside the shards compacts, in pieces of 64 KiB");
pub(crate) const NO_TIERS: Treatment = Treatment::NoEffect("tiered storage is not built");
pub(crate) const NO_JAVA: Treatment = Treatment::Refused("there is no JVM that could load a class");
pub(crate) const NO_PURGATORY: Treatment =
    Treatment::NoEffect("a request that ends leaves nothing to be purged");
pub(crate) const ONE_FOLDER: Treatment = Treatment::NoEffect("a node has one folder");
pub(crate) const NO_QUOTAS: Treatment = Treatment::NoEffect("quotas are not built yet");
pub(crate) const JOURNAL: Treatment =
    Treatment::NoEffect("the journal's checkpoints bound what a restart reads: see --journal");
pub(crate) const METRICS: Treatment = Treatment::NoEffect("metrics are not given out in this way");

//! What a run does: a TOML file, every field of which has a default.
//!
//! ```toml
//! name = "sixteen"
//! duration_s = 10.0
//! partitions = 16
//!
//! [records]
//! value_bytes = 1024
//! per_batch = 16
//!
//! [produce]
//! connections = 8
//! in_flight = 16        # saturation; or: rate = 1000.0
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Bytes at the front of a batch's first value that say which batch it is and when it was due.
pub const IDENTITY_BYTES: usize = 24;

/// Largest number of connections, producing or consuming: each has buffers of its own.
const CONNECTIONS_MAX: u32 = 10_000;

/// Largest number of partitions that a run creates.
const PARTITIONS_MAX: u32 = 100_000;

/// Largest batch before compression, in bytes: a topic's default `max.message.bytes` is 1 MiB, and
/// a topic that takes more is asked for under `topic_configs`.
const BATCH_BYTES_MAX: u64 = 64 << 20;

/// What a run does. The order of a run: topics are created, every partition gets batches or
/// `preload_mib` is written, consumers start, producers warm up for `warm_up_s` and are measured
/// for `duration_s`, everything that was acknowledged is verified, topics are deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// What it is called in reports.
    pub name: String,
    /// What it shows, in a sentence.
    pub description: String,
    /// Load before the measurement, in seconds: the same, but not counted.
    pub warm_up_s: f64,
    /// The measurement, in seconds.
    pub duration_s: f64,
    /// Topics to spread over.
    pub topics: u32,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Replicas of each partition; absent: the broker's default.
    pub replication_factor: Option<i16>,
    /// Configuration of the topics under Kafka's names, such as `"flush.messages" = "1"`.
    pub topic_configs: BTreeMap<String, String>,
    /// What is written before anything is measured, in MiB of values.
    pub preload_mib: u64,
    /// Whether every partition gets its first batches before the warm-up: 8 KiB and a batch more.
    /// What a broker does once per partition (Kafka creates files and maps indexes) is not what is
    /// measured. Where `preload_mib` is written, that is enough.
    pub primes: bool,
    /// What records and batches look like.
    pub records: Records,
    /// The producers; absent: none.
    pub produce: Option<Produce>,
    /// The consumers.
    pub consume: Consume,
    /// How what was claimed is checked afterwards.
    pub verify: Verify,
    /// The generator's own threads.
    pub generator: Generator,
    /// Where keys and contents come from: the same seed, the same records.
    pub seed: u64,
}

impl Default for Scenario {
    fn default() -> Scenario {
        Scenario {
            name: "unnamed".to_string(),
            description: String::new(),
            warm_up_s: 2.0,
            duration_s: 10.0,
            topics: 1,
            partitions: 16,
            replication_factor: None,
            topic_configs: BTreeMap::new(),
            preload_mib: 0,
            primes: true,
            records: Records::default(),
            produce: None,
            consume: Consume::default(),
            verify: Verify::default(),
            generator: Generator::default(),
            seed: 1,
        }
    }
}

/// What records and batches look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Records {
    /// Size of a record's value, in bytes.
    pub value_bytes: u32,
    /// Records of a batch.
    pub per_batch: u32,
    /// How batches are compressed. Compressed batches are made before the run and sent again and
    /// again under new headers: the generator's figures contain no compression.
    pub compression: Codec,
    /// The records' keys. With keys a record goes to the partition of its key, as from Kafka's
    /// own clients; without, requests go to the partitions in turn.
    pub keys: Keys,
}

impl Default for Records {
    fn default() -> Records {
        Records {
            value_bytes: 1024,
            per_batch: 1,
            compression: Codec::None,
            keys: Keys::None,
        }
    }
}

/// How batches are compressed, by Kafka's `compression.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// snappy.
    Snappy,
    /// lz4.
    Lz4,
    /// zstd.
    Zstd,
}

/// The distribution of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase", tag = "distribution")]
pub enum Keys {
    /// Records without keys.
    #[default]
    None,
    /// Each of `count` keys as often as any other.
    Uniform {
        /// How many different keys.
        count: u64,
    },
    /// The n-th of `count` keys 1/n^`exponent` as often as the first.
    Zipf {
        /// How many different keys.
        count: u64,
        /// How uneven; 1 is the classic.
        #[serde(default = "one")]
        exponent: f64,
    },
}

fn one() -> f64 {
    1.0
}

/// The producers. Without `rate`: saturation, every connection keeps `in_flight` requests under
/// way. With it: an open loop, whose schedule never waits for an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Produce {
    /// Connections over all generator threads.
    pub connections: u32,
    /// Requests under way per connection in saturation. A schedule does not look at it.
    pub in_flight: u32,
    /// Requests per second over all connections, at even distances.
    pub rate: Option<f64>,
    /// The rate rises or falls evenly to this one over `duration_s`.
    pub ramp_to: Option<f64>,
    /// A ramp's knee is where the p99 of a second exceeds this, in ms.
    pub knee_p99_ms: f64,
    /// Partitions that each request has a batch for.
    pub partitions_per_request: u32,
    /// When the broker answers.
    pub acks: Acks,
    /// Whether every connection is an idempotent producer.
    pub idempotent: bool,
    /// How long after the end answers are waited for, in seconds.
    pub drain_s: f64,
}

impl Default for Produce {
    fn default() -> Produce {
        Produce {
            connections: 8,
            in_flight: 16,
            rate: None,
            ramp_to: None,
            knee_p99_ms: 10.0,
            partitions_per_request: 1,
            acks: Acks::All,
            idempotent: false,
            drain_s: 15.0,
        }
    }
}

/// When a broker answers a Produce request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acks {
    /// When every in-sync replica has the records.
    #[default]
    #[serde(rename = "all")]
    All,
    /// When the leader has them.
    #[serde(rename = "1")]
    Leader,
    /// Never: a request counts when it is in the socket, and there are no latencies.
    #[serde(rename = "0")]
    None,
}

impl Acks {
    /// Its number in the protocol.
    pub fn number(self) -> i16 {
        match self {
            Acks::All => -1,
            Acks::Leader => 1,
            Acks::None => 0,
        }
    }
}

/// The consumers: each is a connection with a thread of its own, and those of a kind share the
/// partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Consume {
    /// Consumers that wait at the end of the log and measure from a record's intended send time to
    /// its arrival ("end to end").
    pub tailing: u32,
    /// Consumers that begin with the first record when the measurement begins, and stop at the end.
    pub catching_up: u32,
    /// Consumers that read everything that is there again and again: the hot fetch.
    pub looping: u32,
    /// Most that an answer may have, in bytes.
    pub max_bytes: i32,
    /// Most that it may have of one partition, in bytes.
    pub partition_max_bytes: i32,
    /// How long a broker may wait for a byte, in ms.
    pub max_wait_ms: i32,
    /// Of looping consumers, one answer in so many is checked to the last byte; of the others only
    /// errors and offsets are looked at. Tailing and catching-up consumers check everything.
    pub check_every: u32,
}

impl Default for Consume {
    fn default() -> Consume {
        Consume {
            tailing: 0,
            catching_up: 0,
            looping: 0,
            max_bytes: 50 << 20,
            partition_max_bytes: 1 << 20,
            max_wait_ms: 500,
            check_every: 16,
        }
    }
}

/// How what was claimed is checked after the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// Read back no more than this, in MiB of batches; beyond it evenly spaced samples are read,
    /// and the report says so. 0 reads nothing back (counts are still compared with offsets).
    pub read_back_mib_max: u64,
}

impl Default for Verify {
    fn default() -> Verify {
        Verify {
            read_back_mib_max: 4096,
        }
    }
}

/// The generator's own threads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Generator {
    /// Threads that send; absent: one per core that the process may use, at most one per
    /// connection.
    pub threads: Option<u32>,
    /// Whether each of them stays on a core.
    pub pin: bool,
}

impl Default for Generator {
    fn default() -> Generator {
        Generator {
            threads: None,
            pin: true,
        }
    }
}

/// A scenario that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The text is no scenario.
    #[error("{origin}: {source}")]
    Syntax {
        /// The file's name.
        origin: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("{field} is {value}: {reason}")]
    Value {
        /// The field, as in the file.
        field: &'static str,
        /// What it says.
        value: String,
        /// What is allowed.
        reason: &'static str,
    },
    /// There is nothing to do.
    #[error("neither [produce] nor consumers: there is nothing to measure")]
    Nothing,
    /// Consumers that only read what is there need something to be there.
    #[error("consumers that read what is there need preload_mib or [produce]")]
    NothingToRead,
}

impl Scenario {
    /// Reads a scenario; `origin` is its file's name, for the error.
    pub fn parse(text: &str, origin: &str) -> Result<Scenario, ScenarioError> {
        toml::from_str(text).map_err(|source| ScenarioError::Syntax {
            origin: origin.to_string(),
            source: Box::new(source),
        })
    }

    /// Whether it can be run; each field is named with what it may be.
    pub fn check(&self) -> Result<(), ScenarioError> {
        fn within<T: PartialOrd + ToString>(
            field: &'static str,
            value: T,
            min: T,
            max: T,
            reason: &'static str,
        ) -> Result<(), ScenarioError> {
            if value >= min && value <= max {
                return Ok(());
            }
            let value = value.to_string();
            Err(ScenarioError::Value {
                field,
                value,
                reason,
            })
        }
        let day_s = 86_400.0;
        within("warm_up_s", self.warm_up_s, 0.0, day_s, "0 to a day")?;
        within("duration_s", self.duration_s, 0.1, day_s, "0.1 to a day")?;
        within("topics", self.topics, 1, 10_000, "1 to 10,000")?;
        let partitions = u64::from(self.topics) * u64::from(self.partitions);
        let max = u64::from(PARTITIONS_MAX);
        let reason = "1 to 100,000 over all topics";
        within("partitions", partitions, 1, max, reason)?;
        let records = &self.records;
        within(
            "records.value_bytes",
            records.value_bytes,
            IDENTITY_BYTES as u32,
            16 << 20,
            "24 (what says which batch it is) to 16 MiB",
        )?;
        within(
            "records.per_batch",
            records.per_batch,
            1,
            100_000,
            "1 to 100,000",
        )?;
        let batch = u64::from(records.value_bytes) * u64::from(records.per_batch);
        let reason = "batches of up to 64 MiB are made";
        within("records.per_batch", batch, 1, BATCH_BYTES_MAX, reason)?;
        match records.keys {
            Keys::None => {}
            Keys::Uniform { count } => {
                within("records.keys.count", count, 1, 1 << 40, "1 to 2^40")?;
            }
            Keys::Zipf { count, exponent } => {
                within("records.keys.count", count, 1, 1 << 40, "1 to 2^40")?;
                within("records.keys.exponent", exponent, 0.01, 10.0, "0.01 to 10")?;
            }
        }
        if let Some(produce) = &self.produce {
            let max = CONNECTIONS_MAX;
            let reason = "1 to 10,000";
            within("produce.connections", produce.connections, 1, max, reason)?;
            within(
                "produce.in_flight",
                produce.in_flight,
                1,
                100_000,
                "1 to 100,000",
            )?;
            let reason = "1 to the number of partitions";
            within(
                "produce.partitions_per_request",
                u64::from(produce.partitions_per_request),
                1,
                partitions,
                reason,
            )?;
            for (field, rate) in [
                ("produce.rate", produce.rate),
                ("produce.ramp_to", produce.ramp_to),
            ] {
                if let Some(rate) = rate {
                    within(
                        field,
                        rate,
                        0.1,
                        1e8,
                        "0.1 to 100 million requests a second",
                    )?;
                }
            }
            if let (None, Some(ramp_to)) = (produce.rate, produce.ramp_to) {
                return Err(ScenarioError::Value {
                    field: "produce.ramp_to",
                    value: ramp_to.to_string(),
                    reason: "a ramp begins at produce.rate, which is missing",
                });
            }
            within(
                "produce.drain_s",
                produce.drain_s,
                0.0,
                3600.0,
                "0 to an hour",
            )?;
        }
        let consume = &self.consume;
        for (field, count) in [
            ("consume.tailing", consume.tailing),
            ("consume.catching_up", consume.catching_up),
            ("consume.looping", consume.looping),
        ] {
            within(field, count, 0, 1000, "0 to 1,000")?;
        }
        within(
            "consume.check_every",
            consume.check_every,
            1,
            u32::MAX,
            "at least 1",
        )?;
        within(
            "consume.max_bytes",
            consume.max_bytes,
            1,
            i32::MAX,
            "at least 1",
        )?;
        let bytes = consume.partition_max_bytes;
        within(
            "consume.partition_max_bytes",
            bytes,
            1,
            i32::MAX,
            "at least 1",
        )?;
        within(
            "consume.max_wait_ms",
            consume.max_wait_ms,
            0,
            10_000,
            "0 to 10,000",
        )?;
        if let Some(threads) = self.generator.threads {
            within("generator.threads", threads, 1, 1024, "1 to 1,024")?;
        }
        let reading = consume.catching_up + consume.looping;
        if self.produce.is_none() && reading == 0 {
            return Err(ScenarioError::Nothing);
        }
        if self.produce.is_none() && self.preload_mib == 0 {
            return Err(ScenarioError::NothingToRead);
        }
        Ok(())
    }

    /// Bytes of values in a batch, before compression.
    pub fn batch_value_bytes(&self) -> u64 {
        u64::from(self.records.value_bytes) * u64::from(self.records.per_batch)
    }
}

//! `--override key=value`: the broker's configuration under Kafka's names.

use sillon_controller::{ConfigKey, ControllerOptions, InvalidConfig, TopicConfig};

/// What the broker's configuration says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BrokerConfig {
    /// Configuration of topics that say nothing themselves.
    pub topics: TopicConfig,
    /// What requests leave to the broker.
    pub controller: ControllerOptions,
    /// `auto.create.topics.enable`
    pub auto_create_topics: bool,
    /// `max.connections`; `None`: the server's own limit.
    pub connections_max: Option<usize>,
    /// `node.id`
    pub node_id: i32,
}

impl Default for BrokerConfig {
    fn default() -> BrokerConfig {
        BrokerConfig {
            topics: TopicConfig::default(),
            controller: ControllerOptions::default(),
            auto_create_topics: true,
            connections_max: None,
            node_id: 1,
        }
    }
}

/// An override that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    /// No `=`.
    #[error("--override {text:?}: key=value is needed, such as num.partitions=3")]
    NoValue {
        /// As given.
        text: String,
    },
    /// No such key.
    #[error("--override: there is no key {key}; did you mean {nearest}?")]
    Unknown {
        /// As given.
        key: String,
        /// The known key whose name is most like it.
        nearest: &'static str,
    },
    /// The same key twice.
    #[error("--override: {key} is given twice")]
    Twice {
        /// The key.
        key: String,
    },
    /// The value does not fit the key.
    #[error("--override {key}={value}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// As given.
        value: String,
        /// What is allowed.
        reason: String,
    },
}

/// What a key sets. Within one topic key a later unit wins over an earlier one, as in Kafka:
/// milliseconds over minutes over hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    /// A topic key, in units of that many milliseconds.
    Hours(&'static str),
    Minutes(&'static str),
    Topic(&'static str),
    Partitions,
    ReplicationFactor,
    AutoCreate,
    Connections,
    NodeId,
}

const KEYS: &[(&str, Target)] = &[
    ("auto.create.topics.enable", Target::AutoCreate),
    ("broker.id", Target::NodeId),
    ("compression.type", Target::Topic("compression.type")),
    ("default.replication.factor", Target::ReplicationFactor),
    ("log.cleanup.policy", Target::Topic("cleanup.policy")),
    (
        "log.flush.interval.messages",
        Target::Topic("flush.messages"),
    ),
    ("log.flush.interval.ms", Target::Topic("flush.ms")),
    (
        "log.message.timestamp.after.max.ms",
        Target::Topic("message.timestamp.after.max.ms"),
    ),
    (
        "log.message.timestamp.before.max.ms",
        Target::Topic("message.timestamp.before.max.ms"),
    ),
    (
        "log.message.timestamp.type",
        Target::Topic("message.timestamp.type"),
    ),
    ("log.retention.bytes", Target::Topic("retention.bytes")),
    ("log.retention.hours", Target::Hours("retention.ms")),
    ("log.retention.minutes", Target::Minutes("retention.ms")),
    ("log.retention.ms", Target::Topic("retention.ms")),
    ("log.roll.hours", Target::Hours("segment.ms")),
    ("log.roll.ms", Target::Topic("segment.ms")),
    ("log.segment.bytes", Target::Topic("segment.bytes")),
    ("max.connections", Target::Connections),
    ("message.max.bytes", Target::Topic("max.message.bytes")),
    ("min.insync.replicas", Target::Topic("min.insync.replicas")),
    ("node.id", Target::NodeId),
    ("num.partitions", Target::Partitions),
];

impl BrokerConfig {
    /// The defaults with some overrides, each `key=value`.
    pub fn with(overrides: &[String]) -> Result<BrokerConfig, OverrideError> {
        let mut settings = Vec::new();
        for text in overrides {
            let Some((key, value)) = text.split_once('=') else {
                return Err(OverrideError::NoValue { text: text.clone() });
            };
            let (key, value) = (key.trim(), value.trim());
            let Some((name, target)) = KEYS.iter().find(|(name, _)| *name == key) else {
                return Err(OverrideError::Unknown {
                    key: key.to_string(),
                    nearest: nearest(key),
                });
            };
            if settings.iter().any(|(_, known, _)| known == name) {
                return Err(OverrideError::Twice {
                    key: key.to_string(),
                });
            }
            settings.push((*target, *name, value));
        }
        settings.sort();
        let mut config = BrokerConfig::default();
        for (target, key, value) in settings {
            config
                .set(target, value)
                .map_err(|reason| OverrideError::Value {
                    key,
                    value: value.to_string(),
                    reason,
                })?;
        }
        Ok(config)
    }

    fn set(&mut self, target: Target, value: &str) -> Result<(), String> {
        match target {
            Target::Topic(key) => self.set_topic(key, value),
            Target::Minutes(key) => self.set_topic(key, &scaled(value, 60_000)?),
            Target::Hours(key) => self.set_topic(key, &scaled(value, 3_600_000)?),
            Target::Partitions => {
                self.controller.default_partitions = number(value, 1, 1_000_000)? as i32;
                Ok(())
            }
            Target::ReplicationFactor => {
                self.controller.default_replication_factor =
                    number(value, 1, i64::from(i16::MAX))? as i16;
                Ok(())
            }
            Target::AutoCreate => {
                self.auto_create_topics = match value {
                    "true" => true,
                    "false" => false,
                    _ => return Err("true or false is needed".to_string()),
                };
                Ok(())
            }
            Target::Connections => {
                self.connections_max = Some(number(value, 1, 1_000_000)? as usize);
                Ok(())
            }
            Target::NodeId => {
                self.node_id = number(value, 0, i64::from(i32::MAX))? as i32;
                Ok(())
            }
        }
    }

    fn set_topic(&mut self, key: &str, value: &str) -> Result<(), String> {
        self.topics.set(key, value).map_err(|error| match error {
            InvalidConfig::Value { reason, .. } => reason,
            other => other.to_string(),
        })
    }
}

fn number(value: &str, min: i64, max: i64) -> Result<i64, String> {
    match value.parse() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("a whole number from {min} to {max} is needed")),
    }
}

/// A number of units in milliseconds; -1 stays what it is: without bound.
fn scaled(value: &str, unit_ms: i64) -> Result<String, String> {
    let count = number(value, -1, i64::MAX / unit_ms)?;
    let scaled = if count == -1 { -1 } else { count * unit_ms };
    Ok(scaled.to_string())
}

/// The key most like an unknown one. A topic's key leads to the broker's key for its default.
fn nearest(key: &str) -> &'static str {
    if ConfigKey::named(key).is_some() {
        let default_of = KEYS
            .iter()
            .find(|(_, target)| *target == Target::Topic(key_name(key)));
        if let Some((name, _)) = default_of {
            return name;
        }
    }
    let distance = |name: &str| (strsim::jaro_winkler(name, key) * 1e6) as u64;
    let best = KEYS.iter().max_by_key(|(name, _)| distance(name));
    best.map_or("num.partitions", |(name, _)| name)
}

fn key_name(key: &str) -> &'static str {
    ConfigKey::named(key).map_or("", |key| key.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(overrides: &[&str]) -> Result<BrokerConfig, OverrideError> {
        let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
        BrokerConfig::with(&overrides)
    }

    #[test]
    fn keys_are_sorted_and_lead_to_keys_of_topics() {
        assert!(KEYS.is_sorted_by(|a, b| a.0 < b.0));
        for (name, target) in KEYS {
            if let Target::Topic(key) | Target::Hours(key) | Target::Minutes(key) = target {
                assert!(ConfigKey::named(key).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn every_key_changes_something() {
        for (name, target) in KEYS {
            let value = match *target {
                Target::AutoCreate => "false",
                Target::Topic("compression.type") => "zstd",
                Target::Topic("cleanup.policy") => "compact",
                Target::Topic("message.timestamp.type") => "LogAppendTime",
                Target::Topic("segment.bytes") => "2000000",
                _ => "77",
            };
            let config = with(&[&format!("{name}={value}")]).unwrap();
            assert_ne!(config, BrokerConfig::default(), "{name}");
        }
    }

    #[test]
    fn milliseconds_win_over_minutes_and_minutes_over_hours() {
        let overrides = [
            "log.retention.ms=5",
            "log.retention.minutes=2",
            "log.retention.hours=1",
        ];
        let retention_ms = |overrides| with(overrides).unwrap().topics.retention_ms;
        assert_eq!(retention_ms(&overrides), Some(5));
        assert_eq!(retention_ms(&overrides[1..]), Some(120_000));
        assert_eq!(retention_ms(&overrides[2..]), Some(3_600_000));
        assert_eq!(retention_ms(&["log.retention.hours=-1"]), None);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        for (key, expected) in [
            ("num.partition", "num.partitions"),
            ("log.retention.hour", "log.retention.hours"),
            ("auto.create.topic.enable", "auto.create.topics.enable"),
            ("retention.ms", "log.retention.ms"),
            ("segment.bytes", "log.segment.bytes"),
            ("max.message.bytes", "message.max.bytes"),
        ] {
            match with(&[&format!("{key}=1")]) {
                Err(OverrideError::Unknown { nearest, .. }) => assert_eq!(nearest, expected),
                other => panic!("{key}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for overrides in [
            &["num.partitions"][..],
            &["num.partitions=0"],
            &["num.partitions=3", "num.partitions=3"],
            &["log.cleanup.policy=shred"],
            &["log.retention.hours=x"],
            &["log.retention.hours=9223372036854775807"],
            &["auto.create.topics.enable=yes"],
        ] {
            assert!(with(overrides).is_err(), "{overrides:?}");
        }
    }
}

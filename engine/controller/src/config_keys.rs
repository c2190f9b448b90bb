//! A key of topic configuration: what it takes, what it does, and which of the broker's keys give
//! its default.

use crate::TopicConfig;
use crate::config_kind::ConfigKind;
use crate::topic_table::KEYS;

/// What becomes of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It does what it does in Kafka.
    Honoured,
    /// A part of it does; the text says which.
    Partly(&'static str),
    /// It is kept and shown, so that tools find it, and changes nothing; the text says why.
    NoEffect(&'static str),
    /// Only the values of its kind are taken, since others would promise what is not there; the
    /// text says what.
    Refused(&'static str),
}

/// A key of topic configuration, by Kafka's name.
#[derive(Clone, Copy, Debug)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: ConfigKind,
    /// What becomes of them.
    pub treatment: Treatment,
    /// The broker's keys that give its default, and the unit of each in ms (1 for what is no
    /// time, or is in ms). The first one that is set wins; only the first may change while the
    /// broker runs.
    pub broker_keys: &'static [(&'static str, i64)],
    /// What it is for, in a line.
    pub documentation: &'static str,
    effect: Effect,
}

/// Where a value goes.
#[derive(Clone, Copy, Debug)]
enum Effect {
    /// Nowhere. With Kafka's default.
    Kept(&'static str),
    /// Into a field of [`TopicConfig`], as a number of [`ConfigKind::parse`].
    Field {
        get: fn(&TopicConfig) -> i64,
        set: fn(&mut TopicConfig, i64),
    },
}

impl ConfigKey {
    /// The key of that name.
    pub fn named(name: &str) -> Option<&'static ConfigKey> {
        let place = KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
        Some(&KEYS[place])
    }

    /// All keys, by name.
    pub fn all() -> &'static [ConfigKey] {
        KEYS
    }

    /// The key whose default that key of the broker gives, and the unit of the latter in ms.
    pub fn of_broker_key(name: &str) -> Option<(&'static ConfigKey, i64)> {
        KEYS.iter().find_map(|key| {
            let mut given = key.broker_keys.iter();
            let (_, unit_ms) = given.find(|(known, _)| *known == name)?;
            Some((key, *unit_ms))
        })
    }

    pub(crate) fn store(&self, config: &mut TopicConfig, value: i64) {
        if let Effect::Field { set, .. } = self.effect {
            set(config, value);
        }
    }

    /// Its value in a configuration; `None` when the broker does not act on it.
    pub(crate) fn field_in(&self, config: &TopicConfig) -> Option<String> {
        match self.effect {
            Effect::Kept(_) => None,
            Effect::Field { get, .. } => Some(self.kind.render(get(config))),
        }
    }

    /// Its value in a configuration; the default of a key that the broker does not act on.
    pub fn value_in(&self, config: &TopicConfig) -> String {
        match self.effect {
            Effect::Kept(default) => default.to_owned(),
            Effect::Field { get, .. } => self.kind.render(get(config)),
        }
    }
}

pub(crate) const INT_MAX: i64 = i32::MAX as i64;
const LONG_MAX: i64 = i64::MAX;

/// Largest `max.decompressed.message.bytes`, and its default: Kafka's longest array.
pub(crate) const DECOMPRESSED_MAX: i64 = INT_MAX - 8;

/// Smallest `segment.bytes`, as in Kafka since 4.1: smaller segments would be more files than
/// data.
pub(crate) const SEGMENT_BYTES_MIN: i64 = 1 << 20;

pub(crate) const fn int(min: i64, max: i64) -> ConfigKind {
    ConfigKind::Int { min, max }
}

pub(crate) const fn long(min: i64) -> ConfigKind {
    let max = LONG_MAX;
    ConfigKind::Long { min, max }
}

pub(crate) const fn field(
    name: &'static str,
    kind: ConfigKind,
    broker_keys: &'static [(&'static str, i64)],
    get: fn(&TopicConfig) -> i64,
    set: fn(&mut TopicConfig, i64),
    documentation: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        treatment: Treatment::Honoured,
        broker_keys,
        documentation,
        effect: Effect::Field { get, set },
    }
}

pub(crate) const fn kept(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    broker_keys: &'static [(&'static str, i64)],
    why: &'static str,
    documentation: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        treatment: Treatment::NoEffect(why),
        broker_keys,
        documentation,
        effect: Effect::Kept(default),
    }
}

impl ConfigKey {
    pub(crate) const fn but(mut self, treatment: Treatment) -> ConfigKey {
        self.treatment = treatment;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_every_default_reads_back_as_itself() {
        assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
        let defaults = TopicConfig::default();
        for key in KEYS {
            let value = key.value_in(&defaults);
            let mut config = defaults;
            config.set(key.name, &value).unwrap();
            assert_eq!(config, defaults, "{}", key.name);
        }
    }

    #[test]
    fn every_field_takes_another_value_and_shows_it() {
        for (name, value) in [
            ("cleanup.policy", "delete,compact"),
            ("compression.type", "zstd"),
            ("delete.retention.ms", "0"),
            ("flush.messages", "1000"),
            ("flush.ms", "5"),
            ("max.compaction.lag.ms", "7"),
            ("max.decompressed.message.bytes", "3000"),
            ("max.message.bytes", "2000"),
            ("message.timestamp.after.max.ms", "1"),
            ("message.timestamp.before.max.ms", "2"),
            ("message.timestamp.type", "LogAppendTime"),
            ("min.cleanable.dirty.ratio", "0.01"),
            ("min.compaction.lag.ms", "8"),
            ("min.insync.replicas", "2"),
            ("retention.bytes", "0"),
            ("retention.ms", "-1"),
            ("segment.bytes", "1048576"),
            ("segment.ms", "1"),
        ] {
            let mut config = TopicConfig::default();
            config.set(name, value).unwrap();
            assert_ne!(config, TopicConfig::default(), "{name}");
            assert_eq!(ConfigKey::named(name).unwrap().value_in(&config), value);
        }
    }

    #[test]
    fn values_out_of_range_are_refused_and_change_nothing() {
        for (name, value) in [
            ("no.such.key", "1"),
            ("cleanup.policy", "shred"),
            ("compression.type", "brotli"),
            ("flush.messages", "0"),
            ("max.message.bytes", "2147483648"),
            ("max.message.bytes", "1.5"),
            ("message.timestamp.type", "createtime"),
            ("min.cleanable.dirty.ratio", "1.1"),
            ("min.insync.replicas", ""),
            ("preallocate", "yes"),
            ("remote.storage.enable", "true"),
            ("retention.ms", "-2"),
            ("segment.bytes", "14"),
            ("leader.replication.throttled.replicas", "1:x"),
        ] {
            let mut config = TopicConfig::default();
            assert!(config.set(name, value).is_err(), "{name}={value}");
            assert_eq!(config, TopicConfig::default());
        }
    }

    #[test]
    fn a_list_may_name_an_element_twice() {
        let mut config = TopicConfig::default();
        config.set("cleanup.policy", "delete, delete").unwrap();
        assert_eq!(config, TopicConfig::default());
    }
}

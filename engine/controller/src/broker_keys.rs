//! The broker's configuration: its own keys, those that give topics their defaults (from the
//! table of [`ConfigKey`]), and families of keys that are known by their beginning.

use std::borrow::Cow;

use crate::broker_families::FAMILIES;
use crate::broker_table::{OWN_KEYS, Row};
use crate::config_keys::int;
use crate::config_kind::ConfigKind;
use crate::{ConfigKey, TopicConfig, Treatment};

/// When a key of the broker may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// At a start only.
    ReadOnly,
    /// While the broker runs, for one broker or for all of them.
    WhileRunning,
}

/// A key of the broker's configuration, by Kafka's name.
#[derive(Clone, Debug)]
pub struct BrokerKey {
    /// Kafka's name.
    pub name: &'static str,
    /// What values it takes.
    pub kind: ConfigKind,
    /// Its value when nobody says anything; `None`: there is none.
    pub default: Option<Cow<'static, str>>,
    /// When it may change.
    pub update: Update,
    /// What becomes of it.
    pub treatment: Treatment,
    /// What it is for, in a line.
    pub documentation: Cow<'static, str>,
}

/// Keys that begin alike and are answered alike.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// How they begin.
    pub prefix: &'static str,
    /// What becomes of them.
    pub treatment: Treatment,
}

impl BrokerKey {
    /// The key of that name; not one of a [`Family`].
    pub fn named(name: &str) -> Option<BrokerKey> {
        let own = OWN_KEYS.iter().find(|key| key.0 == name);
        own.map(BrokerKey::of_row)
            .or_else(|| BrokerKey::of_topics(name))
    }

    /// All keys, by name.
    pub fn all() -> Vec<BrokerKey> {
        let of_topics = ConfigKey::all().iter().flat_map(|key| key.broker_keys);
        let of_topics = of_topics.filter_map(|(name, _)| BrokerKey::of_topics(name));
        let mut keys: Vec<BrokerKey> = OWN_KEYS.iter().map(BrokerKey::of_row).collect();
        keys.extend(of_topics);
        keys.sort_by_key(|key| key.name);
        keys
    }

    fn of_row(row: &Row) -> BrokerKey {
        let (name, kind, default, treatment, documentation) = *row;
        BrokerKey {
            name,
            kind,
            default: default.map(Cow::Borrowed),
            update: Update::ReadOnly,
            treatment,
            documentation: Cow::Borrowed(documentation),
        }
    }

    /// A key that gives topics their default.
    fn of_topics(name: &str) -> Option<BrokerKey> {
        let (key, unit_ms) = ConfigKey::of_broker_key(name)?;
        let place = key
            .broker_keys
            .iter()
            .position(|(known, _)| *known == name)?;
        // Of several keys Kafka gives the last one the default.
        let default = (place + 1 == key.broker_keys.len()).then(|| {
            let value = key.value_in(&TopicConfig::default());
            match value.parse::<i64>() {
                Ok(number) if unit_ms > 1 => Cow::Owned((number / unit_ms).to_string()),
                _ => Cow::Owned(value),
            }
        });
        let kind = match key.kind {
            ConfigKind::Long { min, .. } if unit_ms > 1 => int(min, i64::from(i32::MAX)),
            kind => kind,
        };
        let unit = match unit_ms {
            60_000 => ", in minutes",
            3_600_000 => ", in hours",
            _ => "",
        };
        Some(BrokerKey {
            name: key.broker_keys[place].0,
            kind,
            default,
            update: match place {
                0 => Update::WhileRunning,
                _ => Update::ReadOnly,
            },
            treatment: key.treatment,
            documentation: Cow::Owned(format!("Default of the topics' `{}`{unit}.", key.name)),
        })
    }
}

impl Family {
    /// The family that a key belongs to.
    pub fn of(name: &str) -> Option<&'static Family> {
        FAMILIES
            .iter()
            .find(|family| name.starts_with(family.prefix))
    }

    /// All of them.
    pub fn all() -> &'static [Family] {
        FAMILIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::treatments::NO_TLS;

    #[test]
    fn keys_are_there_once_and_their_defaults_are_values_that_they_take() {
        let keys = BrokerKey::all();
        assert!(keys.is_sorted_by(|a, b| a.name < b.name));
        assert!(OWN_KEYS.is_sorted_by(|a, b| a.0 < b.0));
        for key in keys {
            if let Some(default) = &key.default {
                key.kind.parse(default).unwrap();
            }
            let found = BrokerKey::named(key.name).unwrap();
            assert_eq!(found.default, key.default);
        }
    }

    #[test]
    fn the_default_of_a_time_stands_at_its_coarsest_key() {
        let default = |name| BrokerKey::named(name).unwrap().default;
        assert_eq!(default("log.retention.hours").as_deref(), Some("168"));
        assert_eq!(default("log.retention.minutes"), None);
        assert_eq!(default("log.retention.ms"), None);
        assert_eq!(default("log.segment.bytes").as_deref(), Some("1073741824"));
    }

    #[test]
    fn families_hold_what_has_no_row() {
        assert!(BrokerKey::named("ssl.keystore.location").is_none());
        let family = Family::of("ssl.keystore.location").unwrap();
        assert_eq!(family.treatment, NO_TLS);
        assert!(Family::of("num.partitionz").is_none());
    }
}

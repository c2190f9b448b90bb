//! What a configuration comes to, and where each value comes from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use sillon_record::BrokerId;

use crate::broker_keys::{BrokerKey, Update};
use crate::config_kind::ConfigKind;
use crate::{ConfigKey, TopicConfig};

/// Where a value comes from; the number is Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set on the topic.
    DynamicTopic = 1,
    /// Set on the broker while it ran.
    DynamicBroker = 2,
    /// Set on all brokers while they ran.
    DynamicDefaultBroker = 3,
    /// Given to the broker at its start.
    StaticBroker = 4,
    /// Nobody said anything.
    Default = 5,
}

/// One of the places that say something about a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigSynonym {
    /// The key there.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Which place.
    pub source: ConfigSource,
}

/// One value of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectiveConfig {
    /// Kafka's name.
    pub name: &'static str,
    /// Its value; `None`: it has none.
    pub value: Option<String>,
    /// Where that comes from.
    pub source: ConfigSource,
    /// It changes only with a start of the broker.
    pub is_read_only: bool,
    /// What values it takes.
    pub kind: ConfigKind,
    /// All that say something about it, the one that counts first.
    pub synonyms: Vec<ConfigSynonym>,
    /// What it is for, in a line.
    pub documentation: Cow<'static, str>,
}

/// Values by key.
pub type Settings = BTreeMap<String, String>;

/// What a broker's configuration says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerSettings {
    /// Whose view this is.
    broker: BrokerId,
    /// Given at its start.
    at_start: Arc<Settings>,
    /// Set on all brokers.
    of_all: Settings,
    /// Set on one broker.
    of_one: BTreeMap<BrokerId, Settings>,
}

impl BrokerSettings {
    /// A broker that was given these values at its start.
    pub fn new(broker: BrokerId, at_start: Arc<Settings>) -> BrokerSettings {
        BrokerSettings {
            broker,
            at_start,
            ..BrokerSettings::default()
        }
    }

    /// What was set on one broker, or on all, while it ran.
    pub fn dynamic(&self, broker: Option<BrokerId>) -> &Settings {
        static NONE: Settings = Settings::new();
        match broker {
            None => &self.of_all,
            Some(broker) => self.of_one.get(&broker).unwrap_or(&NONE),
        }
    }

    /// Brokers on which something was set.
    pub fn brokers(&self) -> impl Iterator<Item = BrokerId> {
        self.of_one.keys().copied()
    }

    pub(crate) fn set(&mut self, broker: Option<BrokerId>, key: &str, value: Option<&str>) {
        let settings = match broker {
            None => &mut self.of_all,
            Some(broker) => self.of_one.entry(broker).or_default(),
        };
        match value {
            Some(value) => settings.insert(key.to_owned(), value.to_owned()),
            None => settings.remove(key),
        };
        self.of_one.retain(|_, settings| !settings.is_empty());
    }

    /// The defaults of topics, with what was set while the broker ran.
    pub(crate) fn topic_defaults(&self, at_start: &TopicConfig) -> TopicConfig {
        let mut config = *at_start;
        for settings in [&self.of_all, self.dynamic(Some(self.broker))] {
            for (name, value) in settings {
                // They were checked when they were set.
                if let Some((key, _)) = ConfigKey::of_broker_key(name) {
                    let _ = config.set(key.name, value);
                }
            }
        }
        config
    }

    fn places(&self) -> [(ConfigSource, &Settings); 3] {
        [
            (ConfigSource::DynamicBroker, self.dynamic(Some(self.broker))),
            (ConfigSource::DynamicDefaultBroker, &self.of_all),
            (ConfigSource::StaticBroker, &self.at_start),
        ]
    }

    fn synonyms(&self, names: impl Iterator<Item = &'static str> + Clone) -> Vec<ConfigSynonym> {
        let mut synonyms = Vec::new();
        for (source, settings) in self.places() {
            for name in names.clone() {
                if let Some(value) = settings.get(name) {
                    let value = value.clone();
                    synonyms.push(ConfigSynonym {
                        name,
                        value,
                        source,
                    });
                }
            }
        }
        synonyms
    }

    /// All keys of a topic whose own values are `overrides` and which come to `config`.
    pub(crate) fn of_topic(
        &self,
        config: &TopicConfig,
        overrides: &Settings,
    ) -> Vec<EffectiveConfig> {
        let keys = ConfigKey::all().iter();
        keys.map(|key| self.topic_key(key, config, overrides))
            .collect()
    }

    fn topic_key(
        &self,
        key: &'static ConfigKey,
        config: &TopicConfig,
        overrides: &Settings,
    ) -> EffectiveConfig {
        let mut synonyms = self.synonyms(key.broker_keys.iter().map(|(name, _)| *name));
        let own = overrides.get(key.name);
        if let Some(value) = own {
            let of_topic = ConfigSynonym {
                name: key.name,
                value: value.clone(),
                source: ConfigSource::DynamicTopic,
            };
            synonyms.insert(0, of_topic);
        }
        let default = || key.value_in(&TopicConfig::default());
        let value = match (own, key.field_in(config), synonyms.first()) {
            (Some(own), ..) => own.clone(),
            (None, Some(value), _) => value,
            (None, None, Some(given)) => scaled(key, given),
            (None, None, None) => default(),
        };
        let source = synonyms.first().map(|synonym| synonym.source);
        // As Kafka, which finds a default only under the first of the broker's keys.
        if let [(name, _)] = key.broker_keys {
            let source = ConfigSource::Default;
            let value = default();
            synonyms.push(ConfigSynonym {
                name,
                value,
                source,
            });
        }
        EffectiveConfig {
            name: key.name,
            value: Some(value),
            source: source.unwrap_or(ConfigSource::Default),
            is_read_only: false,
            kind: key.kind,
            synonyms,
            documentation: Cow::Borrowed(key.documentation),
        }
    }

    /// All keys of the broker itself.
    pub(crate) fn of_broker(&self) -> Vec<EffectiveConfig> {
        let keys = BrokerKey::all().into_iter();
        keys.map(|key| {
            let mut synonyms = self.synonyms(std::iter::once(key.name));
            if let Some(default) = &key.default {
                synonyms.push(ConfigSynonym {
                    name: key.name,
                    value: default.clone().into_owned(),
                    source: ConfigSource::Default,
                });
            }
            let first = synonyms.first();
            effective(
                &key,
                first.map(|synonym| synonym.value.clone()),
                first.map_or(ConfigSource::Default, |synonym| synonym.source),
                synonyms,
            )
        })
        .collect()
    }

    /// The keys that were set on all brokers.
    pub(crate) fn of_all_brokers(&self) -> Vec<EffectiveConfig> {
        let set = self.of_all.iter().filter_map(|(name, value)| {
            let key = BrokerKey::named(name)?;
            let source = ConfigSource::DynamicDefaultBroker;
            let synonym = ConfigSynonym {
                name: key.name,
                value: value.clone(),
                source,
            };
            Some(effective(&key, Some(value.clone()), source, vec![synonym]))
        });
        set.collect()
    }
}

/// What a key of the broker says about a topic's, in the unit of the latter.
fn scaled(key: &ConfigKey, given: &ConfigSynonym) -> String {
    let unit_ms = key.broker_keys.iter().find(|(name, _)| *name == given.name);
    match (given.value.parse::<i64>(), unit_ms) {
        (Ok(number), Some((_, unit_ms))) if *unit_ms > 1 && number > 0 => {
            number.saturating_mul(*unit_ms).to_string()
        }
        _ => given.value.clone(),
    }
}

fn effective(
    key: &BrokerKey,
    value: Option<String>,
    source: ConfigSource,
    synonyms: Vec<ConfigSynonym>,
) -> EffectiveConfig {
    EffectiveConfig {
        name: key.name,
        value,
        source,
        is_read_only: key.update == Update::ReadOnly,
        kind: key.kind,
        synonyms,
        documentation: key.documentation.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        pairs.iter().map(owned).collect()
    }

    fn of(settings: &BrokerSettings, overrides: &Settings, name: &str) -> EffectiveConfig {
        let defaults = settings.topic_defaults(&TopicConfig::default());
        let config = defaults.overridden(overrides);
        let mut all = settings.of_topic(&config, overrides).into_iter();
        all.find(|config| config.name == name).unwrap()
    }

    #[test]
    fn a_topic_goes_before_its_broker_and_that_before_all_brokers_and_those_before_the_start() {
        let me = BrokerId(1);
        let name = "max.message.bytes";
        let at_start = settings(&[("message.max.bytes", "1000")]);
        let mut broker = BrokerSettings::new(me, Arc::new(at_start));
        let none = Settings::new();
        assert_eq!(of(&broker, &none, name).source, ConfigSource::StaticBroker);
        broker.set(None, "message.max.bytes", Some("2000"));
        assert_eq!(of(&broker, &none, name).value.as_deref(), Some("2000"));
        broker.set(Some(me), "message.max.bytes", Some("3000"));
        broker.set(Some(BrokerId(2)), "message.max.bytes", Some("9"));
        let own = settings(&[(name, "4000")]);
        let found = of(&broker, &own, name);
        assert_eq!(found.value.as_deref(), Some("4000"));
        let said: Vec<_> = found
            .synonyms
            .iter()
            .map(|s| (s.source, &*s.value))
            .collect();
        assert_eq!(
            said,
            [
                (ConfigSource::DynamicTopic, "4000"),
                (ConfigSource::DynamicBroker, "3000"),
                (ConfigSource::DynamicDefaultBroker, "2000"),
                (ConfigSource::StaticBroker, "1000"),
                (ConfigSource::Default, "1048588"),
            ]
        );
        broker.set(Some(me), "message.max.bytes", None);
        assert_eq!(of(&broker, &none, name).value.as_deref(), Some("2000"));
    }

    #[test]
    fn a_flush_before_every_acknowledgement_is_the_default() {
        let broker = BrokerSettings::default();
        let found = of(&broker, &Settings::new(), "flush.messages");
        assert_eq!(found.value.as_deref(), Some("1"));
        assert_eq!(found.source, ConfigSource::Default);
        assert!(!found.is_read_only);
    }

    #[test]
    fn a_key_without_effect_takes_its_brokers_value_in_its_own_unit() {
        let at_start = settings(&[("log.roll.jitter.hours", "2")]);
        let broker = BrokerSettings::new(BrokerId(1), Arc::new(at_start));
        let found = of(&broker, &Settings::new(), "segment.jitter.ms");
        assert_eq!(found.value.as_deref(), Some("7200000"));
        assert_eq!(found.source, ConfigSource::StaticBroker);
    }

    #[test]
    fn what_is_set_on_all_brokers_is_all_that_they_have_in_common() {
        let mut broker = BrokerSettings::default();
        assert!(broker.of_all_brokers().is_empty());
        broker.set(None, "log.segment.bytes", Some("2097152"));
        let shared = broker.of_all_brokers();
        assert_eq!(shared.len(), 1);
        assert_eq!(shared[0].source, ConfigSource::DynamicDefaultBroker);
        let own = broker.of_broker();
        let own = own.iter().find(|c| c.name == "log.segment.bytes").unwrap();
        assert_eq!(own.value.as_deref(), Some("2097152"));
        let fixed = broker.of_broker();
        let fixed = fixed.iter().find(|c| c.name == "num.partitions").unwrap();
        assert!(fixed.is_read_only);
    }
}

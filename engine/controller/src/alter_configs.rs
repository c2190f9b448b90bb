use std::collections::BTreeSet;

use sillon_record::BrokerId;

use crate::append::record_bytes_max;
use crate::broker_keys::{BrokerKey, Update};
use crate::config_kind::{ConfigKind, parts};
use crate::effective::Settings;
use crate::{
    AlterConfigsError, AlteredResource, ConfigChange, ConfigKey, ConfigOperation, ConfigResource,
    Image, InvalidConfig, MetadataRecord,
};

/// What one request may change, in bytes of records: a request of 4 MiB can append to lists that
/// are much longer than itself.
const ALTERED_BYTES_MAX: usize = 8 << 20;

/// What a request to change configurations comes to.
#[derive(Debug, Default)]
pub(crate) struct Alteration {
    pub results: Vec<Result<(), AlterConfigsError>>,
    pub records: Vec<MetadataRecord>,
}

/// Decides about changes of configurations. A resource is changed as asked or not at all. Applies
/// nothing.
pub(crate) fn alter_configs(image: &Image, resources: &[AlteredResource]) -> Alteration {
    let mut seen = BTreeSet::new();
    let again = resources.iter().filter(|r| !seen.insert(&r.resource));
    let twice: BTreeSet<_> = again.map(|r| &r.resource).collect();
    let mut alteration = Alteration::default();
    let mut left = ALTERED_BYTES_MAX;
    for altered in resources {
        let changed = match twice.contains(&altered.resource) {
            true => Err(AlterConfigsError::ResourceTwice),
            false if left == 0 => Err(too_much()),
            false => alter(image, altered).and_then(|records| within(records, &mut left)),
        };
        let result = changed.map(|mut records| alteration.records.append(&mut records));
        alteration.results.push(result);
    }
    alteration
}

fn within(
    records: Vec<MetadataRecord>,
    left: &mut usize,
) -> Result<Vec<MetadataRecord>, AlterConfigsError> {
    let bytes = records.iter().map(record_bytes_max).sum();
    match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            Ok(records)
        }
        None => {
            // Nor are the others looked at.
            *left = 0;
            Err(too_much())
        }
    }
}

fn too_much() -> AlterConfigsError {
    AlterConfigsError::TooMuch {
        bytes_max: ALTERED_BYTES_MAX,
    }
}

/// A key of either kind of resource.
struct Known {
    name: &'static str,
    kind: ConfigKind,
}

fn alter(
    image: &Image,
    altered: &AlteredResource,
) -> Result<Vec<MetadataRecord>, AlterConfigsError> {
    let before = settings_of(image, &altered.resource)?;
    let mut after = match altered.replaces_all {
        true => Settings::new(),
        false => before.clone(),
    };
    let mut seen = BTreeSet::new();
    for change in &altered.changes {
        if !seen.insert(&change.key) {
            let key = change.key.clone();
            return Err(AlterConfigsError::KeyTwice { key });
        }
        let known = known(&altered.resource, &change.key)?;
        let shown = || shown(image, &altered.resource, known.name);
        match changed(&known, change, shown)? {
            Some(value) => after.insert(change.key.clone(), value),
            None => after.remove(&change.key),
        };
    }
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), None));
    let set = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(*value));
    let set = set.map(|(key, value)| (key.clone(), Some(value.clone())));
    gone.chain(set)
        .map(|(key, value)| record(image, &altered.resource, key, value))
        .collect()
}

fn settings_of<'a>(
    image: &'a Image,
    resource: &ConfigResource,
) -> Result<&'a Settings, AlterConfigsError> {
    match resource {
        ConfigResource::Topic(name) => match image.topic_named(name) {
            Some(topic) => Ok(topic.overrides()),
            None => Err(AlterConfigsError::UnknownTopic { name: name.clone() }),
        },
        ConfigResource::Broker(Some(broker)) if image.broker(*broker).is_none() => {
            Err(AlterConfigsError::UnknownBroker { broker: *broker })
        }
        ConfigResource::Broker(broker) => Ok(image.settings().dynamic(*broker)),
    }
}

fn known(resource: &ConfigResource, key: &str) -> Result<Known, AlterConfigsError> {
    let unknown = |key: &str| InvalidConfig::UnknownKey {
        key: key.to_owned(),
    };
    match resource {
        ConfigResource::Topic(_) => {
            let known = ConfigKey::named(key).ok_or_else(|| unknown(key))?;
            Ok(Known {
                name: known.name,
                kind: known.kind,
            })
        }
        ConfigResource::Broker(_) => {
            let known = BrokerKey::named(key).ok_or_else(|| unknown(key))?;
            if known.update == Update::ReadOnly {
                return Err(AlterConfigsError::ReadOnly { key: known.name });
            }
            Ok(Known {
                name: known.name,
                kind: known.kind,
            })
        }
    }
}

/// The value of a key as it is now, for lists that are added to.
fn shown(image: &Image, resource: &ConfigResource, name: &str) -> String {
    let configs = match resource {
        ConfigResource::Topic(topic) => image.topic_named(topic).map(|t| image.topic_configs(t)),
        ConfigResource::Broker(_) => Some(image.broker_configs()),
    };
    let mut configs = configs.into_iter().flatten();
    let found = configs.find(|config| config.name == name);
    found.and_then(|config| config.value).unwrap_or_default()
}

/// The value that a key is to have; `None`: none of its own.
fn changed(
    known: &Known,
    change: &ConfigChange,
    shown: impl Fn() -> String,
) -> Result<Option<String>, AlterConfigsError> {
    if change.operation == ConfigOperation::Delete {
        return Ok(None);
    }
    let Some(value) = &change.value else {
        let key = change.key.clone();
        return Err(AlterConfigsError::Null { key });
    };
    let value = match change.operation {
        ConfigOperation::Set | ConfigOperation::Delete => value.clone(),
        ConfigOperation::Append | ConfigOperation::Subtract if !known.kind.is_list() => {
            return Err(AlterConfigsError::NoList { key: known.name });
        }
        ConfigOperation::Append => {
            let shown = shown();
            let mut seen = BTreeSet::new();
            let all = parts(&shown).chain(parts(value));
            let all: Vec<&str> = all.filter(|part| seen.insert(*part)).collect();
            all.join(",")
        }
        ConfigOperation::Subtract => {
            let shown = shown();
            let gone: BTreeSet<&str> = parts(value).collect();
            let left: Vec<&str> = parts(&shown).filter(|part| !gone.contains(part)).collect();
            left.join(",")
        }
    };
    known
        .kind
        .parse(&value)
        .map_err(|reason| InvalidConfig::Value {
            key: known.name,
            value: value.clone(),
            reason,
        })?;
    Ok(Some(value))
}

fn record(
    image: &Image,
    resource: &ConfigResource,
    key: String,
    value: Option<String>,
) -> Result<MetadataRecord, AlterConfigsError> {
    Ok(match resource {
        ConfigResource::Topic(name) => {
            let topic = image.topic_named(name);
            let unknown = || AlterConfigsError::UnknownTopic { name: name.clone() };
            let topic = topic.ok_or_else(unknown)?.id;
            MetadataRecord::TopicConfig { topic, key, value }
        }
        ConfigResource::Broker(broker) => {
            let broker: Option<BrokerId> = *broker;
            MetadataRecord::BrokerConfig { broker, key, value }
        }
    })
}

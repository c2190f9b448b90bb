//! The broker's configuration under Kafka's names: `--override`, the environment and a properties
//! file, each before the next, and the defaults behind them all.

mod connections;
mod environment;
mod listeners;
mod properties;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use sillon_controller::{
    BrokerKey, ConfigKey, ControllerOptions, Family, Settings, TopicConfig, Treatment,
};
use sillon_group::GroupConfig;
use sillon_shard::CompactionConfig;

pub use connections::ConnectionLimits;
pub use environment::find as find_in_environment;
pub use listeners::Listener;

/// A key that is given a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Kafka's name, as given.
    pub key: String,
    /// As given.
    pub value: String,
    /// By whom.
    pub origin: Origin,
}

/// Who gives a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An option of the command.
    Flag(&'static str),
    /// A variable.
    Environment(String),
    /// A line of a file.
    File(PathBuf, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(flag) => f.write_str(flag),
            Origin::Environment(variable) => f.write_str(variable),
            Origin::File(path, line) => write!(f, "{}, line {line}", path.display()),
        }
    }
}

/// What the broker's configuration says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BrokerConfig {
    /// Configuration of topics that say nothing themselves.
    pub topics: TopicConfig,
    /// What requests leave to the broker.
    pub controller: ControllerOptions,
    /// What was given, by key; the last one to say something counts.
    pub given: BTreeMap<&'static str, Setting>,
    /// Where to listen, and where clients that come there are told to connect. The first is the
    /// one of `inter.broker.listener.name`, when there is such a one.
    pub listeners: Vec<(Listener, Option<Listener>)>,
    /// Where clients are told to connect when nothing is said about where to listen.
    pub advertised: Option<Listener>,
    /// How many connections there may be, and for how long.
    pub connections: ConnectionLimits,
    /// What whoever gave something should know about it.
    pub notices: Vec<String>,
}

/// A configuration that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// No `=`.
    #[error("--override {text:?}: key=value is needed, such as num.partitions=3")]
    NoValue {
        /// As given.
        text: String,
    },
    /// No such key.
    #[error("{origin}: there is no key {key}; did you mean {nearest}?")]
    Unknown {
        /// By whom it is given.
        origin: Origin,
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
    #[error("{origin}: {key}={value}: {reason}")]
    Value {
        /// By whom it is given.
        origin: Origin,
        /// The key.
        key: String,
        /// As given.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// The file cannot be read.
    #[error("--config {}: {source}", path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is no properties file.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Reads `--override` options.
pub fn overrides(given: &[String]) -> Result<Vec<Setting>, ConfigurationError> {
    let mut settings: Vec<Setting> = Vec::new();
    for text in given {
        let Some((key, value)) = text.split_once('=') else {
            return Err(ConfigurationError::NoValue { text: text.clone() });
        };
        let key = key.trim().to_owned();
        if settings.iter().any(|setting| setting.key == key) {
            return Err(ConfigurationError::Twice { key });
        }
        settings.push(Setting {
            key,
            value: value.trim().to_owned(),
            origin: Origin::Flag("--override"),
        });
    }
    Ok(settings)
}

/// Reads a properties file.
pub fn file(path: &Path) -> Result<Vec<Setting>, ConfigurationError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigurationError::File {
        path: path.to_owned(),
        source,
    })?;
    settings_of(path, &text)
}

/// Reads the text of a properties file.
pub fn settings_of(path: &Path, text: &str) -> Result<Vec<Setting>, ConfigurationError> {
    let properties = properties::parse(text).map_err(|(line, reason)| {
        let path = path.to_owned();
        ConfigurationError::Line { path, line, reason }
    })?;
    let properties = properties.into_iter();
    Ok(properties
        .map(|property| Setting {
            key: property.key,
            value: property.value.trim().to_owned(),
            origin: Origin::File(path.to_owned(), property.line),
        })
        .collect())
}

fn is_known(key: &str) -> bool {
    BrokerKey::named(key).is_some() || Family::of(key).is_some()
}

impl BrokerConfig {
    /// The defaults with some settings; the later ones go before the earlier ones.
    pub fn with(settings: Vec<Setting>) -> Result<BrokerConfig, ConfigurationError> {
        let mut config = BrokerConfig::default();
        for setting in settings {
            config.take(setting)?;
        }
        config.set_topics();
        config.controller = ControllerOptions {
            default_partitions: config.number("num.partitions") as i32,
            default_replication_factor: config.number("default.replication.factor") as i16,
        };
        config.set_listeners()?;
        config.connections = ConnectionLimits::of(&config)?;
        config.notice();
        Ok(config)
    }

    fn take(&mut self, setting: Setting) -> Result<(), ConfigurationError> {
        let Some(key) = BrokerKey::named(&setting.key) else {
            return self.take_of_family(setting);
        };
        let kind = key.kind;
        kind.check(&setting.value)
            .map_err(|reason| match key.treatment {
                Treatment::Refused(what) => refused(&setting, format!("{reason}: {what}")),
                _ => refused(&setting, reason),
            })?;
        self.given.insert(key.name, setting);
        Ok(())
    }

    fn take_of_family(&mut self, setting: Setting) -> Result<(), ConfigurationError> {
        let family = Family::of(&setting.key).map(|family| family.treatment);
        match family {
            Some(Treatment::Refused(what)) => Err(refused(&setting, what.to_owned())),
            Some(Treatment::NoEffect(why) | Treatment::Partly(why)) => {
                let Setting { key, origin, .. } = setting;
                let notice = format!("{origin}: {key} has no effect: {why}");
                self.notices.push(notice);
                Ok(())
            }
            Some(Treatment::Honoured) => Ok(()),
            None => Err(ConfigurationError::Unknown {
                nearest: nearest(&setting.key),
                origin: setting.origin,
                key: setting.key,
            }),
        }
    }

    /// What was given for a key, or its default.
    pub fn value(&self, key: &str) -> Option<String> {
        let given = self.given.get(key).map(|setting| setting.value.clone());
        given.or_else(|| {
            BrokerKey::named(key)?
                .default
                .map(|value| value.into_owned())
        })
    }

    /// A number that has a default; values were checked when they were taken.
    pub fn number(&self, key: &str) -> i64 {
        let value = self.value(key).and_then(|value| value.parse().ok());
        value.expect("numbers have defaults and are checked")
    }

    /// What consumer groups are held to.
    pub fn groups(&self) -> GroupConfig {
        let number = |key| self.number(key);
        GroupConfig {
            session_timeout_min_ms: number("group.min.session.timeout.ms") as i32,
            session_timeout_max_ms: number("group.max.session.timeout.ms") as i32,
            initial_rebalance_delay_ms: number("group.initial.rebalance.delay.ms") as i32,
            members_max: number("group.max.size") as usize,
            offset_metadata_max: number("offset.metadata.max.bytes") as usize,
            offsets_retention_ms: number("offsets.retention.minutes") * 60_000,
            retention_check_interval_ms: number("offsets.retention.check.interval.ms") as u64,
            // Each shard has its share of --memory.
            ..GroupConfig::default()
        }
    }

    /// How compaction works.
    pub fn compaction(&self) -> CompactionConfig {
        let rate = self.value("log.cleaner.io.max.bytes.per.second");
        let rate = rate.and_then(|rate| rate.parse::<f64>().ok());
        CompactionConfig {
            backoff_ms: self.number("log.cleaner.backoff.ms") as u64,
            map_bytes: self.number("log.cleaner.dedupe.buffer.size") as u64,
            bytes_per_second: rate.map_or(u64::MAX, |rate| rate as u64),
        }
    }

    /// `auto.create.topics.enable`
    pub fn auto_create_topics(&self) -> bool {
        let value = self.value("auto.create.topics.enable");
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// `node.id`, or else its older name `broker.id`.
    pub fn node_id(&self) -> i32 {
        let of = |key: &str| self.given.contains_key(key).then(|| self.number(key));
        let older = of("broker.id").filter(|id| *id >= 0);
        let id = of("node.id")
            .or(older)
            .unwrap_or_else(|| self.number("node.id"));
        id as i32
    }

    /// `log.dirs`, or else `log.dir`, when one was given.
    pub fn data_dir(&self) -> Option<&Setting> {
        self.given
            .get("log.dirs")
            .or_else(|| self.given.get("log.dir"))
    }

    /// Values that were given, as the broker keeps them.
    pub fn settings(&self) -> Settings {
        let given = self.given.iter();
        given
            .map(|(key, setting)| (key.to_string(), setting.value.clone()))
            .collect()
    }

    /// The first of a topic key's broker keys that was given counts.
    fn set_topics(&mut self) {
        for key in ConfigKey::all() {
            let mut of = key.broker_keys.iter();
            let given = of.find_map(|(name, unit_ms)| Some((self.given.get(name)?, *unit_ms)));
            if let Some((setting, unit_ms)) = given {
                let value = scaled(&setting.value, unit_ms);
                let set = self.topics.set(key.name, &value);
                set.expect("a broker's key takes what its topic key does");
            }
        }
    }

    fn set_listeners(&mut self) -> Result<(), ConfigurationError> {
        let text = |key| self.value(key).unwrap_or_default();
        let controllers = text("controller.listener.names");
        let protocols = text("listener.security.protocol.map");
        let first = text("inter.broker.listener.name");
        let mut advertised = Vec::new();
        if let Some(setting) = self.given.get("advertised.listeners") {
            let found = listeners::parse(&setting.value);
            advertised = found.map_err(|reason| refused(setting, reason))?;
            let is_served = |listener: &&Listener| !controllers.contains(&listener.name);
            let mut served = advertised.iter().filter(is_served);
            if served.any(|listener| is_everywhere(&listener.host)) {
                let reason = "clients cannot connect to every address: name one";
                return Err(refused(setting, reason.to_owned()));
            }
        }
        let of = |name: &str| advertised.iter().find(|listener| listener.name == name);
        if let Some(setting) = self.given.get("listeners") {
            let found = listeners::parse(&setting.value);
            let served = found.and_then(|all| listeners::served(all, &controllers, &protocols));
            let mut served = served.map_err(|reason| refused(setting, reason))?;
            served.sort_by_key(|listener| listener.name != first);
            let told = |listener: Listener| {
                let told = of(&listener.name).cloned();
                (listener, told)
            };
            self.listeners = served.into_iter().map(told).collect();
        }
        self.advertised = of("PLAINTEXT").cloned();
        Ok(())
    }

    fn notice(&mut self) {
        for (name, setting) in &self.given {
            let Some(key) = BrokerKey::named(name) else {
                continue;
            };
            let is_default = key.default.as_deref() == Some(&*setting.value);
            if let (Treatment::NoEffect(why), false) = (key.treatment, is_default) {
                let origin = &setting.origin;
                let notice = format!("{origin}: {name} has no effect: {why}");
                self.notices.push(notice);
            }
        }
        if let Some(setting) = self.data_dir()
            && setting.value.contains(',')
        {
            let notice = format!(
                "{}: the first folder is used, a node has one",
                setting.origin
            );
            self.notices.push(notice);
        }
    }
}

/// Whether a host stands for all addresses of this one.
pub fn is_everywhere(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host.is_empty() || address.is_ok_and(|address| address.is_unspecified())
}

fn refused(setting: &Setting, reason: String) -> ConfigurationError {
    ConfigurationError::Value {
        origin: setting.origin.clone(),
        key: setting.key.clone(),
        value: setting.value.clone(),
        reason,
    }
}

/// A number of units in milliseconds; -1 stays what it is: without bound.
fn scaled(value: &str, unit_ms: i64) -> String {
    match value.parse::<i64>() {
        Ok(number) if unit_ms > 1 && number > 0 => number.saturating_mul(unit_ms).to_string(),
        _ => value.to_owned(),
    }
}

/// The key most like an unknown one. A topic's key leads to the broker's key for its default.
fn nearest(key: &str) -> &'static str {
    let of_topic = ConfigKey::named(key).and_then(|key| key.broker_keys.first());
    if let Some((name, _)) = of_topic {
        return name;
    }
    let distance = |name: &str| (strsim::jaro_winkler(name, key) * 1e6) as u64;
    let keys = BrokerKey::all().into_iter().map(|key| key.name);
    let best = keys.max_by_key(|name| distance(name));
    best.unwrap_or("num.partitions")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(given: &[&str]) -> Result<BrokerConfig, ConfigurationError> {
        let given: Vec<String> = given.iter().map(|text| text.to_string()).collect();
        BrokerConfig::with(overrides(&given)?)
    }

    #[test]
    fn every_key_that_gives_topics_a_default_does() {
        let of_topics = ConfigKey::all().iter();
        for (name, _) in of_topics.flat_map(|key| key.broker_keys) {
            let key = BrokerKey::named(name).unwrap();
            let value = match *name {
                "compression.type" => "zstd",
                "log.cleanup.policy" => "compact",
                "log.message.timestamp.type" => "LogAppendTime",
                "log.segment.bytes" => "2000000",
                "log.cleaner.min.cleanable.ratio" => "0.25",
                "log.preallocate" | "unclean.leader.election.enable" => "true",
                _ => "7",
            };
            let config = with(&[&format!("{name}={value}")]).unwrap();
            let changes = config.topics != TopicConfig::default();
            let is_kept = matches!(key.treatment, Treatment::NoEffect(_));
            assert!(changes || is_kept, "{name}");
            assert_eq!(config.settings()[*name], value);
        }
    }

    #[test]
    fn milliseconds_win_over_minutes_and_minutes_over_hours() {
        let given = [
            "log.retention.ms=5",
            "log.retention.minutes=2",
            "log.retention.hours=1",
        ];
        let retention_ms = |given| with(given).unwrap().topics.retention_ms;
        assert_eq!(retention_ms(&given), Some(5));
        assert_eq!(retention_ms(&given[1..]), Some(120_000));
        assert_eq!(retention_ms(&given[2..]), Some(3_600_000));
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
                Err(ConfigurationError::Unknown { nearest, .. }) => assert_eq!(nearest, expected),
                other => panic!("{key}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for given in [
            &["num.partitions"][..],
            &["num.partitions=0"],
            &["num.partitions=3", "num.partitions=3"],
            &["log.cleanup.policy=shred"],
            &["log.retention.hours=x"],
            &["log.retention.hours=9223372036854775807"],
            &["auto.create.topics.enable=yes"],
            &["ssl.keystore.location=/etc/keys"],
            &["authorizer.class.name=org.example.Authorizer"],
            &["advertised.listeners=PLAINTEXT://0.0.0.0:9092"],
            &["listeners=SSL://:9093"],
            &["max.connections.per.ip=0"],
            &["max.connections.per.ip.overrides=127.0.0.1"],
            &["max.connections.per.ip.overrides=127.0.0.1:-1"],
            &["max.connections.per.ip.overrides=no host:3"],
        ] {
            assert!(with(given).is_err(), "{given:?}");
        }
    }

    #[test]
    fn later_settings_go_before_earlier_ones_and_what_has_no_effect_is_said() {
        let setting = |key: &str, value: &str, line| Setting {
            key: key.to_owned(),
            value: value.to_owned(),
            origin: Origin::File("server.properties".into(), line),
        };
        let config = BrokerConfig::with(vec![
            setting("num.partitions", "3", 1),
            setting("num.network.threads", "3", 2),
            setting("num.io.threads", "16", 3),
            setting("replica.fetch.max.bytes", "1", 4),
            setting("num.partitions", "4", 5),
        ])
        .unwrap();
        assert_eq!(config.controller.default_partitions, 4);
        let expected = ["line 4: replica.fetch.max.bytes", "line 3: num.io.threads"];
        assert_eq!(config.notices.len(), expected.len(), "{:?}", config.notices);
        for (notice, expected) in config.notices.iter().zip(expected) {
            assert!(notice.contains(expected), "{notice}");
        }
    }
}

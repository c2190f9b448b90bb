use sillon_protocol::Api;
use sillon_protocol::message::{
    CreatePartitionsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest, StrBytes,
    create_partitions_request::CreatePartitionsTopic,
    describe_configs_request::DescribeConfigsResource,
    describe_configs_response::DescribeConfigsResourceResult,
    incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
};
use sillon_record::BrokerId;

use crate::client::Client;
use crate::connection::Connection;
use crate::error::{ClientError, Malformed};
use crate::metadata::code;

/// How long a broker may take to add partitions, in ms.
const TIMEOUT_MS: i32 = 30_000;

/// What has a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configured {
    /// A topic.
    Topic(String),
    /// A broker.
    Broker(BrokerId),
    /// All brokers.
    AllBrokers,
}

/// One value of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    /// Kafka's name.
    pub key: String,
    /// Its value; `None`: it has none, or it is secret.
    pub value: Option<String>,
    /// Where that comes from, by Kafka's name.
    pub source: &'static str,
    /// It changes only with a start of the broker.
    pub is_read_only: bool,
    /// What it is for, from brokers that say so.
    pub documentation: Option<String>,
}

/// How a key is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigChange {
    /// It gets this value.
    Set(String),
    /// It loses its own value.
    Delete,
    /// These elements join its list.
    Append(String),
    /// These elements leave its list.
    Subtract(String),
}

impl Configured {
    /// Kafka's number of the type, and the name.
    fn on_the_wire(&self) -> (i8, StrBytes) {
        match self {
            Configured::Topic(name) => (2, StrBytes::from(name.as_str())),
            Configured::Broker(broker) => (4, StrBytes::from(broker.0.to_string())),
            Configured::AllBrokers => (4, StrBytes::from("")),
        }
    }

    fn described(&self) -> String {
        match self {
            Configured::Topic(name) => format!("topic {name}"),
            Configured::Broker(broker) => format!("broker {}", broker.0),
            Configured::AllBrokers => "all brokers".to_owned(),
        }
    }
}

impl Client {
    /// The configuration of a topic or of brokers, by name.
    pub fn describe_configs(&mut self, of: &Configured) -> Result<Vec<ConfigEntry>, ClientError> {
        let what = format!("describe the configuration of {}", of.described());
        let (kind, name) = of.on_the_wire();
        let mut resource = DescribeConfigsResource::default();
        resource.resource_type = kind;
        resource.resource_name = name;
        resource.configuration_keys = None;
        let mut request = DescribeConfigsRequest::default();
        request.resources = vec![resource];
        self.at(of, |connection| {
            // Older versions cannot ask for it.
            request.include_documentation = connection.version(Api::DescribeConfigs)? >= 3;
            let answer = connection.call(&request)?;
            let Some(result) = answer.results.first() else {
                let silent = Malformed::Silent(what.clone());
                return Err(connection.malformed(Api::DescribeConfigs, silent));
            };
            let message = result.error_message.as_deref();
            done(&what, result.error_code, message)?;
            let mut entries: Vec<ConfigEntry> = result.configs.iter().map(entry).collect();
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(entries)
        })
    }

    /// Changes the configuration of a topic or of brokers, key by key; all of it or nothing.
    pub fn alter_configs(
        &mut self,
        of: &Configured,
        changes: &[(String, ConfigChange)],
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let what = format!("alter the configuration of {}", of.described());
        let (kind, name) = of.on_the_wire();
        let mut resource = AlterConfigsResource::default();
        resource.resource_type = kind;
        resource.resource_name = name;
        resource.configs = changes.iter().map(alterable).collect();
        let mut request = IncrementalAlterConfigsRequest::default();
        request.resources = vec![resource];
        request.validate_only = validate_only;
        self.at(of, |connection| {
            let answer = connection.call(&request)?;
            let Some(result) = answer.responses.first() else {
                let silent = Malformed::Silent(what.clone());
                return Err(connection.malformed(Api::IncrementalAlterConfigs, silent));
            };
            done(&what, result.error_code, result.error_message.as_deref())
        })
    }

    /// Gives a topic more partitions, up to that number.
    pub fn create_partitions(
        &mut self,
        topic: &str,
        count: i32,
        validate_only: bool,
    ) -> Result<(), ClientError> {
        let what = format!("give topic {topic} {count} partitions");
        let mut more = CreatePartitionsTopic::default();
        more.name = StrBytes::from(topic);
        more.count = count;
        more.assignments = None;
        let mut request = CreatePartitionsRequest::default();
        request.topics = vec![more];
        request.timeout_ms = TIMEOUT_MS;
        request.validate_only = validate_only;
        self.with_controller(|connection| {
            let answer = connection.call(&request)?;
            let Some(result) = answer.results.first() else {
                let silent = Malformed::Silent(what.clone());
                return Err(connection.malformed(Api::CreatePartitions, silent));
            };
            done(&what, result.error_code, result.error_message.as_deref())
        })?;
        self.forget_topics();
        Ok(())
    }

    /// Uses a connection to the broker that answers for a configuration.
    fn at<R>(
        &mut self,
        of: &Configured,
        work: impl FnMut(&mut Connection) -> Result<R, ClientError>,
    ) -> Result<R, ClientError> {
        match of {
            Configured::Broker(broker) => self.with(*broker, work),
            Configured::Topic(_) | Configured::AllBrokers => self.with_controller(work),
        }
    }
}

fn done(what: &str, error_code: i16, message: Option<&str>) -> Result<(), ClientError> {
    match error_code {
        0 => Ok(()),
        error => Err(ClientError::refused(what, code(error), message)),
    }
}

fn alterable((key, change): &(String, ConfigChange)) -> AlterableConfig {
    let (operation, value) = match change {
        ConfigChange::Set(value) => (0, Some(value)),
        ConfigChange::Delete => (1, None),
        ConfigChange::Append(value) => (2, Some(value)),
        ConfigChange::Subtract(value) => (3, Some(value)),
    };
    let mut config = AlterableConfig::default();
    config.name = StrBytes::from(key.as_str());
    config.config_operation = operation;
    config.value = value.map(|value| StrBytes::from(value.as_str()));
    config
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        key: config.name.to_string(),
        value: config.value.as_deref().map(str::to_owned),
        source: match config.config_source {
            1 => "DYNAMIC_TOPIC_CONFIG",
            2 => "DYNAMIC_BROKER_CONFIG",
            3 => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            4 => "STATIC_BROKER_CONFIG",
            5 => "DEFAULT_CONFIG",
            _ => "UNKNOWN",
        },
        is_read_only: config.read_only,
        documentation: config.documentation.as_deref().map(str::to_owned),
    }
}

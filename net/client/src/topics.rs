use sillon_protocol::Api;
use sillon_protocol::message::{
    CreateTopicsRequest, DeleteTopicsRequest, StrBytes, create_topics_request::CreatableTopic,
    create_topics_request::CreatableTopicConfig, delete_topics_request::DeleteTopicState,
};
use sillon_record::TopicId;

use crate::client::Client;
use crate::error::{ClientError, Malformed};
use crate::metadata::code;

/// How long a broker may take to create or delete a topic, in ms.
const TIMEOUT_MS: i32 = 30_000;

/// First version that leaves the number of partitions and replicas to the broker.
const FIRST_VERSION_WITH_DEFAULTS: i16 = 4;

/// First version that deletes by name or id.
const FIRST_VERSION_DELETING_BY_ID: i16 = 6;

/// A topic to be created.
#[derive(Clone, Debug, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Number of partitions; `None` leaves it to the broker.
    pub partitions: Option<i32>,
    /// Replicas of each; `None` leaves it to the broker.
    pub replication_factor: Option<i16>,
    /// Configuration that differs from the broker's defaults, by Kafka's names.
    pub configs: Vec<(String, String)>,
}

impl Client {
    /// Creates a topic. Returns its id, zero from brokers older than Kafka 2.8.
    pub fn create_topic(&mut self, topic: &NewTopic) -> Result<TopicId, ClientError> {
        let mut creatable = CreatableTopic::default();
        creatable.name = StrBytes::from(topic.name.as_str());
        for (name, value) in &topic.configs {
            let mut config = CreatableTopicConfig::default();
            config.name = StrBytes::from(name.as_str());
            config.value = Some(StrBytes::from(value.as_str()));
            creatable.configs.push(config);
        }
        let what = format!("create topic {}", topic.name);
        let id = self.retrying(|client| {
            client.with_controller(|connection| {
                let version = connection.version(Api::CreateTopics)?;
                // -1 is the broker's default, where the version knows that.
                let default = if version < FIRST_VERSION_WITH_DEFAULTS {
                    1
                } else {
                    -1
                };
                creatable.num_partitions = topic.partitions.unwrap_or(default);
                creatable.replication_factor = topic.replication_factor.unwrap_or(default as i16);
                let mut request = CreateTopicsRequest::default();
                request.topics = vec![creatable.clone()];
                request.timeout_ms = TIMEOUT_MS;
                let answer = connection.call(&request)?;
                let Some(result) = answer.topics.first() else {
                    let silent = Malformed::Silent(what.clone());
                    return Err(connection.malformed(Api::CreateTopics, silent));
                };
                if result.error_code != 0 {
                    let message = result.error_message.as_deref();
                    let error = code(result.error_code);
                    return Err(ClientError::refused(what.clone(), error, message));
                }
                Ok(TopicId(result.topic_id.to_bytes()))
            })
        })?;
        self.forget_topics();
        Ok(id)
    }

    /// Deletes a topic.
    pub fn delete_topic(&mut self, name: &str) -> Result<(), ClientError> {
        let what = format!("delete topic {name}");
        self.with_controller(|connection| {
            let version = connection.version(Api::DeleteTopics)?;
            let mut request = DeleteTopicsRequest::default();
            request.timeout_ms = TIMEOUT_MS;
            if version >= FIRST_VERSION_DELETING_BY_ID {
                let mut state = DeleteTopicState::default();
                state.name = Some(StrBytes::from(name));
                request.topics = vec![state];
            } else {
                request.topic_names = vec![StrBytes::from(name)];
            }
            let answer = connection.call(&request)?;
            let Some(result) = answer.responses.first() else {
                let silent = Malformed::Silent(what.clone());
                return Err(connection.malformed(Api::DeleteTopics, silent));
            };
            if result.error_code != 0 {
                let message = result.error_message.as_deref();
                let error = code(result.error_code);
                return Err(ClientError::refused(what.clone(), error, message));
            }
            Ok(())
        })?;
        self.forget_topics();
        Ok(())
    }
}

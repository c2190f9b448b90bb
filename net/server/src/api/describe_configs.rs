use std::collections::BTreeSet;
use std::rc::Rc;

use sillon_controller::{ConfigResource, ConfigSynonym, EffectiveConfig, Image, check_topic_name};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::describe_configs_request::DescribeConfigsResource;
use sillon_protocol::message::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use sillon_protocol::message::{DescribeConfigsRequest, DescribeConfigsResponse, StrBytes};
use sillon_record::BrokerId;

use super::config_resource::resource;
use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;
use crate::limits::{DESCRIBED_CONFIG_BYTES_MAX, DESCRIBED_CONFIGS_MAX};
use crate::route::Refused;

/// Resources that are described before others get their turn: 10 us each.
const TURN_RESOURCES: usize = 16;

/// First version with types and documentation (KIP-569).
const FIRST_VERSION_WITH_TYPE: i16 = 3;

/// Configurations of topics and brokers, and where each value comes from.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: DescribeConfigsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        // The names are parts of the frame.
        let _permit = incoming.permit;
        let core = &context.core;
        let mut answering = Answering::new(core.broker(), &request, asked.version);
        for (number, resource) in request.resources.iter().enumerate() {
            core.with_image(|image| answering.answer(image, resource));
            if number % TURN_RESOURCES == TURN_RESOURCES - 1 {
                core.reactor_turn().await;
            }
        }
        respond(&asked, &answering.response)
    }))
}

/// An answer that is being put together.
struct Answering<'a> {
    broker: BrokerId,
    request: &'a DescribeConfigsRequest,
    version: i16,
    /// What it may still take.
    left: Left,
    response: DescribeConfigsResponse,
}

impl Answering<'_> {
    fn new(broker: BrokerId, request: &DescribeConfigsRequest, version: i16) -> Answering<'_> {
        Answering {
            broker,
            request,
            version,
            left: Left {
                values: DESCRIBED_CONFIGS_MAX,
                bytes: DESCRIBED_CONFIG_BYTES_MAX,
            },
            response: DescribeConfigsResponse::default(),
        }
    }

    /// Adds what there is to say of a resource.
    fn answer(&mut self, image: &Image, asked: &DescribeConfigsResource) {
        let mut result = DescribeConfigsResult::default();
        result.resource_type = asked.resource_type;
        result.resource_name = asked.resource_name.clone();
        // The generated default is an empty text, which clients show.
        result.error_message = None;
        match configs(image, self.broker, asked, &mut self.left) {
            Ok(configs) => {
                let configs = configs.into_iter();
                let configs = configs.map(|config| encode(config, self.request, self.version));
                result.configs = configs.collect();
            }
            Err(refused) => {
                result.error_code = refused.code.code();
                result.error_message = refused.message.map(text);
            }
        }
        self.response.results.push(result);
    }
}

fn configs(
    image: &Image,
    broker: BrokerId,
    asked: &DescribeConfigsResource,
    left: &mut Left,
) -> Result<Vec<EffectiveConfig>, Refused> {
    let configs = match resource(asked.resource_type, &asked.resource_name)? {
        ConfigResource::Topic(name) => {
            check_topic_name(&name).map_err(|fault| Refused {
                code: ErrorCode::InvalidTopic,
                message: Some(fault.to_string()),
            })?;
            let topic = image.topic_named(&name);
            let topic = topic.ok_or_else(|| Refused::from(ErrorCode::UnknownTopicOrPartition))?;
            image.topic_configs(topic)
        }
        ConfigResource::Broker(None) => image.all_brokers_configs(),
        ConfigResource::Broker(Some(asked)) if asked == broker => image.broker_configs(),
        ConfigResource::Broker(Some(asked)) => {
            return Err(Refused {
                code: ErrorCode::InvalidRequest,
                message: Some(format!(
                    "broker {} answers for itself and for all, not for broker {}",
                    broker.0, asked.0
                )),
            });
        }
    };
    let keys = asked.configuration_keys.as_ref();
    let keys: Option<BTreeSet<&str>> = keys.map(|keys| keys.iter().map(|key| &**key).collect());
    let is_asked_for = |config: &EffectiveConfig| match &keys {
        Some(keys) => keys.contains(config.name),
        None => true,
    };
    let configs: Vec<EffectiveConfig> = configs.into_iter().filter(is_asked_for).collect();
    match left.without(&configs) {
        Some(rest) => {
            *left = rest;
            Ok(configs)
        }
        None => Err(Refused {
            code: ErrorCode::InvalidRequest,
            message: Some(format!(
                "one answer has {DESCRIBED_CONFIGS_MAX} values of {DESCRIBED_CONFIG_BYTES_MAX} \
                 bytes at most: ask for fewer at a time"
            )),
        }),
    }
}

/// What an answer may still take.
#[derive(Clone, Copy)]
struct Left {
    values: usize,
    bytes: usize,
}

impl Left {
    fn without(self, configs: &[EffectiveConfig]) -> Option<Left> {
        let of_synonym = |synonym: &ConfigSynonym| synonym.name.len() + synonym.value.len();
        let bytes = configs.iter().map(|config| {
            let synonyms: usize = config.synonyms.iter().map(of_synonym).sum();
            config.name.len() + config.value.as_ref().map_or(0, String::len) + synonyms
        });
        Some(Left {
            values: self.values.checked_sub(configs.len())?,
            bytes: self.bytes.checked_sub(bytes.sum())?,
        })
    }
}

fn encode(
    config: EffectiveConfig,
    request: &DescribeConfigsRequest,
    version: i16,
) -> DescribeConfigsResourceResult {
    let mut response = DescribeConfigsResourceResult::default();
    response.name = StrBytes::from(config.name);
    response.value = config.value.map(text);
    response.read_only = config.is_read_only;
    response.config_source = config.source as i8;
    response.documentation = None;
    if request.include_synonyms {
        response.synonyms = config.synonyms.into_iter().map(synonym).collect();
    }
    if version >= FIRST_VERSION_WITH_TYPE {
        response.config_type = config.kind.type_number();
        if request.include_documentation {
            response.documentation = Some(text(config.documentation));
        }
    }
    response
}

fn synonym(synonym: ConfigSynonym) -> DescribeConfigsSynonym {
    let mut response = DescribeConfigsSynonym::default();
    response.name = StrBytes::from(synonym.name);
    response.value = Some(text(synonym.value));
    response.source = synonym.source as i8;
    response
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sillon_protocol::{Api, message};

    use super::super::config_resource::{BROKER, BROKER_LOGGER, TOPIC};
    use super::*;

    fn answer(request: &DescribeConfigsRequest, version: i16) -> DescribeConfigsResponse {
        let mut answering = Answering::new(BrokerId(1), request, version);
        for resource in &request.resources {
            answering.answer(&Image::default(), resource);
        }
        answering.response
    }

    fn asked(kind: i8, name: &str) -> DescribeConfigsResource {
        let mut asked = DescribeConfigsResource::default();
        asked.resource_type = kind;
        asked.resource_name = StrBytes::from(name);
        asked.configuration_keys = None;
        asked
    }

    #[test]
    fn every_answer_can_be_encoded_in_every_version() {
        let mut request = DescribeConfigsRequest::default();
        request.include_synonyms = true;
        request.include_documentation = true;
        request.resources = vec![
            asked(TOPIC, "furrow"),
            asked(TOPIC, "a b"),
            asked(BROKER, "1"),
            asked(BROKER, ""),
            asked(BROKER, "2"),
            asked(BROKER, "x"),
            asked(BROKER_LOGGER, "1"),
            asked(99, "1"),
        ];
        let spec = Api::DescribeConfigs.spec();
        for version in spec.min..=spec.max {
            let response = answer(&request, version);
            let codes: Vec<i16> = response.results.iter().map(|r| r.error_code).collect();
            assert_eq!(codes, [3, 17, 0, 0, 42, 42, 42, 42]);
            assert!(!response.results[2].configs.is_empty());
            let mut out = BytesMut::new();
            message::encode_response(&mut out, version, 0, &response).unwrap();
        }
    }

    #[test]
    fn only_the_keys_that_are_asked_for_come() {
        let mut asked = asked(BROKER, "1");
        asked.configuration_keys = Some(vec![StrBytes::from("num.partitions")]);
        let mut request = DescribeConfigsRequest::default();
        request.resources = vec![asked];
        let response = answer(&request, 4);
        let configs = &response.results[0].configs;
        assert_eq!(configs.len(), 1);
        assert_eq!(configs[0].value.as_deref(), Some("1"));
        assert!(configs[0].read_only && configs[0].synonyms.is_empty());
    }

    #[test]
    fn an_answer_has_an_end() {
        let mut request = DescribeConfigsRequest::default();
        request.resources = vec![asked(BROKER, "1"); DESCRIBED_CONFIGS_MAX / 50];
        let response = answer(&request, 4);
        let values: usize = response.results.iter().map(|r| r.configs.len()).sum();
        assert!(values <= DESCRIBED_CONFIGS_MAX);
        assert_eq!(response.results.last().unwrap().error_code, 42);
    }
}

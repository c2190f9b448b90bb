//! What has a configuration, by the numbers of Kafka's `ConfigResource.Type`.

use sillon_controller::ConfigResource;
use sillon_protocol::ErrorCode;
use sillon_record::BrokerId;

use crate::route::Refused;

pub(super) const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
pub(super) const BROKER_LOGGER: i8 = 8;
pub(super) const CLIENT_METRICS: i8 = 16;
pub(super) const GROUP: i8 = 32;

/// What a request names.
pub(super) fn resource(kind: i8, name: &str) -> Result<ConfigResource, Refused> {
    let invalid = |message: String| Refused {
        code: ErrorCode::InvalidRequest,
        message: Some(message),
    };
    match kind {
        TOPIC => Ok(ConfigResource::Topic(name.to_owned())),
        BROKER if name.is_empty() => Ok(ConfigResource::Broker(None)),
        BROKER => match name.parse() {
            Ok(broker) => Ok(ConfigResource::Broker(Some(BrokerId(broker)))),
            Err(_) => Err(invalid(format!(
                "a broker is named by its number, not by {name:?}"
            ))),
        },
        BROKER_LOGGER => Err(invalid(
            "levels of the log are given at the start: see sillon --log".to_owned(),
        )),
        CLIENT_METRICS => Err(invalid("metrics of clients are not taken".to_owned())),
        GROUP => Err(invalid("groups have no configuration here".to_owned())),
        other => Err(invalid(format!("there is no type {other} of resources"))),
    }
}

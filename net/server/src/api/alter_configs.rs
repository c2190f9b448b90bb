//! AlterConfigs, which replaces all of a resource's values, and IncrementalAlterConfigs, which
//! changes those that it names.

use std::rc::Rc;

use sillon_controller::{
    AlterConfigsError, AlteredResource, ConfigChange, ConfigOperation, ControlReply, ControlRequest,
};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::{
    AlterConfigsRequest, AlterConfigsResponse, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse, StrBytes, alter_configs_response,
    incremental_alter_configs_response,
};

use super::config_resource::resource;
use super::{RequestError, Unanswered, control, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::{Answer, Ended};
use crate::limits::ADMIN_MS_MAX;
use crate::route::Refused;

/// A resource as the request names it, and what is to become of it.
struct Asked {
    kind: i8,
    name: StrBytes,
    altered: Result<AlteredResource, Refused>,
}

/// The answer for one resource.
struct Done {
    kind: i8,
    name: StrBytes,
    code: i16,
    message: Option<StrBytes>,
}

/// Replaces configurations.
pub(super) fn take_up(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: AlterConfigsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let resources = request.resources.into_iter().map(|named| {
            let changes = named.configs.iter().map(|config| ConfigChange {
                key: config.name.to_string(),
                operation: ConfigOperation::Set,
                value: config.value.as_deref().map(str::to_owned),
            });
            let changes = Ok(changes.collect());
            asked_for(named.resource_type, named.resource_name, true, changes)
        });
        let done = alter(&context, resources.collect(), request.validate_only).await?;
        let mut response = AlterConfigsResponse::default();
        response.responses = done
            .into_iter()
            .map(|done| {
                let mut result = alter_configs_response::AlterConfigsResourceResponse::default();
                result.resource_type = done.kind;
                result.resource_name = done.name;
                result.error_code = done.code;
                result.error_message = done.message;
                result
            })
            .collect();
        respond(&asked, &response)
    }))
}

/// Changes configurations key by key.
pub(super) fn take_up_incremental(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: IncrementalAlterConfigsRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    let context = context.clone();
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let resources = request.resources.into_iter().map(|named| {
            let changes = named.configs.iter().map(|config| {
                Ok(ConfigChange {
                    key: config.name.to_string(),
                    operation: operation(config.config_operation)?,
                    value: config.value.as_deref().map(str::to_owned),
                })
            });
            let changes: Result<Vec<_>, Refused> = changes.collect();
            asked_for(named.resource_type, named.resource_name, false, changes)
        });
        let done = alter(&context, resources.collect(), request.validate_only).await?;
        let mut response = IncrementalAlterConfigsResponse::default();
        response.responses = done
            .into_iter()
            .map(|done| {
                let mut result =
                    incremental_alter_configs_response::AlterConfigsResourceResponse::default();
                result.resource_type = done.kind;
                result.resource_name = done.name;
                result.error_code = done.code;
                result.error_message = done.message;
                result
            })
            .collect();
        respond(&asked, &response)
    }))
}

/// Kafka's `AlterConfigOp.OpType`.
fn operation(number: i8) -> Result<ConfigOperation, Refused> {
    match number {
        0 => Ok(ConfigOperation::Set),
        1 => Ok(ConfigOperation::Delete),
        2 => Ok(ConfigOperation::Append),
        3 => Ok(ConfigOperation::Subtract),
        other => Err(Refused {
            code: ErrorCode::InvalidRequest,
            message: Some(format!("there is no operation {other}")),
        }),
    }
}

fn asked_for(
    kind: i8,
    name: StrBytes,
    replaces_all: bool,
    changes: Result<Vec<ConfigChange>, Refused>,
) -> Asked {
    let altered = resource(kind, &name).and_then(|resource| {
        Ok(AlteredResource {
            resource,
            replaces_all,
            changes: changes?,
        })
    });
    Asked {
        kind,
        name,
        altered,
    }
}

async fn alter(
    context: &Context,
    resources: Vec<Asked>,
    validate_only: bool,
) -> Result<Vec<Done>, Ended> {
    let sensible = resources
        .iter()
        .filter_map(|asked| asked.altered.as_ref().ok());
    let request = ControlRequest::AlterConfigs {
        resources: sensible.cloned().collect(),
        validate_only,
    };
    let (results, unanswered) = match control(context, request, ADMIN_MS_MAX as i32).await? {
        Some(ControlReply::AlterConfigs(results)) => (results, Unanswered::Late),
        Some(ControlReply::NoSpace) => (Vec::new(), Unanswered::NoSpace),
        Some(_) => unreachable!("the controller answers what it was asked"),
        None => (Vec::new(), Unanswered::Late),
    };
    let mut results = results.into_iter();
    let done = resources.into_iter().map(|asked| {
        let refused = match asked.altered {
            Err(refused) => Some(refused),
            Ok(_) => match results.next() {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(refused(&error)),
                None => Some(Refused {
                    code: unanswered.code(),
                    message: Some(unanswered.message().to_owned()),
                }),
            },
        };
        Done {
            kind: asked.kind,
            name: asked.name,
            code: refused.as_ref().map_or(0, |refused| refused.code.code()),
            message: refused.and_then(|refused| refused.message).map(text),
        }
    });
    Ok(done.collect())
}

fn refused(error: &AlterConfigsError) -> Refused {
    let code = match error {
        AlterConfigsError::ResourceTwice
        | AlterConfigsError::KeyTwice { .. }
        | AlterConfigsError::Null { .. }
        | AlterConfigsError::ReadOnly { .. } => ErrorCode::InvalidRequest,
        AlterConfigsError::UnknownTopic { .. } => ErrorCode::UnknownTopicOrPartition,
        AlterConfigsError::UnknownBroker { .. } => ErrorCode::BrokerIdNotRegistered,
        AlterConfigsError::TooMuch { .. } => ErrorCode::PolicyViolation,
        AlterConfigsError::NoList { .. } | AlterConfigsError::InvalidConfig(_) => {
            ErrorCode::InvalidConfig
        }
    };
    Refused {
        code,
        message: Some(error.to_string()),
    }
}

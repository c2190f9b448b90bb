use std::rc::Rc;

use sillon_protocol::ErrorCode;
use sillon_protocol::message::update_features_request::FeatureUpdateKey;
use sillon_protocol::message::update_features_response::UpdatableFeatureResult;
use sillon_protocol::message::{UpdateFeaturesRequest, UpdateFeaturesResponse};

use super::{RequestError, decode, respond, text};
use crate::context::{Context, Incoming};
use crate::in_flight::Answer;

/// First version that answers once for all features when they are all updated, or none is.
const FIRST_VERSION_WITHOUT_RESULTS: i16 = 2;

/// Raises or lowers the level of a feature. There are none to choose: this version has what it
/// has.
pub(super) fn update(
    context: &Rc<Context>,
    mut incoming: Incoming,
) -> Result<Answer, RequestError> {
    let request: UpdateFeaturesRequest = decode(&incoming)?;
    let asked = incoming.parsed(context);
    Ok(Box::pin(async move {
        let _permit = incoming.permit;
        let mut response = UpdateFeaturesResponse::default();
        response.error_message = None;
        if asked.version >= FIRST_VERSION_WITHOUT_RESULTS {
            if let Some(first) = request.feature_updates.first() {
                response.error_code = ErrorCode::InvalidUpdateVersion.code();
                response.error_message = Some(text(message(first)));
            }
        } else {
            let updates = request.feature_updates.into_iter();
            response.results = updates.map(refuse).collect();
        }
        respond(&asked, &response)
    }))
}

fn message(update: &FeatureUpdateKey) -> String {
    let FeatureUpdateKey {
        feature,
        max_version_level,
        ..
    } = update;
    format!("feature {feature} cannot have level {max_version_level}: levels cannot be chosen here")
}

fn refuse(update: FeatureUpdateKey) -> UpdatableFeatureResult {
    let mut result = UpdatableFeatureResult::default();
    result.error_code = ErrorCode::InvalidUpdateVersion.code();
    result.error_message = Some(text(message(&update)));
    result.feature = update.feature;
    result
}

//! Consumer groups in Kafka's classic protocol: who coordinates them, who is in them, what they
//! have committed, and being a member of one.

mod administration;
mod assignor;
mod coordinator;
mod heartbeat;
mod joining;
mod member;
mod membership;
mod offsets;
mod options;
mod sticky;

use sillon_protocol::ErrorCode;

pub use administration::{DescribedGroup, DescribedMember, ListedGroup};
pub use assignor::{Assignment, Assignor, Subscriber};
pub use member::{GroupEvent, GroupMember};
pub use offsets::CommittedOffset;
pub use options::{GroupOptions, OffsetReset};

use crate::error::ClientError;

/// What a coordinator says no to, with the way out where there is one.
fn refused(what: &str, group: &str, error: ErrorCode, message: Option<&str>) -> ClientError {
    let hint = match error {
        ErrorCode::GroupIdNotFound => {
            return ClientError::UnknownGroup {
                group: group.to_string(),
            };
        }
        ErrorCode::NonEmptyGroup => {
            "the group has members: stop them first, or wait until their sessions have ended"
        }
        // The coordinator does not take a commit of somebody outside while there are members.
        ErrorCode::UnknownMemberId => {
            "the group has members by now: stop them first, or wait until their sessions have ended"
        }
        ErrorCode::GroupSubscribedToTopic => {
            "members of the group read this topic: stop them first"
        }
        ErrorCode::InconsistentGroupProtocol => {
            "the members of the group have no assignor or protocol in common with this one"
        }
        ErrorCode::FencedInstanceId => {
            "another member has joined with the same group.instance.id; give each its own"
        }
        ErrorCode::GroupMaxSizeReached => {
            "the group has as many members as the broker allows (group.max.size)"
        }
        ErrorCode::InvalidSessionTimeout => {
            "the session timeout is outside what the broker allows \
             (group.min.session.timeout.ms, group.max.session.timeout.ms)"
        }
        _ => return ClientError::refused(what, error, message),
    };
    ClientError::refused(what, error, Some(hint))
}

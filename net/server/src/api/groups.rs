//! What the APIs of consumer groups share: finding the shard that coordinates a group, and texts
//! that outlive their frame.

pub(super) mod consumer_group_heartbeat;
pub(super) mod delete;
pub(super) mod describe;
pub(super) mod heartbeat;
pub(super) mod join;
pub(super) mod leave;
pub(super) mod list;
pub(super) mod offset_commit;
pub(super) mod offset_delete;
pub(super) mod offset_fetch;
pub(super) mod sync;

use std::sync::Arc;

use bytes::Bytes;
use sillon_group::{GroupError, GroupRequest, GroupResponse};
use sillon_protocol::ErrorCode;
use sillon_protocol::message::StrBytes;
use sillon_runtime::Call;
use sillon_shard::{GroupCall, Request, ShardId, group_partition, owner};

use crate::context::Context;
use crate::in_flight::Ended;
use crate::route::stopped;

/// The shard that coordinates a group. Without a topic for offsets any shard says that it does
/// not.
fn coordinator(context: &Context, group_id: &str) -> ShardId {
    let core = &context.core;
    let partition = core.with_image(|image| group_partition(image, group_id));
    match partition {
        Some(partition) => owner(partition, core.shards()),
        None => core.id(),
    }
}

/// Hands a request to a shard, in the order of the connection's requests.
async fn ask(context: &Context, shard: ShardId, request: GroupRequest) -> Call {
    context.core.has_room(shard).await;
    let call = Box::new(GroupCall::Ask(request));
    context.core.call(shard, Request::Group(call))
}

async fn answered(call: Call) -> Result<GroupResponse, Ended> {
    match call.await.map_err(stopped)? {
        Request::Group(call) => match *call {
            GroupCall::Answer(response) => Ok(response),
            GroupCall::Ask(_) => unreachable!("a shard answers what it was asked"),
        },
        _ => unreachable!("a shard hands back what it was given"),
    }
}

/// A text of its own: it does not keep the frame alive that it came in.
fn own(text: &StrBytes) -> Arc<str> {
    Arc::from(&**text)
}

fn own_option(text: Option<&StrBytes>) -> Option<Arc<str>> {
    text.map(own)
}

fn wire(text: &Arc<str>) -> StrBytes {
    StrBytes::from(text.to_string())
}

fn wire_option(text: Option<&Arc<str>>) -> Option<StrBytes> {
    text.map(wire)
}

fn wire_bytes(bytes: &Arc<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// The code of an outcome.
fn code(outcome: Result<(), GroupError>) -> i16 {
    match outcome {
        Ok(()) => ErrorCode::None.code(),
        Err(error) => ErrorCode::from(error).code(),
    }
}

fn code_of(error: Option<GroupError>) -> i16 {
    code(error.map_or(Ok(()), Err))
}

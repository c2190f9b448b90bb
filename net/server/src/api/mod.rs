//! One file per API: from a request's frame to its response.
//!
//! [`take_up`] does what must be done in the order of a connection's requests (handing batches and
//! reads to the owning shards); the [`Answer`] that it returns does the rest, when every earlier
//! request of the connection has been answered.

mod acls;
mod alter_configs;
mod api_versions;
mod client_quotas;
mod config_resource;
mod create_partitions;
mod create_topics;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_log_dirs;
mod describe_producers;
mod describe_quorum;
mod describe_topic_partitions;
mod elect_leaders;
mod features;
mod fetch;
mod find_coordinator;
mod groups;
mod init_producer_id;
mod list_config_resources;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod operations;
mod produce;
mod reassignments;
mod scram_credentials;

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use futures_lite::future;
use glommio::timer::Timer;
use sillon_controller::{ControlReply, ControlRequest};
use sillon_protocol::message::{
    self, DecodeError, KafkaRequest, KafkaResponse, StrBytes, Uuid, decode_request,
};
use sillon_protocol::{Api, ErrorCode, WireError};
use sillon_record::TopicId;

use crate::context::{Asked, Context, Incoming};
use crate::in_flight::{Answer, Ended};
use crate::limits::ADMIN_MS_MAX;
use crate::reply::Reply;
use crate::route::stopped;

/// A request that cannot be read: what follows in the connection is unknown, so it ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Produce or Fetch.
    #[error("malformed request: {0}")]
    Wire(#[from] WireError),
    /// Any other.
    #[error("malformed request: {0}")]
    Decode(#[from] DecodeError),
}

/// Takes a request up.
pub(crate) async fn take_up(
    context: &Rc<Context>,
    incoming: Incoming,
) -> Result<Answer, RequestError> {
    match incoming.api {
        Api::Produce => produce::take_up(context, incoming).await,
        Api::Fetch => fetch::take_up(context, incoming),
        Api::ListOffsets => list_offsets::take_up(context, incoming).await,
        Api::OffsetForLeaderEpoch => offset_for_leader_epoch::take_up(context, incoming).await,
        Api::Metadata => metadata::take_up(context, incoming),
        Api::FindCoordinator => find_coordinator::take_up(context, incoming),
        Api::OffsetCommit => groups::offset_commit::take_up(context, incoming).await,
        Api::OffsetFetch => groups::offset_fetch::take_up(context, incoming).await,
        Api::JoinGroup => groups::join::take_up(context, incoming).await,
        Api::Heartbeat => groups::heartbeat::take_up(context, incoming).await,
        Api::LeaveGroup => groups::leave::take_up(context, incoming).await,
        Api::SyncGroup => groups::sync::take_up(context, incoming).await,
        Api::DescribeGroups => groups::describe::take_up(context, incoming),
        Api::ListGroups => groups::list::take_up(context, incoming),
        Api::DeleteGroups => groups::delete::take_up(context, incoming).await,
        Api::OffsetDelete => groups::offset_delete::take_up(context, incoming).await,
        Api::ApiVersions => api_versions::take_up(context, incoming),
        Api::CreateTopics => create_topics::take_up(context, incoming),
        Api::DeleteTopics => delete_topics::take_up(context, incoming),
        Api::DeleteRecords => delete_records::take_up(context, incoming).await,
        Api::InitProducerId => init_producer_id::take_up(context, incoming),
        Api::DescribeCluster => describe_cluster::take_up(context, incoming),
        Api::DescribeAcls => acls::describe(context, incoming),
        Api::CreateAcls => acls::create(context, incoming),
        Api::DeleteAcls => acls::delete(context, incoming),
        Api::DescribeConfigs => describe_configs::take_up(context, incoming),
        Api::AlterConfigs => alter_configs::take_up(context, incoming),
        Api::DescribeLogDirs => describe_log_dirs::take_up(context, incoming).await,
        Api::CreatePartitions => create_partitions::take_up(context, incoming),
        Api::ElectLeaders => elect_leaders::take_up(context, incoming),
        Api::IncrementalAlterConfigs => alter_configs::take_up_incremental(context, incoming),
        Api::AlterPartitionReassignments => reassignments::alter(context, incoming),
        Api::ListPartitionReassignments => reassignments::list(context, incoming),
        Api::DescribeClientQuotas => client_quotas::describe(context, incoming),
        Api::AlterClientQuotas => client_quotas::alter(context, incoming),
        Api::DescribeUserScramCredentials => scram_credentials::take_up(context, incoming),
        Api::DescribeQuorum => describe_quorum::take_up(context, incoming),
        Api::UpdateFeatures => features::update(context, incoming),
        Api::DescribeProducers => describe_producers::take_up(context, incoming),
        Api::ConsumerGroupHeartbeat => groups::consumer_group_heartbeat::take_up(context, incoming),
        Api::ListConfigResources => list_config_resources::take_up(context, incoming),
        Api::DescribeTopicPartitions => describe_topic_partitions::take_up(context, incoming),
    }
}

fn decode<M: KafkaRequest>(incoming: &Incoming) -> Result<M, RequestError> {
    let Incoming {
        frame,
        version,
        body,
        is_first,
        ..
    } = incoming;
    Ok(decode_request(frame, *version, *body, *is_first)?)
}

fn respond<M: KafkaResponse>(asked: &Asked, response: &M) -> Result<Option<Reply>, Ended> {
    let mut out = BytesMut::new();
    let encoded = message::encode_response(&mut out, asked.version, asked.correlation_id, response);
    if let Err(error) = encoded {
        let (api, version) = (asked.api, asked.version);
        tracing::error!(%error, "a response to {api} version {version} cannot be encoded");
        return Err(Ended::Encoding);
    }
    Ok(Some(Reply::of(asked.api, asked.stamps, out)))
}

/// Asks the controller and waits no longer than the client does; `None` after that.
async fn control(
    context: &Context,
    request: ControlRequest,
    timeout_ms: i32,
) -> Result<Option<ControlReply>, Ended> {
    let timeout_ms = (timeout_ms.max(0) as u64).min(ADMIN_MS_MAX);
    let reply = context.core.control(request);
    let late = Timer::new(Duration::from_millis(timeout_ms));
    let reply = async { reply.await.map(Some).map_err(stopped) };
    let late = async {
        late.await;
        Ok(None)
    };
    future::or(reply, late).await
}

/// Why there is no result of an administrative request.
#[derive(Clone, Copy)]
enum Unanswered {
    /// It is not done in time; whether it will be shows later.
    Late,
    /// The controller has no space to record it.
    NoSpace,
}

impl Unanswered {
    fn code(self) -> ErrorCode {
        match self {
            Unanswered::Late => ErrorCode::RequestTimedOut,
            Unanswered::NoSpace => ErrorCode::KafkaStorageError,
        }
    }

    fn message(self) -> &'static str {
        match self {
            Unanswered::Late => "it is not done yet; look again",
            Unanswered::NoSpace => {
                "there is no space left on the broker's disk to record it: make room, then try \
                 again"
            }
        }
    }
}

fn text(text: impl Into<String>) -> StrBytes {
    StrBytes::from(text.into())
}

fn uuid(id: TopicId) -> Uuid {
    Uuid::from_bytes(id.0)
}

fn topic_id(uuid: Uuid) -> TopicId {
    TopicId(uuid.to_bytes())
}

/// A fresh topic id: a random UUID (version 4), as Kafka draws them.
fn random_topic_id() -> TopicId {
    let mut id = [0; 16];
    getrandom::fill(&mut id).expect("the kernel gives random bytes");
    id[6] = id[6] & 0x0f | 0x40;
    id[8] = id[8] & 0x3f | 0x80;
    TopicId(id)
}

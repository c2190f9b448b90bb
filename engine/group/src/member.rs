use std::sync::Arc;

use crate::turn::RequestId;
use crate::{DescribedMember, JoinGroup, JoinedMember, Protocol};

/// A member of a group.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub id: Arc<str>,
    /// Of a static member.
    pub instance_id: Option<Arc<str>>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocols: Vec<Protocol>,
    pub assignment: Arc<[u8]>,
    /// It has not heard of a generation yet.
    pub is_new: bool,
    /// Its JoinGroup, while that waits for the rebalance.
    pub joining: Option<RequestId>,
    /// Its SyncGroup, while that waits for the leader.
    pub syncing: Option<RequestId>,
    /// When it is taken for dead, in ns.
    pub session_deadline_ns: u64,
}

impl Member {
    pub(crate) fn new(id: Arc<str>, join: JoinGroup) -> Member {
        Member {
            id,
            instance_id: join.instance_id,
            client_id: join.client_id,
            client_host: join.client_host,
            session_timeout_ms: join.session_timeout_ms,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            protocols: join.protocols,
            assignment: Arc::from([]),
            is_new: true,
            joining: None,
            syncing: None,
            session_deadline_ns: u64::MAX,
        }
    }

    /// What it says to whoever assigns by that protocol; nothing when it does not know it.
    pub(crate) fn metadata(&self, protocol: Option<&str>) -> Arc<[u8]> {
        let known = self.protocols.iter();
        let mut known = known.filter(|known| Some(&*known.name) == protocol);
        match known.next() {
            Some(protocol) => protocol.metadata.clone(),
            None => Arc::from([]),
        }
    }

    pub(crate) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| &*known.name == protocol)
    }

    /// Whether silence counts: one that waits for the others has nothing to say. A new one is
    /// given up all the same, in the end.
    pub(crate) fn may_expire(&self) -> bool {
        self.is_new || (self.joining.is_none() && self.syncing.is_none())
    }

    pub(crate) fn as_joined(&self, protocol: Option<&str>) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// `protocol` is that of a stable group.
    pub(crate) fn as_described(&self, protocol: Option<&str>) -> DescribedMember {
        DescribedMember {
            member_id: self.id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: self.metadata(protocol),
            assignment: match protocol {
                Some(_) => self.assignment.clone(),
                None => Arc::from([]),
            },
        }
    }
}

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use glommio::sync::StaticPermit;
use sillon_buffer::{Pool, Slice};
use sillon_protocol::Api;
use sillon_protocol::frame::RequestHeader;
use sillon_record::Scratch;
use sillon_runtime::Core;
use sillon_shard::{Stage, Stamps};
use slab::Slab;

use crate::fetch_sessions::FetchSessions;
use crate::helper::Helpers;
use crate::receive::ReceiveBudget;
use crate::send::ColdReader;
use crate::stages::Stages;
use crate::sys::Socket;
use crate::unsent::Unsent;

/// What all connections of one executor share.
pub(crate) struct Context {
    pub core: Core,
    /// Where the node's data lies, from the root.
    pub data_dir: Arc<Path>,
    /// By listener: what its clients are told, when that is not where the node is registered.
    pub told: Arc<[Option<Told>]>,
    /// Memory for frames.
    pub pool: Pool,
    pub budget: ReceiveBudget,
    /// For compressed batches that are checked on this thread.
    pub scratch: RefCell<Scratch>,
    /// Threads that check the others.
    pub checkers: Helpers,
    pub cold: ColdReader,
    /// Records in memory that responses hold, in bytes, and how many they may, together with
    /// `unsent`.
    pub held_bytes: Rc<Cell<u64>>,
    pub held_bytes_max: u64,
    pub unsent: Unsent,
    pub stages: RefCell<Stages>,
    /// How long a connection may be silent, in ms; `None`: for ever.
    pub idle_ms: Option<u64>,
    pub fetch_bytes_max: u64,
    pub auto_create_topics: bool,
    /// `offsets.topic.num.partitions`
    pub offsets_partitions: i32,
    pub sessions: RefCell<FetchSessions>,
    pub connections: RefCell<Slab<Rc<Liveness>>>,
}

/// Where clients of a listener are told that this broker is.
pub(crate) struct Told {
    pub host: Arc<str>,
    pub port: u16,
}

/// What is known of a connection from outside of it.
pub(crate) struct Liveness {
    pub socket: Socket,
    /// When to give up waiting for the client to send, in ns of the core's time.
    pub read_deadline_ns: Cell<u64>,
    /// When to give up waiting for it to take responses; 0 while none are being sent.
    pub write_deadline_ns: Cell<u64>,
    /// What it has not taken, in bytes.
    pub unsent_bytes: Cell<u64>,
}

/// A request whose header is read.
pub(crate) struct Incoming {
    pub frame: Slice,
    pub api: Api,
    pub version: i16,
    pub correlation_id: i32,
    /// Where its body begins in the frame.
    pub body: usize,
    /// It is the first of its connection.
    pub is_first: bool,
    /// By which listener that connection came.
    pub listener: usize,
    /// Where that connection comes from.
    pub peer: Option<IpAddr>,
    pub stamps: Stamps,
    /// Kept as long as the frame is.
    pub permit: StaticPermit,
}

/// The part of a request that its response needs.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub api: Api,
    pub version: i16,
    pub correlation_id: i32,
    pub stamps: Stamps,
}

impl Context {
    pub(crate) fn now_ns(&self) -> u64 {
        self.core.now().mono_ns
    }

    /// What who came by a listener is told instead of where this broker is registered.
    pub(crate) fn told(&self, broker: i32, listener: usize) -> Option<&Told> {
        let told = self.told.get(listener)?.as_ref();
        told.filter(|_| broker == self.core.broker().0)
    }
}

impl Incoming {
    pub(crate) fn new(
        frame: Slice,
        header: &RequestHeader<'_>,
        is_first: bool,
        listener: usize,
        peer: Option<IpAddr>,
        received_ns: u64,
        permit: StaticPermit,
    ) -> Incoming {
        let mut stamps = Stamps::default();
        stamps.mark(Stage::Received, received_ns);
        Incoming {
            api: header.api,
            version: header.version,
            correlation_id: header.correlation_id,
            body: header.body,
            frame,
            is_first,
            listener,
            peer,
            stamps,
            permit,
        }
    }

    /// What the response needs, once the request is decoded.
    pub(crate) fn parsed(&mut self, context: &Context) -> Asked {
        self.stamps.mark(Stage::Parsed, context.now_ns());
        Asked {
            api: self.api,
            version: self.version,
            correlation_id: self.correlation_id,
            stamps: self.stamps,
        }
    }
}

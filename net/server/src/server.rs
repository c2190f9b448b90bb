use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use futures_lite::future;
use glommio::timer::Timer;
use sillon_buffer::Pool;
use sillon_record::Scratch;
use sillon_runtime::Core;
use slab::Slab;
use socket2::{Domain, Protocol, Socket, Type};

use crate::accept::{Accepted, Allowed, Door, accept};
use crate::addresses::Addresses;
use crate::connection::Connection;
use crate::context::{Context, Told};
use crate::fetch_sessions::FetchSessions;
use crate::helper::Helpers;
use crate::limits::{
    BACKLOG, CONNECTIONS_MAX, DRAIN_MS, FETCH_BYTES_MAX, FETCH_SESSIONS_MAX, IDLE_MS,
    OFFSETS_PARTITIONS, RECEIVE_BYTES, SEND_BYTES, SWEEP_MS, UNTAKEN_SHARE,
};
use crate::receive::ReceiveBudget;
use crate::send::ColdReader;
use crate::stages::Stages;
use crate::unsent::Unsent;

/// Threads that read what is not in the page cache: as many reads as a disk does at once without
/// making the journal wait (2), and one that opens files.
const COLD_THREADS: usize = 3;

/// Another place to listen, for clients that reach the broker by another address.
#[derive(Clone, Debug)]
pub struct ListenerOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where else, on the same port. Addresses that the host does not have are left out.
    pub also_listen: Vec<IpAddr>,
    /// The host that clients which came here are told.
    pub host: String,
    /// The port that they are told; `None`: the one it listens on.
    pub port: Option<u16>,
}

/// What a server is to be.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where else, on the same port. Addresses that the host does not have are left out.
    pub also_listen: Vec<IpAddr>,
    /// Other places to listen. Who came by the first one is told where the node is registered.
    pub more: Vec<ListenerOptions>,
    /// The node's data folder, whose segments are sent.
    pub data_dir: PathBuf,
    /// `auto.create.topics.enable`: Metadata makes topics that clients ask for.
    pub auto_create_topics: bool,
    /// `offsets.topic.num.partitions`: partitions of `__consumer_offsets`, when it is created.
    pub offsets_partitions: i32,
    /// Connections of all shards together.
    pub connections_max: usize,
    /// `max.connections.per.ip`: connections from one address; `None`: without bound.
    pub connections_per_ip_max: Option<usize>,
    /// `max.connections.per.ip.overrides`: other numbers for some addresses.
    pub connections_per_ip_overrides: BTreeMap<IpAddr, usize>,
    /// `connections.max.idle.ms`: how long a connection may be silent, in ms; `None`: for ever.
    pub idle_ms: Option<u64>,
    /// `max.incremental.fetch.session.cache.slots`: fetch sessions (KIP-227) of all shards
    /// together.
    pub fetch_sessions_max: usize,
    /// `fetch.max.bytes`: records of one Fetch response, in bytes, whatever the client asks for.
    pub fetch_bytes_max: u64,
    /// Memory for requests in flight, of all shards together, in bytes.
    pub receive_bytes: u64,
    /// Records in memory that responses on their way out may hold, of all shards together, in
    /// bytes; beyond it answers become small.
    pub send_bytes: u64,
    /// Threads that check large compressed batches.
    pub check_threads: usize,
}

impl ServerOptions {
    /// A server with the defaults of everything else.
    pub fn new(listen: SocketAddr, data_dir: impl Into<PathBuf>) -> ServerOptions {
        ServerOptions {
            listen,
            also_listen: Vec::new(),
            more: Vec::new(),
            data_dir: data_dir.into(),
            auto_create_topics: true,
            offsets_partitions: OFFSETS_PARTITIONS,
            connections_max: CONNECTIONS_MAX,
            connections_per_ip_max: None,
            connections_per_ip_overrides: BTreeMap::new(),
            idle_ms: Some(IDLE_MS),
            fetch_sessions_max: FETCH_SESSIONS_MAX,
            fetch_bytes_max: FETCH_BYTES_MAX,
            receive_bytes: RECEIVE_BYTES,
            send_bytes: SEND_BYTES,
            check_threads: 1,
        }
    }
}

/// The server does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The port is taken, or not ours to take.
    #[error("cannot listen on {listen}: {source}; choose another address or stop who has it")]
    Listen {
        /// Where.
        listen: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// No threads can be started.
    #[error("cannot start a thread: {0}; see ulimit -u")]
    Thread(io::Error),
}

/// A port that is taken, and what serves it. The same on all executors.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    options: ServerOptions,
    address: SocketAddr,
    doors: OnceLock<Arc<[Door]>>,
    /// Tells each accepting thread where the shards are, once.
    start: Mutex<Option<flume::Sender<Arc<[Door]>>>>,
    listeners: Vec<Arc<TcpListener>>,
    /// By listener of the options; what is told to who came by it.
    told: Arc<[Option<Told>]>,
    is_ending: Arc<AtomicBool>,
    checkers: Helpers,
    cold: ColdReader,
}

impl Server {
    /// Takes the port and starts the threads that are not shards. To be called from a thread that
    /// is not pinned to a core. Clients may connect from now on; they are served once
    /// [`Self::serve`] runs.
    pub fn bind(options: ServerOptions) -> Result<Server, BindError> {
        let listen = options.listen;
        let mut bound = Vec::new();
        let address = bind_all(listen, &options.also_listen, 0, &mut bound)?;
        let mut told = vec![None];
        for more in &options.more {
            let number = told.len();
            let at = bind_all(more.listen, &more.also_listen, number, &mut bound)?;
            tracing::info!(address = %at, host = more.host, "listening");
            told.push(Some(Told {
                host: Arc::from(more.host.as_str()),
                port: more.port.unwrap_or(at.port()),
            }));
        }
        let checkers = Helpers::start("check", options.check_threads.max(1));
        let checkers = checkers.map_err(BindError::Thread)?;
        let cold = Helpers::start("cold", COLD_THREADS).map_err(BindError::Thread)?;
        let cold = ColdReader::new(options.data_dir.clone(), cold);
        let is_ending = Arc::new(AtomicBool::new(false));
        let overrides = options.connections_per_ip_overrides.clone();
        let allowed = Allowed {
            connections_max: options.connections_max,
            addresses: Arc::new(Addresses::new(options.connections_per_ip_max, overrides)),
        };
        let (start, started) = flume::bounded::<Arc<[Door]>>(bound.len());
        for (number, listener) in &bound {
            let (number, listener) = (*number, listener.clone());
            let is_ending = is_ending.clone();
            let (started, allowed) = (started.clone(), allowed.clone());
            let accepting = move || {
                // It fails when the server is dropped without ever serving.
                if let Ok(doors) = started.recv() {
                    accept(&listener, number, &doors, &allowed, &is_ending);
                }
            };
            let builder = thread::Builder::new().name("accept".to_owned());
            builder.spawn(accepting).map_err(BindError::Thread)?;
        }
        let shared = Shared {
            options,
            address,
            doors: OnceLock::new(),
            start: Mutex::new(Some(start)),
            listeners: bound.into_iter().map(|(_, listener)| listener).collect(),
            told: told.into(),
            is_ending,
            checkers,
            cold,
        };
        Ok(Server {
            shared: Arc::new(shared),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.address
    }

    /// Serves this executor's share of the connections until the node stops. To be run on every
    /// executor of the node.
    pub async fn serve(&self, core: Core) {
        let doors = self.shared.open_doors(core.shards());
        let door = &doors[usize::from(core.id().0)];
        let context = Rc::new(self.shared.context(core.clone()));
        let taking = take_connections(&context, door);
        future::or(core.stopping(), future::or(taking, sweep(&context))).await;
        self.shared.end();
        drain(&context).await;
        for line in context.stages.borrow().lines() {
            tracing::info!(shard = core.id().0, "{line}");
        }
    }
}

/// Takes a place to listen, and the same port of other addresses. Where the first one is.
fn bind_all(
    listen: SocketAddr,
    others: &[IpAddr],
    number: usize,
    bound: &mut Vec<(usize, Arc<TcpListener>)>,
) -> Result<SocketAddr, BindError> {
    let failed = |source| BindError::Listen { listen, source };
    let first = listener(listen).map_err(failed)?;
    let address = first.local_addr().map_err(failed)?;
    bound.push((number, Arc::new(first)));
    for ip in others {
        let listen = SocketAddr::new(*ip, address.port());
        match listener(listen) {
            Ok(other) => bound.push((number, Arc::new(other))),
            Err(source) if is_not_there(&source) => {}
            Err(source) => return Err(BindError::Listen { listen, source }),
        }
    }
    Ok(address)
}

/// The host has no such address, or no addresses of that kind.
fn is_not_there(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::AddrNotAvailable, io::ErrorKind::Unsupported];
    let no_family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(no_family)
}

fn listener(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(listen),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart need not wait for connections of the last life to time out.
    socket.set_reuse_address(true)?;
    if listen.is_ipv6() {
        // Every address includes those of IPv4.
        socket.set_only_v6(!listen.ip().is_unspecified())?;
    }
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Shared {
    fn open_doors(&self, shards: u16) -> Arc<[Door]> {
        let doors = self
            .doors
            .get_or_init(|| (0..shards).map(|_| Door::new()).collect());
        let mut start = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(start) = start.take() {
            for _ in &self.listeners {
                // It fails when the threads are gone, which a panic of them has reported.
                let _ = start.send(doors.clone());
            }
        }
        doors.clone()
    }

    fn context(&self, core: Core) -> Context {
        let shards = u64::from(core.shards().max(1));
        let receive_bytes = self.options.receive_bytes / shards;
        let data_dir = &self.options.data_dir;
        let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.clone());
        Context {
            core,
            data_dir: absolute.into(),
            told: self.told.clone(),
            pool: Pool::new(),
            budget: ReceiveBudget::new(receive_bytes.max(1)),
            scratch: RefCell::new(Scratch::default()),
            checkers: self.checkers.clone(),
            cold: self.cold.clone(),
            held_bytes: Rc::default(),
            held_bytes_max: self.options.send_bytes / shards,
            unsent: Unsent::new(self.options.send_bytes / shards / UNTAKEN_SHARE),
            stages: RefCell::new(Stages::default()),
            idle_ms: self.options.idle_ms,
            fetch_bytes_max: self.options.fetch_bytes_max,
            auto_create_topics: self.options.auto_create_topics,
            offsets_partitions: self.options.offsets_partitions,
            sessions: RefCell::new(FetchSessions::new(
                self.options.fetch_sessions_max,
                shards as usize,
            )),
            connections: RefCell::new(Slab::new()),
        }
    }

    /// Ends the accepting.
    fn end(&self) {
        if !self.is_ending.swap(true, Ordering::Relaxed) {
            for listener in &self.listeners {
                // This ends an accept that waits. It fails when the listener is gone already.
                let _ = rustix::net::shutdown(&**listener, rustix::net::Shutdown::Both);
            }
        }
    }
}

async fn take_connections(context: &Rc<Context>, door: &Door) {
    while let Ok(accepted) = door.exit.recv_async().await {
        let Accepted {
            stream,
            seat,
            listener,
        } = accepted;
        match Connection::open(context.clone(), stream, listener) {
            Ok(connection) => {
                let task = async move {
                    connection.run().await;
                    drop(seat);
                };
                glommio::spawn_local(task).detach();
            }
            Err(error) => tracing::debug!(%error, "a connection ended before it was set up"),
        }
    }
}

/// Ends connections whose client has been silent for too long.
async fn sweep(context: &Context) {
    loop {
        Timer::new(Duration::from_millis(SWEEP_MS)).await;
        let now_ns = context.now_ns();
        let connections = context.connections.borrow();
        for (_, connection) in connections.iter() {
            let write_deadline_ns = connection.write_deadline_ns.get();
            let is_stuck = write_deadline_ns != 0 && write_deadline_ns < now_ns;
            if is_stuck || connection.read_deadline_ns.get() < now_ns {
                connection.socket.shut_down();
            }
        }
        let all = connections.iter().map(|(_, connection)| &**connection);
        context.unsent.end_those_not_taken(all, now_ns);
    }
}

/// Lets connections finish what is in flight, and ends those that take too long.
async fn drain(context: &Context) {
    let deadline_ns = context.now_ns() + DRAIN_MS * 1_000_000;
    while !context.connections.borrow().is_empty() {
        if context.now_ns() > deadline_ns {
            for (_, connection) in context.connections.borrow().iter() {
                connection.socket.shut_down();
            }
        }
        Timer::new(Duration::from_millis(5)).await;
    }
}

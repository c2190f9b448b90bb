//! A server that answers Produce at once: the ceiling of what the generator can do. Told to, it
//! keeps what it is given, stalls, or lies, so that the generator can be seen to notice.

mod answers;
mod log;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::BytesMut;
use sillon_buffer::Slice;

use crate::inbox::Inbox;
use answers::{Answering, Session};
use log::Cluster;

/// What the server does besides answering.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Keeps record batches and gives them to Fetch; else only offsets are counted.
    pub is_storing: bool,
    /// What it does wrong, and to which Produce request, counted from 0.
    pub lie: Option<(u64, Lie)>,
}

/// What a server can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Acknowledges a batch and does not keep it.
    Lose,
    /// Keeps a batch with one byte of its records changed, under a checksum that is right.
    Corrupt,
    /// Keeps a batch with one byte of its records changed.
    Damage,
    /// Keeps a batch twice.
    Duplicate,
    /// Acknowledges a batch with another offset than it has.
    Misplace,
    /// Answers nobody for so long, and then goes on.
    Stall(Duration),
    /// Refuses a batch.
    Refuse,
    /// Closes the connection.
    HangUp,
}

/// A running server; it serves until its process ends.
#[derive(Debug)]
pub struct NullServer {
    address: SocketAddr,
}

impl NullServer {
    /// Listens on a port of the kernel's choice and serves in threads of its own.
    pub fn start(behaviour: Behaviour) -> io::Result<NullServer> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let cluster = Arc::new(Cluster::new(address.port()));
        let behaviour = Arc::new(behaviour);
        let produced = Arc::new(AtomicU64::new(0));
        thread::Builder::new()
            .name("null-accept".to_string())
            .spawn(move || {
                for stream in listener.incoming().map_while(Result::ok) {
                    let answering = Answering {
                        cluster: cluster.clone(),
                        behaviour: behaviour.clone(),
                        produced: produced.clone(),
                    };
                    let serving = thread::Builder::new().name("null-serve".to_string());
                    // A client that is gone, or nonsense, ends its own connection only.
                    if serving.spawn(move || serve(stream, answering)).is_err() {
                        return;
                    }
                }
            })?;
        Ok(NullServer { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers requests until the client is gone.
fn serve(mut stream: TcpStream, answering: Answering) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut session = Session::new(answering);
    let mut inbox = Inbox::default();
    let mut out = BytesMut::new();
    while inbox.read_from(&stream)? > 0 {
        while let Some(frame) = inbox.next_frame().map_err(io::Error::other)? {
            session.answer(frame, &mut out)?;
        }
        stream.write_all(&out)?;
        out.clear();
    }
    Ok(())
}

/// Requests to append that the server was given, of all connections.
fn next_request(produced: &AtomicU64) -> u64 {
    produced.fetch_add(1, Ordering::Relaxed)
}

/// A frame in memory that decoders share.
fn shared(frame: &[u8]) -> Slice {
    Slice::copy_of(frame)
}

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::addresses::{Addresses, Place};
use crate::limits::HANDED_OVER_MAX;

/// How long to wait when no connection can be accepted, which is when descriptors or memory are
/// short.
const PAUSE: Duration = Duration::from_millis(100);

/// Where one shard's connections come in.
pub(crate) struct Door {
    entrance: flume::Sender<Accepted>,
    pub exit: flume::Receiver<Accepted>,
    /// Connections that the shard has or is about to get.
    open: Arc<AtomicUsize>,
}

/// A connection on its way to its shard. Counted until it is dropped.
pub(crate) struct Accepted {
    pub stream: TcpStream,
    pub seat: Seat,
    /// By which listener it came.
    pub listener: usize,
}

/// Counts a connection as long as it lives: at its shard, and at the address that it came from.
pub(crate) struct Seat {
    open: Arc<AtomicUsize>,
    _place: Place,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many connections there may be.
#[derive(Clone)]
pub(crate) struct Allowed {
    /// Of the node.
    pub connections_max: usize,
    /// From each address.
    pub addresses: Arc<Addresses>,
}

impl Door {
    pub(crate) fn new() -> Door {
        let (entrance, exit) = flume::bounded(HANDED_OVER_MAX);
        Door {
            entrance,
            exit,
            open: Arc::new(AtomicUsize::new(0)),
        }
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// Accepts until it is told to end; `number`: which listener this is. Every connection goes to the
/// shard that has the fewest, so that they stay even when connections end unevenly.
pub(crate) fn accept(
    listener: &TcpListener,
    number: usize,
    doors: &[Door],
    allowed: &Allowed,
    is_ending: &AtomicBool,
) {
    let mut turn = 0;
    while !is_ending.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok(accepted) => {
                turn += 1;
                hand_over(accepted, number, doors, turn, allowed);
            }
            Err(_) if is_ending.load(Ordering::Relaxed) => {}
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, "cannot accept connections; see ulimit -n");
                thread::sleep(PAUSE);
            }
        }
    }
}

/// The client was gone before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    )
}

/// `turn` counts connections: among equals each shard has its turn.
fn hand_over(
    (stream, peer): (TcpStream, SocketAddr),
    listener: usize,
    doors: &[Door],
    turn: usize,
    allowed: &Allowed,
) {
    let open: usize = doors.iter().map(Door::open).sum();
    let connections_max = allowed.connections_max;
    if open >= connections_max {
        tracing::warn!(
            connections_max,
            "too many connections: one more is turned away"
        );
        return;
    }
    let place = match allowed.addresses.take_place(peer.ip()) {
        Ok(place) => place,
        Err(too_many) => {
            tracing::warn!("{too_many}");
            return;
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection ended before it was set up");
        return;
    }
    let from_turn_on = doors
        .iter()
        .cycle()
        .skip(turn % doors.len())
        .take(doors.len());
    let emptiest = from_turn_on.min_by_key(|door| door.open());
    let door = emptiest.expect("a node has a shard");
    door.open.fetch_add(1, Ordering::Relaxed);
    let seat = Seat {
        open: door.open.clone(),
        _place: place,
    };
    // It fails when the shard has stopped.
    let _ = door.entrance.send(Accepted {
        stream,
        seat,
        listener,
    });
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use super::*;

    fn allowed(connections_max: usize) -> Allowed {
        Allowed {
            connections_max,
            addresses: Arc::default(),
        }
    }

    #[test]
    fn connections_go_where_the_fewest_are_and_no_further_than_the_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let doors = [Door::new(), Door::new(), Door::new()];
        let mut turn = 0;
        let mut connect = || {
            let client = TcpStream::connect(address).unwrap();
            turn += 1;
            hand_over(listener.accept().unwrap(), 0, &doors, turn, &allowed(6));
            client
        };
        let open = || doors.each_ref().map(Door::open);
        let mut clients: Vec<_> = (0..6).map(|_| connect()).collect();
        assert_eq!(open(), [2, 2, 2]);
        clients.push(connect());
        assert_eq!(open(), [2, 2, 2]);
        drop(doors[1].exit.recv().unwrap());
        clients.push(connect());
        assert_eq!(open(), [2, 2, 2]);
        for client in clients {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    #[test]
    fn connections_one_after_the_other_go_round_the_shards() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let doors = [Door::new(), Door::new()];
        for turn in 0..4 {
            let _client = TcpStream::connect(address).unwrap();
            hand_over(listener.accept().unwrap(), 0, &doors, turn, &allowed(6));
            drop(doors[turn % 2].exit.try_recv().unwrap());
        }
    }
}

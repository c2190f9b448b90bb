use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::net::sockopt::set_tcp_congestion;
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown, sendmsg, shutdown};

/// A client's socket on this executor. Not blocking; reads and writes go on side by side.
pub(crate) struct Socket {
    /// Borrowed within a poll only, never across an await.
    stream: RefCell<glommio::net::TcpStream>,
}

impl Socket {
    /// Takes an accepted connection over to this executor.
    pub(crate) fn new(accepted: TcpStream) -> io::Result<Socket> {
        // sendfile knows no MSG_DONTWAIT.
        accepted.set_nonblocking(true)?;
        unpace_within_machine(&accepted);
        let descriptor = accepted.into_raw_fd();
        // SAFETY: the descriptor is an open TCP socket that nothing else owns any more.
        let stream = unsafe { glommio::net::TcpStream::from_raw_fd(descriptor) };
        Ok(Socket {
            stream: RefCell::new(stream),
        })
    }

    /// Reads into `room`; 0 when the client has closed.
    pub(crate) fn poll_read(
        &self,
        context: &mut Context<'_>,
        room: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream.borrow_mut()).poll_read(context, room)
    }

    /// Writes some of `bytes`, and waits while the socket is full. glommio has no other way to
    /// wait for that.
    pub(crate) async fn write_when_possible(&self, bytes: &[u8]) -> io::Result<usize> {
        poll_fn(|context| Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, bytes)).await
    }

    /// Writes some of `pieces` at once; `WouldBlock` when the socket is full. `more`: other bytes
    /// follow at once, so an unfilled packet may wait for them.
    pub(crate) fn try_write(&self, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
        let mut flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        flags.set(SendFlags::MORE, more);
        let mut control = SendAncillaryBuffer::default();
        Ok(sendmsg(self, pieces, &mut control, flags)?)
    }

    /// Ends both directions: whoever reads or writes the socket hears of it.
    pub(crate) fn shut_down(&self) {
        // It fails only when the client was faster.
        let _ = shutdown(self, Shutdown::Both);
    }
}

/// Takes pacing from a connection within this machine. Where BBR is the machine's default, a timer
/// holds every packet back, and costs more than the packet: no network is spared by that here.
fn unpace_within_machine(stream: &TcpStream) {
    let ends = (stream.local_addr(), stream.peer_addr());
    if let (Ok(local), Ok(peer)) = ends
        && local.ip() == peer.ip()
    {
        // Linux has it always, and allows it to everybody. Without it the connection is slower.
        let _ = set_tcp_congestion(stream, "reno");
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        let descriptor = self.stream.borrow().as_raw_fd();
        // SAFETY: the stream owns the descriptor and lives as long as this borrow of `self`.
        unsafe { BorrowedFd::borrow_raw(descriptor) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use rustix::net::sockopt::tcp_congestion;

    use super::*;

    #[test]
    fn a_connection_within_the_machine_is_not_paced() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        unpace_within_machine(&accepted);
        assert_eq!(tcp_congestion(&accepted).unwrap(), "reno");
    }
}

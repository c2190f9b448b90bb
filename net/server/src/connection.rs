use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, TcpStream};
use std::rc::Rc;

use bytes::BytesMut;
use futures_lite::future;
use sillon_protocol::frame::{HeaderError, RequestHeader};
use sillon_protocol::{Api, message};
use sillon_shard::Stage;

use crate::api::{self, RequestError};
use crate::context::{Context, Incoming, Liveness};
use crate::in_flight::{Ended, InFlight, Request, answered, parsed};
use crate::limits::{
    FIRST_REQUEST_MS, FRAME_BYTES_PER_MS_MIN, FRAME_MS, GATHER_BYTES, TURN_REQUESTS, WRITE_MS,
};
use crate::receive::{FrameReader, Owed, ReceiveError, Received};
use crate::reply::{Piece, Reply};
use crate::send::send;
use crate::unsent::Size;

const NS_PER_MS: u64 = 1_000_000;

/// One client's connection, on the executor that it was given to. One task runs it.
pub(crate) struct Connection {
    context: Rc<Context>,
    liveness: Rc<Liveness>,
    /// Its place among the executor's connections.
    place: usize,
    /// By which listener it came.
    listener: usize,
    /// Where it comes from.
    peer: Option<IpAddr>,
    /// When it came, in ns of the core's time.
    opened_ns: u64,
    in_flight: InFlight,
}

/// Why a connection was ended by the broker, for the log.
#[derive(Debug, thiserror::Error)]
enum EndedBy {
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("{api} version {version}: {source}")]
    Request {
        api: Api,
        version: i16,
        source: RequestError,
    },
    #[error(transparent)]
    Answer(#[from] Ended),
    #[error("sending: {0}")]
    Send(#[from] io::Error),
    #[error("answers of {bytes} bytes, while clients do not take others")]
    Untaken { bytes: u64 },
}

impl Connection {
    pub(crate) fn open(
        context: Rc<Context>,
        stream: TcpStream,
        listener: usize,
    ) -> io::Result<Connection> {
        let peer = stream.peer_addr().ok().map(|address| address.ip());
        let liveness = Rc::new(Liveness {
            socket: crate::sys::Socket::new(stream)?,
            read_deadline_ns: u64::MAX.into(),
            write_deadline_ns: 0.into(),
            unsent_bytes: 0.into(),
        });
        let place = context.connections.borrow_mut().insert(liveness.clone());
        let opened_ns = context.now_ns();
        Ok(Connection {
            context,
            liveness,
            place,
            listener,
            peer,
            opened_ns,
            in_flight: InFlight::default(),
        })
    }

    /// Serves the client until it or the broker ends the connection. What is in flight then is
    /// given up, except when the broker stops.
    pub(crate) async fn run(self) {
        let ended = future::or(self.read(), self.write()).await;
        match ended {
            Ok(()) | Err(EndedBy::Receive(ReceiveError::Closed)) => {}
            Err(reason) => tracing::debug!(%reason, "connection ended"),
        }
    }

    /// Takes up requests, in order.
    async fn read(&self) -> Result<(), EndedBy> {
        let mut reader = FrameReader::new(&self.context.budget);
        let mut is_first = true;
        let mut taken = 0;
        loop {
            self.in_flight.room().await;
            let received = future::or(self.stopping(), self.receive(&mut reader, is_first)).await;
            let received = match received {
                Err(ReceiveError::Stopping) => {
                    self.in_flight.end();
                    return future::pending().await;
                }
                received => received?,
            };
            let request = self.take_up(received, is_first).await?;
            is_first = false;
            self.in_flight.push(request);
            taken += 1;
            if taken % TURN_REQUESTS == 0 {
                self.context.core.reactor_turn().await;
            }
        }
    }

    async fn stopping(&self) -> Result<Received, ReceiveError> {
        self.context.core.stopping().await;
        Err(ReceiveError::Stopping)
    }

    async fn receive(
        &self,
        reader: &mut FrameReader,
        is_first: bool,
    ) -> Result<Received, ReceiveError> {
        let Context { pool, budget, .. } = &*self.context;
        let first_deadline_ns = self.opened_ns + FIRST_REQUEST_MS * NS_PER_MS;
        let waits = |owed| {
            let patience_ms = match owed {
                Owed::Nothing => self.context.idle_ms.unwrap_or(u64::MAX),
                Owed::Start => FRAME_MS,
                Owed::Rest(len) => FRAME_MS + len as u64 / FRAME_BYTES_PER_MS_MIN,
            };
            let patience_ns = patience_ms.saturating_mul(NS_PER_MS);
            let deadline_ns = self.context.now_ns().saturating_add(patience_ns);
            self.liveness.read_deadline_ns.set(match is_first {
                true => deadline_ns.min(first_deadline_ns),
                false => deadline_ns,
            });
        };
        let socket = &self.liveness.socket;
        let received = reader.next(socket, pool, budget, is_first, waits).await;
        // While the request is worked on the client owes nothing.
        self.liveness.read_deadline_ns.set(u64::MAX);
        received
    }

    async fn take_up(&self, received: Received, is_first: bool) -> Result<Request, EndedBy> {
        let Received { frame, permit } = received;
        let received_ns = self.context.now_ns();
        let header = match RequestHeader::decode(&frame, is_first) {
            Ok(header) => header,
            Err(HeaderError::ApiVersions { correlation_id, .. }) => {
                let mut out = BytesMut::new();
                message::unsupported_api_versions(&mut out, correlation_id);
                let stamps = parsed(received_ns, received_ns);
                let api = Api::ApiVersions;
                let answer = answered(Ok(Some(Reply::of(api, stamps, out))));
                return Ok(Request { api, answer });
            }
            Err(error) => return Err(error.into()),
        };
        let (api, version) = (header.api, header.version);
        let incoming = Incoming::new(
            frame.clone(),
            &header,
            is_first,
            self.listener,
            self.peer,
            received_ns,
            permit,
        );
        let taken_up = api::take_up(&self.context, incoming).await;
        match taken_up {
            Ok(answer) => Ok(Request { api, answer }),
            Err(source) => Err(EndedBy::Request {
                api,
                version,
                source,
            }),
        }
    }

    /// Sends responses, in order. What is ready leaves together.
    async fn write(&self) -> Result<(), EndedBy> {
        let mut replies = Vec::new();
        let mut unready = None;
        loop {
            let Request { api, answer } = match unready.take() {
                Some(request) => request,
                None => match self.in_flight.next().await {
                    Some(request) => request,
                    None => return Ok(()),
                },
            };
            let begun = self.context.unsent.begin(Size::of(api)).await;
            let mut ended = self.queue(answer.await, &mut replies).err();
            drop(begun);
            while ended.is_none()
                && replies.iter().map(Reply::len_bytes).sum::<usize>() < GATHER_BYTES
                && let Some(mut request) = self.in_flight.take()
            {
                let begins_now = match Size::of(request.api) {
                    Size::Small => true,
                    Size::Any => !self.context.unsent.is_full(),
                    Size::Large => false,
                };
                let reply = match begins_now {
                    true => future::poll_once(&mut request.answer).await,
                    false => None,
                };
                match reply {
                    Some(reply) => ended = self.queue(reply, &mut replies).err(),
                    None => {
                        unready = Some(request);
                        break;
                    }
                }
            }
            self.send(&mut replies).await?;
            if let Some(ended) = ended {
                return Err(ended.into());
            }
        }
    }

    fn queue(
        &self,
        reply: Result<Option<Reply>, Ended>,
        replies: &mut Vec<Reply>,
    ) -> Result<(), Ended> {
        if let Some(mut reply) = reply? {
            reply.stamps.mark(Stage::Queued, self.context.now_ns());
            replies.push(reply);
        }
        Ok(())
    }

    async fn send(&self, replies: &mut Vec<Reply>) -> Result<(), EndedBy> {
        let Context {
            core, cold, unsent, ..
        } = &*self.context;
        let bytes = replies.iter().map(Reply::written_bytes).sum();
        let sending = unsent.sending(&self.liveness.unsent_bytes, bytes);
        let _sending = sending.ok_or(EndedBy::Untaken { bytes })?;
        let pieces = replies.iter_mut().flat_map(|reply| reply.pieces.drain(..));
        let mut pieces: VecDeque<Piece> = pieces.collect();
        let progress = || {
            let deadline_ns = self.context.now_ns() + WRITE_MS * NS_PER_MS;
            self.liveness.write_deadline_ns.set(deadline_ns);
        };
        progress();
        let socket = &self.liveness.socket;
        let sent = send(socket, &mut pieces, cold, progress, || core.reactor_turn()).await;
        self.liveness.write_deadline_ns.set(0);
        let now_ns = self.context.now_ns();
        let mut stages = self.context.stages.borrow_mut();
        for mut reply in replies.drain(..) {
            reply.stamps.mark(Stage::Written, now_ns);
            stages.record(reply.api, &reply.stamps);
        }
        Ok(sent?)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.context.connections.borrow_mut().remove(self.place);
    }
}

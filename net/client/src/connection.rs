use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::marker::PhantomData;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use sillon_protocol::frame::read_response_header;
use sillon_protocol::message::{
    self, ApiVersionsRequest, ApiVersionsResponse, KafkaResponse, RequestResponsePair, StrBytes,
};
use sillon_protocol::versions::SERVED;
use sillon_protocol::{Api, ErrorCode};

use crate::error::{ClientError, Malformed};
use crate::frames::Frames;

/// The version of ApiVersions that is asked first: every broker since Kafka 2.4 knows it.
const API_VERSIONS_VERSION: i16 = 3;

/// How a connection is made.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// What the client calls itself.
    pub client_id: String,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long an answer may take.
    pub request_timeout: Duration,
}

impl Default for ConnectionOptions {
    fn default() -> ConnectionOptions {
        ConnectionOptions {
            client_id: "sillon".to_string(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// A connection to one broker, which knows what versions it speaks. Requests may be sent ahead;
/// answers come in their order.
#[derive(Debug)]
pub struct Connection {
    address: String,
    stream: TcpStream,
    options: ConnectionOptions,
    frames: Frames,
    out: BytesMut,
    last_correlation_id: i32,
    /// Correlation ids of the requests whose answers are due, in their order.
    unanswered: VecDeque<i32>,
    /// By API, the versions that both sides speak.
    common: Vec<(Api, i16, i16)>,
}

/// A request on its way: which, in what version, since when.
#[derive(Debug)]
pub(crate) struct Asked<M> {
    version: i16,
    at: Instant,
    request: PhantomData<fn() -> M>,
}

impl<M> Asked<M> {
    /// How long ago it was sent.
    pub(crate) fn age(&self) -> Duration {
        self.at.elapsed()
    }
}

impl Connection {
    /// Connects to `host:port` and asks what the broker speaks.
    pub fn open(address: &str, options: ConnectionOptions) -> Result<Connection, ClientError> {
        let stream = connect(address, options.connect_timeout)?;
        let mut connection = Connection {
            address: address.to_string(),
            stream,
            options,
            frames: Frames::new(),
            out: BytesMut::new(),
            last_correlation_id: 0,
            unanswered: VecDeque::new(),
            common: Vec::new(),
        };
        connection.negotiate()?;
        Ok(connection)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The highest version of `api` that both sides speak.
    pub fn version(&self, api: Api) -> Result<i16, ClientError> {
        let known = self.common.iter().find(|(known, _, _)| *known == api);
        match known {
            Some((_, min, max)) if min <= max => Ok(*max),
            _ => Err(ClientError::NoCommonVersion {
                address: self.address.clone(),
                api,
            }),
        }
    }

    /// Sends a request, in no higher version than `max`, and waits for its answer.
    pub fn call_up_to<M: RequestResponsePair>(
        &mut self,
        request: &M,
        max: i16,
    ) -> Result<M::Response, ClientError> {
        let api = message::api::<M>();
        let version = self.version(api)?.min(max);
        self.call_version(request, api, version)
    }

    /// Sends a request and waits for its answer.
    pub fn call<M: RequestResponsePair>(
        &mut self,
        request: &M,
    ) -> Result<M::Response, ClientError> {
        let api = message::api::<M>();
        let version = self.version(api)?;
        self.call_version(request, api, version)
    }

    fn call_version<M: RequestResponsePair>(
        &mut self,
        request: &M,
        api: Api,
        version: i16,
    ) -> Result<M::Response, ClientError> {
        self.ask_version(request, api, version)?;
        let (frame, body) = self.receive(api, version)?;
        self.decode::<M::Response>(frame, api, version, body)
    }

    /// Sends a request whose answer is taken by [`Self::answer`].
    pub(crate) fn ask<M: RequestResponsePair>(
        &mut self,
        request: &M,
    ) -> Result<Asked<M>, ClientError> {
        let api = message::api::<M>();
        let version = self.version(api)?;
        self.ask_version(request, api, version)?;
        Ok(Asked {
            version,
            at: Instant::now(),
            request: PhantomData,
        })
    }

    /// The answer to the oldest request without one; `None` when it has not come within `wait`.
    pub(crate) fn answer<M: RequestResponsePair>(
        &mut self,
        asked: &Asked<M>,
        wait: Duration,
    ) -> Result<Option<M::Response>, ClientError> {
        let (api, version) = (message::api::<M>(), asked.version);
        match self.receive_until(api, version, Instant::now() + wait)? {
            Some((frame, body)) => self.decode(frame, api, version, body).map(Some),
            None => Ok(None),
        }
    }

    fn ask_version<M: RequestResponsePair>(
        &mut self,
        request: &M,
        api: Api,
        version: i16,
    ) -> Result<(), ClientError> {
        self.send(|out, correlation_id, client_id| {
            message::encode_request(out, version, correlation_id, client_id, request)
        })
        .map_err(|source| ClientError::Unencodable {
            address: self.address.clone(),
            api,
            source,
        })?;
        self.flush()
    }

    fn decode<R: KafkaResponse>(
        &self,
        frame: Bytes,
        api: Api,
        version: i16,
        body: usize,
    ) -> Result<R, ClientError> {
        message::decode_response(frame, version, body)
            .map_err(|error| self.malformed(api, error.into()))
    }

    /// An answer that cannot be read.
    pub(crate) fn malformed(&self, api: Api, reason: Malformed) -> ClientError {
        ClientError::Malformed {
            address: self.address.clone(),
            api,
            reason,
        }
    }

    /// Queues a request: `write` appends its frame, given the correlation id and client id that
    /// its header must have. Nothing leaves before [`Self::flush`].
    pub fn send<E>(
        &mut self,
        write: impl FnOnce(&mut BytesMut, i32, Option<&str>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send_unanswered(write)?;
        self.unanswered.push_back(self.last_correlation_id);
        Ok(())
    }

    /// As [`Self::send`], for a request that gets no answer: Produce with acks 0.
    pub fn send_unanswered<E>(
        &mut self,
        write: impl FnOnce(&mut BytesMut, i32, Option<&str>) -> Result<(), E>,
    ) -> Result<(), E> {
        let correlation_id = self.last_correlation_id.wrapping_add(1);
        write(&mut self.out, correlation_id, Some(&self.options.client_id))?;
        self.last_correlation_id = correlation_id;
        Ok(())
    }

    /// Writes what is queued to the socket.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written.map_err(|source| self.broken(source))
    }

    /// Waits for the answer to the oldest request without one, which was of `api` and `version`.
    /// Returns its frame and where its body begins.
    ///
    /// # Panics
    /// When no answer is due.
    pub fn receive(&mut self, api: Api, version: i16) -> Result<(Bytes, usize), ClientError> {
        let deadline = Instant::now() + self.options.request_timeout;
        let received = self.receive_until(api, version, deadline)?;
        received.ok_or_else(|| self.timed_out(api))
    }

    /// As [`Self::receive`]; `None` when nothing whole has come by then.
    fn receive_until(
        &mut self,
        api: Api,
        version: i16,
        deadline: Instant,
    ) -> Result<Option<(Bytes, usize)>, ClientError> {
        let Some(frame) = self.next_frame(deadline)? else {
            return Ok(None);
        };
        let (found, body) = read_response_header(&frame, api, version)
            .map_err(|error| self.malformed(api, error.into()))?;
        let expected = self.unanswered.pop_front().expect("an answer is due");
        if found != expected {
            return Err(ClientError::OutOfOrder {
                address: self.address.clone(),
                expected,
                found,
            });
        }
        Ok(Some((frame, body)))
    }

    fn next_frame(&mut self, deadline: Instant) -> Result<Option<Bytes>, ClientError> {
        loop {
            match self.frames.next_frame() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(error) => {
                    return Err(ClientError::FrameLength {
                        address: self.address.clone(),
                        length: error.0,
                    });
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.frames.read_from(&mut self.stream));
            match read {
                Ok(0) => {
                    return Err(ClientError::Closed {
                        address: self.address.clone(),
                    });
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Ok(None),
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    pub(crate) fn timed_out(&self, api: Api) -> ClientError {
        ClientError::TimedOut {
            address: self.address.clone(),
            api,
            timeout: self.options.request_timeout,
        }
    }

    fn broken(&self, source: std::io::Error) -> ClientError {
        ClientError::Broken {
            address: self.address.clone(),
            source,
        }
    }

    fn negotiate(&mut self) -> Result<(), ClientError> {
        let mut request = ApiVersionsRequest::default();
        request.client_software_name = StrBytes::from("sillon");
        request.client_software_version = StrBytes::from(env!("CARGO_PKG_VERSION"));
        let mut answer = self.ask_versions(&request, API_VERSIONS_VERSION)?;
        if answer.error_code == ErrorCode::UnsupportedVersion.code() {
            answer = self.ask_versions(&ApiVersionsRequest::default(), 0)?;
        }
        if answer.error_code != 0 {
            let error = ErrorCode::from_code(answer.error_code);
            let error = error.unwrap_or(ErrorCode::UnknownServerError);
            let what = format!("asking {} what it speaks", self.address);
            return Err(ClientError::refused(what, error, None::<&str>));
        }
        for spec in SERVED {
            let theirs = answer.api_keys.iter();
            let theirs = theirs.filter(|row| row.api_key == spec.api.key());
            for row in theirs {
                let min = row.min_version.max(spec.min);
                self.common
                    .push((spec.api, min, row.max_version.min(spec.max)));
            }
        }
        Ok(())
    }

    /// An error is answered in version 0, whatever was asked.
    fn ask_versions(
        &mut self,
        request: &ApiVersionsRequest,
        version: i16,
    ) -> Result<ApiVersionsResponse, ClientError> {
        let api = Api::ApiVersions;
        self.send(|out, correlation_id, client_id| {
            message::encode_request(out, version, correlation_id, client_id, request)
        })
        .map_err(|source| ClientError::Unencodable {
            address: self.address.clone(),
            api,
            source,
        })?;
        self.flush()?;
        let (frame, body) = self.receive(api, version)?;
        let error = frame.get(body..body + 2).map(|bytes| [bytes[0], bytes[1]]);
        let unsupported = ErrorCode::UnsupportedVersion.code().to_be_bytes();
        let version = if error == Some(unsupported) {
            0
        } else {
            version
        };
        self.decode(frame, api, version, body)
    }
}

fn connect(address: &str, timeout: Duration) -> Result<TcpStream, ClientError> {
    let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if !has_port {
        return Err(ClientError::Address {
            address: address.to_string(),
        });
    }
    let unreachable = |source| ClientError::Unreachable {
        address: address.to_string(),
        source,
    };
    let mut last = std::io::Error::from(ErrorKind::NotFound);
    for resolved in address.to_socket_addrs().map_err(unreachable)? {
        match TcpStream::connect_timeout(&resolved, timeout) {
            Ok(stream) => {
                stream.set_nodelay(true).map_err(unreachable)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(last))
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

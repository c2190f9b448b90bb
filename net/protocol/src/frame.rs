//! Frames and headers. Every message is preceded by its length as an `i32`:
//!
//! ```text
//! request:  length | key i16 | version i16 | correlation id i32 | client id (v1+) | tags (v2) | body
//! response: length | correlation id i32 | tags (v1) | body
//! ```
//!
//! The client id keeps the classic encoding in every header version.

use bytes::{BufMut, BytesMut};

use crate::versions::{Api, ApiSpec};
use crate::wire::{Reader, WireError, Writer};

/// Length of the length, in bytes.
pub const LENGTH_BYTES: usize = 4;

/// Shortest request: key, version and correlation id, in bytes.
pub const REQUEST_BYTES_MIN: usize = 8;

/// Longest frame before a connection's first valid request, length excluded, in bytes. ApiVersions
/// takes under 200 bytes and Metadata for 1,000 topics about 30 KiB: a stranger gets no more.
pub const FIRST_FRAME_BYTES_MAX: usize = 64 << 10;

/// Longest frame afterwards, length excluded, in bytes: Kafka's `socket.request.max.bytes`.
pub const FRAME_BYTES_MAX: usize = 100 << 20;

/// Why a frame is not taken. All but [`HeaderError::ApiVersions`] end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The length is negative, too short for a header, or beyond the limit.
    #[error("a frame of {length} bytes; between {REQUEST_BYTES_MIN} and {max} are allowed here")]
    FrameLength {
        /// The length as sent.
        length: i64,
        /// Longest frame allowed at this moment.
        max: usize,
    },
    /// No such API is served.
    #[error("API key {key} (version {version}) is not served")]
    UnknownApi {
        /// Kafka's API key.
        key: i16,
        /// Its version.
        version: i16,
    },
    /// The API is served, this version is not.
    #[error("{api} version {version} is not served")]
    UnsupportedVersion {
        /// Which API.
        api: Api,
        /// The version asked for.
        version: i16,
    },
    /// ApiVersions in a version that is not served: answer with
    /// [`crate::message::unsupported_api_versions`] and go on.
    #[error("ApiVersions version {version} is not served")]
    ApiVersions {
        /// The version asked for.
        version: i16,
        /// To be echoed.
        correlation_id: i32,
    },
    /// The header itself is malformed.
    #[error("malformed request header: {0}")]
    Malformed(#[from] WireError),
}

/// Checks a frame's length before anything is read or reserved for it. `first`: the connection
/// has not sent a valid request yet.
pub fn check_length(prefix: [u8; LENGTH_BYTES], first: bool) -> Result<usize, HeaderError> {
    let length = i32::from_be_bytes(prefix);
    let max = if first {
        FIRST_FRAME_BYTES_MAX
    } else {
        FRAME_BYTES_MAX
    };
    within(i64::from(length), max)
}

/// Checks a frame's length against its own API, as soon as its first four bytes are there: a
/// Metadata request has no business being as large as a Produce request. An API that is not
/// served passes here and fails in [`RequestHeader::decode`].
pub fn check_length_of_api(length: usize, start: [u8; 4], first: bool) -> Result<(), HeaderError> {
    let key = i16::from_be_bytes([start[0], start[1]]);
    match Api::from_key(key) {
        Some(api) => within_limits(api.spec(), length, first),
        None => Ok(()),
    }
}

fn within(length: i64, max: usize) -> Result<usize, HeaderError> {
    match usize::try_from(length) {
        Ok(bytes) if (REQUEST_BYTES_MIN..=max).contains(&bytes) => Ok(bytes),
        _ => Err(HeaderError::FrameLength { length, max }),
    }
}

fn within_limits(spec: &ApiSpec, length: usize, first: bool) -> Result<(), HeaderError> {
    within(length as i64, spec.limits(first).frame_bytes_max).map(|_| ())
}

/// The header of a request for an API and version that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader<'a> {
    /// Which API.
    pub api: Api,
    /// Its version.
    pub version: i16,
    /// Echoed in the response.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<&'a str>,
    /// Where the body begins, in bytes from the frame's start.
    pub body: usize,
}

impl<'a> RequestHeader<'a> {
    /// Reads the header of a whole frame (without its length). Tagged fields are skipped.
    pub fn decode(frame: &'a [u8], first: bool) -> Result<RequestHeader<'a>, HeaderError> {
        // The client id is classic whatever the header's version; only the tags are flexible.
        let mut reader = Reader::new(frame, 0, false);
        let key = reader.i16()?;
        let version = reader.i16()?;
        let correlation_id = reader.i32()?;
        let Some(api) = Api::from_key(key) else {
            return Err(HeaderError::UnknownApi { key, version });
        };
        let spec = api.spec();
        if !spec.serves(version) {
            return Err(match api {
                Api::ApiVersions => HeaderError::ApiVersions {
                    version,
                    correlation_id,
                },
                _ => HeaderError::UnsupportedVersion { api, version },
            });
        }
        within_limits(spec, frame.len(), first)?;
        let client_id = reader.nullable_string()?;
        let mut reader = Reader::new(frame, reader.position(), spec.is_flexible(version));
        reader.skip_tags()?;
        Ok(RequestHeader {
            api,
            version,
            correlation_id,
            client_id,
            body: reader.position(),
        })
    }
}

/// Begins a frame: leaves room for its length and returns where it starts.
pub fn begin(out: &mut BytesMut) -> usize {
    let start = out.len();
    out.put_i32(0);
    start
}

/// Ends the frame that started at `start`: fills in its length.
///
/// # Panics
/// When the frame is larger than 2 GiB.
pub fn end(out: &mut BytesMut, start: usize) {
    set_length(out, start, out.len() - start - LENGTH_BYTES);
}

/// Fills in the length of the frame that started at `start`.
pub(crate) fn set_length(out: &mut BytesMut, start: usize, length: usize) {
    let length = i32::try_from(length).expect("a frame is smaller than 2 GiB");
    out[start..start + LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
}

/// Appends the header of a response.
pub fn put_response_header(out: &mut BytesMut, api: Api, version: i16, correlation_id: i32) {
    out.put_i32(correlation_id);
    if api.spec().response_header_version(version) >= 1 {
        out.put_u8(0);
    }
}

/// Appends the header of a request, as a client does.
pub fn put_request_header(
    out: &mut BytesMut,
    api: Api,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) {
    let mut writer = Writer::new(out, false);
    writer.i16(api.key());
    writer.i16(version);
    writer.i32(correlation_id);
    writer.nullable_string(client_id);
    Writer::new(out, api.spec().is_flexible(version)).tags(0);
}

/// Reads the header of a response to a request of `api` and `version`, as a client does. Returns
/// the correlation id and where the body begins, in bytes from the frame's start.
pub fn read_response_header(
    frame: &[u8],
    api: Api,
    version: i16,
) -> Result<(i32, usize), WireError> {
    let flexible = api.spec().response_header_version(version) >= 1;
    let mut reader = Reader::new(frame, 0, flexible);
    let correlation_id = reader.i32()?;
    reader.skip_tags()?;
    Ok((correlation_id, reader.position()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(api: Api, version: i16, client_id: Option<&str>) -> BytesMut {
        let mut out = BytesMut::new();
        put_request_header(&mut out, api, version, 7, client_id);
        out
    }

    #[test]
    fn a_header_of_every_version_reads_back() {
        for (api, version, client_id) in [
            (Api::Metadata, 1, Some("furrow")),
            (Api::Metadata, 12, Some("furrow")),
            (Api::Produce, 3, None),
            (Api::Produce, 13, None),
        ] {
            let frame = header(api, version, client_id);
            let read = RequestHeader::decode(&frame, true).unwrap();
            assert_eq!(read.api, api);
            assert_eq!(read.version, version);
            assert_eq!(read.correlation_id, 7);
            assert_eq!(read.client_id, client_id);
            assert_eq!(read.body, frame.len());
        }
    }

    #[test]
    fn unknown_tagged_fields_in_a_header_are_skipped() {
        let mut frame = header(Api::Metadata, 12, Some("furrow"));
        frame.truncate(frame.len() - 1);
        frame.extend_from_slice(&[2, 5, 3, 1, 2, 3, 9, 0]);
        let read = RequestHeader::decode(&frame, true).unwrap();
        assert_eq!(read.body, frame.len());
    }

    #[test]
    fn a_header_cut_anywhere_is_malformed() {
        let frame = header(Api::Metadata, 12, Some("furrow"));
        for length in 0..frame.len() {
            let read = RequestHeader::decode(&frame[..length], true);
            assert!(read.is_err(), "{length}: {read:?}");
        }
    }

    #[test]
    fn what_is_not_served_is_told_apart() {
        let frame = [0, 99, 0, 0, 0, 0, 0, 1];
        let read = RequestHeader::decode(&frame, true);
        let expected = HeaderError::UnknownApi {
            key: 99,
            version: 0,
        };
        assert_eq!(read, Err(expected));
        let read = RequestHeader::decode(&[0, 0, 0, 2, 0, 0, 0, 1], true);
        let expected = HeaderError::UnsupportedVersion {
            api: Api::Produce,
            version: 2,
        };
        assert_eq!(read, Err(expected));
        let read = RequestHeader::decode(&[0, 18, 0, 99, 0, 0, 0, 1], true);
        let expected = HeaderError::ApiVersions {
            version: 99,
            correlation_id: 1,
        };
        assert_eq!(read, Err(expected));
    }

    #[test]
    fn a_length_is_refused_before_the_frame_is_read() {
        let length = |bytes: i32| bytes.to_be_bytes();
        assert_eq!(check_length(length(8), true), Ok(8));
        assert!(check_length(length(7), true).is_err());
        assert!(check_length(length(-1), false).is_err());
        assert!(check_length(length(i32::MAX), false).is_err());
        let first_max = FIRST_FRAME_BYTES_MAX as i32;
        assert!(check_length(length(first_max), true).is_ok());
        assert!(check_length(length(first_max + 1), true).is_err());
        assert!(check_length(length(first_max + 1), false).is_ok());
        assert!(check_length_of_api(50 << 20, [0, 0, 0, 9], false).is_ok());
        assert!(check_length_of_api(50 << 20, [0, 3, 0, 9], false).is_err());
    }

    #[test]
    fn a_response_header_reads_back() {
        for (api, version) in [(Api::Fetch, 4), (Api::Fetch, 12), (Api::ApiVersions, 4)] {
            let mut frame = BytesMut::new();
            put_response_header(&mut frame, api, version, 9);
            let read = read_response_header(&frame, api, version).unwrap();
            assert_eq!(read, (9, frame.len()));
        }
    }
}

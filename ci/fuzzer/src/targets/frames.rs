use bytes::BytesMut;
use sillon_protocol::Api;
use sillon_protocol::frame::{
    self, LENGTH_BYTES, RequestHeader, check_length, check_length_of_api,
};
use sillon_protocol::versions::SERVED;

use crate::target::{Outcome, Target, kind, outcome};

/// A frame as it comes from a client: its length, the start of its header, the header.
pub struct Frames;

impl Target for Frames {
    fn name(&self) -> String {
        "frames".to_owned()
    }

    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = Vec::new();
        for spec in SERVED {
            for version in [spec.min, spec.max] {
                let mut out = BytesMut::new();
                let start = frame::begin(&mut out);
                frame::put_request_header(&mut out, spec.api, version, 7, Some("plough"));
                out.extend_from_slice(&[0; 8]);
                frame::end(&mut out, start);
                seeds.push(out.to_vec());
            }
        }
        seeds
    }

    fn run(&mut self, bytes: &[u8]) -> Outcome {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return outcome("short");
        };
        let mut seen = Vec::new();
        for first in [true, false] {
            let length = match check_length(*length, first) {
                Ok(length) => length,
                Err(error) => {
                    seen.push(kind(&error));
                    continue;
                }
            };
            if let Some(start) = rest.first_chunk::<4>()
                && let Err(error) = check_length_of_api(length, *start, first)
            {
                seen.push(kind(&error));
            }
            match RequestHeader::decode(rest, first) {
                Ok(header) => {
                    assert!(header.body <= rest.len(), "a body begins within its frame");
                    assert_eq!(Api::from_key(header.api.key()), Some(header.api));
                    assert!(header.api.spec().serves(header.version));
                    seen.push(format!("{} {}", header.api, header.version));
                }
                Err(error) => seen.push(kind(&error)),
            }
        }
        outcome(seen)
    }

    fn memory_max(&self, _len: usize) -> usize {
        16 << 10
    }
}

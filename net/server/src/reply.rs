use std::cell::Cell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use sillon_protocol::Api;
use sillon_shard::{Extent, Stamps};
use smallvec::SmallVec;

/// A response on its way out.
pub(crate) struct Reply {
    /// What it answers.
    pub api: Api,
    /// When its request passed which stage.
    pub stamps: Stamps,
    /// One behind the other they are the response's frame.
    pub pieces: SmallVec<[Piece; 2]>,
    /// Kept until they are sent.
    pub held: Option<Held>,
}

/// Counts records in memory that a response holds, as long as it lives.
pub(crate) struct Held {
    total_bytes: Rc<Cell<u64>>,
    bytes: u64,
}

impl Held {
    pub(crate) fn new(total_bytes: &Rc<Cell<u64>>, bytes: u64) -> Held {
        total_bytes.set(total_bytes.get() + bytes);
        Held {
            total_bytes: total_bytes.clone(),
            bytes,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.total_bytes.set(self.total_bytes.get() - self.bytes);
    }
}

/// A part of a response.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Written for this response.
    Bytes(Bytes),
    /// Records, where they are.
    Records(Extent),
}

impl Reply {
    /// A response that is all bytes.
    pub(crate) fn of(api: Api, stamps: Stamps, frame: BytesMut) -> Reply {
        let mut pieces = SmallVec::new();
        pieces.push(Piece::Bytes(frame.freeze()));
        Reply {
            api,
            stamps,
            pieces,
            held: None,
        }
    }

    /// A response with gaps: each of `records` belongs in `frame` at its position, in ascending
    /// order.
    pub(crate) fn with_records(
        api: Api,
        stamps: Stamps,
        frame: BytesMut,
        records: Vec<(usize, Extent)>,
    ) -> Reply {
        let frame = frame.freeze();
        let mut pieces = SmallVec::new();
        let mut written = 0;
        for (position, extent) in records {
            if position > written {
                pieces.push(Piece::Bytes(frame.slice(written..position)));
                written = position;
            }
            pieces.push(Piece::Records(extent));
        }
        if written < frame.len() {
            pieces.push(Piece::Bytes(frame.slice(written..)));
        }
        Reply {
            api,
            stamps,
            pieces,
            held: None,
        }
    }

    /// Its length on the wire, in bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        self.pieces.iter().map(Piece::len_bytes).sum()
    }

    /// What was written for it, without records, in bytes.
    pub(crate) fn written_bytes(&self) -> u64 {
        let written = self.pieces.iter().map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.len() as u64,
            Piece::Records(_) => 0,
        });
        written.sum()
    }
}

impl Piece {
    pub(crate) fn len_bytes(&self) -> usize {
        match self {
            Piece::Bytes(bytes) => bytes.len(),
            Piece::Records(Extent::Memory(slice)) => slice.len(),
            Piece::Records(Extent::File { len, .. }) => *len as usize,
        }
    }

    /// Its bytes, when they are in memory.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        match self {
            Piece::Bytes(bytes) => Some(bytes),
            Piece::Records(Extent::Memory(slice)) => Some(slice),
            Piece::Records(Extent::File { .. }) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use sillon_buffer::Slice;

    use super::*;

    #[test]
    fn records_fill_the_gaps_of_a_frame() {
        let memory = |bytes: &[u8]| Extent::Memory(Slice::copy_of(bytes));
        let frame = BytesMut::from(&b"headmiddleend"[..]);
        let records = vec![
            (4, memory(b"<1>")),
            (4, memory(b"<2>")),
            (13, memory(b"<3>")),
        ];
        let reply = Reply::with_records(Api::Fetch, Stamps::default(), frame, records);
        let pieces = reply.pieces.iter().filter_map(Piece::in_memory);
        let whole: Vec<u8> = pieces.flatten().copied().collect();
        assert_eq!(whole, b"head<1><2>middleend<3>");
        assert_eq!(reply.len_bytes(), whole.len());
    }
}

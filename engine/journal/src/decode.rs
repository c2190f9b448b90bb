use sillon_buffer::Slice;
use zerocopy::FromBytes;

use crate::EntryMeta;
use crate::format::{EntryHeader, ROUND_HEADER_BYTES, RoundHeader};

/// Whether the headers of a round are as they were written. The `headers` of the round are this
/// header, as it lies there, and the entry headers.
pub(crate) fn headers_are_whole(header: &RoundHeader, headers: &[u8], padding: &[u8]) -> bool {
    let entry_headers = &headers[ROUND_HEADER_BYTES..];
    header.checksum.get() == header.checksum_of(entry_headers, padding)
}

/// The entries of a round whose headers are whole; `None` when a payload is not, or when lengths
/// contradict each other. `round` is all of it.
pub(crate) fn entries_of(header: &RoundHeader, round: &Slice) -> Option<Vec<(EntryMeta, Slice)>> {
    let headers_end = header.headers_bytes() as usize;
    let content_end = header.length_bytes.get() as usize;
    let headers = round.get(ROUND_HEADER_BYTES..headers_end)?;
    let headers = <[EntryHeader]>::ref_from_bytes(headers).ok()?;

    let mut entries = Vec::with_capacity(headers.len());
    let mut at = headers_end;
    for header in headers {
        let end = at.checked_add(header.payload_bytes())?;
        if end > content_end {
            return None;
        }
        let payload = match at == end {
            true => Slice::default(),
            false => round.slice(at..end),
        };
        let meta = header.meta()?;
        if !header.payload_is_whole(meta.kind, &payload) {
            return None;
        }
        entries.push((meta, payload));
        at = end;
    }
    (at == content_end).then_some(entries)
}

//! Compression as Kafka's clients do it, for our own client and for tests.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};

use crate::batch::Compression;
use crate::decompress::XERIAL_MAGIC;

/// Block length of the Java client's snappy stream, in bytes before compression.
const SNAPPY_BLOCK_BYTES: usize = 32 << 10;
/// The two version numbers behind the magic of that stream: written by 1, readable from 1.
const SNAPPY_VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];

/// Appends `records`, compressed, to `into`.
pub(crate) fn compress(
    compression: Compression,
    records: &[u8],
    into: &mut Vec<u8>,
) -> io::Result<()> {
    match compression {
        Compression::None => into.extend_from_slice(records),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(into, flate2::Compression::default());
            encoder.write_all(records)?;
            encoder.finish()?;
        }
        Compression::Snappy => snappy(records, into)?,
        Compression::Lz4 => {
            // Kafka's own choice of block size; dependent blocks are what its clients refuse.
            let frame = FrameInfo::new()
                .block_mode(BlockMode::Independent)
                .block_size(BlockSize::Max64KB);
            let mut encoder = FrameEncoder::with_frame_info(frame, into);
            encoder.write_all(records)?;
            encoder.finish()?;
        }
        Compression::Zstd => {
            let level = zstd::DEFAULT_COMPRESSION_LEVEL;
            let mut encoder = zstd::stream::write::Encoder::new(into, level)?;
            encoder.write_all(records)?;
            encoder.finish()?;
        }
    }
    Ok(())
}

fn snappy(records: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
    into.extend_from_slice(&XERIAL_MAGIC);
    into.extend_from_slice(&SNAPPY_VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(SNAPPY_BLOCK_BYTES) {
        let length_at = into.len();
        let block_at = length_at + 4;
        into.resize(block_at + snap::raw::max_compress_len(block.len()), 0);
        let length = encoder.compress(block, &mut into[block_at..])?;
        into[length_at..block_at].copy_from_slice(&(length as u32).to_be_bytes());
        into.truncate(block_at + length);
    }
    Ok(())
}

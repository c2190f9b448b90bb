//! Decompression in bounded memory: a window at a time, no further than a limit.

use std::io::Read;

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder;
use zstd::zstd_safe::{DCtx, InBuffer, OutBuffer, ResetDirective, get_error_name};

use crate::batch::Compression;

/// What is decompressed and checked at a time, in bytes: within a core's second-level cache.
const WINDOW_BYTES: usize = 64 << 10;
/// Snappy decompresses a block whole; a larger block's memory is given back after the batch. The
/// Java client writes blocks of 32 KiB.
const SNAPPY_BLOCK_KEPT_BYTES: usize = 1 << 20;
/// Snappy's best element copies 64 bytes for three (rounded up), so a block that claims more than
/// this times its length lies, and no memory is reserved for it.
const SNAPPY_RATIO_MAX: u64 = 22;
/// A zstd context larger than this is freed after the batch: window of 8 MiB (what RFC 8878 asks a
/// decoder for, and more than Kafka's default level uses) and its tables. The largest accepted
/// window is zstd's own default, 128 MiB, which level 22 uses when it does not know the size; of
/// that, memory is touched only as far as the limit lets records out.
const ZSTD_KEPT_BYTES: usize = 9 << 20;

/// The magic of the Java client's snappy blocks, before two version numbers of four bytes each.
pub(crate) const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
pub(crate) const XERIAL_HEADER_BYTES: usize = 16;

const LZ4_MAGIC: [u8; 4] = 0x184D_2204u32.to_le_bytes();
const LZ4_INDEPENDENT_BLOCKS_BIT: u8 = 1 << 5;

/// Why compressed records cannot be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecompressError {
    /// They expand beyond the limit.
    #[error("the {} records decompress to more than {limit_bytes} bytes", compression.name())]
    TooLarge {
        /// Codec.
        compression: Compression,
        /// The limit.
        limit_bytes: u64,
    },
    /// Not a stream of that codec, or one that is cut short or goes on behind its end.
    #[error("{} stream: {reason}", compression.name())]
    Malformed {
        /// Codec.
        compression: Compression,
        /// What the codec says.
        reason: String,
    },
}

/// Buffers for decompression, reused from batch to batch. One per thread that checks batches; it
/// takes no memory before the first compressed batch, and keeps at most about 10 MiB.
#[derive(Default)]
pub struct Scratch {
    window: Vec<u8>,
    snappy_block: Vec<u8>,
    zstd: Option<DCtx<'static>>,
}

impl Scratch {
    /// Memory held between two batches, in bytes.
    pub fn kept_bytes(&self) -> usize {
        let zstd = self.zstd.as_ref().map_or(0, |context| context.sizeof());
        self.window.capacity() + self.snappy_block.capacity() + zstd
    }

    /// The window, and a decompressor of `compressed` that gives at most `limit_bytes`.
    pub(crate) fn open<'a>(
        &'a mut self,
        compression: Compression,
        compressed: &'a [u8],
        limit_bytes: u64,
    ) -> Result<(&'a mut [u8], Decompressor<'a>), DecompressError> {
        self.window.resize(WINDOW_BYTES, 0);
        let codec = match compression {
            Compression::None => Codec::None(compressed),
            Compression::Gzip => Codec::Gzip(MultiGzDecoder::new(compressed)),
            Compression::Snappy => Codec::Snappy(Snappy::new(compressed, &mut self.snappy_block)),
            Compression::Lz4 => Codec::Lz4(Lz4::new(compressed)?),
            Compression::Zstd => Codec::Zstd(Zstd::new(
                compressed,
                self.zstd.get_or_insert_with(DCtx::create),
            )),
        };
        let decompressor = Decompressor {
            compression,
            codec,
            produced_bytes: 0,
            limit_bytes,
        };
        Ok((&mut self.window, decompressor))
    }

    /// Gives back what an unusual batch took.
    pub(crate) fn trim(&mut self) {
        if self.snappy_block.capacity() > SNAPPY_BLOCK_KEPT_BYTES {
            self.snappy_block = Vec::new();
        }
        if self
            .zstd
            .as_ref()
            .is_some_and(|context| context.sizeof() > ZSTD_KEPT_BYTES)
        {
            self.zstd = None;
        }
    }
}

/// A stream of decompressed bytes that ends in an error when it is too long.
pub(crate) struct Decompressor<'a> {
    compression: Compression,
    codec: Codec<'a>,
    produced_bytes: u64,
    limit_bytes: u64,
}

enum Codec<'a> {
    None(&'a [u8]),
    Gzip(MultiGzDecoder<&'a [u8]>),
    Snappy(Snappy<'a>),
    Lz4(Lz4<'a>),
    Zstd(Zstd<'a>),
}

impl Decompressor<'_> {
    /// Bytes given out so far.
    pub(crate) fn produced_bytes(&self) -> u64 {
        self.produced_bytes
    }

    /// The next bytes; 0 at the proper end of the stream and of the input.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, DecompressError> {
        let too_large = DecompressError::TooLarge {
            compression: self.compression,
            limit_bytes: self.limit_bytes,
        };
        let allowance = self.limit_bytes - self.produced_bytes;
        let read = match &mut self.codec {
            Codec::None(rest) => rest.read(into).map_err(|error| error.to_string()),
            Codec::Gzip(decoder) => decoder.read(into).map_err(|error| error.to_string()),
            Codec::Snappy(decoder) => match decoder.read(into, allowance) {
                Ok(None) => return Err(too_large),
                Ok(Some(read)) => Ok(read),
                Err(reason) => Err(reason),
            },
            Codec::Lz4(decoder) => decoder.read(into),
            Codec::Zstd(decoder) => decoder.read(into),
        };
        let read = read.map_err(|reason| DecompressError::Malformed {
            compression: self.compression,
            reason,
        })?;
        if read as u64 > allowance {
            return Err(too_large);
        }
        self.produced_bytes += read as u64;
        Ok(read)
    }
}

/// Snappy: either one raw block, or the Java client's `magic, version, version` and then blocks of
/// `length i32, raw block`.
struct Snappy<'a> {
    rest: &'a [u8],
    is_framed: bool,
    block: &'a mut Vec<u8>,
    given: usize,
    block_bytes: usize,
    decoder: snap::raw::Decoder,
}

impl<'a> Snappy<'a> {
    fn new(compressed: &'a [u8], block: &'a mut Vec<u8>) -> Snappy<'a> {
        let is_framed =
            compressed.len() >= XERIAL_HEADER_BYTES && compressed.starts_with(&XERIAL_MAGIC);
        Snappy {
            rest: if is_framed {
                &compressed[XERIAL_HEADER_BYTES..]
            } else {
                compressed
            },
            is_framed,
            block,
            given: 0,
            block_bytes: 0,
            decoder: snap::raw::Decoder::new(),
        }
    }

    /// `None` when the next block alone is larger than `allowance` bytes.
    fn read(&mut self, into: &mut [u8], allowance: u64) -> Result<Option<usize>, String> {
        while self.given == self.block_bytes {
            if self.rest.is_empty() {
                return Ok(Some(0));
            }
            let compressed = self.take_block()?;
            let claimed =
                snap::raw::decompress_len(compressed).map_err(|error| error.to_string())?;
            if claimed as u64 > allowance {
                return Ok(None);
            }
            if claimed as u64 > SNAPPY_RATIO_MAX * compressed.len() as u64 {
                let length = compressed.len();
                return Err(format!(
                    "a block of {length} bytes claims {claimed} decompressed"
                ));
            }
            if self.block.len() < claimed {
                self.block.resize(claimed, 0);
            }
            self.block_bytes = self
                .decoder
                .decompress(compressed, &mut self.block[..claimed])
                .map_err(|error| error.to_string())?;
            self.given = 0;
        }
        let count = into.len().min(self.block_bytes - self.given);
        into[..count].copy_from_slice(&self.block[self.given..self.given + count]);
        self.given += count;
        Ok(Some(count))
    }

    fn take_block(&mut self) -> Result<&'a [u8], String> {
        if !self.is_framed {
            return Ok(std::mem::take(&mut self.rest));
        }
        let available = self.rest.len();
        let block = self
            .rest
            .split_first_chunk::<4>()
            .and_then(|(length, rest)| {
                let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
                rest.split_at_checked(length)
            });
        let (block, rest) =
            block.ok_or_else(|| format!("no whole block in the last {available} bytes"))?;
        self.rest = rest;
        Ok(block)
    }
}

/// One LZ4 frame of independent blocks: what the Java client can read. (It refuses frames whose
/// blocks depend on each other, so they would jam it.)
struct Lz4<'a>(FrameDecoder<Fed<'a>>);

/// The frame's bytes, and whether the decoder asked for more than there were: the decoder itself
/// takes a missing end mark for an end.
struct Fed<'a> {
    rest: &'a [u8],
    is_starved: bool,
}

impl Read for Fed<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.is_starved |= into.len() > self.rest.len();
        self.rest.read(into)
    }
}

impl<'a> Lz4<'a> {
    fn new(compressed: &'a [u8]) -> Result<Lz4<'a>, DecompressError> {
        let malformed = |reason: &str| DecompressError::Malformed {
            compression: Compression::Lz4,
            reason: reason.to_owned(),
        };
        if !compressed.starts_with(&LZ4_MAGIC) {
            return Err(malformed("no LZ4 frame"));
        }
        let flags = compressed.get(LZ4_MAGIC.len()).copied().unwrap_or(0);
        if flags & LZ4_INDEPENDENT_BLOCKS_BIT == 0 {
            return Err(malformed(
                "blocks depend on each other, which Kafka's clients refuse",
            ));
        }
        Ok(Lz4(FrameDecoder::new(Fed {
            rest: compressed,
            is_starved: false,
        })))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, String> {
        // Behind the end mark the decoder would begin with a second frame.
        let read = self.0.read(into).map_err(|error| error.to_string())?;
        let fed = self.0.get_ref();
        if read == 0 && fed.is_starved {
            return Err("the frame is cut short".to_owned());
        }
        if read == 0 && !fed.rest.is_empty() {
            return Err(format!("{} bytes behind the frame", fed.rest.len()));
        }
        Ok(read)
    }
}

/// Any number of zstd frames.
struct Zstd<'a> {
    context: &'a mut DCtx<'static>,
    input: InBuffer<'a>,
    /// The last call ended a frame.
    is_frame_complete: bool,
}

impl<'a> Zstd<'a> {
    fn new(compressed: &'a [u8], context: &'a mut DCtx<'static>) -> Zstd<'a> {
        context
            .reset(ResetDirective::SessionOnly)
            .expect("a session can always be reset");
        Zstd {
            context,
            input: InBuffer::around(compressed),
            is_frame_complete: false,
        }
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize, String> {
        let mut output = OutBuffer::around(into);
        while output.pos() == 0 {
            let is_input_used_up = self.input.pos() == self.input.src.len();
            if is_input_used_up && self.is_frame_complete {
                break;
            }
            let before = self.input.pos();
            let hint = self
                .context
                .decompress_stream(&mut output, &mut self.input)
                .map_err(|code| get_error_name(code).to_owned())?;
            self.is_frame_complete = hint == 0;
            let is_stuck = before == self.input.pos() && output.pos() == 0;
            if is_stuck && !self.is_frame_complete {
                return Err("the frame is cut short".to_owned());
            }
        }
        Ok(output.pos())
    }
}

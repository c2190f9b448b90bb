//! Kilobytes that decompress to gigabytes. A process of its own, because it looks at the largest
//! memory that the process ever had.

mod planting;

use std::io::{self, Write};

use planting::*;
use sillon_record::{BatchError, Compression, varint};

/// Size of the one record's value, in bytes: large against everything else in the process.
const VALUE_BYTES: usize = 256 << 20;
/// What checking may add to the process, in bytes: 16 MiB, for a window of zstd's (8 MiB at most
/// here) or two blocks of an LZ4 frame, and the window of the check.
const MEMORY_BYTES_MAX: u64 = 16 << 20;

/// Largest resident memory so far, in bytes.
fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// Writes one record whose value is all zeros.
fn write_record(into: &mut impl Write) -> io::Result<()> {
    let mut head = vec![0, 0, 0, 1];
    varint::put_i64(&mut head, VALUE_BYTES as i64);
    let mut length = Vec::new();
    varint::put_i64(&mut length, (head.len() + VALUE_BYTES + 1) as i64);
    into.write_all(&length)?;
    into.write_all(&head)?;
    let zeros = vec![0; 64 << 10];
    for _ in 0..VALUE_BYTES / zeros.len() {
        into.write_all(&zeros)?;
    }
    into.write_all(&[0])
}

fn bomb(compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            write_record(&mut encoder).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Lz4 => {
            let frame = lz4_flex::frame::FrameInfo::new()
                .block_mode(lz4_flex::frame::BlockMode::Independent)
                .block_size(lz4_flex::frame::BlockSize::Max4MB);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
            write_record(&mut encoder).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            write_record(&mut encoder).unwrap();
            encoder.finish().unwrap()
        }
        other => panic!("no bomb is made with {other:?}"),
    }
}

/// One small record in a zstd frame that asks for a window of `1 << log` bytes.
fn zstd_with_window(log: u8) -> Vec<u8> {
    let record = record(&[&[0, 0, 0, 1, 1, 0]]);
    // Magic, no flags, window, and one raw block, the last.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3];
    frame.extend_from_slice(&[((record.len() as u8) << 3) | 1, 0, 0]);
    frame.extend_from_slice(&record);
    with_payload(Compression::Zstd, 1, &frame)
}

#[test]
fn bombs_are_walked_in_little_memory_and_refused_at_the_limit() {
    let codecs = [Compression::Gzip, Compression::Lz4, Compression::Zstd];
    let batches = codecs.map(|codec| (codec, with_payload(codec, 1, &bomb(codec))));
    let before = peak_bytes();
    for (compression, batch) in batches {
        let mut rules = rules();
        rules.max_message_bytes = u32::MAX;
        let limit_bytes = rules.decompressed_bytes_max;
        assert_eq!(
            check(&batch, &rules).unwrap_err(),
            BatchError::DecompressedTooLarge {
                compression,
                limit_bytes
            }
        );
        // Whoever raises the limit still pays in time only.
        rules.decompressed_bytes_max = u64::MAX;
        check(&batch, &rules).unwrap();
        let grown = peak_bytes() - before;
        assert!(
            grown < MEMORY_BYTES_MAX,
            "{compression:?} took {grown} bytes"
        );
    }
    // 128 MiB is the window of the highest level; a larger one is refused.
    check(&zstd_with_window(27), &rules()).unwrap();
    let error = check(&zstd_with_window(28), &rules()).unwrap_err();
    assert!(matches!(error, BatchError::Decompression { .. }), "{error}");
    let grown = peak_bytes() - before;
    assert!(grown < MEMORY_BYTES_MAX, "a window took {grown} bytes");
}

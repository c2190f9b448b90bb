//! What the codecs let through: the framings that clients use, and nothing that would jam one.

mod planting;

use std::io::Write;

use planting::*;
use proptest::prelude::*;
use sillon_record::{BatchBuilder, BatchError, Compression, Scratch, needs_helper_thread};

/// The records of `three_records`, as bytes.
fn plain() -> Vec<u8> {
    three_records(Compression::None)[RECORDS_AT..].to_vec()
}

fn snappy_block(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// The Java client's stream, written out by hand.
fn xerial(blocks: &[&[u8]]) -> Vec<u8> {
    let mut stream = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    for block in blocks {
        let block = snappy_block(block);
        stream.extend_from_slice(&(block.len() as u32).to_be_bytes());
        stream.extend_from_slice(&block);
    }
    stream
}

fn accepted(compression: Compression, payload: &[u8]) -> Result<(), BatchError> {
    check(&with_timestamps(compression, payload), &rules()).map(|_| ())
}

fn with_timestamps(compression: Compression, payload: &[u8]) -> Vec<u8> {
    let batch = with_payload(compression, 3, payload);
    with_field(batch, BASE_TIMESTAMP_AT, &NOW_MS.to_be_bytes())
}

fn lz4(frame: lz4_flex::frame::FrameInfo) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(frame, Vec::new());
    encoder.write_all(&plain()).unwrap();
    encoder.finish().unwrap()
}

/// A whole stream of each codec.
fn streams() -> [(Compression, Vec<u8>); 5] {
    let of = |compression| three_records(compression)[RECORDS_AT..].to_vec();
    [
        (Compression::Gzip, of(Compression::Gzip)),
        (Compression::Snappy, of(Compression::Snappy)),
        (Compression::Snappy, snappy_block(&plain())),
        (Compression::Lz4, of(Compression::Lz4)),
        (Compression::Zstd, of(Compression::Zstd)),
    ]
}

#[test]
fn snappy_is_read_raw_and_in_the_java_clients_blocks() {
    let plain = plain();
    accepted(Compression::Snappy, &snappy_block(&plain)).unwrap();
    accepted(Compression::Snappy, &xerial(&[&plain])).unwrap();
    let (head, tail) = plain.split_at(333);
    accepted(Compression::Snappy, &xerial(&[head, &[], tail])).unwrap();
}

#[test]
fn concatenated_gzip_members_and_zstd_frames_are_one_stream() {
    let plain = plain();
    let (head, tail) = plain.split_at(500);
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
    accepted(Compression::Zstd, &[zstd(head), zstd(tail)].concat()).unwrap();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    accepted(Compression::Gzip, &[gzip(head), gzip(tail)].concat()).unwrap();
}

#[test]
fn lz4_frames_are_read_with_every_block_size_and_checksum() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameInfo};
    for size in [
        BlockSize::Max64KB,
        BlockSize::Max256KB,
        BlockSize::Max1MB,
        BlockSize::Max4MB,
    ] {
        let frame = FrameInfo::new()
            .block_mode(BlockMode::Independent)
            .block_size(size)
            .block_checksums(true)
            .content_checksum(true)
            .content_size(Some(plain().len() as u64));
        accepted(Compression::Lz4, &lz4(frame)).unwrap();
    }
}

#[test]
fn lz4_blocks_that_depend_on_each_other_would_jam_the_java_client_and_are_refused() {
    use lz4_flex::frame::{BlockMode, FrameInfo};
    let linked = lz4(FrameInfo::new().block_mode(BlockMode::Linked));
    let error = accepted(Compression::Lz4, &linked).unwrap_err();
    assert!(
        matches!(error, BatchError::Decompression { index: 0, .. }),
        "{error}"
    );
}

#[test]
fn a_stream_that_is_cut_anywhere_is_refused() {
    for (compression, stream) in streams() {
        for length in 0..stream.len() {
            let error = accepted(compression, &stream[..length]).unwrap_err();
            assert!(
                matches!(
                    error,
                    BatchError::Decompression { .. } | BatchError::Record { .. }
                ),
                "{compression:?} cut at {length}: {error}"
            );
        }
    }
}

#[test]
fn a_frame_that_lacks_only_its_end_is_refused() {
    let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    zstd.write_all(&plain()).unwrap();
    zstd.flush().unwrap();
    let gzip_level = flate2::Compression::default();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), gzip_level);
    gzip.write_all(&plain()).unwrap();
    gzip.flush().unwrap();
    let mut lz4 = three_records(Compression::Lz4)[RECORDS_AT..].to_vec();
    lz4.truncate(lz4.len() - 4);
    for (compression, stream) in [
        (Compression::Zstd, zstd.get_ref()),
        (Compression::Gzip, gzip.get_ref()),
        (Compression::Lz4, &lz4),
    ] {
        // Every record is there, and still a client would wait for more.
        let error = accepted(compression, stream).unwrap_err();
        assert!(
            matches!(error, BatchError::Decompression { index: 3, .. }),
            "{compression:?}: {error}"
        );
    }
}

#[test]
fn bytes_behind_the_compressed_stream_are_refused() {
    for (compression, mut stream) in streams() {
        stream.extend_from_slice(b"behind");
        let error = accepted(compression, &stream).unwrap_err();
        assert!(
            matches!(error, BatchError::Decompression { .. }),
            "{compression:?}: {error}"
        );
    }
}

#[test]
fn a_snappy_block_that_claims_gigabytes_reserves_none() {
    // A varint of 2^32 - 1 in front of a few bytes.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
    let mut generous = rules();
    generous.decompressed_bytes_max = u64::MAX;
    let batch = with_timestamps(Compression::Snappy, &claim);
    let error = check(&batch, &generous).unwrap_err();
    assert!(error.to_string().contains("claims 4294967295"), "{error}");
    let error = check(&batch, &rules()).unwrap_err();
    assert!(
        matches!(error, BatchError::DecompressedTooLarge { .. }),
        "{error}"
    );
}

#[test]
fn the_most_compressible_records_pass_as_one_raw_snappy_block() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .append(NOW_MS, None, Some(&vec![0; 2 << 20]), &[])
        .unwrap();
    let block = snappy_block(&builder.build()[RECORDS_AT..]);
    assert!(block.len() < (2 << 20) / 20);
    let batch = with_payload(Compression::Snappy, 1, &block);
    let mut scratch = Scratch::default();
    let batch = sillon_buffer::Slice::copy_of(&batch);
    sillon_record::ValidBatch::check(batch, &rules(), &mut scratch).unwrap();
    assert!(
        scratch.kept_bytes() < 1 << 20,
        "a large block's memory is given back"
    );
}

#[test]
fn one_scratch_serves_every_codec_after_every_error() {
    let mut scratch = Scratch::default();
    assert_eq!(scratch.kept_bytes(), 0);
    for round in 0..3 {
        for (compression, stream) in streams() {
            let cut = with_timestamps(compression, &stream[..stream.len() - 1 - round]);
            let whole = with_timestamps(compression, &stream);
            let mut check = |batch: &[u8]| {
                let batch = sillon_buffer::Slice::copy_of(batch);
                sillon_record::ValidBatch::check(batch, &rules(), &mut scratch)
            };
            check(&cut).unwrap_err();
            check(&whole).unwrap();
        }
    }
    assert!(scratch.kept_bytes() < 10 << 20);
}

#[test]
fn only_large_compressed_batches_need_a_helper_thread() {
    let large = vec![7; 70 << 10];
    assert!(!needs_helper_thread(&with_payload(
        Compression::None,
        1,
        &large
    )));
    assert!(needs_helper_thread(&with_payload(
        Compression::Zstd,
        1,
        &large
    )));
    assert!(!needs_helper_thread(&three_records(Compression::Zstd)));
    assert!(!needs_helper_thread(&[]));
}

proptest! {
    #[test]
    fn no_stream_makes_a_codec_panic(
        codec in 1..5usize,
        payload in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ = accepted(Compression::ALL[codec], &payload);
    }

    #[test]
    fn no_change_to_a_stream_makes_a_codec_panic(
        which in 0..5usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (compression, mut stream) = streams()[which].clone();
        for (at, byte) in changes {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let _ = accepted(compression, &stream);
    }
}

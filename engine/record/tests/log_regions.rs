//! Regions of log split into their batches.

mod planting;

use planting::*;
use sillon_record::{
    BatchInfo, Batches, BatchesError, Compression, LeaderEpoch, Offset, UnknownCodec,
    patch_placement,
};

/// Three batches at offsets 100, 103 and 106, and where they begin.
fn region() -> (Vec<u8>, Vec<usize>) {
    let (mut region, mut starts) = (Vec::new(), Vec::new());
    let codecs = [Compression::None, Compression::Gzip, Compression::Zstd];
    for (index, compression) in codecs.into_iter().enumerate() {
        let mut batch = three_records(compression);
        patch_placement(&mut batch, Offset(100 + 3 * index as i64), LeaderEpoch(4));
        starts.push(region.len());
        region.extend_from_slice(&batch);
    }
    (region, starts)
}

/// How many batches there are, and the error behind them.
fn walk(region: &[u8]) -> (usize, Option<BatchesError>) {
    let mut batches = Batches::new(region).checking_crcs();
    let mut count = 0;
    for batch in &mut batches {
        match batch {
            Ok(_) => count += 1,
            Err(error) => {
                assert!(batches.next().is_none(), "an error is the last item");
                return (count, Some(error));
            }
        }
    }
    (count, None)
}

#[test]
fn whole_batches_come_in_order_with_their_place() {
    let (region, starts) = region();
    let batches: Vec<_> = Batches::new(&region).map(Result::unwrap).collect();
    let positions: Vec<usize> = batches.iter().map(|batch| batch.position).collect();
    assert_eq!(positions, starts);
    let offsets: Vec<i64> = batches
        .iter()
        .map(|batch| batch.header.base_offset().0)
        .collect();
    assert_eq!(offsets, [100, 103, 106]);
    let joined: Vec<u8> = batches
        .iter()
        .flat_map(|batch| batch.bytes.to_vec())
        .collect();
    assert_eq!(joined, region);
    assert_eq!(walk(&region), (3, None));
    assert_eq!(walk(&[]), (0, None));
}

#[test]
fn the_info_of_a_stored_batch_is_that_of_the_check() {
    for compression in Compression::ALL {
        let batch = three_records(compression);
        let stored = Batches::new(&batch).next().unwrap().unwrap();
        let valid = check(&batch, &rules()).unwrap();
        assert_eq!(stored.info(), *valid.info());
        assert_eq!(BatchInfo::of(stored.header), Ok(stored.info()));
    }
}

#[test]
fn a_region_that_is_cut_anywhere_ends_torn_behind_its_last_whole_batch() {
    let (region, mut starts) = region();
    starts.push(region.len());
    for length in 0..region.len() {
        let whole = starts.iter().rposition(|start| *start <= length).unwrap();
        let (count, error) = walk(&region[..length]);
        assert_eq!(count, whole);
        if starts.contains(&length) {
            assert_eq!(error, None);
            continue;
        }
        let position = starts[whole];
        match error {
            Some(BatchesError::Torn {
                position: at,
                available,
                ..
            }) => {
                assert_eq!((at, available), (position, length - position));
            }
            // The first bytes of an offset are zeros as well.
            Some(BatchesError::Zeros { position: at }) => {
                assert!(at == position && length - position < 8);
            }
            other => panic!("cut at {length}: {other:?}"),
        }
    }
}

#[test]
fn a_preallocated_tail_is_told_from_a_torn_batch() {
    let (mut region, _) = region();
    let position = region.len();
    region.resize(position + 5000, 0);
    assert_eq!(walk(&region), (3, Some(BatchesError::Zeros { position })));
    region[position + 4000] = 1;
    assert_eq!(
        walk(&region),
        (
            3,
            Some(BatchesError::Length {
                position,
                length: 0
            })
        )
    );
}

#[test]
fn a_bad_batch_ends_the_walk_with_what_is_wrong() {
    let (whole, starts) = region();
    let position = starts[1];
    let planted = |at: usize, bytes: &[u8]| {
        let mut region = whole.clone();
        region[position + at..][..bytes.len()].copy_from_slice(bytes);
        walk(&region)
    };
    let length = BatchesError::Length {
        position,
        length: 3,
    };
    assert_eq!(planted(LENGTH_AT, &3i32.to_be_bytes()), (1, Some(length)));
    assert_eq!(
        planted(MAGIC_AT, &[9]),
        (1, Some(BatchesError::Magic { position, magic: 9 }))
    );
    let (count, error) = planted(RECORDS_AT + 4, b"planted");
    assert!(
        count == 1
            && matches!(error, Some(BatchesError::Crc { position: at, .. })
        if at == position)
    );
    // Without checksums the same damage is not looked for.
    let mut region = whole.clone();
    region[position + RECORDS_AT + 4] ^= 1;
    assert_eq!(Batches::new(&region).filter(Result::is_ok).count(), 3);
}

#[test]
fn an_unknown_codec_ends_the_walk() {
    let batch = with_field(three_records(Compression::None), ATTRIBUTES_AT, &[0, 6]);
    let codec = BatchesError::Codec {
        position: 0,
        codec: UnknownCodec(6),
    };
    assert_eq!(walk(&batch), (0, Some(codec)));
}

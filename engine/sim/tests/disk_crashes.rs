//! What a crash of the simulated disk takes, and what it must leave.

use std::collections::BTreeSet;

use sillon_buffer::Slice;
use sillon_shard::{Access, DiskError, DiskOp, DiskOutput, DiskResult, FileId, IoClass, OpId};
use sillon_sim::disk::{Crash, SimDisk, Verdict};

const FILE: FileId = FileId(1);
const CUT: Crash = Crash::PowerCut {
    data_survives: 50,
    names_survive: 50,
    has_garbage: true,
};

/// Runs one operation to its end.
fn run_as(disk: &mut SimDisk, io: DiskOp, verdict: Verdict) -> DiskResult {
    disk.submit(0, OpId(1), io);
    disk.complete(disk.in_flight_count() - 1, verdict).result
}

fn run(disk: &mut SimDisk, io: DiskOp) -> DiskResult {
    run_as(disk, io, Verdict::Normal)
}

fn open(disk: &mut SimDisk, path: &str, access: Access) {
    let io = DiskOp::Open {
        file: FILE,
        path: path.into(),
        create: true,
        access,
    };
    run(disk, io).unwrap();
}

fn write(position: u64, bytes: &[u8]) -> DiskOp {
    DiskOp::Write {
        file: FILE,
        position,
        pieces: vec![Slice::copy_of(bytes)],
        class: IoClass::Journal,
    }
}

fn sync_folder(disk: &mut SimDisk) {
    run(disk, DiskOp::SyncFolder { path: "".into() }).unwrap();
}

/// A durable file of one block of `a`s.
fn disk_with_file(seed: u64) -> SimDisk {
    let mut disk = SimDisk::new(seed, 1 << 20);
    open(&mut disk, "file", Access::Direct);
    run(&mut disk, write(0, &[b'a'; 4096])).unwrap();
    run(&mut disk, DiskOp::Sync { file: FILE }).unwrap();
    sync_folder(&mut disk);
    disk
}

/// What is seen over 200 seeds.
fn seen<T: Ord>(look: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..200).map(look).collect()
}

#[test]
fn a_synced_file_with_a_synced_name_survives() {
    for seed in 0..200 {
        let mut disk = disk_with_file(seed);
        disk.crash(CUT);
        assert_eq!(disk.contents("file"), Some(&[b'a'; 4096][..]));
    }
}

#[test]
fn a_synced_file_without_a_synced_name_may_be_gone() {
    let outcomes = seen(|seed| {
        let mut disk = SimDisk::new(seed, 1 << 20);
        open(&mut disk, "file", Access::Direct);
        run(&mut disk, write(0, &[b'a'; 4096])).unwrap();
        run(&mut disk, DiskOp::Sync { file: FILE }).unwrap();
        disk.crash(CUT);
        disk.contents("file").map(<[u8]>::len)
    });
    assert_eq!(outcomes, BTreeSet::from([None, Some(4096)]));
}

#[test]
fn a_rename_without_a_folder_sync_happened_or_did_not() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        let io = DiskOp::Rename {
            from: "file".into(),
            to: "renamed".into(),
        };
        run(&mut disk, io).unwrap();
        disk.crash(CUT);
        disk.paths()
    });
    let one = |name: &str| vec![name.to_owned()];
    assert_eq!(outcomes, BTreeSet::from([one("file"), one("renamed")]));
}

#[test]
fn an_exchange_without_a_folder_sync_happened_or_did_not_and_loses_neither_file() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        run(&mut disk, DiskOp::Close { file: FILE }).unwrap();
        open(&mut disk, "other", Access::Direct);
        run(&mut disk, write(0, &[b'o'; 4096])).unwrap();
        run(&mut disk, DiskOp::Sync { file: FILE }).unwrap();
        run(&mut disk, DiskOp::SyncFolder { path: "".into() }).unwrap();
        let io = DiskOp::Exchange {
            from: "file".into(),
            to: "other".into(),
        };
        run(&mut disk, io).unwrap();
        disk.crash(CUT);
        ["file", "other"].map(|path| disk.contents(path).unwrap()[0])
    });
    assert_eq!(outcomes, BTreeSet::from([*b"ao", *b"oa"]));
}

#[test]
fn sectors_in_flight_are_old_new_or_garbage_and_no_others_change() {
    let mut kinds = BTreeSet::new();
    for seed in 0..200 {
        let mut disk = disk_with_file(seed);
        run(&mut disk, write(4096, &[b'a'; 4096])).unwrap();
        run(&mut disk, DiskOp::Sync { file: FILE }).unwrap();
        disk.submit(0, OpId(1), write(0, &[b'b'; 4096]));
        disk.crash(CUT);
        let bytes = disk.contents("file").unwrap();
        assert_eq!(bytes[4096..], [b'a'; 4096]);
        for sector in bytes[..4096].chunks(512) {
            kinds.insert(match sector {
                s if s == [b'a'; 512] => "old",
                s if s == [b'b'; 512] => "new",
                _ => "garbage",
            });
        }
    }
    assert_eq!(kinds, BTreeSet::from(["garbage", "new", "old"]));
}

#[test]
fn writes_that_no_sync_covers_vanish_in_any_order() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        run(&mut disk, write(0, &[b'1'; 512])).unwrap();
        run(&mut disk, write(4096, &[b'2'; 4096])).unwrap();
        disk.crash(CUT);
        let bytes = disk.contents("file").unwrap();
        (bytes[0] == b'1', bytes.get(4096) == Some(&b'2'))
    });
    assert_eq!(outcomes.len(), 4, "{outcomes:?}");
}

#[test]
fn a_sync_does_not_cover_what_completes_after_its_beginning() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        disk.submit(0, OpId(2), DiskOp::Sync { file: FILE });
        run(&mut disk, write(0, &[b'b'; 4096])).unwrap();
        disk.complete(0, Verdict::Normal).result.unwrap();
        disk.crash(CUT);
        disk.contents("file").unwrap()[0]
    });
    assert_eq!(outcomes, BTreeSet::from([b'a', b'b']));
}

#[test]
fn a_truncation_without_a_sync_may_come_undone() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        run(&mut disk, DiskOp::Truncate { file: FILE, len: 5 }).unwrap();
        disk.crash(CUT);
        disk.contents("file").unwrap().len()
    });
    assert_eq!(outcomes, BTreeSet::from([5, 4096]));
}

#[test]
fn a_killed_process_loses_nothing_until_the_power_goes() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        run(&mut disk, write(0, &[b'b'; 4096])).unwrap();
        disk.crash(Crash::Kill);
        assert_eq!(disk.contents("file"), Some(&[b'b'; 4096][..]));
        disk.crash(CUT);
        disk.contents("file").unwrap()[0]
    });
    assert_eq!(outcomes, BTreeSet::from([b'a', b'b']));
}

#[test]
fn what_a_failed_sync_gave_up_is_not_saved_by_the_next_one() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        run(&mut disk, DiskOp::Close { file: FILE }).unwrap();
        open(&mut disk, "file", Access::Buffered);
        run(&mut disk, write(0, &[b'b'; 4096])).unwrap();
        run_as(&mut disk, DiskOp::Sync { file: FILE }, Verdict::Error).unwrap_err();
        run(&mut disk, DiskOp::Sync { file: FILE }).unwrap();
        disk.crash(CUT);
        disk.contents("file").unwrap()[0]
    });
    assert_eq!(outcomes, BTreeSet::from([b'a', b'b']));
}

#[test]
fn a_full_disk_refuses_and_takes_again_after_a_removal() {
    let mut disk = SimDisk::new(1, 8 * 4096);
    open(&mut disk, "file", Access::Direct);
    let allocate = |len| DiskOp::Allocate {
        file: FILE,
        position: 0,
        len,
    };
    assert_eq!(run(&mut disk, allocate(8 * 4096)), Err(DiskError::NoSpace));
    run(&mut disk, allocate(7 * 4096)).unwrap();
    assert_eq!(disk.used_bytes(), 8 * 4096);
    run(&mut disk, write(6 * 4096, &[1; 4096])).unwrap();
    let full = run(&mut disk, write(7 * 4096, &[1; 4096]));
    assert_eq!(full, Err(DiskError::NoSpace));
    let path = || "file".into();
    run(&mut disk, DiskOp::Remove { path: path() }).unwrap();
    assert_eq!(disk.used_bytes(), 8 * 4096, "it is open still");
    run(&mut disk, DiskOp::Close { file: FILE }).unwrap();
    assert_eq!(disk.used_bytes(), 0);
}

#[test]
fn a_short_write_says_how_much_it_wrote() {
    let mut disk = disk_with_file(3);
    let result = run_as(&mut disk, write(4096, &[b'b'; 8192]), Verdict::Short);
    let Err(DiskError::ShortWrite { written, len, .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(len, 8192);
    assert_eq!(disk.contents("file").unwrap().len() as u64, 4096 + written);
}

#[test]
fn a_read_beside_a_write_in_flight_sees_old_or_new_sectors() {
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        disk.submit(0, OpId(2), write(0, &[b'b'; 4096]));
        let read = DiskOp::Read {
            file: FILE,
            position: 0,
            len: 1,
            class: IoClass::Foreground,
        };
        let Ok(DiskOutput::Bytes(bytes)) = run(&mut disk, read) else {
            panic!("reads succeed");
        };
        bytes
    });
    // One byte is no whole sector: it is what was there before.
    assert_eq!(outcomes, BTreeSet::from([b"a".to_vec()]));
    let outcomes = seen(|seed| {
        let mut disk = disk_with_file(seed);
        disk.submit(0, OpId(2), write(0, &[b'b'; 4096]));
        let read = DiskOp::Read {
            file: FILE,
            position: 0,
            len: 512,
            class: IoClass::Foreground,
        };
        match run(&mut disk, read) {
            Ok(DiskOutput::Bytes(bytes)) => bytes[0],
            other => panic!("{other:?}"),
        }
    });
    assert_eq!(outcomes, BTreeSet::from([b'a', b'b']));
}

//! What every [`Disk`] does: one suite of named cases, which the glommio disk and the simulated one
//! both pass. What a crash may take is the simulator's own matter.
//!
//! Each case gets a fresh disk over an empty data folder and panics, with what it saw, when the
//! disk does something else.

use std::collections::BTreeMap;

use sillon_buffer::{BLOCK_BYTES, ChunkWriter, Slice};
use sillon_shard::{
    Access, DiskError, DiskOp, DiskOutput, DiskResult, FileId, FolderEntry, IoClass, OpId,
};

use crate::Disk;

/// A block, as file positions count.
const BLOCK: u64 = BLOCK_BYTES as u64;

/// Runs every case. `make` gives a fresh disk over an empty data folder for the case of that name.
///
/// # Panics
/// When the disk does not conform; the message names what was expected.
pub async fn conforms<D: Disk>(mut make: impl AsyncFnMut(&'static str) -> D) {
    for case in CASES {
        let disk = make(case).await;
        run_case(case, &disk).await;
    }
}

macro_rules! cases {
    ($($name:ident,)*) => {
        /// The names of all cases.
        pub const CASES: &[&str] = &[$(stringify!($name)),*];

        /// Runs one case on a fresh disk over an empty data folder.
        ///
        /// # Panics
        /// When the disk does not conform, or there is no such case.
        pub async fn run_case<D: Disk>(name: &str, disk: &D) {
            let mut user = User::new(disk);
            match name {
                $(stringify!($name) => $name(&mut user).await,)*
                _ => panic!("{name}: no such case"),
            }
        }
    };
}

cases! {
    a_new_file_is_empty_and_keeps_what_is_written,
    a_missing_file_or_folder_is_not_found,
    a_direct_write_fills_its_last_block_with_zeros,
    pieces_of_any_length_land_one_behind_the_other,
    a_direct_file_is_read_at_any_position_and_length,
    a_buffered_file_is_written_at_any_position,
    a_write_behind_the_end_leaves_zeros_between,
    a_write_of_nothing_changes_nothing,
    a_rewritten_block_leaves_its_neighbours_alone,
    allocation_extends_with_zeros_and_never_shrinks,
    truncation_cuts_for_good,
    a_second_name_of_an_open_file_sees_its_writes,
    a_buffered_reader_sees_direct_writes,
    a_rename_replaces_and_open_files_follow,
    an_exchange_gives_two_files_each_others_names,
    a_renamed_folder_takes_its_files_along,
    a_removed_file_lives_on_while_open,
    folders_are_made_listed_and_removed,
    a_folder_with_something_in_it_is_not_removed,
    syncs_succeed_on_everything_there_is,
    names_of_operations_and_files_are_used_again,
    many_operations_in_flight_each_complete_once,
    rounds_complete_behind_a_crowd_of_background_writes,
    rounds_complete_behind_a_crowd_of_background_reads,
    a_large_write_arrives_whole,
}

/// Submits operations and sorts their completions.
struct User<'a, D> {
    disk: &'a D,
    next_op: u64,
    completed: BTreeMap<OpId, DiskResult>,
}

impl<'a, D: Disk> User<'a, D> {
    fn new(disk: &'a D) -> User<'a, D> {
        User {
            disk,
            next_op: 0,
            completed: BTreeMap::new(),
        }
    }

    fn submit(&mut self, io: DiskOp) -> OpId {
        let op = OpId(self.next_op);
        self.next_op += 1;
        self.disk.submit(op, io);
        op
    }

    async fn completion(&mut self, op: OpId) -> DiskResult {
        let mut arrived = Vec::new();
        loop {
            if let Some(result) = self.completed.remove(&op) {
                return result;
            }
            self.disk.completions(&mut arrived).await;
            assert!(!arrived.is_empty(), "completions() ended without any");
            for (op, result) in arrived.drain(..) {
                let twice = self.completed.insert(op, result);
                assert_eq!(twice, None, "{op:?} completed twice");
            }
        }
    }

    async fn run(&mut self, io: DiskOp) -> DiskResult {
        let op = self.submit(io);
        self.completion(op).await
    }

    async fn done(&mut self, io: DiskOp) {
        let what = format!("{io:?}");
        let result = self.run(io).await;
        assert_eq!(result, Ok(DiskOutput::Done), "{what}");
    }

    /// Opens, creating, and gives the length.
    async fn open(&mut self, file: FileId, path: &str, access: Access) -> u64 {
        match self.run(open(file, path, true, access)).await {
            Ok(DiskOutput::Opened { len }) => len,
            other => panic!("open {path}: {other:?}"),
        }
    }

    async fn read(&mut self, file: FileId, position: u64, len: u64) -> Vec<u8> {
        let io = DiskOp::Read {
            file,
            position,
            len,
            class: IoClass::Foreground,
        };
        match self.run(io).await {
            Ok(DiskOutput::Bytes(bytes)) => bytes,
            other => panic!("read {len} at {position}: {other:?}"),
        }
    }

    async fn list(&mut self, path: &str) -> Vec<FolderEntry> {
        match self.run(DiskOp::List { path: path.into() }).await {
            Ok(DiskOutput::Entries(entries)) => entries,
            other => panic!("list {path:?}: {other:?}"),
        }
    }

    async fn names(&mut self, path: &str) -> Vec<String> {
        let entries = self.list(path).await;
        entries.into_iter().map(|entry| entry.name).collect()
    }
}

fn open(file: FileId, path: &str, create: bool, access: Access) -> DiskOp {
    DiskOp::Open {
        file,
        path: path.into(),
        create,
        access,
    }
}

fn write(file: FileId, position: u64, bytes: &[u8]) -> DiskOp {
    DiskOp::Write {
        file,
        position,
        pieces: vec![Slice::copy_of(bytes)],
        class: IoClass::Journal,
    }
}

fn rename(from: &str, to: &str) -> DiskOp {
    DiskOp::Rename {
        from: from.into(),
        to: to.into(),
    }
}

fn exchange(from: &str, to: &str) -> DiskOp {
    DiskOp::Exchange {
        from: from.into(),
        to: to.into(),
    }
}

fn make_folder(path: &str) -> DiskOp {
    DiskOp::MakeFolder { path: path.into() }
}

/// Bytes that differ from block to block and are never zero.
fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| ((i + i / BLOCK_BYTES + usize::from(seed)) % 255) as u8 + 1)
        .collect()
}

fn is_not_found(result: &DiskResult, path: &str) {
    match result {
        Err(DiskError::NotFound(named)) => assert_eq!(&named[..], path),
        other => panic!("{path} is missing, yet: {other:?}"),
    }
}

const A: FileId = FileId(1);
const B: FileId = FileId(2);
const BOTH: [Access; 2] = [Access::Direct, Access::Buffered];

async fn a_new_file_is_empty_and_keeps_what_is_written<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        assert_eq!(user.open(A, path, access).await, 0, "{path}");
        assert_eq!(user.read(A, 0, 10).await, b"");
        let bytes = pattern(1, 2 * BLOCK_BYTES);
        user.done(write(A, 0, &bytes)).await;
        user.done(DiskOp::Close { file: A }).await;
        assert_eq!(user.open(A, path, access).await, 2 * BLOCK);
        assert_eq!(user.read(A, 0, 2 * BLOCK).await, bytes);
        user.done(DiskOp::Close { file: A }).await;
    }
}

async fn a_missing_file_or_folder_is_not_found<D: Disk>(user: &mut User<'_, D>) {
    for access in BOTH {
        let result = user.run(open(A, "nothing", false, access)).await;
        is_not_found(&result, "nothing");
        let result = user.run(open(A, "no/thing", false, access)).await;
        is_not_found(&result, "no/thing");
        let result = user.run(open(A, "no/thing", true, access)).await;
        is_not_found(&result, "no/thing");
    }
    let path = || "nothing".into();
    for io in [
        DiskOp::List { path: path() },
        DiskOp::Remove { path: path() },
        DiskOp::RemoveFolder { path: path() },
        DiskOp::SyncFolder { path: path() },
        rename("nothing", "something"),
    ] {
        let result = user.run(io).await;
        is_not_found(&result, "nothing");
    }
    is_not_found(&user.run(make_folder("no/thing")).await, "no/thing");
    assert_eq!(user.list("").await, []);
}

async fn a_direct_write_fills_its_last_block_with_zeros<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &pattern(1, 3 * BLOCK_BYTES))).await;
    user.done(write(A, BLOCK, b"short")).await;
    let mut expected = pattern(1, 3 * BLOCK_BYTES);
    expected[BLOCK_BYTES..2 * BLOCK_BYTES].fill(0);
    expected[BLOCK_BYTES..BLOCK_BYTES + 5].copy_from_slice(b"short");
    assert_eq!(user.read(A, 0, 4 * BLOCK).await, expected);
    user.done(write(A, 3 * BLOCK, b"end")).await;
    assert_eq!(user.read(A, 3 * BLOCK, 2 * BLOCK).await.len(), BLOCK_BYTES);
}

async fn pieces_of_any_length_land_one_behind_the_other<D: Disk>(user: &mut User<'_, D>) {
    let mut chunk = ChunkWriter::unpooled(3 * BLOCK_BYTES);
    let all = chunk.append(&pattern(7, 3 * BLOCK_BYTES));
    let cuts = [0, 1, 62, 62, 4096, 4097, 9000, 9001, 12_288];
    let pieces: Vec<Slice> = cuts.windows(2).map(|w| all.slice(w[0]..w[1])).collect();
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(DiskOp::Write {
            file: A,
            position: BLOCK,
            pieces: pieces.clone(),
            class: IoClass::Journal,
        })
        .await;
        assert_eq!(user.read(A, BLOCK, 4 * BLOCK).await, all[..], "{path}");
        user.done(DiskOp::Close { file: A }).await;
    }
}

async fn a_direct_file_is_read_at_any_position_and_length<D: Disk>(user: &mut User<'_, D>) {
    let bytes = pattern(3, 5 * BLOCK_BYTES);
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &bytes)).await;
    let end = bytes.len();
    for (position, len) in [
        (0, 1),
        (1, 1),
        (4095, 2),
        (4096, 4096),
        (4097, 8191),
        (100, end),
        (end - 1, 10),
        (end, 1),
        (end + 1, 1),
        (end + 10_000, 5000),
        (7, 0),
    ] {
        let from = position.min(end);
        let expected = &bytes[from..(position + len).clamp(from, end)];
        let read = user.read(A, position as u64, len as u64).await;
        assert_eq!(read, expected, "{len} bytes at {position}");
    }
}

async fn a_buffered_file_is_written_at_any_position<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Buffered).await;
    user.done(write(A, 0, b"a furrow in the field")).await;
    user.done(write(A, 2, b"groove")).await;
    user.done(write(A, 16, b"record, long")).await;
    let text = user.read(A, 0, 100).await;
    assert_eq!(text, b"a groove in the record, long");
}

async fn a_write_behind_the_end_leaves_zeros_between<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(write(A, 3 * BLOCK, &pattern(1, BLOCK_BYTES)))
            .await;
        let read = user.read(A, 0, 10 * BLOCK).await;
        assert_eq!(read.len(), 4 * BLOCK_BYTES);
        assert!(read[..3 * BLOCK_BYTES].iter().all(|byte| *byte == 0));
        assert_eq!(read[3 * BLOCK_BYTES..], pattern(1, BLOCK_BYTES));
        user.done(DiskOp::Close { file: A }).await;
    }
}

async fn a_write_of_nothing_changes_nothing<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        for pieces in [Vec::new(), vec![Slice::default()]] {
            user.done(DiskOp::Write {
                file: A,
                position: BLOCK,
                pieces,
                class: IoClass::Background,
            })
            .await;
        }
        assert_eq!(user.read(A, 0, BLOCK).await, b"", "{path}");
        user.done(DiskOp::Close { file: A }).await;
    }
}

async fn a_rewritten_block_leaves_its_neighbours_alone<D: Disk>(user: &mut User<'_, D>) {
    let mut expected = pattern(1, 4 * BLOCK_BYTES);
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &expected)).await;
    for block in [2, 0, 3, 1, 2] {
        let bytes = pattern(block as u8 + 50, BLOCK_BYTES);
        let position = block * BLOCK_BYTES;
        user.done(write(A, position as u64, &bytes)).await;
        expected[position..position + BLOCK_BYTES].copy_from_slice(&bytes);
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, expected);
    }
}

async fn allocation_extends_with_zeros_and_never_shrinks<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(write(A, 0, &pattern(1, BLOCK_BYTES))).await;
        let allocate = |position, len| DiskOp::Allocate {
            file: A,
            position,
            len,
        };
        user.done(allocate(0, 4 * BLOCK)).await;
        let read = user.read(A, 0, 10 * BLOCK).await;
        assert_eq!(read.len(), 4 * BLOCK_BYTES);
        assert_eq!(read[..BLOCK_BYTES], pattern(1, BLOCK_BYTES));
        assert!(read[BLOCK_BYTES..].iter().all(|byte| *byte == 0));
        user.done(allocate(BLOCK, BLOCK)).await;
        assert_eq!(user.list("").await.last().unwrap().len, 4 * BLOCK);
        user.done(allocate(6 * BLOCK, 2 * BLOCK)).await;
        assert_eq!(user.list("").await.last().unwrap().len, 8 * BLOCK);
        user.done(DiskOp::Close { file: A }).await;
        user.done(DiskOp::Remove { path: path.into() }).await;
    }
}

async fn truncation_cuts_for_good<D: Disk>(user: &mut User<'_, D>) {
    for (path, access) in ["direct", "buffered"].into_iter().zip(BOTH) {
        user.open(A, path, access).await;
        user.done(write(A, 0, &pattern(9, 3 * BLOCK_BYTES))).await;
        user.done(DiskOp::Truncate { file: A, len: 5000 }).await;
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, pattern(9, 5000));
        assert_eq!(user.list("").await.last().unwrap().len, 5000);
        user.done(DiskOp::Truncate {
            file: A,
            len: 2 * BLOCK,
        })
        .await;
        let mut expected = pattern(9, 5000);
        expected.resize(2 * BLOCK_BYTES, 0);
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, expected, "{path}");
        user.done(DiskOp::Truncate { file: A, len: 0 }).await;
        assert_eq!(user.read(A, 0, 4 * BLOCK).await, b"");
        user.done(DiskOp::Close { file: A }).await;
        user.done(DiskOp::Remove { path: path.into() }).await;
    }
}

async fn a_second_name_of_an_open_file_sees_its_writes<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Direct).await;
    assert_eq!(user.open(B, "file", Access::Direct).await, 0);
    user.done(write(A, 0, &pattern(1, BLOCK_BYTES))).await;
    assert_eq!(user.read(B, 0, 2 * BLOCK).await, pattern(1, BLOCK_BYTES));
    user.done(DiskOp::Close { file: A }).await;
    assert_eq!(user.read(B, 0, 2 * BLOCK).await, pattern(1, BLOCK_BYTES));
}

async fn a_buffered_reader_sees_direct_writes<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Direct).await;
    user.done(DiskOp::Allocate {
        file: A,
        position: 0,
        len: 4 * BLOCK,
    })
    .await;
    user.open(B, "file", Access::Buffered).await;
    for round in 0..4 {
        let bytes = pattern(round, BLOCK_BYTES);
        user.done(write(A, u64::from(round) * BLOCK, &bytes)).await;
        let read = user.read(B, u64::from(round) * BLOCK, BLOCK).await;
        assert_eq!(read, bytes);
    }
}

async fn a_rename_replaces_and_open_files_follow<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "new", Access::Buffered).await;
    user.done(write(A, 0, b"new")).await;
    user.open(B, "old", Access::Buffered).await;
    user.done(write(B, 0, b"old one")).await;
    user.done(rename("new", "old")).await;
    assert_eq!(user.names("").await, ["old"]);
    user.done(write(A, 3, b"er")).await;
    assert_eq!(user.read(B, 0, 10).await, b"old one");
    user.done(DiskOp::Close { file: B }).await;
    assert_eq!(user.open(B, "old", Access::Buffered).await, 5);
    assert_eq!(user.read(B, 0, 10).await, b"newer");
}

async fn an_exchange_gives_two_files_each_others_names<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "one", Access::Buffered).await;
    user.done(write(A, 0, b"one")).await;
    user.open(B, "other", Access::Buffered).await;
    user.done(write(B, 0, b"the other")).await;
    user.done(exchange("one", "other")).await;
    assert_eq!(user.names("").await, ["one", "other"]);
    user.done(write(A, 3, b" more")).await;
    for file in [A, B] {
        user.done(DiskOp::Close { file }).await;
    }
    assert_eq!(user.open(A, "other", Access::Buffered).await, 8);
    assert_eq!(user.read(A, 0, 10).await, b"one more");
    assert_eq!(user.open(B, "one", Access::Buffered).await, 9);
    assert_eq!(user.read(B, 0, 10).await, b"the other");
    is_not_found(&user.run(exchange("nothing", "one")).await, "nothing");
    assert_eq!(user.names("").await, ["one", "other"]);
}

async fn a_renamed_folder_takes_its_files_along<D: Disk>(user: &mut User<'_, D>) {
    user.done(make_folder("t-0")).await;
    user.open(A, "t-0/log", Access::Direct).await;
    user.done(write(A, 0, &pattern(1, BLOCK_BYTES))).await;
    user.done(rename("t-0", "t-0.1-delete")).await;
    is_not_found(
        &user.run(open(B, "t-0/log", false, BOTH[0])).await,
        "t-0/log",
    );
    assert_eq!(user.open(B, "t-0.1-delete/log", BOTH[0]).await, BLOCK);
    user.done(make_folder("t-0")).await;
    assert_eq!(user.list("t-0").await, []);
    user.done(write(A, 0, &pattern(2, BLOCK_BYTES))).await;
    assert_eq!(user.read(B, 0, BLOCK).await, pattern(2, BLOCK_BYTES));
}

async fn a_removed_file_lives_on_while_open<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &pattern(1, BLOCK_BYTES))).await;
    user.done(DiskOp::Remove {
        path: "file".into(),
    })
    .await;
    assert_eq!(user.read(A, 0, BLOCK).await, pattern(1, BLOCK_BYTES));
    assert_eq!(user.open(B, "file", Access::Direct).await, 0);
    user.done(write(B, 0, &pattern(2, BLOCK_BYTES))).await;
    assert_eq!(user.read(A, 0, BLOCK).await, pattern(1, BLOCK_BYTES));
    user.done(DiskOp::Close { file: A }).await;
    assert_eq!(user.read(B, 0, BLOCK).await, pattern(2, BLOCK_BYTES));
}

async fn folders_are_made_listed_and_removed<D: Disk>(user: &mut User<'_, D>) {
    for path in ["b", "a-10", "a-9", "b/inner", "b"] {
        user.done(make_folder(path)).await;
    }
    user.open(A, "aa", Access::Buffered).await;
    user.done(write(A, 0, b"seven b")).await;
    let entry = |name: &str, len, is_folder| FolderEntry {
        name: name.to_owned(),
        len,
        is_folder,
    };
    let expected = [
        entry("a-10", 0, true),
        entry("a-9", 0, true),
        entry("aa", 7, false),
        entry("b", 0, true),
    ];
    assert_eq!(user.list("").await, expected);
    assert_eq!(user.names("b").await, ["inner"]);
    for path in ["b/inner", "b", "a-9"] {
        let path = path.into();
        user.done(DiskOp::RemoveFolder { path }).await;
    }
    assert_eq!(user.names("").await, ["a-10", "aa"]);
}

async fn a_folder_with_something_in_it_is_not_removed<D: Disk>(user: &mut User<'_, D>) {
    user.done(make_folder("folder")).await;
    user.open(A, "folder/file", Access::Buffered).await;
    let result = user
        .run(DiskOp::RemoveFolder {
            path: "folder".into(),
        })
        .await;
    assert!(matches!(result, Err(DiskError::Io { .. })), "{result:?}");
    assert_eq!(user.names("folder").await, ["file"]);
}

async fn syncs_succeed_on_everything_there_is<D: Disk>(user: &mut User<'_, D>) {
    user.done(make_folder("folder")).await;
    user.open(A, "folder/direct", Access::Direct).await;
    user.open(B, "buffered", Access::Buffered).await;
    user.done(DiskOp::Sync { file: A }).await;
    user.done(write(A, 0, &pattern(1, BLOCK_BYTES))).await;
    user.done(write(B, 0, b"text")).await;
    for io in [
        DiskOp::Sync { file: A },
        DiskOp::Sync { file: B },
        DiskOp::SyncFolder {
            path: "folder".into(),
        },
        DiskOp::SyncFolder { path: "".into() },
    ] {
        user.done(io).await;
    }
    assert_eq!(user.read(A, 0, BLOCK).await, pattern(1, BLOCK_BYTES));
    assert_eq!(user.read(B, 0, BLOCK).await, b"text");
}

async fn names_of_operations_and_files_are_used_again<D: Disk>(user: &mut User<'_, D>) {
    for turn in 0..20u8 {
        user.next_op = 5;
        let path = format!("file-{turn}");
        user.open(A, &path, Access::Direct).await;
        user.done(write(A, 0, &pattern(turn, BLOCK_BYTES))).await;
        assert_eq!(user.read(A, 0, BLOCK).await, pattern(turn, BLOCK_BYTES));
        user.done(DiskOp::Close { file: A }).await;
    }
    assert_eq!(user.list("").await.len(), 20);
}

async fn many_operations_in_flight_each_complete_once<D: Disk>(user: &mut User<'_, D>) {
    const FILES: u64 = 8;
    const WRITES: u64 = 16;
    for file in 0..FILES {
        user.open(FileId(file), &format!("f{file}"), Access::Direct)
            .await;
    }
    let mut writes = Vec::new();
    for block in 0..WRITES {
        for file in 0..FILES {
            let bytes = pattern((block * FILES + file) as u8, BLOCK_BYTES);
            writes.push(user.submit(write(FileId(file), block * BLOCK, &bytes)));
        }
    }
    let syncs: Vec<OpId> = (0..FILES)
        .map(|file| user.submit(DiskOp::Sync { file: FileId(file) }))
        .collect();
    for op in writes.into_iter().chain(syncs).rev() {
        assert_eq!(user.completion(op).await, Ok(DiskOutput::Done), "{op:?}");
    }
    assert!(user.completed.is_empty(), "{:?}", user.completed);
    for file in 0..FILES {
        let read = user.read(FileId(file), 0, (WRITES + 1) * BLOCK).await;
        let expected: Vec<u8> = (0..WRITES)
            .flat_map(|block| pattern((block * FILES + file) as u8, BLOCK_BYTES))
            .collect();
        assert_eq!(read, expected, "file {file}");
    }
}

async fn rounds_complete_behind_a_crowd_of_background_writes<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "segment", Access::Direct).await;
    user.open(B, "journal", Access::Direct).await;
    let crowd: Vec<OpId> = (0..32u64)
        .map(|block| {
            user.submit(DiskOp::Write {
                file: A,
                position: block * BLOCK,
                pieces: vec![Slice::copy_of(&pattern(block as u8, BLOCK_BYTES))],
                class: IoClass::Background,
            })
        })
        .collect();
    user.done(write(B, 0, &pattern(99, BLOCK_BYTES))).await;
    user.done(DiskOp::Sync { file: B }).await;
    for op in crowd {
        assert_eq!(user.completion(op).await, Ok(DiskOutput::Done), "{op:?}");
    }
    assert_eq!(user.read(B, 0, BLOCK).await, pattern(99, BLOCK_BYTES));
    let last = user.read(A, 31 * BLOCK, 2 * BLOCK).await;
    assert_eq!(last, pattern(31, BLOCK_BYTES));
}

async fn rounds_complete_behind_a_crowd_of_background_reads<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "segment", Access::Direct).await;
    user.open(B, "journal", Access::Direct).await;
    user.done(write(A, 0, &pattern(7, 32 * BLOCK_BYTES))).await;
    let crowd: Vec<OpId> = (0..32u64)
        .map(|block| {
            user.submit(DiskOp::Read {
                file: A,
                position: block * BLOCK,
                len: BLOCK,
                class: IoClass::Background,
            })
        })
        .collect();
    user.done(write(B, 0, &pattern(99, BLOCK_BYTES))).await;
    user.done(DiskOp::Sync { file: B }).await;
    for (block, op) in crowd.into_iter().enumerate() {
        let expected = pattern(7, 32 * BLOCK_BYTES)[block * BLOCK_BYTES..][..BLOCK_BYTES].to_vec();
        let read = user.completion(op).await;
        assert_eq!(read, Ok(DiskOutput::Bytes(expected)), "block {block}");
    }
}

async fn a_large_write_arrives_whole<D: Disk>(user: &mut User<'_, D>) {
    let bytes = pattern(5, (4 << 20) + 100);
    user.open(A, "file", Access::Direct).await;
    user.done(write(A, 0, &bytes)).await;
    let mut expected = bytes;
    expected.resize((4 << 20) + BLOCK_BYTES, 0);
    assert_eq!(user.read(A, 0, 8 << 20).await, expected);
}

//! Names of files, and folders.

use sillon_buffer::BLOCK_BYTES;
use sillon_shard::{Access, DiskError, DiskOp, FolderEntry};

use super::user::{
    A, B, BLOCK, BOTH, User, exchange, is_not_found, make_folder, open, pattern, rename, write,
};
use crate::Disk;

pub(super) async fn a_missing_file_or_folder_is_not_found<D: Disk>(user: &mut User<'_, D>) {
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

pub(super) async fn a_second_name_of_an_open_file_sees_its_writes<D: Disk>(user: &mut User<'_, D>) {
    user.open(A, "file", Access::Direct).await;
    assert_eq!(user.open(B, "file", Access::Direct).await, 0);
    user.done(write(A, 0, &pattern(1, BLOCK_BYTES))).await;
    assert_eq!(user.read(B, 0, 2 * BLOCK).await, pattern(1, BLOCK_BYTES));
    user.done(DiskOp::Close { file: A }).await;
    assert_eq!(user.read(B, 0, 2 * BLOCK).await, pattern(1, BLOCK_BYTES));
}

pub(super) async fn a_rename_replaces_and_open_files_follow<D: Disk>(user: &mut User<'_, D>) {
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

pub(super) async fn an_exchange_gives_two_files_each_others_names<D: Disk>(user: &mut User<'_, D>) {
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

pub(super) async fn a_renamed_folder_takes_its_files_along<D: Disk>(user: &mut User<'_, D>) {
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

pub(super) async fn a_removed_file_lives_on_while_open<D: Disk>(user: &mut User<'_, D>) {
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

pub(super) async fn folders_are_made_listed_and_removed<D: Disk>(user: &mut User<'_, D>) {
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

pub(super) async fn a_folder_with_something_in_it_is_not_removed<D: Disk>(user: &mut User<'_, D>) {
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

pub(super) async fn syncs_succeed_on_everything_there_is<D: Disk>(user: &mut User<'_, D>) {
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

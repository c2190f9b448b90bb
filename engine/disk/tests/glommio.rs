//! The disk on glommio, on a real file system.
#![cfg(feature = "glommio")]

use std::path::Path;

use glommio::{LocalExecutorBuilder, Placement};
use sillon_buffer::Slice;
use sillon_disk::{Disk, GlommioDisk, conformance};
use sillon_shard::{Access, DiskError, DiskOp, DiskOutput, DiskResult, FileId, IoClass, OpId};
use tempfile::TempDir;

/// Runs `test` on an executor of its own with an empty data folder.
fn on_executor<F: Future<Output = ()> + 'static>(test: impl FnOnce(TempDir) -> F + Send + 'static) {
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .io_memory(1 << 20)
        .spawn(|| test(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()));
    executor.unwrap().join().unwrap();
}

async fn open(folder: &Path) -> GlommioDisk {
    GlommioDisk::open(folder, 2).await.unwrap()
}

async fn perform(disk: &GlommioDisk, io: DiskOp) -> DiskResult {
    disk.submit(OpId(1), io);
    let mut completions = Vec::new();
    disk.completions(&mut completions).await;
    let (op, result) = completions.pop().unwrap();
    assert_eq!((op, completions.len()), (OpId(1), 0));
    result
}

fn direct(path: &str) -> DiskOp {
    DiskOp::Open {
        file: FileId(1),
        path: path.into(),
        create: true,
        access: Access::Direct,
    }
}

fn write(position: u64, bytes: &[u8]) -> DiskOp {
    DiskOp::Write {
        file: FileId(1),
        position,
        pieces: vec![Slice::copy_of(bytes)],
        class: IoClass::Journal,
    }
}

#[test]
fn it_conforms() {
    on_executor(async |folder: TempDir| {
        let mut disks: Vec<GlommioDisk> = Vec::new();
        conformance::conforms(async |case| {
            let place = folder.path().join(case);
            std::fs::create_dir(&place).unwrap();
            disks.push(open(&place).await);
            disks[disks.len() - 1].clone()
        })
        .await;
        for disk in disks {
            disk.idle().await;
        }
    });
}

#[test]
fn reads_work_when_the_first_file_of_an_executor_was_empty() {
    on_executor(async |folder: TempDir| {
        let disk = open(folder.path()).await;
        perform(&disk, direct("first")).await.unwrap();
        perform(&disk, write(0, b"furrow")).await.unwrap();
        let read = DiskOp::Read {
            file: FileId(1),
            position: 1,
            len: 4,
            class: IoClass::Foreground,
        };
        let bytes = DiskOutput::Bytes(b"urro".to_vec());
        assert_eq!(perform(&disk, read).await, Ok(bytes));
    });
}

#[test]
fn opening_a_disk_leaves_nothing_in_its_folder() {
    on_executor(async |folder: TempDir| {
        let disk = open(folder.path()).await;
        let list = DiskOp::List { path: "".into() };
        assert_eq!(
            perform(&disk, list).await,
            Ok(DiskOutput::Entries(Vec::new()))
        );
    });
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    on_executor(async |folder: TempDir| {
        let missing = folder.path().join("missing");
        let error = GlommioDisk::open(&missing, 2).await.err().unwrap();
        assert!(matches!(&error, DiskError::NotFound(path) if path.contains("missing")));
    });
}

#[test]
fn a_path_that_leaves_the_data_folder_is_refused() {
    on_executor(async |folder: TempDir| {
        let disk = open(folder.path()).await;
        for path in ["../x", "/etc/x", "a/../../x"] {
            let error = perform(&disk, direct(path)).await.unwrap_err();
            assert!(
                error.to_string().contains("leaves the data folder"),
                "{error}"
            );
        }
    });
}

#[test]
fn a_direct_write_inside_a_block_is_refused() {
    on_executor(async |folder: TempDir| {
        let disk = open(folder.path()).await;
        perform(&disk, direct("log")).await.unwrap();
        let error = perform(&disk, write(512, b"x")).await.unwrap_err();
        assert!(error.to_string().contains("position 512"), "{error}");
    });
}

#[test]
fn a_disk_is_idle_when_all_it_was_given_has_completed() {
    on_executor(async |folder: TempDir| {
        let disk = open(folder.path()).await;
        for number in 0..50 {
            let path = format!("folder-{number}").into();
            disk.submit(OpId(number), DiskOp::MakeFolder { path });
        }
        disk.idle().await;
        let mut completions = Vec::new();
        disk.completions(&mut completions).await;
        assert_eq!(completions.len(), 50);
        assert!(completions.iter().all(|(_, result)| result.is_ok()));
    });
}

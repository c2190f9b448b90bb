//! `heldfs BACKING MOUNTPOINT`: a file system for tests (FUSE) that holds an fsync on request,
//! and that a power cut hits hard: killing this process loses every byte, length, name and rename
//! that was not synced. What was synced lies in the backing folder, and the next start shows it.
//! A file's sync does not make its name durable, its folder's does.
//!
//! Commands come on stdin, one a line, and each is answered by one line:
//!
//! ```text
//! hold TEXT    syncs of paths that contain TEXT wait from now on     ok
//! waiting      which do?                                             waiting 1 journal/ring-0
//! release      what waits is carried out, nothing waits any more     released 1
//! done         how many were carried out since the start?            done 42
//! fail OP TEXT reads, writes or syncs (OP: read, write, sync) of     ok
//!              paths that contain TEXT fail with EIO from now on
//! failed       how many did since the start?                         failed 3
//! heal         nothing fails any more                                ok
//! cut SEED     a power cut after which a part of what was not        cut
//!              synced is there all the same, as the seed says
//! ```
//!
//! The end of stdin unmounts it, and loses what was not synced too.
#![forbid(unsafe_code)]

mod content;
mod faults;
mod mounted;
mod syncs;
mod tree;

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use fuser::{Config, MountOption, SessionACL};

use faults::{Faults, Operation};
use mounted::{Mounted, World};
use syncs::Syncs;
use tree::Tree;

fn main() -> ExitCode {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [backing, mountpoint] = &arguments[..] else {
        eprintln!("usage: heldfs BACKING MOUNTPOINT");
        return ExitCode::from(2);
    };
    match serve(backing.clone(), mountpoint.clone()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("heldfs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(backing: PathBuf, mountpoint: PathBuf) -> io::Result<()> {
    let mounted = Mounted(Arc::new(Mutex::new(World {
        tree: Tree::load(backing)?,
        syncs: Syncs::new(),
        faults: Faults::default(),
    })));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("heldfs".to_owned())];
    config.acl = SessionACL::All;
    let session = fuser::spawn_mount(mounted.clone(), mountpoint, &config)?;
    say("mounted")?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        match line.strip_prefix("cut ") {
            Some(seed) => return cut(&mounted, seed.trim().parse().map_err(io::Error::other)?),
            None => say(&obey(&mounted, line.trim()))?,
        }
    }
    session.umount_and_join()
}

/// The lock is never given back: no operation gets through any more.
fn cut(mounted: &Mounted, seed: u64) -> io::Result<()> {
    let mut world = mounted.world();
    let mut state = seed;
    let result = world.tree.cut(&mut || coin(&mut state));
    result.map_err(|error| io::Error::other(format!("cut: {error:?}")))?;
    say("cut")?;
    std::process::exit(0)
}

/// Heads or tails, by splitmix64.
fn coin(state: &mut u64) -> bool {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) & 1 == 1
}

/// Carries out a command. Gives its answer.
fn obey(mounted: &Mounted, line: &str) -> String {
    let mut world = mounted.world();
    match line.split_once(' ').unwrap_or((line, "")) {
        ("hold", text) => {
            world.syncs.hold(text);
            "ok".to_owned()
        }
        ("waiting", "") => {
            let paths: Vec<&str> = world.syncs.waiting().collect();
            format!("waiting {} {}", paths.len(), paths.join(" "))
        }
        ("release", "") => {
            let waited = world.syncs.release();
            let count = waited.len();
            for sync in waited {
                world.carry_out(sync);
            }
            format!("released {count}")
        }
        ("fail", what) => match what.split_once(' ') {
            Some((name, text)) if Operation::named(name).is_some() => {
                let operation = Operation::named(name).expect("matched above");
                world.faults.fail(operation, text);
                "ok".to_owned()
            }
            _ => format!("unknown operation {what:?}"),
        },
        ("failed", "") => format!("failed {}", world.faults.count),
        ("heal", "") => {
            world.faults.heal();
            "ok".to_owned()
        }
        ("done", "") => format!("done {}", world.syncs.done),
        _ => format!("unknown command {line:?}"),
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

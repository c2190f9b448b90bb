//! The real disk of one executor.
//!
//! Direct files are glommio's [`DmaFile`]s (O_DIRECT through io_uring), small ones go through the
//! page cache, and what io_uring does not offer or does inline (folders, renames, truncation)
//! happens on the executor's blocking thread, because one such call can take tens of
//! milliseconds.

mod budget;
mod error;
mod file;
mod folder;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use glommio::io::{DmaFile, OpenOptions};
use sillon_shard::{DiskError, DiskOp, DiskOutput, DiskResult, FileId, FilePath, IoClass, OpId};

use crate::Disk;
use budget::{Budget, Turn};
use error::failed;
use file::OpenFile;

/// [`Disk`] on glommio, for the executor that made it. Clones share everything; one of them at a
/// time waits for completions.
#[derive(Clone)]
pub struct GlommioDisk {
    state: Rc<State>,
}

struct State {
    folder: PathBuf,
    files: RefCell<BTreeMap<FileId, Rc<OpenFile>>>,
    budget: Budget,
    completed: RefCell<Vec<(OpId, DiskResult)>>,
    /// Operations that have been submitted and have not completed.
    in_flight: Cell<usize>,
    waiter: RefCell<Option<Waker>>,
}

impl GlommioDisk {
    /// A disk over the data folder `folder`, which must exist. At most `background_max`
    /// operations of [`IoClass::Background`] are in flight at a time.
    ///
    /// # Errors
    /// When no file can be made in the folder, or its file system refuses O_DIRECT.
    pub async fn open(folder: &Path, background_max: usize) -> Result<GlommioDisk, DiskError> {
        keep_off_the_poll_ring(folder).await?;
        Ok(GlommioDisk {
            state: Rc::new(State {
                folder: folder.to_owned(),
                files: RefCell::default(),
                budget: Budget::new(background_max),
                completed: RefCell::default(),
                in_flight: Cell::new(0),
                waiter: RefCell::default(),
            }),
        })
    }

    /// Waits until nothing is in flight. An executor must not end before.
    pub async fn idle(&self) {
        poll_fn(|context| {
            if self.state.in_flight.get() == 0 {
                return Poll::Ready(());
            }
            *self.state.waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// [`Disk::completions`] for those who wait for other things at the same time.
    pub fn poll_completions(
        &self,
        completions: &mut Vec<(OpId, DiskResult)>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut completed = self.state.completed.borrow_mut();
        if completed.is_empty() {
            *self.state.waiter.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        completions.append(&mut completed);
        Poll::Ready(())
    }
}

impl Disk for GlommioDisk {
    fn submit(&self, op: OpId, io: DiskOp) {
        let state = self.state.clone();
        state.in_flight.set(state.in_flight.get() + 1);
        glommio::spawn_local(async move {
            let result = state.perform(io).await;
            state.complete(op, result);
        })
        .detach();
    }

    fn completions(&self, completions: &mut Vec<(OpId, DiskResult)>) -> impl Future<Output = ()> {
        poll_fn(|context| self.poll_completions(completions, context))
    }
}

impl State {
    fn complete(&self, op: OpId, result: DiskResult) {
        self.completed.borrow_mut().push((op, result));
        self.in_flight.set(self.in_flight.get() - 1);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    async fn perform(&self, io: DiskOp) -> DiskResult {
        match io {
            DiskOp::MakeFolder { path } => folder::make(self.path(&path)?, path).await,
            DiskOp::List { path } => folder::list(self.path(&path)?, path).await,
            DiskOp::Rename { from, to } => {
                let target = self.path(&to)?;
                folder::rename(self.path(&from)?, target, from).await
            }
            DiskOp::Exchange { from, to } => {
                let target = self.path(&to)?;
                folder::exchange(self.path(&from)?, target, from).await
            }
            DiskOp::Remove { path } => folder::remove_file(self.path(&path)?, path).await,
            DiskOp::RemoveFolder { path } => folder::remove(self.path(&path)?, path).await,
            DiskOp::SyncFolder { path } => folder::sync(self.path(&path)?, path).await,
            DiskOp::Open {
                file,
                path,
                create,
                access,
            } => {
                let opened = OpenFile::open(self.path(&path)?, path, create, access).await?;
                let len = opened.len().await?;
                self.files.borrow_mut().insert(file, Rc::new(opened));
                Ok(DiskOutput::Opened { len })
            }
            DiskOp::Allocate {
                file,
                position,
                len,
            } => self.file(file)?.allocate(position, len).await,
            DiskOp::Write {
                file,
                position,
                pieces,
                class,
            } => {
                let file = self.file(file)?;
                let _turn = self.turn(class).await;
                file.write(position, &pieces).await
            }
            DiskOp::Read {
                file,
                position,
                len,
                class,
            } => {
                let file = self.file(file)?;
                let _turn = self.turn(class).await;
                file.read(position, len).await
            }
            DiskOp::Sync { file } => self.file(file)?.sync().await,
            DiskOp::Truncate { file, len } => self.file(file)?.truncate(len).await,
            DiskOp::Close { file } => {
                let closed = self.files.borrow_mut().remove(&file);
                OpenFile::close(closed.ok_or_else(|| not_open(file))?).await
            }
        }
    }

    /// Waits for an operation's leave to begin.
    async fn turn(&self, class: IoClass) -> Option<Turn> {
        match class {
            IoClass::Journal => Some(self.budget.foreground()),
            IoClass::Foreground => None,
            IoClass::Background => Some(self.budget.background().await),
        }
    }

    fn file(&self, file: FileId) -> Result<Rc<OpenFile>, DiskError> {
        let files = self.files.borrow();
        files.get(&file).cloned().ok_or_else(|| not_open(file))
    }

    /// The place of `path`, which must not leave the data folder.
    fn path(&self, path: &FilePath) -> Result<PathBuf, DiskError> {
        let mut components = Path::new(&**path).components();
        if !components.all(|part| matches!(part, Component::Normal(_))) {
            return Err(failed(path, "resolve", "the path leaves the data folder"));
        }
        Ok(self.folder.join(&**path))
    }
}

fn not_open(file: FileId) -> DiskError {
    let path = FilePath::from(format!("file {}", file.0));
    failed(&path, "look up", "no file is open under this id")
}

/// The first DmaFile of an executor decides for its device whether reads and writes go to
/// glommio's polled ring, by a test read. On an empty file the read succeeds without touching the
/// device, and later reads fail with EOPNOTSUPP on devices that cannot be polled. A write-only
/// file makes the test fail, so that everything goes to the main ring.
async fn keep_off_the_poll_ring(folder: &Path) -> Result<(), DiskError> {
    let path = folder.join(format!(".poll-probe-{}", glommio::executor().id()));
    let name = FilePath::from(path.to_string_lossy());
    let made: Result<DmaFile, _> = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .dma_open(&path)
        .await;
    let file = made.map_err(|source| error::glommio(&name, "open with O_DIRECT", &source))?;
    let removed = file.remove().await;
    let closed = file.close().await;
    removed.map_err(|source| error::glommio(&name, "remove", &source))?;
    closed.map_err(|source| error::glommio(&name, "close", &source))
}

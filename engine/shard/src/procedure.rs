//! What takes more than one disk operation (recovery, checkpoint, write-back, creation, deletion)
//! is written as straight-line `async` code that runs *inside* the state machine: `handle` feeds
//! completions in, polls the procedures that waited for them, and takes the operations that they
//! started as actions. There is no other executor, no thread and no waker; order is first come,
//! first served, so the same events give the same actions.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use sillon_log::compaction::Compaction;
use slab::Slab;

use crate::{Access, Action, DiskError, DiskOp, DiskOutput, DiskResult, FileId, FilePath, OpId};

/// Names a procedure while it runs.
type Task = usize;

/// Starts disk operations for the procedures of one state machine and hands them the results.
#[derive(Clone)]
pub(crate) struct Io(Rc<Shared>);

struct Shared {
    /// Added to every operation's and file's number, so that several state machines can use one
    /// disk.
    namespace: u64,
    operations: Rc<Slots<DiskResult>>,
    computations: Rc<Slots<Box<Compaction>>>,
    submitted: RefCell<Vec<Action>>,
    ready: RefCell<VecDeque<Task>>,
    /// Ready again at the next event.
    later: RefCell<Vec<Task>>,
    current: Cell<Task>,
    next_file: Cell<u64>,
    spawned: RefCell<Vec<Pin<Box<dyn Future<Output = ()>>>>>,
}

/// What has been started and is done elsewhere, with what comes of it.
struct Slots<T>(RefCell<Slab<Slot<T>>>);

enum Slot<T> {
    Running(Task),
    Done(T),
    /// Nobody waits any more.
    Forgotten,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots(RefCell::default())
    }
}

impl<T> Slots<T> {
    /// Keeps what has come of the one with that key. Returns who waits for it.
    fn done(&self, key: usize, value: T) -> Option<Task> {
        let mut slots = self.0.borrow_mut();
        match &mut slots[key] {
            Slot::Running(task) => {
                let task = *task;
                slots[key] = Slot::Done(value);
                Some(task)
            }
            Slot::Forgotten => {
                slots.remove(key);
                None
            }
            Slot::Done(_) => panic!("what was started ends once"),
        }
    }
}

impl Io {
    /// `namespace` is added to all numbers; two state machines on one disk need different ones.
    pub(crate) fn new(namespace: u64) -> Io {
        Io(Rc::new(Shared {
            namespace,
            operations: Rc::default(),
            computations: Rc::default(),
            submitted: RefCell::default(),
            ready: RefCell::default(),
            later: RefCell::default(),
            current: Cell::new(Task::MAX),
            next_file: Cell::new(0),
            spawned: RefCell::default(),
        }))
    }

    /// A file name that is not in use.
    pub(crate) fn new_file(&self) -> FileId {
        let number = self.0.next_file.get();
        self.0.next_file.set(number + 1);
        FileId(self.0.namespace + number)
    }

    /// Starts an operation now; the future gives its result. Dropping the future does not undo
    /// the operation.
    pub(crate) fn call(&self, io: DiskOp) -> Call {
        let later = self.begin(&self.0.operations);
        let op = OpId(self.0.namespace + FIRST_OPERATION + later.key as u64);
        self.0.submitted.borrow_mut().push(Action::Disk { op, io });
        later
    }

    /// Has work run away from the shard's thread; the future gives it back.
    pub(crate) fn compute(&self, work: Box<Compaction>) -> Later<Box<Compaction>> {
        let later = self.begin(&self.0.computations);
        let op = OpId(self.0.namespace + later.key as u64);
        let action = Action::Compute { op, work };
        self.0.submitted.borrow_mut().push(action);
        later
    }

    /// Takes work that has been run.
    pub(crate) fn computed(&self, op: OpId, work: Box<Compaction>) {
        let key = (op.0 - self.0.namespace) as usize;
        let waiting = self.0.computations.done(key, work);
        self.0.ready.borrow_mut().extend(waiting);
    }

    /// Opens a file. Its length is in bytes.
    pub(crate) async fn open(
        &self,
        path: impl Into<FilePath>,
        create: bool,
        access: Access,
    ) -> Result<(FileId, u64), DiskError> {
        let file = self.new_file();
        let open = self.call(DiskOp::Open {
            file,
            path: path.into(),
            create,
            access,
        });
        Ok((file, length(open.await)?))
    }

    /// Reserves space from `position` on for `len` bytes.
    pub(crate) async fn allocate(
        &self,
        file: FileId,
        position: u64,
        len: u64,
    ) -> Result<(), DiskError> {
        let allocate = self.call(DiskOp::Allocate {
            file,
            position,
            len,
        });
        done(allocate.await)
    }

    fn begin<T>(&self, slots: &Rc<Slots<T>>) -> Later<T> {
        let running = Slot::Running(self.0.current.get());
        Later {
            shared: self.0.clone(),
            slots: slots.clone(),
            key: slots.0.borrow_mut().insert(running),
            is_taken: false,
        }
    }

    /// Starts another procedure; it runs before `handle` returns.
    pub(crate) fn spawn(&self, procedure: impl Future<Output = ()> + 'static) {
        self.0.spawned.borrow_mut().push(Box::pin(procedure));
    }

    /// Moves the started operations to the end of `actions`.
    pub(crate) fn drain(&self, actions: &mut Vec<Action>) {
        actions.append(&mut self.0.submitted.borrow_mut());
    }

    /// Takes a completion. False: it is none of a procedure's.
    pub(crate) fn complete(&self, op: OpId, result: DiskResult) -> bool {
        let Some(key) = op.0.checked_sub(self.0.namespace + FIRST_OPERATION) else {
            return false;
        };
        let key = key as usize;
        if !self.0.operations.0.borrow().contains(key) {
            return false;
        }
        let waiting = self.0.operations.done(key, result);
        self.0.ready.borrow_mut().extend(waiting);
        true
    }
}

/// Numbers below this one are for operations outside any procedure.
pub(crate) const FIRST_OPERATION: u64 = 16;

/// The result of an operation, later.
pub(crate) type Call = Later<DiskResult>;

/// What comes of something that is done elsewhere.
pub(crate) struct Later<T> {
    shared: Rc<Shared>,
    slots: Rc<Slots<T>>,
    key: usize,
    is_taken: bool,
}

impl<T> Future for Later<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let slots = self.slots.clone();
        let mut slots = slots.0.borrow_mut();
        if let Slot::Running(task) = &mut slots[self.key] {
            *task = self.shared.current.get();
            return Poll::Pending;
        }
        self.is_taken = true;
        match slots.remove(self.key) {
            Slot::Done(value) => Poll::Ready(value),
            _ => unreachable!("only what was dropped is forgotten"),
        }
    }
}

impl<T> Drop for Later<T> {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let mut slots = self.slots.0.borrow_mut();
        match &mut slots[self.key] {
            Slot::Done(_) => drop(slots.remove(self.key)),
            slot => *slot = Slot::Forgotten,
        }
    }
}

/// Something that procedures wait for: raised, it runs all that wait.
#[derive(Clone, Default)]
pub(crate) struct Signal(Rc<RefCell<Vec<Task>>>);

impl Signal {
    /// Waits for the next [`Self::raise`].
    pub(crate) fn wait(&self, io: &Io) -> Wait {
        Wait {
            signal: self.clone(),
            io: io.clone(),
            is_registered: false,
        }
    }

    /// Runs all that wait.
    pub(crate) fn raise(&self, io: &Io) {
        let mut waiting = self.0.borrow_mut();
        if !waiting.is_empty() {
            io.0.ready.borrow_mut().extend(waiting.drain(..));
        }
    }
}

pub(crate) struct Wait {
    signal: Signal,
    io: Io,
    is_registered: bool,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let task = self.io.0.current.get();
        if !self.is_registered {
            self.is_registered = true;
            self.signal.0.borrow_mut().push(task);
            return Poll::Pending;
        }
        if self.signal.0.borrow().contains(&task) {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Goes on at the next event: ends a slice of long work.
pub(crate) fn yield_now(io: &Io) -> Yield {
    Yield {
        io: io.clone(),
        has_yielded: false,
    }
}

pub(crate) struct Yield {
    io: Io,
    has_yielded: bool,
}

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.has_yielded {
            return Poll::Ready(());
        }
        self.has_yielded = true;
        let task = self.io.0.current.get();
        self.io.0.later.borrow_mut().push(task);
        Poll::Pending
    }
}

/// The procedures that run in one state machine.
#[derive(Default)]
pub(crate) struct Procedures(Slab<Pin<Box<dyn Future<Output = ()>>>>);

impl Procedures {
    /// Runs everything that can run. Nothing of the caller's state may be borrowed.
    pub(crate) fn run(&mut self, io: &Io) {
        io.0.ready
            .borrow_mut()
            .extend(io.0.later.borrow_mut().drain(..));
        loop {
            for procedure in io.0.spawned.take() {
                let task = self.0.insert(procedure);
                io.0.ready.borrow_mut().push_back(task);
            }
            let Some(task) = io.0.ready.borrow_mut().pop_front() else {
                break;
            };
            let Some(procedure) = self.0.get_mut(task) else {
                continue;
            };
            io.0.current.set(task);
            let polled = procedure
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            io.0.current.set(Task::MAX);
            if polled.is_ready() {
                drop(self.0.remove(task));
            }
        }
    }
}

/// What is expected of an operation that gives nothing but success.
pub(crate) fn done(result: DiskResult) -> Result<(), DiskError> {
    result.map(|_| ())
}

/// What is expected of [`DiskOp::Open`]: the file's length, in bytes.
pub(crate) fn length(result: DiskResult) -> Result<u64, DiskError> {
    match result? {
        DiskOutput::Opened { len } => Ok(len),
        other => unreachable!("opening answers a length, not {other:?}"),
    }
}

/// What is expected of [`DiskOp::Read`].
pub(crate) fn bytes(result: DiskResult) -> Result<Vec<u8>, DiskError> {
    match result? {
        DiskOutput::Bytes(bytes) => Ok(bytes),
        other => unreachable!("a read answers bytes, not {other:?}"),
    }
}

/// Runs all of them at the same time, to their end; outputs in their order.
pub(crate) async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<Result<F::Output, Pin<Box<F>>>> = futures
        .into_iter()
        .map(|future| Err(Box::pin(future)))
        .collect();
    poll_fn(|context| {
        let mut is_done = true;
        for slot in &mut running {
            if let Err(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Ok(output),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let outputs = running.into_iter().map(|slot| match slot {
        Ok(output) => output,
        Err(_) => unreachable!("every future has ended"),
    });
    outputs.collect()
}

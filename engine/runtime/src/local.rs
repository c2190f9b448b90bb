use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::task::{Context, Poll, Waker};

use sillon_controller::{ControlReply, ControllerOptions, Image};
use sillon_disk::GlommioDisk;
use sillon_record::BrokerId;
use sillon_shard::{NodeConfig, Now, Request, Shard, ShardId, Ticket};

use crate::Stopping;
use crate::clock::Clock;
use crate::compactor::Compactor;
use crate::home::Home;
use crate::mail::{Mail, Report, Step};
use crate::mailbox::Mailbox;
use crate::pending::Pending;
use crate::waiters::Waiters;

/// What all executors of a node share.
pub(crate) struct Node {
    pub(crate) broker: BrokerId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) controller: ControllerOptions,
    /// By shard.
    pub(crate) mailboxes: Vec<Mailbox<Mail>>,
    /// What executor 0 boots with.
    pub(crate) boot: NodeConfig,
}

/// Requests of this executor to its own shard that wait at most, before connections wait: the
/// same as for another shard.
const INBOX_MAX: usize = crate::mail::MAILBOX_CAPACITY;

/// The state of one executor. Nobody borrows any of it across an await.
pub(crate) struct Local {
    pub(crate) id: ShardId,
    pub(crate) node: Arc<Node>,
    pub(crate) disk: GlommioDisk,
    pub(crate) compactor: Compactor,
    /// `None` until the shard is ordered to open.
    pub(crate) shard: RefCell<Option<Shard>>,
    /// The shard has stopped, and answers nothing.
    pub(crate) is_shard_gone: Cell<bool>,
    /// Requests that the shard has not answered, about: one that is cancelled counts as answered,
    /// and may be answered all the same. While there are any, time matters.
    pub(crate) open_requests: Cell<usize>,
    /// Executor 0 only: boot, then the controller.
    pub(crate) home: RefCell<Home>,
    pub(crate) calls: RefCell<Pending<Result<Request, Stopping>>>,
    pub(crate) controls: RefCell<Pending<Result<ControlReply, Stopping>>>,
    /// Mails of this executor to itself.
    pub(crate) inbox: RefCell<VecDeque<Mail>>,
    /// Mails that found their mailbox full, by shard: sent in order when it has room.
    outboxes: RefCell<Vec<VecDeque<Mail>>>,
    room: Waiters,
    is_stopping: Cell<bool>,
    stop: Waiters,
    /// The executor's loop.
    pub(crate) looper: RefCell<Option<Waker>>,
    pub(crate) cluster_id: OnceCell<Arc<str>>,
    reports: Sender<Report>,
}

impl Local {
    pub(crate) fn new(
        id: ShardId,
        node: Arc<Node>,
        disk: GlommioDisk,
        compactor: Compactor,
        reports: Sender<Report>,
    ) -> Local {
        let outboxes = node.mailboxes.iter().map(|_| VecDeque::new()).collect();
        Local {
            id,
            node,
            disk,
            compactor,
            shard: RefCell::new(None),
            is_shard_gone: Cell::new(false),
            open_requests: Cell::new(0),
            home: RefCell::default(),
            calls: RefCell::default(),
            controls: RefCell::default(),
            inbox: RefCell::default(),
            outboxes: RefCell::new(outboxes),
            room: Waiters::default(),
            is_stopping: Cell::new(false),
            stop: Waiters::default(),
            looper: RefCell::new(None),
            cluster_id: OnceCell::new(),
            reports,
        }
    }

    pub(crate) fn shards(&self) -> u16 {
        self.node.mailboxes.len() as u16
    }

    pub(crate) fn now(&self) -> Now {
        self.node.clock.now()
    }

    pub(crate) fn cluster_id(&self) -> Arc<str> {
        let id = self.cluster_id.get();
        id.expect("services start when the shard is open").clone()
    }

    pub(crate) fn ticket(&self, key: u64) -> Ticket {
        Ticket {
            shard: self.id,
            key,
        }
    }

    pub(crate) fn with_image<R>(&self, look: impl FnOnce(&Image) -> R) -> R {
        let shard = self.shard.borrow();
        let shard = shard.as_ref();
        let image = shard
            .expect("services start when the shard is open")
            .image();
        look(&image)
    }

    pub(crate) fn request_opened(&self) {
        self.open_requests.set(self.open_requests.get() + 1);
    }

    pub(crate) fn request_closed(&self) {
        let open = self.open_requests.get();
        self.open_requests.set(open.saturating_sub(1));
    }

    /// Tells the main thread. It outlives every executor, so that nothing is lost.
    pub(crate) fn report(&self, report: Report) {
        let _ = self.reports.send(report);
    }

    pub(crate) fn done(&self, step: Step) {
        self.report(Report::Done(self.id, step));
    }

    /// Sends a mail; mails to one shard arrive in order.
    pub(crate) fn send(&self, to: ShardId, mail: Mail) {
        if to == self.id {
            self.inbox.borrow_mut().push_back(mail);
            if let Some(looper) = self.looper.borrow().as_ref() {
                looper.wake_by_ref();
            }
            return;
        }
        let place = usize::from(to.0);
        let outbox = &mut self.outboxes.borrow_mut()[place];
        if !outbox.is_empty() {
            outbox.push_back(mail);
        } else if let Err(mail) = self.node.mailboxes[place].push(mail) {
            outbox.push_back(mail);
        }
    }

    /// Moves up to `count_max` mails of this executor to itself to `mails`. Pending when there is
    /// none; the next one wakes the loop.
    pub(crate) fn poll_inbox(
        &self,
        count_max: usize,
        mails: &mut Vec<Mail>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let mut inbox = self.inbox.borrow_mut();
        if inbox.is_empty() {
            let mut looper = self.looper.borrow_mut();
            match &mut *looper {
                Some(looper) => looper.clone_from(context.waker()),
                None => *looper = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        let count = inbox.len().min(count_max);
        mails.extend(inbox.drain(..count));
        Poll::Ready(())
    }

    /// Sends what found a full mailbox before.
    pub(crate) fn resend(&self) {
        let mut outboxes = self.outboxes.borrow_mut();
        for (mailbox, outbox) in self.node.mailboxes.iter().zip(outboxes.iter_mut()) {
            while let Some(mail) = outbox.pop_front() {
                if let Err(mail) = mailbox.push(mail) {
                    outbox.push_front(mail);
                    break;
                }
            }
        }
        drop(outboxes);
        self.room.wake();
    }

    pub(crate) async fn room_for(&self, owner: ShardId) {
        let has_room = || match owner == self.id {
            true => self.inbox.borrow().len() < INBOX_MAX,
            false => self.outboxes.borrow()[usize::from(owner.0)].is_empty(),
        };
        self.room.until(has_room).await;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.get()
    }

    pub(crate) async fn stopping(&self) {
        self.stop.until(|| self.is_stopping.get()).await;
    }

    pub(crate) fn begin_to_stop(&self) {
        self.is_stopping.set(true);
        self.stop.wake();
    }
}

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use sillon_controller::{ControlReply, ControlRequest, Image};
use sillon_record::BrokerId;
use sillon_shard::{Event, Now, Request, ShardId, Ticket};

use crate::Stopping;
use crate::local::Local;
use crate::mail::Mail;
use crate::turn::reactor_turn;

/// An executor, as its service sees it. Stays on its thread.
#[derive(Clone)]
pub struct Core {
    local: Rc<Local>,
}

impl Core {
    pub(crate) fn new(local: Rc<Local>) -> Core {
        Core { local }
    }

    /// The shard of this executor.
    pub fn id(&self) -> ShardId {
        self.local.id
    }

    /// How many shards the node has.
    pub fn shards(&self) -> u16 {
        self.local.shards()
    }

    /// The time.
    pub fn now(&self) -> Now {
        self.local.now()
    }

    /// The node.
    pub fn broker(&self) -> BrokerId {
        self.local.node.broker
    }

    /// The cluster's id, as clients see it.
    pub fn cluster_id(&self) -> Arc<str> {
        self.local.cluster_id()
    }

    /// Looks into the cluster's metadata, as far as this executor knows it.
    pub fn with_image<R>(&self, look: impl FnOnce(&Image) -> R) -> R {
        self.local.with_image(look)
    }

    /// Asks a shard of this node. The request is queued at once, in the order of calls; wait for
    /// [`Core::has_room`] first. Dropping the call before it ends tells the shard that nobody
    /// waits any more.
    pub fn call(&self, owner: ShardId, request: Request) -> Call {
        let key = self.local.calls.borrow_mut().ask();
        let ticket = self.local.ticket(key);
        let event = Event::Request { ticket, request };
        self.local.send(owner, Mail::Event(event));
        Call {
            local: self.local.clone(),
            ticket,
            owner,
        }
    }

    /// Waits until the shard's mailbox takes requests. A connection does not read meanwhile.
    pub fn has_room(&self, owner: ShardId) -> impl Future<Output = ()> + use<> {
        let local = self.local.clone();
        async move { local.room_for(owner).await }
    }

    /// Asks the controller.
    pub fn control(
        &self,
        request: ControlRequest,
    ) -> impl Future<Output = Result<ControlReply, Stopping>> + use<> {
        let key = self.local.controls.borrow_mut().ask();
        let asker = self.local.id;
        let mail = Mail::Control {
            asker,
            key,
            request,
        };
        self.local.send(ShardId(0), mail);
        ControlCall {
            local: self.local.clone(),
            key,
        }
    }

    /// Waits until the node begins to stop. The service then finishes what it has, and ends.
    pub fn stopping(&self) -> impl Future<Output = ()> + use<> {
        let local = self.local.clone();
        async move { local.stopping().await }
    }

    /// Whether the node has begun to stop.
    pub fn is_stopping(&self) -> bool {
        self.local.is_stopping()
    }

    /// Gives way until the executor has looked at its I/O once. Every loop that may find work
    /// again and again does this after a bounded amount of it: completions, timers and messages
    /// of other cores are seen only then.
    pub fn reactor_turn(&self) -> impl Future<Output = ()> + use<> {
        reactor_turn()
    }
}

/// A request on its way; see [`Core::call`].
pub struct Call {
    local: Rc<Local>,
    ticket: Ticket,
    owner: ShardId,
}

impl Future for Call {
    type Output = Result<Request, Stopping>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut calls = self.local.calls.borrow_mut();
        calls.poll(self.ticket.key, context)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let was_waiting = self.local.calls.borrow_mut().give_up(self.ticket.key);
        if was_waiting {
            let ticket = self.ticket;
            let cancel = Mail::Event(Event::Cancel { ticket });
            self.local.send(self.owner, cancel);
        }
    }
}

struct ControlCall {
    local: Rc<Local>,
    key: u64,
}

impl Future for ControlCall {
    type Output = Result<ControlReply, Stopping>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut controls = self.local.controls.borrow_mut();
        controls.poll(self.key, context)
    }
}

impl Drop for ControlCall {
    fn drop(&mut self) {
        self.local.controls.borrow_mut().give_up(self.key);
    }
}

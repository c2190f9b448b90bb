use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use sillon_protocol::Api;
use sillon_shard::Stamps;

use crate::limits::IN_FLIGHT_MAX;
use crate::reply::Reply;

/// Why a connection ends instead of going on to its next response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ended {
    /// The broker is stopping, and clients look elsewhere.
    #[error("the broker is stopping")]
    Stopping,
    /// A Produce without acknowledgement failed: the end of the connection is its only answer.
    #[error("a Produce with acks=0 failed")]
    Unacknowledged,
    /// The response cannot be encoded; a bug.
    #[error("the response cannot be encoded")]
    Encoding,
}

/// The rest of a request's way to its response; `None` is for requests that get none. What must
/// happen in the order of the requests has happened before this exists.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Result<Option<Reply>, Ended>>>>;

/// A request that is being worked on.
pub(crate) struct Request {
    pub api: Api,
    pub answer: Answer,
}

/// A connection's requests that are being worked on, in the order in which they came.
#[derive(Default)]
pub(crate) struct InFlight {
    requests: RefCell<VecDeque<Request>>,
    /// The one that was at the front and is being waited for.
    is_taken: Cell<bool>,
    is_ending: Cell<bool>,
    /// Of the connection's one task.
    waker: RefCell<Option<Waker>>,
}

impl InFlight {
    /// Waits until another request may be taken up.
    pub(crate) async fn room(&self) {
        self.until(|| self.len() < IN_FLIGHT_MAX).await;
    }

    /// Adds the youngest.
    pub(crate) fn push(&self, request: Request) {
        self.requests.borrow_mut().push_back(request);
        self.wake();
    }

    /// Takes the oldest out, waiting for one; `None` when there will be none.
    pub(crate) async fn next(&self) -> Option<Request> {
        self.is_taken.set(false);
        self.wake();
        self.until(|| self.is_ending.get() || !self.requests.borrow().is_empty())
            .await;
        self.take()
    }

    /// Takes the oldest out, if there is one.
    pub(crate) fn take(&self) -> Option<Request> {
        let request = self.requests.borrow_mut().pop_front();
        self.is_taken.set(request.is_some());
        self.wake();
        request
    }

    /// No further request will come.
    pub(crate) fn end(&self) {
        self.is_ending.set(true);
        self.wake();
    }

    fn len(&self) -> usize {
        self.requests.borrow().len() + usize::from(self.is_taken.get())
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        poll_fn(|context: &mut Context<'_>| {
            if holds() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// An answer that is there already.
pub(crate) fn answered(reply: Result<Option<Reply>, Ended>) -> Answer {
    Box::pin(std::future::ready(reply))
}

/// The stamps of a request that no shard had a part in.
pub(crate) fn parsed(received_ns: u64, now_ns: u64) -> Stamps {
    let mut stamps = Stamps::default();
    stamps.mark(sillon_shard::Stage::Received, received_ns);
    stamps.mark(sillon_shard::Stage::Parsed, now_ns);
    stamps
}

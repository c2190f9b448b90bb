//! Answers that clients have not taken, in memory.
//!
//! A request of a few bytes may ask for everything there is, from as many connections as there may
//! be, and its client need not take the answer. So what was written and is not sent is counted, a
//! large answer is not begun while others hold as much as they may, and when clients leave theirs
//! lying meanwhile, their connections end.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use sillon_protocol::Api;

use crate::context::Liveness;
use crate::limits::{GATHER_BYTES, LARGE_ANSWERS_AT_ONCE, UNTAKEN_MS, UNTAKEN_TIMES_MAX, WRITE_MS};

/// What answers of one shard's connections hold, without the records in them.
pub(crate) struct Unsent {
    bytes: Cell<u64>,
    bytes_max: u64,
    /// Connections that wait for room, in the order in which they came.
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next_turn: Cell<u64>,
}

/// A connection's turn to begin an answer.
struct Turn<'a> {
    of: &'a Unsent,
    number: u64,
}

/// Counts answers as long as they are being put together or sent.
pub(crate) struct Counted<'a> {
    of: &'a Unsent,
    /// Of the connection that sends them.
    by: Option<&'a Cell<u64>>,
    bytes: u64,
}

/// What is known of an answer's size before it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// About as small as its request, and data on its way or a group waits for it: it begins at
    /// once.
    Small,
    /// It begins when there is room for answers.
    Any,
    /// As before, and only some of these are put together at a time: that takes several turns of
    /// the core, or what other shards bring.
    Large,
}

impl Size {
    pub(crate) fn of(api: Api) -> Size {
        match api {
            Api::Produce
            | Api::Fetch
            | Api::ListOffsets
            | Api::OffsetForLeaderEpoch
            // Those for everything there is see to it themselves.
            | Api::Metadata
            | Api::OffsetFetch
            | Api::ApiVersions
            | Api::FindCoordinator
            | Api::InitProducerId
            | Api::JoinGroup
            | Api::SyncGroup
            | Api::Heartbeat
            | Api::LeaveGroup
            | Api::OffsetCommit => Size::Small,
            Api::DescribeConfigs
            | Api::DescribeLogDirs
            | Api::DescribeProducers
            | Api::DescribeGroups
            | Api::ListGroups => Size::Large,
            _ => Size::Any,
        }
    }
}

impl Unsent {
    pub(crate) fn new(bytes_max: u64) -> Unsent {
        Unsent {
            bytes: Cell::new(0),
            bytes_max: bytes_max.max(1),
            waiting: RefCell::default(),
            next_turn: Cell::new(0),
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.get() >= self.bytes_max
    }

    /// Waits until an answer may begin. What is returned is kept until it is there.
    pub(crate) async fn begin(&self, size: Size) -> Option<Counted<'_>> {
        if size != Size::Small {
            self.room().await;
        }
        let part = self.bytes_max / LARGE_ANSWERS_AT_ONCE;
        (size == Size::Large).then(|| self.count(None, part.max(1)))
    }

    fn count<'a>(&'a self, by: Option<&'a Cell<u64>>, bytes: u64) -> Counted<'a> {
        self.bytes.set(self.bytes.get() + bytes);
        if let Some(by) = by {
            by.set(by.get() + bytes);
        }
        Counted {
            of: self,
            by,
            bytes,
        }
    }

    /// Waits until there is room, first come first served.
    async fn room(&self) {
        if !self.is_full() {
            return;
        }
        let number = self.next_turn.get();
        self.next_turn.set(number + 1);
        let turn = Turn { of: self, number };
        poll_fn(|context| {
            if !self.is_full() {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            self.waiting.borrow_mut().insert(turn.number, waker);
            Poll::Pending
        })
        .await;
    }

    /// Counts answers that are about to be sent, `by` their connection too. None: they are many
    /// bytes, and there is far too much already.
    pub(crate) fn sending<'a>(&'a self, by: &'a Cell<u64>, bytes: u64) -> Option<Counted<'a>> {
        let is_far_too_much = self.bytes.get() >= UNTAKEN_TIMES_MAX * self.bytes_max;
        if is_far_too_much && bytes > GATHER_BYTES as u64 {
            return None;
        }
        Some(self.count(Some(by), bytes))
    }

    /// Ends connections whose clients leave their answers lying while there is no room.
    pub(crate) fn end_those_not_taken<'a>(
        &self,
        connections: impl Iterator<Item = &'a Liveness>,
        now_ns: u64,
    ) {
        if !self.is_full() {
            return;
        }
        let stuck_ns = now_ns + (WRITE_MS - UNTAKEN_MS) * 1_000_000;
        for connection in connections {
            let is_sending = connection.unsent_bytes.get() > 0;
            if is_sending && connection.write_deadline_ns.get() <= stuck_ns {
                connection.socket.shut_down();
            }
        }
    }

    fn wake_next(&self) {
        if !self.is_full()
            && let Some(waker) = self.waiting.borrow().values().next()
        {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Turn<'_> {
    /// Whether it had its turn or has gone, the next one may look.
    fn drop(&mut self) {
        self.of.waiting.borrow_mut().remove(&self.number);
        self.of.wake_next();
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.of.bytes.set(self.of.bytes.get() - self.bytes);
        if let Some(by) = self.by {
            by.set(by.get() - self.bytes);
        }
        self.of.wake_next();
    }
}

#[cfg(test)]
mod tests {
    use futures_lite::future::{block_on, poll_once};

    use super::*;

    #[test]
    fn whoever_finds_no_room_waits_for_it_in_order_and_keeps_nobody_waiting_by_going() {
        let (unsent, by) = (Unsent::new(100), Cell::new(0));
        block_on(async {
            let sent = unsent.sending(&by, 100);
            let mut first = Box::pin(unsent.room());
            let mut second = Box::pin(unsent.room());
            let mut third = Box::pin(unsent.room());
            for waiting in [&mut first, &mut second, &mut third] {
                assert_eq!(poll_once(waiting).await, None);
            }
            assert_eq!(by.get(), 100);
            drop(sent);
            assert_eq!(by.get(), 0);
            drop(first);
            assert_eq!(poll_once(&mut second).await, Some(()));
            let _more = unsent.sending(&by, 200);
            assert_eq!(poll_once(&mut third).await, None);
        });
        assert!(unsent.waiting.borrow().is_empty());
        assert_eq!(unsent.bytes(), 0);
    }

    #[test]
    fn only_some_large_answers_are_put_together_at_a_time_and_small_ones_do_not_wait() {
        let unsent = Unsent::new(100);
        block_on(async {
            let mut begun = Vec::new();
            for _ in 0..LARGE_ANSWERS_AT_ONCE {
                begun.push(unsent.begin(Size::Large).await);
            }
            let mut another = Box::pin(unsent.begin(Size::Large));
            assert!(poll_once(&mut another).await.is_none());
            assert!(unsent.begin(Size::Small).await.is_none());
            begun.pop();
            assert!(poll_once(&mut another).await.is_some());
        });
    }

    #[test]
    fn small_answers_go_whatever_there_is_and_large_ones_up_to_twice_of_what_they_may() {
        let (unsent, by) = (Unsent::new(100 << 10), Cell::new(0));
        let large = GATHER_BYTES as u64 + 1;
        let _sent: Vec<_> = (0..4).map_while(|_| unsent.sending(&by, large)).collect();
        assert_eq!(unsent.bytes(), 4 * large);
        assert!(unsent.sending(&by, large).is_none());
        assert!(unsent.sending(&by, 100).is_some());
    }
}

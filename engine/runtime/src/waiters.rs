use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Tasks of one executor that wait for a condition. Each stands here once, under its own key,
/// however often it is polled: the clones of a task's waker are counted in 16 bits, and the
/// 32,768th panics.
#[derive(Default)]
pub(crate) struct Waiters {
    wakers: RefCell<Slab<Waker>>,
}

impl Waiters {
    /// Wakes all of them; those whose condition does not hold stay.
    pub(crate) fn wake(&self) {
        for (_, waker) in self.wakers.borrow().iter() {
            waker.wake_by_ref();
        }
    }

    /// Waits until `holds`; whoever makes it hold calls [`Waiters::wake`].
    pub(crate) fn until<F: Fn() -> bool + Unpin>(&self, holds: F) -> Until<'_, F> {
        Until {
            waiters: self,
            holds,
            key: None,
        }
    }
}

/// See [`Waiters::until`].
pub(crate) struct Until<'a, F> {
    waiters: &'a Waiters,
    holds: F,
    key: Option<usize>,
}

impl<F: Fn() -> bool + Unpin> Future for Until<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if (self.holds)() {
            return Poll::Ready(());
        }
        let mut wakers = self.waiters.wakers.borrow_mut();
        match self.key {
            Some(key) => wakers[key].clone_from(context.waker()),
            None => {
                let key = wakers.insert(context.waker().clone());
                drop(wakers);
                self.key = Some(key);
            }
        }
        Poll::Pending
    }
}

impl<F> Drop for Until<'_, F> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.waiters.wakers.borrow_mut().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_waiter_stands_in_the_list_once_and_leaves_it_when_dropped() {
        let waiters = Waiters::default();
        let is_open = Cell::new(false);
        let mut context = Context::from_waker(Waker::noop());
        let mut until = Box::pin(waiters.until(|| is_open.get()));
        assert!(until.as_mut().poll(&mut context).is_pending());
        assert!(until.as_mut().poll(&mut context).is_pending());
        assert_eq!(waiters.wakers.borrow().len(), 1);
        is_open.set(true);
        waiters.wake();
        assert!(until.as_mut().poll(&mut context).is_ready());
        drop(until);
        assert_eq!(waiters.wakers.borrow().len(), 0);
    }
}

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::task::{Context, Poll, Waker};

use atomic_waker::AtomicWaker;
use crossbeam_queue::ArrayQueue;

/// What other threads send to one executor: a bounded lock-free queue, and a wake-up only when
/// the reader has said that it goes to sleep. While it is awake, sending costs a push and a load;
/// everything that has come meanwhile is taken in one go.
///
/// Not glommio's channels: the notifications of its `shared_channel` get lost.
pub(crate) struct Mailbox<T> {
    queue: ArrayQueue<T>,
    is_asleep: AtomicBool,
    reader: AtomicWaker,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(capacity: usize) -> Mailbox<T> {
        Mailbox {
            queue: ArrayQueue::new(capacity),
            is_asleep: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    /// Adds a mail, or gives it back when the mailbox is full.
    pub(crate) fn push(&self, mail: T) -> Result<(), T> {
        let pushed = self.queue.push(mail);
        // Pairs with the fence in `poll_any`: either the reader sees this mail, or this thread
        // sees that the reader sleeps.
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::Relaxed) {
            self.reader.wake();
        }
        pushed
    }

    /// Takes the oldest mail. For the one reader.
    pub(crate) fn take(&self) -> Option<T> {
        self.queue.pop()
    }

    /// Ready when there is a mail; otherwise the next one wakes the reader.
    pub(crate) fn poll_any(&self, context: &mut Context<'_>) -> Poll<()> {
        if !self.queue.is_empty() {
            return Poll::Ready(());
        }
        self.reader.register(context.waker());
        self.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.queue.is_empty() {
            return Poll::Pending;
        }
        self.is_asleep.store(false, Ordering::Relaxed);
        Poll::Ready(())
    }

    /// Says that the reader is awake for another reason.
    pub(crate) fn awake(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }

    /// Forgets the reader's waker: it must not outlive the reader's executor.
    pub(crate) fn abandon(&self) {
        self.awake();
        self.reader.register(Waker::noop());
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;

    #[test]
    fn a_full_mailbox_gives_the_mail_back() {
        let mailbox = Mailbox::new(1);
        assert_eq!(mailbox.push(1), Ok(()));
        assert_eq!(mailbox.push(2), Err(2));
        assert_eq!(mailbox.take(), Some(1));
        assert_eq!(mailbox.push(2), Ok(()));
    }

    /// Answers every mail with the same, until one is 0.
    async fn echo(own: &Mailbox<u64>, other: &Mailbox<u64>) {
        loop {
            poll_fn(|context| own.poll_any(context)).await;
            while let Some(mail) = own.take() {
                other.push(mail).unwrap();
                if mail == 0 {
                    own.abandon();
                    return;
                }
            }
        }
    }

    #[test]
    fn no_wake_up_is_lost_between_two_executors() {
        let boxes = Arc::new([Mailbox::new(4), Mailbox::new(4)]);
        let remote = boxes.clone();
        let builder = || LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 16);
        let echoing = builder()
            .spawn(|| async move { echo(&remote[1], &remote[0]).await })
            .unwrap();
        let asking = builder().spawn(|| async move {
            for number in (0..20_000).rev() {
                boxes[1].push(number).unwrap();
                poll_fn(|context| boxes[0].poll_any(context)).await;
                assert_eq!(boxes[0].take(), Some(number));
            }
            boxes[0].abandon();
        });
        asking.unwrap().join().unwrap();
        echoing.join().unwrap();
    }
}

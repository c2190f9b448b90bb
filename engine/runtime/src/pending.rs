use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Questions of this executor that wait for their answers. A key is never used again (within
/// 2^32 questions), so that a late answer to a question that was given up finds nobody.
pub(crate) struct Pending<T> {
    slots: Slab<Slot<T>>,
    generation: u32,
}

struct Slot<T> {
    generation: u32,
    state: State<T>,
}

enum State<T> {
    Waiting(Option<Waker>),
    Answered(T),
}

impl<T> Default for Pending<T> {
    fn default() -> Pending<T> {
        Pending {
            slots: Slab::new(),
            generation: 0,
        }
    }
}

impl<T> Pending<T> {
    /// A key for a new question.
    pub(crate) fn ask(&mut self) -> u64 {
        self.generation = self.generation.wrapping_add(1);
        let slot = Slot {
            generation: self.generation,
            state: State::Waiting(None),
        };
        let index = self.slots.insert(slot);
        u64::from(self.generation) << 32 | index as u64
    }

    /// Brings the answer; gives it back when nobody waits for it.
    pub(crate) fn answer(&mut self, key: u64, answer: T) -> Result<(), T> {
        let Some(Slot { state, .. }) = self.slot(key) else {
            return Err(answer);
        };
        match std::mem::replace(state, State::Answered(answer)) {
            State::Waiting(Some(waker)) => waker.wake(),
            State::Waiting(None) => {}
            State::Answered(_) => unreachable!("a question is answered once"),
        }
        Ok(())
    }

    /// Takes the answer to `key`, which ends the question.
    pub(crate) fn poll(&mut self, key: u64, context: &mut Context<'_>) -> Poll<T> {
        let slot = self.slot(key).expect("an answer is taken once");
        if let State::Waiting(waker) = &mut slot.state {
            match waker {
                Some(waker) => waker.clone_from(context.waker()),
                None => *waker = Some(context.waker().clone()),
            }
            return Poll::Pending;
        }
        match self.slots.remove(key as u32 as usize).state {
            State::Answered(answer) => Poll::Ready(answer),
            State::Waiting(_) => unreachable!("checked above"),
        }
    }

    /// Gives the question up. Whether it was still waiting for its answer.
    pub(crate) fn give_up(&mut self, key: u64) -> bool {
        let Some(slot) = self.slot(key) else {
            return false;
        };
        let was_waiting = matches!(slot.state, State::Waiting(_));
        self.slots.remove(key as u32 as usize);
        was_waiting
    }

    /// Answers everything that waits.
    pub(crate) fn answer_all(&mut self, answer: impl Fn() -> T) {
        for (_, slot) in &mut self.slots {
            if let State::Waiting(waker) = &mut slot.state {
                let waker = waker.take();
                slot.state = State::Answered(answer());
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
        }
    }

    fn slot(&mut self, key: u64) -> Option<&mut Slot<T>> {
        let slot = self.slots.get_mut(key as u32 as usize)?;
        (u64::from(slot.generation) == key >> 32).then_some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_to_a_question_that_was_given_up_finds_nobody() {
        let mut pending = Pending::default();
        let first = pending.ask();
        assert!(pending.give_up(first));
        let second = pending.ask();
        assert_eq!(pending.answer(first, 'a'), Err('a'));
        assert_eq!(pending.answer(second, 'b'), Ok(()));
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(pending.poll(second, &mut context), Poll::Ready('b'));
        assert!(!pending.give_up(second));
    }

    #[test]
    fn everything_that_waits_can_be_answered_at_once() {
        let mut pending = Pending::default();
        let (first, second) = (pending.ask(), pending.ask());
        pending.answer(first, 1).unwrap();
        pending.answer_all(|| 2);
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(pending.poll(first, &mut context), Poll::Ready(1));
        assert_eq!(pending.poll(second, &mut context), Poll::Ready(2));
    }
}

//! Tasks that wait for their next job, and keep their memory for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Tasks that wait for jobs of one kind, who waits the shortest at the end.
pub(super) struct Hands<J> {
    idle: RefCell<Vec<Rc<Hand<J>>>>,
    /// The fewest that have waited since the last sweep: so many are too many.
    fewest: Cell<usize>,
}

/// One of them, as seen by who has work for it.
pub(super) struct Hand<J> {
    job: Cell<Option<J>>,
    waker: RefCell<Option<Waker>>,
    dismissed: Cell<bool>,
}

impl<J> Default for Hands<J> {
    fn default() -> Self {
        Self {
            idle: RefCell::default(),
            fewest: Cell::default(),
        }
    }
}

impl<J> Default for Hand<J> {
    fn default() -> Self {
        Self {
            job: Cell::default(),
            waker: RefCell::default(),
            dismissed: Cell::default(),
        }
    }
}

impl<J> Hands<J> {
    /// Gives a job to whoever has waited the shortest, whose memory the CPU
    /// still knows; it comes back where nobody waits.
    pub(super) fn give(&self, job: J) -> Option<J> {
        let mut idle = self.idle.borrow_mut();
        let Some(hand) = idle.pop() else {
            return Some(job);
        };
        self.fewest.set(self.fewest.get().min(idle.len()));
        hand.job.set(Some(job));
        hand.wake();
        None
    }

    /// Waits for a job; none where the task has been waiting for too long.
    pub(super) async fn next(&self, hand: &Rc<Hand<J>>) -> Option<J> {
        self.idle.borrow_mut().push(hand.clone());
        poll_fn(|cx| hand.poll_job(cx)).await
    }

    /// Lets go of those that have not been needed since the last time; says how
    /// many stay.
    pub(super) fn sweep(&self) -> usize {
        let mut idle = self.idle.borrow_mut();
        for hand in idle.drain(..self.fewest.get()) {
            hand.dismissed.set(true);
            hand.wake();
        }
        idle.shrink_to_fit();
        self.fewest.set(idle.len());
        idle.len()
    }
}

impl<J> Hand<J> {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    fn poll_job(&self, cx: &mut Context<'_>) -> Poll<Option<J>> {
        if let Some(job) = self.job.take() {
            return Poll::Ready(Some(job));
        }
        if self.dismissed.get() {
            return Poll::Ready(None);
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            // The same one, seldom another.
            Some(own) => own.clone_from(cx.waker()),
            own => *own = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::{LocalSet, spawn_local, yield_now};

    type Done = Rc<RefCell<Vec<(usize, u32)>>>;

    /// Starts a task that notes what it does, and with which job it begins.
    fn start(hands: &Rc<Hands<u32>>, done: &Done, number: usize, mut job: u32) {
        let (hands, done) = (hands.clone(), done.clone());
        spawn_local(async move {
            let hand = Rc::new(Hand::default());
            loop {
                done.borrow_mut().push((number, job));
                match hands.next(&hand).await {
                    Some(next) => job = next,
                    None => break,
                }
            }
            done.borrow_mut().push((number, 0));
        });
    }

    async fn settle() {
        for _ in 0..4 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_job_goes_to_who_has_waited_the_shortest_and_comes_back_where_nobody_waits() {
        let test = async {
            let (hands, done) = (Rc::new(Hands::default()), Done::default());
            assert_eq!(hands.give(1), Some(1));
            start(&hands, &done, 1, 1);
            start(&hands, &done, 2, 2);
            settle().await;
            assert_eq!(hands.give(3), None);
            settle().await;
            assert_eq!(
                (hands.give(4), hands.give(5), hands.give(6)),
                (None, None, Some(6))
            );
            settle().await;
            let told = [(1, 1), (2, 2), (2, 3), (2, 4), (1, 5)];
            assert_eq!(*done.borrow(), told);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn those_whom_nobody_has_needed_are_let_go_of() {
        let test = async {
            let (hands, done) = (Rc::new(Hands::default()), Done::default());
            for number in 1..=3 {
                start(&hands, &done, number, 1);
            }
            settle().await;
            // All three have been at work until now.
            assert_eq!(hands.sweep(), 3);
            assert_eq!(hands.give(2), None);
            settle().await;
            assert_eq!(hands.sweep(), 1);
            settle().await;
            assert_eq!(done.borrow()[3..], [(3, 2), (1, 0), (2, 0)]);
            assert_eq!(hands.sweep(), 0);
            assert_eq!(hands.give(4), Some(4));
        };
        LocalSet::new().run_until(test).await;
    }
}

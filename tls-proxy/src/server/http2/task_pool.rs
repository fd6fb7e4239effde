//! Tasks that wait for their next job, and keep their memory for it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Tasks that wait for jobs of one kind, who waits the shortest at the end.
pub(super) struct TaskPool<J> {
    idle: RefCell<Vec<Rc<ParkedTask<J>>>>,
    /// The fewest that have waited since the last `shrink`: so many are too many.
    fewest_idle: Cell<usize>,
}

/// One of them, as seen by who has work for it.
pub(super) struct ParkedTask<J> {
    job: Cell<Option<J>>,
    waker: RefCell<Option<Waker>>,
    dismissed: Cell<bool>,
}

impl<J> Default for TaskPool<J> {
    fn default() -> Self {
        Self {
            idle: RefCell::default(),
            fewest_idle: Cell::default(),
        }
    }
}

impl<J> Default for ParkedTask<J> {
    fn default() -> Self {
        Self {
            job: Cell::default(),
            waker: RefCell::default(),
            dismissed: Cell::default(),
        }
    }
}

impl<J> TaskPool<J> {
    /// Gives a job to whoever has waited the shortest, whose memory the CPU
    /// still knows; it comes back where nobody waits.
    pub(super) fn dispatch(&self, job: J) -> Option<J> {
        let mut idle = self.idle.borrow_mut();
        let Some(parked) = idle.pop() else {
            return Some(job);
        };
        self.fewest_idle.set(self.fewest_idle.get().min(idle.len()));
        parked.job.set(Some(job));
        parked.wake();
        None
    }

    /// Waits for a job; none where the task has been waiting for too long.
    pub(super) async fn next(&self, parked: &Rc<ParkedTask<J>>) -> Option<J> {
        self.idle.borrow_mut().push(parked.clone());
        poll_fn(|cx| parked.poll_job(cx)).await
    }

    /// Lets go of those that have not been needed since the last time; says how
    /// many stay.
    pub(super) fn shrink(&self) -> usize {
        let mut idle = self.idle.borrow_mut();
        for parked in idle.drain(..self.fewest_idle.get()) {
            parked.dismissed.set(true);
            parked.wake();
        }
        idle.shrink_to_fit();
        self.fewest_idle.set(idle.len());
        idle.len()
    }
}

impl<J> ParkedTask<J> {
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
    fn start(pool: &Rc<TaskPool<u32>>, done: &Done, number: usize, mut job: u32) {
        let (pool, done) = (pool.clone(), done.clone());
        spawn_local(async move {
            let parked = Rc::new(ParkedTask::default());
            loop {
                done.borrow_mut().push((number, job));
                match pool.next(&parked).await {
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
            let (pool, done) = (Rc::new(TaskPool::default()), Done::default());
            assert_eq!(pool.dispatch(1), Some(1));
            start(&pool, &done, 1, 1);
            start(&pool, &done, 2, 2);
            settle().await;
            assert_eq!(pool.dispatch(3), None);
            settle().await;
            assert_eq!(
                (pool.dispatch(4), pool.dispatch(5), pool.dispatch(6)),
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
            let (pool, done) = (Rc::new(TaskPool::default()), Done::default());
            for number in 1..=3 {
                start(&pool, &done, number, 1);
            }
            settle().await;
            // All three have been at work until now.
            assert_eq!(pool.shrink(), 3);
            assert_eq!(pool.dispatch(2), None);
            settle().await;
            assert_eq!(pool.shrink(), 1);
            settle().await;
            assert_eq!(done.borrow()[3..], [(3, 2), (1, 0), (2, 0)]);
            assert_eq!(pool.shrink(), 0);
            assert_eq!(pool.dispatch(4), Some(4));
        };
        LocalSet::new().run_until(test).await;
    }
}

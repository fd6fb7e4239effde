//! A pool of tasks that wait for their next job and keep their memory.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Idle tasks for jobs of one kind, the most recently used at the end.
pub(super) struct TaskPool<J> {
    idle: RefCell<Vec<Rc<ParkedTask<J>>>>,
    /// The lowest number of idle tasks since the last `shrink`: that many are surplus.
    fewest_idle: Cell<usize>,
}

/// An idle task, as seen by the pool.
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
    /// Gives the job to the most recently used task, whose memory is still cached; returns
    /// the job if no task is idle.
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

    /// Waits for a job; `None` if the task is surplus and has to end.
    pub(super) async fn next(&self, parked: &Rc<ParkedTask<J>>) -> Option<J> {
        self.idle.borrow_mut().push(parked.clone());
        poll_fn(|cx| parked.poll_job(cx)).await
    }

    /// Releases tasks that were not needed since the last call; returns how many are left.
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
            // Seldom changes.
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

    /// Starts a task that records its jobs, beginning with `job`.
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

    async fn run_tasks() {
        for _ in 0..4 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_job_goes_to_the_most_recently_used_task_or_is_returned() {
        let test = async {
            let (pool, done) = (Rc::new(TaskPool::default()), Done::default());
            assert_eq!(pool.dispatch(1), Some(1));
            start(&pool, &done, 1, 1);
            start(&pool, &done, 2, 2);
            run_tasks().await;
            assert_eq!(pool.dispatch(3), None);
            run_tasks().await;
            assert_eq!(
                (pool.dispatch(4), pool.dispatch(5), pool.dispatch(6)),
                (None, None, Some(6))
            );
            run_tasks().await;
            let told = [(1, 1), (2, 2), (2, 3), (2, 4), (1, 5)];
            assert_eq!(*done.borrow(), told);
        };
        LocalSet::new().run_until(test).await;
    }

    #[tokio::test]
    async fn surplus_tasks_are_released() {
        let test = async {
            let (pool, done) = (Rc::new(TaskPool::default()), Done::default());
            for number in 1..=3 {
                start(&pool, &done, number, 1);
            }
            run_tasks().await;
            // All three have been busy until now.
            assert_eq!(pool.shrink(), 3);
            assert_eq!(pool.dispatch(2), None);
            run_tasks().await;
            assert_eq!(pool.shrink(), 1);
            run_tasks().await;
            assert_eq!(done.borrow()[3..], [(3, 2), (1, 0), (2, 0)]);
            assert_eq!(pool.shrink(), 0);
            assert_eq!(pool.dispatch(4), Some(4));
        };
        LocalSet::new().run_until(test).await;
    }
}

//! The threads of a worker that hash passwords: a strong hash takes long, and the worker's own
//! thread serves others meanwhile.
//!
//! Requests wait for a free thread themselves, in the order of their arrival. So what waits is
//! part of a request, which is counted, and nothing is left of a request that is abandoned.
//!
//! A thread is started when it is first needed, and kept: one that has been had cannot be refused.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use tokio::sync::{Semaphore, oneshot};

/// Threads of a worker.
const THREADS: usize = 2;
/// Requests that wait for them, at most. At the usual cost of bcrypt the last one waits for some
/// seconds.
const WAITING: usize = 128;
/// The stack of a thread, in bytes.
const STACK: usize = 256 * 1024;

/// Who may hash now, and who may wait.
pub(crate) struct Hashers {
    free: Arc<Semaphore>,
    places: Semaphore,
    /// Threads that have been started.
    started: Cell<usize>,
    stack: Cell<usize>,
    /// Closed at the worker's end, which ends the threads.
    queue: mpsc::Sender<Job>,
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
}

type Job = Box<dyn FnOnce() + Send>;

/// Why nothing was hashed.
#[derive(Debug)]
pub(crate) enum Unhashed {
    /// Too many others wait.
    Busy,
    /// The system refuses to start a thread.
    Refused(io::Error),
    /// It panicked, or the worker ends.
    Failed,
}

impl Default for Hashers {
    fn default() -> Self {
        let (queue, jobs) = mpsc::channel();
        Self {
            free: Arc::new(Semaphore::new(THREADS)),
            places: Semaphore::new(THREADS + WAITING),
            started: Cell::new(0),
            stack: Cell::new(STACK),
            queue,
            jobs: Arc::new(Mutex::new(jobs)),
        }
    }
}

impl Hashers {
    /// The result of `hash`, from one of the threads.
    ///
    /// # Errors
    /// At once if too many wait, or if there is no thread and none can be started.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unhashed> {
        let _place = self.places.try_acquire().map_err(|_| Unhashed::Busy)?;
        let free = self.free.clone().acquire_owned().await;
        let free = free.map_err(|_| Unhashed::Failed)?;
        let hashing = THREADS - self.free.available_permits();
        if hashing > self.started.get() {
            match self.start() {
                Ok(()) => self.started.set(self.started.get() + 1),
                Err(error) if self.started.get() == 0 => return Err(Unhashed::Refused(error)),
                // It waits for another one's thread.
                Err(_) => {}
            }
        }
        let (result, hashed) = oneshot::channel();
        let job = Box::new(move || {
            // Held until the end, even if nobody waits for the result any more.
            let _free = free;
            let _ = result.send(hash());
        });
        self.queue.send(job).map_err(|_| Unhashed::Failed)?;
        hashed.await.map_err(|_| Unhashed::Failed)
    }

    fn start(&self) -> io::Result<()> {
        let jobs = self.jobs.clone();
        let named = thread::Builder::new().name("auth_basic".into());
        named
            .stack_size(self.stack.get())
            .spawn(move || serve(&jobs))?;
        Ok(())
    }
}

/// Does one job after the other, until there is no queue any more.
fn serve(jobs: &Mutex<mpsc::Receiver<Job>>) {
    let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok(job) = next() {
        // A panic has been reported already.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// Polls once; whether it is ready.
    async fn begin(future: std::pin::Pin<&mut impl Future>) -> bool {
        let mut future = future;
        poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_ready())).await
    }

    #[tokio::test]
    async fn who_is_gone_is_not_hashed_for_and_too_many_are_refused() {
        let hashers = Hashers::default();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let busy = |held: Arc<std::sync::Mutex<mpsc::Receiver<()>>>| {
            move || {
                let _ = held.lock().map(|held| held.recv());
            }
        };
        let mut first = pin!(hashers.run(busy(held.clone())));
        let mut second = pin!(hashers.run(busy(held.clone())));
        assert!(!begin(first.as_mut()).await && !begin(second.as_mut()).await);
        let hashed = Arc::new(());
        let mut waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let hashed = hashed.clone();
                Box::pin(hashers.run(move || drop(hashed)))
            })
            .collect();
        for one in &mut waiting {
            assert!(!begin(one.as_mut()).await);
        }
        assert!(matches!(hashers.run(|| ()).await, Err(Unhashed::Busy)));
        drop(waiting);
        assert_eq!(Arc::strong_count(&hashed), 1, "nothing is left of them");
        drop(release);
        assert!(first.await.is_ok() && second.await.is_ok());
        assert_eq!(hashers.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn a_hash_that_panics_leaves_its_thread_to_others() {
        let hashers = Hashers::default();
        for _ in 0..=THREADS {
            let failed: Result<(), _> = hashers.run(|| panic!("on purpose")).await;
            assert!(matches!(failed, Err(Unhashed::Failed)));
        }
        assert_eq!(hashers.run(|| 7).await.unwrap(), 7);
    }

    /// No system has so much memory for a stack.
    const TOO_LARGE: usize = 1 << 60;

    #[tokio::test]
    async fn a_thread_that_is_refused_is_asked_for_again() {
        let hashers = Hashers::default();
        hashers.stack.set(TOO_LARGE);
        for _ in 0..=THREADS {
            let refused = hashers.run(|| ()).await;
            assert!(matches!(refused, Err(Unhashed::Refused(_))));
        }
        hashers.stack.set(STACK);
        assert_eq!(hashers.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn one_thread_hashes_for_all_if_no_other_is_to_be_had() {
        let hashers = Hashers::default();
        let (release, held) = mpsc::channel::<()>();
        let mut first = pin!(hashers.run(move || held.recv().is_ok()));
        assert!(!begin(first.as_mut()).await);
        hashers.stack.set(TOO_LARGE);
        let mut second = pin!(hashers.run(|| 7));
        assert!(!begin(second.as_mut()).await);
        drop(release);
        assert_eq!(second.await.unwrap(), 7);
        assert!(!first.await.unwrap());
    }
}

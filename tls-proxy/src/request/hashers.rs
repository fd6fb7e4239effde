//! The threads of a worker that hash passwords: a strong hash takes long, and the worker's own
//! thread serves others meanwhile.
//!
//! Requests wait for a free thread themselves, in the order of their arrival. So what waits is
//! part of a request, which is counted, and nothing is left of a request that is abandoned.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Threads of a worker.
pub(crate) const THREADS: usize = 2;
/// Requests that wait for them, at most. At the usual cost of bcrypt the last one waits for some
/// seconds.
const WAITING: usize = 128;

/// Who may hash now, and who may wait.
pub(crate) struct Hashers {
    free: Arc<Semaphore>,
    places: Semaphore,
}

/// Why nothing was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unhashed {
    /// Too many others wait.
    Busy,
    /// It panicked, or the worker ends.
    Failed,
}

impl Default for Hashers {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(THREADS)),
            places: Semaphore::new(THREADS + WAITING),
        }
    }
}

impl Hashers {
    /// The result of `hash`, from one of the threads.
    ///
    /// # Errors
    /// At once if too many wait.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        hash: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Unhashed> {
        let _place = self.places.try_acquire().map_err(|_| Unhashed::Busy)?;
        let free = self.free.clone().acquire_owned().await;
        let free = free.map_err(|_| Unhashed::Failed)?;
        let hashed = tokio::task::spawn_blocking(move || {
            // Held until the end, even if nobody waits for the result any more.
            let _free = free;
            hash()
        });
        hashed.await.map_err(|_| Unhashed::Failed)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::mpsc;
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
        assert_eq!(hashers.run(|| ()).await, Err(Unhashed::Busy));
        drop(waiting);
        assert_eq!(Arc::strong_count(&hashed), 1, "nothing is left of them");
        drop(release);
        assert_eq!(first.await, Ok(()));
        assert_eq!(second.await, Ok(()));
        assert_eq!(hashers.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_hash_that_panics_leaves_its_thread_to_others() {
        let hashers = Hashers::default();
        for _ in 0..=THREADS {
            let failed = hashers.run(|| panic!("on purpose")).await;
            assert_eq!(failed, Err::<(), _>(Unhashed::Failed));
        }
        assert_eq!(hashers.run(|| 7).await, Ok(7));
    }
}

//! A limit on the time of an operation, from which some of its waits are left out.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::FAR;

/// Measures an operation, except while it is stopped.
#[derive(Debug, Default)]
pub(crate) struct Stopwatch {
    is_stopped: Cell<bool>,
    /// The time left out.
    left_out: Cell<Duration>,
}

impl Stopwatch {
    /// Awaits something whose time does not count.
    pub(crate) async fn stopped_for<T>(&self, wait: impl Future<Output = T>) -> T {
        let began = Instant::now();
        self.is_stopped.set(true);
        let done = wait.await;
        self.is_stopped.set(false);
        self.left_out.set(self.left_out.get() + began.elapsed());
        done
    }

    /// Awaits the operation; `None` if it takes longer than `limit`.
    pub(crate) async fn within<T>(
        &self,
        limit: Duration,
        operation: impl Future<Output = T>,
    ) -> Option<T> {
        let began = Instant::now();
        let end = began.checked_add(limit).unwrap_or(began + FAR);
        let mut operation = pin!(operation);
        let mut alarm = pin!(sleep_until(end));
        poll_fn(|cx| {
            if let Poll::Ready(done) = operation.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            // Its end wakes this task.
            if self.is_stopped.get() {
                return Poll::Pending;
            }
            let end = end + self.left_out.get();
            if alarm.deadline() < end {
                alarm.as_mut().reset(end);
            }
            ready!(alarm.as_mut().poll(cx));
            Poll::Ready(None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::sleep;

    const LIMIT: Duration = Duration::from_secs(2);
    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn waits_are_left_out_and_nothing_else() {
        let watch = Stopwatch::default();
        let operation = async {
            sleep(SECOND).await;
            watch.stopped_for(sleep(10 * SECOND)).await;
            sleep(SECOND / 2).await;
            watch.stopped_for(sleep(10 * SECOND)).await;
        };
        assert_eq!(watch.within(LIMIT, operation).await, Some(()));
        let watch = Stopwatch::default();
        let began = Instant::now();
        let operation = async {
            sleep(SECOND).await;
            watch.stopped_for(sleep(10 * SECOND)).await;
            sleep(10 * SECOND).await;
        };
        assert_eq!(watch.within(LIMIT, operation).await, None);
        assert_eq!(began.elapsed(), LIMIT + 10 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_beyond_all_time_is_no_fault() {
        let watch = Stopwatch::default();
        assert_eq!(watch.within(Duration::MAX, sleep(SECOND)).await, Some(()));
    }
}

//! The clock of a worker's tasks: read once per wake-up of a task, as nginx reads it once
//! per event loop iteration (`ngx_time_update`).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
enum CachedTime {
    /// No task runs that uses the cached time: the clock is read each time.
    Outside,
    /// A task was woken and has not read the clock yet.
    Woken,
    Known(Instant),
}

thread_local! {
    static NOW: Cell<CachedTime> = const { Cell::new(CachedTime::Outside) };
}

/// The cached current time: it does not advance while the current task runs.
pub(crate) fn now() -> Instant {
    match NOW.get() {
        CachedTime::Known(now) => now,
        CachedTime::Outside => super::now(),
        CachedTime::Woken => {
            let now = super::now();
            NOW.set(CachedTime::Known(now));
            now
        }
    }
}

/// The time elapsed since `then`.
pub(crate) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Polls a task that has been woken and uses [`now`].
pub(crate) fn poll<T>(
    task: &mut Pin<Box<impl Future<Output = T>>>,
    cx: &mut Context<'_>,
) -> Poll<T> {
    /// Also if the task panics.
    struct Outside;
    impl Drop for Outside {
        fn drop(&mut self) {
            NOW.set(CachedTime::Outside);
        }
    }
    NOW.set(CachedTime::Woken);
    let _outside = Outside;
    task.as_mut().poll(cx)
}

/// Runs a task that uses [`now`]: the time advances each time it is woken. The task is
/// boxed, since a future that holds another one by value has room for it twice.
pub(crate) async fn scope<T>(mut task: Pin<Box<impl Future<Output = T>>>) -> T {
    poll_fn(|cx| poll(&mut task, cx)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_moves_when_a_task_is_woken_and_not_before() {
        let (first, same, later) = scope(Box::pin(async {
            let first = now();
            std::thread::sleep(Duration::from_millis(2));
            let same = now();
            tokio::time::sleep(Duration::from_millis(2)).await;
            (first, same, now())
        }))
        .await;
        assert_eq!(first, same);
        assert!(later >= first + Duration::from_millis(4));
        let outside = now();
        std::thread::sleep(Duration::from_millis(2));
        assert!(now() > outside);
    }
}

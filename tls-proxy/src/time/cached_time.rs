//! The time as a worker's tasks see it: read once each time one of them is
//! woken, as nginx reads it once each time events have come
//! (`ngx_time_update`).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::{Duration, Instant};

#[derive(Clone, Copy)]
enum Moment {
    /// No task that asks is being run: time is always moving.
    Outside,
    /// A task has been woken, and has not asked yet.
    Woken,
    Known(Instant),
}

thread_local! {
    static MOMENT: Cell<Moment> = const { Cell::new(Moment::Outside) };
}

/// Now, as near as it matters: what the present task does until it waits takes no
/// time.
pub(crate) fn now() -> Instant {
    match MOMENT.get() {
        Moment::Known(now) => now,
        Moment::Outside => Instant::now(),
        Moment::Woken => {
            let now = Instant::now();
            MOMENT.set(Moment::Known(now));
            now
        }
    }
}

/// How long ago `then` was.
pub(crate) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Runs a task that asks for [`now`]: the time moves on each time it is woken.
/// It has memory of its own, since a future that holds another one by value has
/// room for it twice.
pub(crate) async fn moving<T>(mut task: Pin<Box<impl Future<Output = T>>>) -> T {
    poll_fn(|cx| {
        MOMENT.set(Moment::Woken);
        let polled = task.as_mut().poll(cx);
        MOMENT.set(Moment::Outside);
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn time_moves_when_a_task_is_woken_and_not_before() {
        let (first, same, later) = moving(Box::pin(async {
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

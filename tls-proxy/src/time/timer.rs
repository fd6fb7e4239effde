//! Time-outs between the steps of a long operation.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::{FAR, cached_time};

/// A time-out between two steps. It costs nothing while steps follow without a wait, and
/// little for each wait: the timer set for an earlier wait may fire early, and only then is
/// it set again.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    alarm: Option<Pin<Box<Sleep>>>,
    /// The end of the current wait, if any.
    deadline: Option<Instant>,
}

impl Timer {
    /// Restarts the time-out with the next wait.
    pub(crate) fn progress(&mut self) {
        self.deadline = None;
    }

    /// Ready when `limit` has passed since the first wait.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        let deadline = *self.deadline.get_or_insert_with(|| {
            let now = Instant::from_std(cached_time::now());
            now.checked_add(limit).unwrap_or(now + FAR)
        });
        let new = || Box::pin(sleep_until(deadline));
        let alarm = self.alarm.get_or_insert_with(new);
        if alarm.deadline() > deadline {
            alarm.as_mut().reset(deadline);
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            if alarm.deadline() >= deadline {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_millis(60);

    async fn wait(timer: &mut Timer, limit: Duration) -> Duration {
        let began = Instant::now();
        timer.progress();
        poll_fn(|cx| timer.poll(cx, limit)).await;
        began.elapsed()
    }

    #[tokio::test]
    async fn each_wait_has_its_own_limit_whatever_the_alarm_was_set_for() {
        let mut timer = Timer::default();
        for limit in [SHORT, LONG, SHORT] {
            assert!(wait(&mut timer, limit).await >= limit);
        }
        // After an alarm set for another wait, once a longer and once a shorter one.
        for (before, limit) in [(Duration::from_secs(3600), SHORT), (SHORT, LONG)] {
            timer.progress();
            let first = poll_fn(|cx| Poll::Ready(timer.poll(cx, before))).await;
            assert!(first.is_pending());
            assert!(wait(&mut timer, limit).await >= limit);
        }
    }

    #[tokio::test]
    async fn a_limit_beyond_all_time_is_no_fault() {
        let mut timer = Timer::default();
        let first = poll_fn(|cx| Poll::Ready(timer.poll(cx, Duration::MAX))).await;
        assert!(first.is_pending());
    }
}

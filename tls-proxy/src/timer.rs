//! Time-outs between two steps of something that may take long as a whole.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A time-out between two steps, which costs nothing while steps follow one
/// another at once.
#[derive(Debug, Default)]
pub(crate) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Timer {
    /// Something happened: the time starts anew with the next wait.
    pub(crate) fn progress(&mut self) {
        self.armed = false;
    }

    /// Ready once `limit` has passed since the first wait.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        if let (Some(sleep), false) = (&mut self.sleep, self.armed) {
            sleep.as_mut().reset(Instant::now() + limit);
        }
        self.armed = true;
        let new = || Box::pin(tokio::time::sleep(limit));
        self.sleep.get_or_insert_with(new).as_mut().poll(cx)
    }
}

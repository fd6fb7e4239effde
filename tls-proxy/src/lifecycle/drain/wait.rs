//! The futures that wait for a phase of the drain, or for its end.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::State;
use crate::lifecycle::phase::Phase;

/// What a [`Reached`] waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    After(Phase),
    ClosesIdle,
    Forced,
}

impl Until {
    fn holds(self, phase: Phase) -> bool {
        match self {
            Self::After(before) => phase.rank() > before.rank(),
            Self::ClosesIdle => phase.closes_idle(),
            Self::Forced => phase == Phase::Deadline,
        }
    }
}

/// Waits for a phase; see [`Drain::changed`] and the functions after it.
#[derive(Debug)]
#[must_use = "waits for nothing unless awaited"]
pub struct Reached {
    pub(super) state: Rc<State>,
    pub(super) until: Until,
    pub(super) key: Option<usize>,
}

impl Future for Reached {
    type Output = Phase;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Phase> {
        let this = self.get_mut();
        let phase = this.state.phase.get();
        if this.until.holds(phase) {
            return Poll::Ready(phase);
        }
        this.state.watching.register(&mut this.key, context.waker());
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        self.state.watching.remove(&mut self.key);
    }
}

/// Waits for the last connection and tunnel; see [`Drain::drained`].
#[derive(Debug)]
#[must_use = "waits for nothing unless awaited"]
pub struct Drained {
    pub(super) state: Rc<State>,
    pub(super) key: Option<usize>,
}

impl Future for Drained {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.state.counts.get().is_drained() {
            return Poll::Ready(());
        }
        this.state.emptying.register(&mut this.key, context.waker());
        Poll::Pending
    }
}

impl Drop for Drained {
    fn drop(&mut self) {
        self.state.emptying.remove(&mut self.key);
    }
}

//! The drain of one worker: its phase, and the connections and requests that are left.
//!
//! It is used by the worker's own thread only: reading the phase is reading a cell, and a
//! connection is registered only while it waits.

mod wait;

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::watch;

use self::wait::Until;
pub use self::wait::{Drained, Reached};
pub use super::phase::{DrainController, Phase};
use super::wakers::Wakers;

/// What a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A client's connection.
    Connection,
    /// A request in flight.
    Request,
    /// An upgraded connection: only its peers know when it ends.
    Tunnel,
}

/// How many tokens there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections except tunnels.
    pub connections: usize,
    /// Requests in flight.
    pub requests: usize,
    /// Upgraded connections.
    pub tunnels: usize,
}

/// The drain of one worker; clones share their state.
#[derive(Clone, Debug)]
pub struct Drain {
    state: Rc<State>,
}

#[derive(Debug)]
struct State {
    phase: Cell<Phase>,
    counts: Cell<Counts>,
    /// The counts when everything was cut.
    cut: Cell<Counts>,
    /// Tasks that wait for a phase.
    watching: Wakers,
    /// Tasks that wait for the last token.
    emptying: Wakers,
}

impl Default for Drain {
    fn default() -> Self {
        let (phase, counts) = (Cell::new(Phase::Serving), Cell::default());
        let cut = Cell::default();
        let (watching, emptying) = (Wakers::default(), Wakers::default());
        Self {
            state: Rc::new(State {
                phase,
                counts,
                cut,
                watching,
                emptying,
            }),
        }
    }
}

impl Drain {
    /// In phase `Serving`, without tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows the phases of the [`DrainController`], until that is dropped. Runs as a task
    /// of the worker.
    pub async fn follow(self, mut phases: watch::Receiver<Phase>) {
        loop {
            let phase = *phases.borrow_and_update();
            self.advance(phase);
            if phases.changed().await.is_err() {
                return;
            }
        }
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.state.phase.get()
    }

    /// Advances this worker to a later phase; anything else is ignored.
    pub fn advance(&self, to: Phase) {
        if to.rank() > self.phase().rank() {
            self.state.phase.set(to);
            if to == Phase::Deadline {
                // Before the tasks are woken, which drop their tokens.
                self.state.cut.set(self.counts());
            }
            self.state.watching.wake_all();
        }
    }

    /// Cuts the connections that wait for [`Drain::forced`].
    pub fn force(&self) {
        self.advance(Phase::Deadline);
    }

    /// Resolves with the next phase after the current one; never after the last.
    pub fn changed(&self) -> Reached {
        self.when(Until::After(self.phase()))
    }

    /// Resolves when idle connections have to close.
    pub fn closes_idle(&self) -> Reached {
        self.when(Until::ClosesIdle)
    }

    /// Resolves when everything has to be cut.
    pub fn forced(&self) -> Reached {
        self.when(Until::Forced)
    }

    /// Resolves when there is no connection and no tunnel.
    pub fn drained(&self) -> Drained {
        Drained {
            state: self.state.clone(),
            key: None,
        }
    }

    /// Counts one more, until the token is dropped.
    #[must_use]
    pub fn token(&self, kind: TokenKind) -> Token {
        self.state.count(kind, 1);
        Token {
            state: self.state.clone(),
            kind,
        }
    }

    /// The current counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.counts.get()
    }

    /// The counts at the deadline.
    #[must_use]
    pub fn cut(&self) -> Counts {
        self.state.cut.get()
    }

    fn when(&self, until: Until) -> Reached {
        Reached {
            state: self.state.clone(),
            until,
            key: None,
        }
    }
}

impl State {
    fn count(&self, kind: TokenKind, by: isize) {
        let mut counts = self.counts.get();
        let count = match kind {
            TokenKind::Connection => &mut counts.connections,
            TokenKind::Request => &mut counts.requests,
            TokenKind::Tunnel => &mut counts.tunnels,
        };
        *count = count.saturating_add_signed(by);
        self.counts.set(counts);
        if by < 0 && counts.is_drained() {
            self.emptying.wake_all();
        }
    }
}

impl Counts {
    fn is_drained(self) -> bool {
        self.connections == 0 && self.tunnels == 0
    }
}

/// Counts a connection, request or tunnel until it is dropped.
#[derive(Debug)]
pub struct Token {
    state: Rc<State>,
    kind: TokenKind,
}

impl Token {
    /// Counts it under another kind from now on: a connection was upgraded.
    pub fn reclassify(&mut self, kind: TokenKind) {
        // The new one first, so that the drain does not appear finished.
        self.state.count(kind, 1);
        self.state.count(self.kind, -1);
        self.kind = kind;
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.state.count(self.kind, -1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::task::{LocalSet, spawn_local, yield_now};
    use tokio::time::timeout;

    use super::*;

    /// Runs on one thread, and fails instead of hanging.
    async fn locally(test: impl Future<Output = ()>) {
        let tasks = LocalSet::new();
        timeout(Duration::from_secs(60), tasks.run_until(test))
            .await
            .expect("resolves");
    }

    #[tokio::test]
    async fn a_worker_follows_the_controller_to_the_end() {
        locally(async {
            let (drain_controller, drain) = (DrainController::new(), Drain::new());
            let following = spawn_local(drain.clone().follow(drain_controller.subscribe()));
            for phase in [Phase::LameDuck, Phase::Draining, Phase::Deadline] {
                let changed = drain.changed();
                drain_controller.advance(phase);
                assert_eq!(changed.await, phase);
            }
            drop(drain_controller);
            following.await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_worker_that_starts_late_catches_up() {
        locally(async {
            let (drain_controller, drain) = (DrainController::new(), Drain::new());
            drain_controller.advance(Phase::Draining);
            spawn_local(drain.clone().follow(drain_controller.subscribe()));
            assert_eq!(drain.closes_idle().await, Phase::Draining);
        })
        .await;
    }

    #[tokio::test]
    async fn idle_connections_close_in_the_drain_and_not_in_the_lame_duck() {
        locally(async {
            let drain = Drain::new();
            let idle = {
                let drain = drain.clone();
                spawn_local(async move { drain.closes_idle().await })
            };
            drain.advance(Phase::LameDuck);
            yield_now().await;
            yield_now().await;
            assert!(!idle.is_finished());
            drain.advance(Phase::Draining);
            assert_eq!(idle.await.unwrap(), Phase::Draining);
        })
        .await;
    }

    #[tokio::test]
    async fn the_drain_ends_with_the_last_connection_and_tunnel() {
        locally(async {
            let drain = Drain::new();
            drain.drained().await;
            let request = drain.token(TokenKind::Request);
            drain.drained().await;
            let first = drain.token(TokenKind::Connection);
            let mut second = drain.token(TokenKind::Connection);
            let waiting = spawn_local(drain.drained());
            second.reclassify(TokenKind::Tunnel);
            assert_eq!(
                drain.counts(),
                Counts {
                    connections: 1,
                    requests: 1,
                    tunnels: 1
                }
            );
            drop(first);
            yield_now().await;
            assert!(!waiting.is_finished());
            drop(second);
            waiting.await.unwrap();
            drop(request);
            assert_eq!(drain.counts(), Counts::default());
        })
        .await;
    }

    #[tokio::test]
    async fn force_cuts_and_cannot_be_taken_back() {
        locally(async {
            let drain = Drain::new();
            let forced = spawn_local(drain.forced());
            yield_now().await;
            drain.force();
            forced.await.unwrap();
            drain.advance(Phase::Done);
            assert_eq!(drain.phase(), Phase::Deadline);
        })
        .await;
    }

    #[tokio::test]
    async fn waiting_takes_a_slot_only_while_it_waits() {
        locally(async {
            let drain = Drain::new();
            let waiting = drain.changed();
            assert_eq!(drain.state.watching.waiting(), 0);
            let task = spawn_local(waiting);
            yield_now().await;
            assert_eq!(drain.state.watching.waiting(), 1);
            task.abort();
            task.await.unwrap_err();
            assert_eq!(drain.state.watching.waiting(), 0);
        })
        .await;
    }
}

//! The phases of the shutdown, and the controller that advances them.

use tokio::sync::watch;

/// A phase of the shutdown. It only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No shutdown was requested.
    Serving,
    /// Still accepting, since endpoints take time to disappear; responses close their
    /// connections.
    LameDuck,
    /// Listeners and idle connections are closed.
    Draining,
    /// All connections have ended.
    Done,
    /// The remaining connections are closed.
    Deadline,
}

impl Phase {
    /// `Done` and `Deadline` have the same rank: neither follows the other.
    pub(super) fn rank(self) -> u8 {
        match self {
            Self::Serving => 0,
            Self::LameDuck => 1,
            Self::Draining => 2,
            Self::Done | Self::Deadline => 3,
        }
    }

    /// The phase in a log line.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::LameDuck => {
                "lame duck: still accepting; responses carry Connection: close or GOAWAY"
            }
            Self::Draining => "draining: listeners closed, finishing requests in progress",
            Self::Done => "drained",
            Self::Deadline => {
                "deadline reached (shutdown budget or worker_shutdown_timeout): closing the remaining connections"
            }
        }
    }

    /// Whether responses close their connections (`Connection: close`, GOAWAY).
    #[must_use]
    pub fn is_ending(self) -> bool {
        self != Self::Serving
    }

    /// Whether idle connections are closed.
    #[must_use]
    pub fn closes_idle(self) -> bool {
        self.rank() >= Self::Draining.rank()
    }
}

/// Advances the phase of all workers; owned by `main`.
#[derive(Debug)]
pub struct DrainController {
    phase: watch::Sender<Phase>,
}

impl Default for DrainController {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Serving),
        }
    }
}

impl DrainController {
    /// In phase `Serving`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Advances to a later phase; an earlier or the same one is ignored.
    pub fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let forward = to.rank() > phase.rank();
            if forward {
                *phase = to;
            }
            forward
        });
    }

    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// For a worker's [`Drain`](super::drain::Drain).
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_only_moves_forward() {
        let drain_controller = DrainController::new();
        for (to, expected) in [
            (Phase::Draining, Phase::Draining),
            (Phase::LameDuck, Phase::Draining),
            (Phase::Serving, Phase::Draining),
            (Phase::Done, Phase::Done),
            (Phase::Deadline, Phase::Done),
        ] {
            drain_controller.advance(to);
            assert_eq!(drain_controller.phase(), expected);
        }
    }

    #[test]
    fn followers_are_notified_of_changes_only() {
        let drain_controller = DrainController::new();
        let phases = drain_controller.subscribe();
        drain_controller.advance(Phase::Serving);
        assert!(!phases.has_changed().unwrap());
        drain_controller.advance(Phase::LameDuck);
        assert!(phases.has_changed().unwrap());
    }
}

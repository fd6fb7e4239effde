//! How far the end has come, and the one place that moves it forward.

use tokio::sync::watch;

/// How far the end has come. Only moves forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody wants to stop.
    Serving,
    /// Accepting still, since endpoints take time to disappear, but every
    /// answer says goodbye.
    LameDuck,
    /// Listeners and idle connections are closed.
    Draining,
    /// Nobody was left.
    Done,
    /// Whoever was left is cut.
    Deadline,
}

impl Phase {
    /// The two ends are equally far: neither follows the other.
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
            Self::LameDuck => "lame duck: still accepting, every answer says goodbye",
            Self::Draining => "draining: accepting no more, finishing what has begun",
            Self::Done => "drained",
            Self::Deadline => {
                "out of time (the shutdown budget or worker_shutdown_timeout): cutting what is left"
            }
        }
    }

    /// Whether answers say goodbye (`Connection: close`, GOAWAY).
    #[must_use]
    pub fn is_ending(self) -> bool {
        self != Self::Serving
    }

    /// Whether an idle connection closes.
    #[must_use]
    pub fn closes_idle(self) -> bool {
        self.rank() >= Self::Draining.rank()
    }
}

/// Moves all workers forward; held by `main`.
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
    /// Serving.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves to a later phase; an earlier or the same one is ignored.
    pub fn advance(&self, to: Phase) {
        self.phase.send_if_modified(|phase| {
            let forward = to.rank() > phase.rank();
            if forward {
                *phase = to;
            }
            forward
        });
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// For one worker to follow.
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
    fn followers_are_told_of_changes_only() {
        let drain_controller = DrainController::new();
        let phases = drain_controller.subscribe();
        drain_controller.advance(Phase::Serving);
        assert!(!phases.has_changed().unwrap());
        drain_controller.advance(Phase::LameDuck);
        assert!(phases.has_changed().unwrap());
    }
}

//! The times of the phases of a shutdown.
//!
//! They follow from the shutdown budget: a fifth of it is the lame duck phase, in which the
//! pod still accepts, since its endpoint disappears from the nodes only gradually; the rest
//! is the drain. Without a budget the shutdown is nginx's: no lame duck phase, and no limit
//! but
//! `worker_shutdown_timeout`.

use std::time::Duration;

use tokio::time::Instant;

use super::drain::Phase;

/// The lame duck's part of the budget: 5 of 25 seconds.
const LAME_DUCK: u32 = 5;

/// The phases to come, the next one last.
#[derive(Debug, Default)]
pub struct ShutdownSchedule {
    coming: Vec<(Instant, Phase)>,
}

impl ShutdownSchedule {
    /// No phase is to come.
    #[must_use]
    pub fn serving() -> Self {
        Self::default()
    }

    /// A shutdown requested at `now`. `budget` is its total time, `shutdown_timeout` that
    /// of the drain (`worker_shutdown_timeout`).
    #[must_use]
    pub fn of_the_end(
        now: Instant,
        budget: Option<Duration>,
        shutdown_timeout: Option<Duration>,
    ) -> Self {
        let lame_duck = budget.map(|budget| budget / LAME_DUCK);
        let drain = now + lame_duck.unwrap_or_default();
        let limits = [
            budget.map(|budget| now + budget),
            shutdown_timeout.map(|limit| drain + limit),
        ];
        let deadline = limits.into_iter().flatten().min();
        let mut coming = Vec::new();
        coming.extend(deadline.map(|at| (at, Phase::Deadline)));
        coming.push((drain, Phase::Draining));
        coming.extend(lame_duck.map(|_| (now, Phase::LameDuck)));
        Self { coming }
    }

    /// Waits for the next phase; never ready if there is none. Cancel safe.
    pub async fn next(&mut self) -> Phase {
        let Some(&(at, phase)) = self.coming.last() else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(at).await;
        self.coming.pop();
        phase
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn seconds(budget: Option<u32>, shutdown_timeout: Option<u32>) -> Vec<(u64, Phase)> {
        let now = Instant::now();
        let limit = |seconds: Option<u32>| seconds.map(|seconds| SECOND * seconds);
        let table = ShutdownSchedule::of_the_end(now, limit(budget), limit(shutdown_timeout));
        let phases = table.coming.into_iter().rev();
        phases
            .map(|(at, phase)| ((at - now).as_secs(), phase))
            .collect()
    }

    #[test]
    fn without_a_budget_the_end_is_that_of_nginx() {
        use Phase::{Deadline, Draining};
        assert_eq!(seconds(None, None), [(0, Draining)]);
        assert_eq!(seconds(None, Some(7)), [(0, Draining), (7, Deadline)]);
    }

    #[test]
    fn a_fifth_of_the_budget_is_the_lame_duck_and_the_earlier_limit_holds() {
        use Phase::{Deadline, Draining, LameDuck};
        let begin = [(0, LameDuck), (5, Draining)];
        for (shutdown_timeout, deadline) in [(None, 25), (Some(60), 25), (Some(2), 7)] {
            let end = [(deadline, Deadline)];
            assert_eq!(
                seconds(Some(25), shutdown_timeout),
                [&begin[..], &end].concat()
            );
        }
    }

    #[tokio::test]
    async fn no_phase_comes_before_its_time_and_none_after_the_last() {
        let begin = Instant::now();
        let unit = Duration::from_millis(10);
        let mut table = ShutdownSchedule::of_the_end(begin, Some(25 * unit), None);
        for (at, phase) in [
            (0, Phase::LameDuck),
            (5, Phase::Draining),
            (25, Phase::Deadline),
        ] {
            assert_eq!(table.next().await, phase);
            assert!(begin.elapsed() >= at * unit);
        }
        let never = tokio::time::timeout(unit, table.next()).await;
        assert!(never.is_err());
    }
}

//! When a rejected configuration is read again. What was missing may come without a change of a
//! file: a name that is found once DNS responds, a port that is free again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The pause before the first attempt. Each further one is twice as long, up to `LONGEST`.
const FIRST: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(300);

/// A rejected configuration, until another one is in force.
#[derive(Debug)]
pub(crate) struct Retry {
    pause: Duration,
    at: Instant,
    /// Why it was rejected.
    reasons: Vec<String>,
}

impl Retry {
    /// Of one that was rejected for the first time.
    pub(crate) fn new(reasons: Vec<String>) -> Self {
        Self {
            pause: FIRST,
            at: Instant::now() + FIRST,
            reasons,
        }
    }

    /// It was rejected again; returns whether that was for the same reasons.
    pub(crate) fn again(&mut self, reasons: &[String]) -> bool {
        self.pause = (2 * self.pause).min(LONGEST);
        self.at = Instant::now() + self.pause;
        let same = self.reasons == reasons;
        if !same {
            self.reasons = reasons.to_vec();
        }
        same
    }

    /// The pause before the next attempt, seconds.
    pub(crate) fn seconds(&self) -> u64 {
        self.pause.as_secs()
    }
}

/// Waits for the next attempt; never ready if nothing was rejected. Cancel safe.
pub(crate) async fn due(retry: Option<&Retry>) {
    match retry {
        Some(retry) => sleep_until(retry.at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pauses_grow_to_five_minutes() {
        let reasons = [String::from("a")];
        let mut retry = Retry::new(reasons.to_vec());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let before = Instant::now();
            due(Some(&retry)).await;
            pauses.push(before.elapsed().as_secs());
            assert!(retry.again(&reasons));
        }
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[tokio::test]
    async fn another_reason_is_told_from_the_same_one() {
        let (one, other) = ([String::from("a")], [String::from("b")]);
        let mut retry = Retry::new(one.to_vec());
        assert!(retry.again(&one));
        assert!(!retry.again(&other));
        assert!(retry.again(&other));
    }
}

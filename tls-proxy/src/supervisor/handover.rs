//! A reload on its way: the workers have been sent a configuration, and not all
//! of them have said yet that they serve it.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::tls::lifetime::Lifetime;

/// How long a worker may take before the log names it. It is busy for so long
/// only where something has gone wrong, such as a log nobody reads.
const PATIENCE: Duration = Duration::from_secs(3);

/// A configuration that was sent to the workers.
#[derive(Debug)]
pub(crate) struct Handover {
    /// How long the certificates of the one before hold.
    pub(crate) lifetimes_before: Vec<Lifetime>,
    /// Each worker's number and its acknowledgement.
    waiting: Vec<(usize, oneshot::Receiver<()>)>,
    workers: usize,
    /// When to name who is missing; none once that is done.
    named_at: Option<Instant>,
}

impl Handover {
    pub(crate) fn new(lifetimes_before: Vec<Lifetime>) -> Self {
        Self {
            lifetimes_before,
            waiting: Vec::new(),
            workers: 0,
            named_at: Some(Instant::now() + PATIENCE),
        }
    }

    /// What the next worker answers with.
    pub(crate) fn acknowledgement(&mut self) -> oneshot::Sender<()> {
        let (answer, waiting) = oneshot::channel();
        self.waiting.push((self.workers, waiting));
        self.workers += 1;
        answer
    }

    /// Waits until every worker has taken it or has ended. Can be cancelled.
    async fn done(&mut self) {
        while let Some((_, next)) = self.waiting.last_mut() {
            let named_at = self.named_at;
            tokio::select! {
                _ = next => {
                    // A worker that has ended serves no other configuration.
                    self.waiting.pop();
                }
                () = sleep_until(named_at.unwrap_or_else(Instant::now)), if named_at.is_some() => {
                    self.named_at = None;
                    self.name_silent();
                }
            }
        }
    }

    fn name_silent(&mut self) {
        use oneshot::error::TryRecvError::Empty;
        self.waiting
            .retain_mut(|(_, answer)| answer.try_recv() == Err(Empty));
        for (number, _) in &self.waiting {
            tracing::warn!(
                "worker {number} has not taken the new configuration yet; the next reload waits for it"
            );
        }
    }
}

/// Waits until every worker has what was sent; for ever where nothing was.
pub(crate) async fn done(handover: &mut Option<Handover>) {
    match handover {
        Some(handover) => handover.done().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_done_with_the_last_acknowledgement_and_not_before() {
        let mut handover = Some(Handover::new(Vec::new()));
        let mut answers: Vec<_> = (0..3)
            .filter_map(|_| handover.as_mut().map(Handover::acknowledgement))
            .collect();
        let last = answers.remove(1);
        for answer in answers {
            answer.send(()).unwrap();
        }
        handover.as_mut().unwrap().named_at = Some(Instant::now());
        let early = tokio::time::timeout(Duration::from_millis(50), done(&mut handover)).await;
        assert!(early.is_err());
        let silent = handover.as_ref().unwrap().waiting.iter();
        assert_eq!(silent.map(|own| own.0).collect::<Vec<_>>(), [1]);
        last.send(()).unwrap();
        done(&mut handover).await;
    }

    #[tokio::test]
    async fn a_worker_that_has_ended_is_not_waited_for() {
        let mut handover = Some(Handover::new(Vec::new()));
        drop(handover.as_mut().map(Handover::acknowledgement));
        done(&mut handover).await;
    }
}

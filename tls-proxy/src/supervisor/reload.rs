//! A reload in progress: a configuration was sent to the workers, and some have not
//! acknowledged it.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use crate::tls::lifetime::Lifetime;

/// Time after which the log names the workers that have not acknowledged. They are busy for
/// so long only if something is wrong, such as a log pipe that nobody reads.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// A configuration sent to the workers.
#[derive(Debug)]
pub(crate) struct Reload {
    /// The certificates of the previous configuration.
    pub(crate) lifetimes_before: Vec<Lifetime>,
    /// Each worker's number and its acknowledgement.
    waiting: Vec<(usize, oneshot::Receiver<()>)>,
    workers: usize,
    /// When to log the missing workers; `None` afterwards.
    log_at: Option<Instant>,
}

impl Reload {
    pub(crate) fn new(lifetimes_before: Vec<Lifetime>) -> Self {
        Self {
            lifetimes_before,
            waiting: Vec::new(),
            workers: 0,
            log_at: Some(Instant::now() + ACK_TIMEOUT),
        }
    }

    /// The acknowledgement for the next worker.
    pub(crate) fn acknowledgement(&mut self) -> oneshot::Sender<()> {
        let (sender, waiting) = oneshot::channel();
        self.waiting.push((self.workers, waiting));
        self.workers += 1;
        sender
    }

    /// Waits until every worker has acknowledged or ended. Cancel safe.
    async fn done(&mut self) {
        while let Some((_, next)) = self.waiting.last_mut() {
            let log_at = self.log_at;
            tokio::select! {
                _ = next => {
                    // A worker that has ended serves no configuration.
                    self.waiting.pop();
                }
                () = sleep_until(log_at.unwrap_or_else(Instant::now)), if log_at.is_some() => {
                    self.log_at = None;
                    self.log_missing();
                }
            }
        }
    }

    fn log_missing(&mut self) {
        use oneshot::error::TryRecvError::Empty;
        self.waiting
            .retain_mut(|(_, receiver)| receiver.try_recv() == Err(Empty));
        for (number, _) in &self.waiting {
            tracing::warn!(
                "worker {number} has not applied the new configuration yet; the next reload waits for it"
            );
        }
    }
}

/// Waits until every worker has acknowledged; never ready without a reload.
pub(crate) async fn done(reload: &mut Option<Reload>) {
    match reload {
        Some(reload) => reload.done().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_done_with_the_last_acknowledgement_and_not_before() {
        let mut reload = Some(Reload::new(Vec::new()));
        let mut senders: Vec<_> = (0..3)
            .filter_map(|_| reload.as_mut().map(Reload::acknowledgement))
            .collect();
        let last = senders.remove(1);
        for sender in senders {
            sender.send(()).unwrap();
        }
        reload.as_mut().unwrap().log_at = Some(Instant::now());
        let early = tokio::time::timeout(Duration::from_millis(50), done(&mut reload)).await;
        assert!(early.is_err());
        let silent = reload.as_ref().unwrap().waiting.iter();
        assert_eq!(silent.map(|own| own.0).collect::<Vec<_>>(), [1]);
        last.send(()).unwrap();
        done(&mut reload).await;
    }

    #[tokio::test]
    async fn a_worker_that_has_ended_is_not_waited_for() {
        let mut reload = Some(Reload::new(Vec::new()));
        drop(reload.as_mut().map(Reload::acknowledgement));
        done(&mut reload).await;
    }
}

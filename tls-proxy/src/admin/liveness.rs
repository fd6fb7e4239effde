//! Whether every worker's event loop still turns.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::lifecycle::drain::Phase;
use crate::server::worker::Order;

/// How long a worker may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The workers, as who asks them sees them.
pub(super) struct WorkerProbe(Vec<ProbedWorker>);

struct ProbedWorker {
    orders: mpsc::UnboundedSender<Order>,
    /// A question that is not answered yet; no second one is sent before.
    waiting: Option<oneshot::Receiver<()>>,
}

/// A worker that is not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("worker {0} does not answer")]
    Silent(usize),
    #[error("worker {0} has ended")]
    Ended(usize),
}

impl WorkerProbe {
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Order>>) -> Self {
        let asked = |orders| ProbedWorker {
            orders,
            waiting: None,
        };
        Self(workers.into_iter().map(asked).collect())
    }

    /// Asks every worker; the first that is ill. In the drain one that has
    /// ended is done.
    pub(super) async fn check(&mut self, phase: Phase) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        for worker in &mut self.0 {
            worker.ask();
        }
        for (number, worker) in self.0.iter_mut().enumerate() {
            let Some(answer) = &mut worker.waiting else {
                continue;
            };
            let Ok(answered) = timeout_at(deadline, answer).await else {
                return Err(Error::Silent(number));
            };
            worker.waiting = None;
            if answered.is_err() && !phase.closes_idle() {
                return Err(Error::Ended(number));
            }
        }
        Ok(())
    }
}

impl ProbedWorker {
    fn ask(&mut self) {
        if self.waiting.is_none() {
            let (answer, waiting) = oneshot::channel();
            // Who has ended lets the question go, which is an answer as well.
            let _ = self.orders.send(Order::Ping(answer));
            self.waiting = Some(waiting);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> (mpsc::UnboundedSender<Order>, mpsc::UnboundedReceiver<Order>) {
        mpsc::unbounded_channel()
    }

    #[tokio::test]
    async fn one_that_does_not_turn_is_named_and_asked_once() {
        let (good, mut orders) = worker();
        tokio::spawn(async move {
            while let Some(Order::Ping(answer)) = orders.recv().await {
                let _ = answer.send(());
            }
        });
        let (stuck, mut never) = worker();
        let mut probe = WorkerProbe::new(vec![good, stuck]);
        for _ in 0..2 {
            assert_eq!(probe.check(Phase::Serving).await, Err(Error::Silent(1)));
        }
        let Ok(Order::Ping(answer)) = never.try_recv() else {
            panic!("was asked");
        };
        assert!(never.try_recv().is_err());
        answer.send(()).unwrap();
        assert_eq!(probe.check(Phase::Serving).await, Ok(()));
    }

    #[tokio::test]
    async fn one_that_has_ended_is_ill_but_in_the_drain() {
        let (gone, orders) = worker();
        drop(orders);
        let mut probe = WorkerProbe::new(vec![gone]);
        assert_eq!(probe.check(Phase::Serving).await, Err(Error::Ended(0)));
        assert_eq!(probe.check(Phase::Draining).await, Ok(()));
    }
}

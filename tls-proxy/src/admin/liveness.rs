//! Whether every worker's event loop is running.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::lifecycle::drain::Phase;
use crate::server::worker::Order;

/// How long a worker may take to respond.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The workers and their pending pings.
pub(super) struct WorkerProbe(Vec<ProbedWorker>);

struct ProbedWorker {
    orders: mpsc::UnboundedSender<Order>,
    /// The pending ping, if any; no second one is sent meanwhile.
    waiting: Option<oneshot::Receiver<()>>,
}

/// A worker that is not healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    #[error("worker {0} does not respond")]
    Silent(usize),
    #[error("worker {0} has ended")]
    Ended(usize),
}

impl WorkerProbe {
    pub(super) fn new(workers: Vec<mpsc::UnboundedSender<Order>>) -> Self {
        let probed = |orders| ProbedWorker {
            orders,
            waiting: None,
        };
        Self(workers.into_iter().map(probed).collect())
    }

    /// Pings every worker; returns the first unhealthy one. During the drain a worker may
    /// have ended.
    pub(super) async fn check(&mut self, phase: Phase) -> Result<(), Error> {
        let deadline = Instant::now() + TIMEOUT;
        for worker in &mut self.0 {
            worker.ping();
        }
        for (number, worker) in self.0.iter_mut().enumerate() {
            let Some(pong) = &mut worker.waiting else {
                continue;
            };
            let Ok(result) = timeout_at(deadline, pong).await else {
                return Err(Error::Silent(number));
            };
            worker.waiting = None;
            if result.is_err() && !phase.closes_idle() {
                return Err(Error::Ended(number));
            }
        }
        Ok(())
    }
}

impl ProbedWorker {
    fn ping(&mut self) {
        if self.waiting.is_none() {
            let (sender, waiting) = oneshot::channel();
            // A worker that has ended drops the ping, which also resolves it.
            let _ = self.orders.send(Order::Ping(sender));
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
    async fn a_stuck_worker_is_named_and_pinged_once() {
        let (good, mut orders) = worker();
        tokio::spawn(async move {
            while let Some(Order::Ping(sender)) = orders.recv().await {
                let _ = sender.send(());
            }
        });
        let (stuck, mut never) = worker();
        let mut probe = WorkerProbe::new(vec![good, stuck]);
        for _ in 0..2 {
            assert_eq!(probe.check(Phase::Serving).await, Err(Error::Silent(1)));
        }
        let Ok(Order::Ping(sender)) = never.try_recv() else {
            panic!("was probed");
        };
        assert!(never.try_recv().is_err());
        sender.send(()).unwrap();
        assert_eq!(probe.check(Phase::Serving).await, Ok(()));
    }

    #[tokio::test]
    async fn an_ended_worker_is_unhealthy_except_in_the_drain() {
        let (gone, orders) = worker();
        drop(orders);
        let mut probe = WorkerProbe::new(vec![gone]);
        assert_eq!(probe.check(Phase::Serving).await, Err(Error::Ended(0)));
        assert_eq!(probe.check(Phase::Draining).await, Ok(()));
    }
}

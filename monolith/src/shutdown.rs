//! Shutdown: the signals that start it, its phases, waiting for the proxy.
//!
//! A phase is never left for an earlier one. What has to finish watches it.

use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// How often to check for the proxy. A check costs a system call for each socket of
/// this process, and one for each page of the table.
const INTERVAL: Duration = Duration::from_millis(100);

/// The phases of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Accepting connections.
    Serving,
    /// Not accepting; requests in flight are finished.
    Draining,
    /// Connections that are still open are closed.
    Cut,
}

/// Waits until `current` is `phase` or a later one. Without a sender every phase
/// counts as reached.
pub(crate) async fn reached(current: &mut watch::Receiver<Phase>, phase: Phase) {
    let _ = current.wait_for(|&now| now >= phase).await;
}

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM: the pod ends, and its proxy may still need this service.
    Terminate,
    /// SIGINT: somebody at a terminal waits.
    Interrupt,
}

/// Turns SIGTERM and SIGINT into requests to stop: the first starts the drain, the
/// second one ends it.
///
/// # Errors
/// When a signal handler cannot be installed.
pub fn signals() -> io::Result<mpsc::Receiver<Stop>> {
    // The kubelet sends SIGTERM, which PID 1 would ignore without a handler.
    let mut terminate = signal(SignalKind::terminate())?;
    // SIGINT is Ctrl-C at a terminal.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (requests, stop) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            let stop = tokio::select! {
                _ = terminate.recv() => Stop::Terminate,
                _ = interrupt.recv() => Stop::Interrupt,
            };
            if requests.send(stop).await.is_err() {
                return;
            }
        }
    });
    Ok(stop)
}

/// Waits for a request to stop; for ever if there is no sender.
pub(crate) async fn requested(stop: &mut mpsc::Receiver<Stop>) -> Stop {
    match stop.recv().await {
        Some(stop) => stop,
        None => std::future::pending().await,
    }
}

/// Why waiting for the proxy ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitEnd {
    /// No other process of the pod holds a TCP socket.
    Alone,
    /// The others still listen: the pod is not ending.
    StillListening,
    /// The kernel does not list the sockets.
    Unknown,
}

impl WaitEnd {
    /// The log message.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::Alone => "draining: no other process of the pod has a socket open",
            Self::StillListening => "draining: the other processes of the pod are not stopping",
            Self::Unknown => "draining without waiting for the other processes of the pod",
        }
    }
}

/// Waits until the proxy in front has ended: until no other process of the pod has
/// a TCP socket open. If after `grace` the others still listen on every socket that
/// they listened on at first, only this container was told to stop, and its restart
/// should not wait.
pub(crate) async fn proxy_ended(grace: Duration) -> WaitEnd {
    let start = Instant::now();
    let mut initial = None;
    loop {
        let others = match pod::neighbours::sockets() {
            Ok(others) => others,
            Err(error) => {
                tracing::warn!(%error, "cannot read the sockets of the pod");
                return WaitEnd::Unknown;
            }
        };
        if others.is_empty() {
            return WaitEnd::Alone;
        }
        let initial = initial.get_or_insert_with(|| others.listening.clone());
        if start.elapsed() >= grace && still_listening(initial, &others.listening) {
            return WaitEnd::StillListening;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Whether no other process of the pod has a TCP socket open.
pub(crate) fn is_alone() -> bool {
    pod::neighbours::sockets().is_ok_and(|others| others.is_empty())
}

/// Whether there were listening sockets, and none of them has closed.
fn still_listening(initial: &[u64], now: &[u64]) -> bool {
    !initial.is_empty() && initial.iter().all(|socket| now.contains(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_closes_one_of_its_listeners_is_ending() {
        assert!(still_listening(&[1, 2], &[1, 2]));
        assert!(still_listening(&[1, 2], &[1, 2, 3]));
        assert!(!still_listening(&[1, 2], &[2]));
        assert!(!still_listening(&[], &[]));
    }
}

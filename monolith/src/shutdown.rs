//! The end of the process: which signals begin it, how far it has come.
//!
//! The phase only moves forward. Whoever has something to finish watches it;
//! who counts what was cut is the server.

use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

/// How often to look for the proxy. A look costs a system call for each socket
/// of this process, and one for each page of the table.
const LOOK: Duration = Duration::from_millis(100);

/// How far the end of the process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Accepting and answering.
    Serving,
    /// Accepting no more; what has begun is finished.
    Draining,
    /// Whatever is still open is dropped.
    Cut,
}

/// Waits until `phase` has come at least as far as `reached`. A sender that is
/// gone has ended the process: every phase is reached.
pub(crate) async fn reach(phase: &mut watch::Receiver<Phase>, reached: Phase) {
    let _ = phase.wait_for(|&now| now >= reached).await;
}

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The pod ends: whoever is served by us may still need us.
    Terminate,
    /// A person at a terminal waits.
    Interrupt,
}

/// Turns SIGTERM and SIGINT into requests to stop: the first begins the end,
/// the second forces it.
///
/// # Errors
/// When the kernel refuses a handler.
pub fn signals() -> io::Result<mpsc::Receiver<Stop>> {
    // SIGTERM is what the kubelet sends; as PID 1 it would be ignored without a handler.
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

/// Waits for a request to stop. Nobody left to ask means that nobody ever will.
pub(crate) async fn requested(stop: &mut mpsc::Receiver<Stop>) -> Stop {
    match stop.recv().await {
        Some(stop) => stop,
        None => std::future::pending().await,
    }
}

/// Why there is nobody to wait for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// No other process of the pod holds a TCP socket.
    Alone,
    /// The others accept as before: it is not the pod that ends.
    Alive,
    /// The kernel does not show the sockets.
    Unseen,
}

impl Left {
    /// The reason in a log line.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Self::Alone => "alone in the pod: draining",
            Self::Alive => "the rest of the pod does not end: draining",
            Self::Unseen => "cannot see the sockets of the pod: draining without waiting",
        }
    }
}

/// Waits for the end of the proxy in front, which ends by itself: until no other
/// process of the pod holds a TCP socket, and it has carried its last request.
/// Where after `patience` the others still accept on every socket that they did at
/// first, this process alone was told to stop, and its restart should not wait.
pub(crate) async fn outlived(patience: Duration) -> Left {
    let began = Instant::now();
    let mut at_first = None;
    loop {
        let others = match pod::neighbours::sockets() {
            Ok(others) => others,
            Err(error) => {
                tracing::warn!(%error, "the sockets of the pod cannot be seen");
                return Left::Unseen;
            }
        };
        if others.is_empty() {
            return Left::Alone;
        }
        let at_first = at_first.get_or_insert_with(|| others.listening.clone());
        if began.elapsed() >= patience && accept_still(at_first, &others.listening) {
            return Left::Alive;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether somebody accepted at first, and nobody has stopped since.
fn accept_still(at_first: &[u64], now: &[u64]) -> bool {
    !at_first.is_empty() && at_first.iter().all(|socket| now.contains(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_closes_one_of_its_listeners_is_ending() {
        assert!(accept_still(&[1, 2], &[1, 2]));
        assert!(accept_still(&[1, 2], &[1, 2, 3]));
        assert!(!accept_still(&[1, 2], &[2]));
        assert!(!accept_still(&[], &[]));
    }
}

//! The end of the process: which signals begin it, how far it has come.
//!
//! The phase only moves forward. Whoever has something to finish watches it;
//! who counts what was cut is the server.

use std::io;
use std::time::Duration;
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

/// Waits until no other process of the pod holds a TCP socket: until the proxy
/// in front, which ends by itself, has carried its last request.
pub(crate) async fn alone() {
    loop {
        match pod::neighbours::hold_sockets() {
            Ok(true) => tokio::time::sleep(LOOK).await,
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot see the sockets of the pod; not waiting for the proxy");
                return;
            }
        }
    }
}

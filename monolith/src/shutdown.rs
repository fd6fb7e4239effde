//! The end of the process: which signals begin it, how far it has come.
//!
//! The phase only moves forward. Whoever has something to finish watches it;
//! who counts what was cut is the server.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

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

/// Turns SIGTERM and SIGINT into requests to stop: the first begins the drain,
/// the second forces the end.
///
/// # Errors
/// When the kernel refuses a handler.
pub fn signals() -> io::Result<mpsc::Receiver<()>> {
    // SIGTERM is what the kubelet sends; as PID 1 it would be ignored without a handler.
    let mut terminate = signal(SignalKind::terminate())?;
    // SIGINT is Ctrl-C at a terminal.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (requests, stop) = mpsc::channel(2);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if requests.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(stop)
}

/// Waits for a request to stop. Nobody left to ask means that nobody ever will.
pub(crate) async fn requested(stop: &mut mpsc::Receiver<()>) {
    if stop.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

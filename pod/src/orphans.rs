//! Reaps zombies: a process that `kubectl exec` has left behind becomes a child of
//! PID 1, which has to wait for it.

use std::io;

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// PID 1, the parent of orphans (pid_namespaces(7)).
const FIRST: u32 = 1;

/// Reaps orphans until the process ends; returns at once unless it is PID 1.
///
/// # Errors
/// When a handler for SIGCHLD cannot be installed.
pub async fn reap() -> io::Result<()> {
    if std::process::id() != FIRST {
        return Ok(());
    }
    let mut ended = signal(SignalKind::child())?;
    while ended.recv().await.is_some() {
        // One signal may stand for several processes.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
    Ok(())
}

//! Ended processes that nobody waits for: what `kubectl exec` has started and
//! left behind becomes a child of the container's first process.

use std::io;

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// The process that the kernel hands orphans to (pid_namespaces(7)).
const FIRST: u32 = 1;

/// Waits for orphans as long as the process lives, so that none stays in the
/// table of processes; returns at once in a process that is not the first.
///
/// # Errors
/// When the kernel refuses a handler for SIGCHLD.
pub async fn reap() -> io::Result<()> {
    if std::process::id() != FIRST {
        return Ok(());
    }
    let mut ended = signal(SignalKind::child())?;
    while ended.recv().await.is_some() {
        // One signal may stand for several.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
    Ok(())
}

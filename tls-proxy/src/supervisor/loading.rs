//! Work that may block, such as reading a configuration, on a thread of its own: looking up names
//! and waiting for a pipe take seconds, and signals must not wait for them.

use std::io;
use std::thread;

use tokio::sync::oneshot;

use super::load::Configuration;
use crate::lifecycle::signals::Signals;

/// Stack of the thread, bytes: as much as the main thread has, where `-t` reads the configuration.
const STACK: usize = 8 << 20;

/// Why a configuration is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// HUP.
    Requested,
    /// A file may have changed.
    Changed,
    /// The last one was rejected.
    Rejected,
}

/// A configuration that is being read.
pub(crate) struct Loading {
    pub(crate) cause: Cause,
    result: oneshot::Receiver<Configuration>,
}

impl Loading {
    /// Begins to read one.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(crate) fn begin(
        cause: Cause,
        read: impl FnOnce() -> Configuration + Send + 'static,
    ) -> io::Result<Self> {
        let result = apart(read)?;
        Ok(Self { cause, result })
    }
}

/// Waits for the configuration, `None` if reading it panicked; never ready if none is being read.
/// Cancel safe.
pub(crate) async fn done(loading: &mut Option<Loading>) -> Option<Configuration> {
    match loading {
        Some(loading) => (&mut loading.result).await.ok(),
        None => std::future::pending().await,
    }
}

/// Starts `work` on a thread. The end of the process does not wait for it.
fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (sender, result) = oneshot::channel();
    let thread = thread::Builder::new().name("load".to_owned());
    thread.stack_size(STACK).spawn(move || {
        // Nobody waits for it any more when the process ends.
        let _ = sender.send(work());
    })?;
    Ok(result)
}

/// Does `work`, unless QUIT, TERM or INT comes first: then its result is that signal's name. Other
/// signals are left for later.
///
/// # Errors
/// If there is no thread for it, or it panicked.
pub async fn unless_stopped<T: Send + 'static>(
    signals: &mut Signals,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Result<T, &'static str>, String> {
    let result = apart(work).map_err(|error| format!("no thread: {error}"))?;
    tokio::select! {
        biased;
        done = result => done.map(Ok).map_err(|_| "reading the configuration panicked".to_owned()),
        name = signals.stopped() => Ok(Err(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_blocks_is_not_waited_for() {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let mut waiting = apart(move || blocked.recv().is_ok()).unwrap();
        tokio::task::yield_now().await;
        assert!(waiting.try_recv().is_err());
        release.send(()).unwrap();
        assert!(waiting.await.unwrap());
    }
}

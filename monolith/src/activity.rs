//! What a connection is doing, seen from its bytes, and how long it may.
//!
//! hyper has one time-out for "no complete header yet" and counts an idle
//! keep-alive connection as one. They need two: a header should come within
//! seconds, while an idle connection must outlive the proxy's own idle time,
//! or the proxy would send a request into a closing connection and get a 502.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long a client may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// From the first byte of a header to its last; also from the connect to the first byte.
    pub(crate) header: Duration,
    /// From an answer to the next request.
    pub(crate) idle: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// Connected, not a byte yet.
    Connected,
    /// Between two requests.
    Idle,
    /// Sending a header.
    Asking,
    /// Waiting for our answer; our delay is not the client's fault.
    Waiting,
}

/// What the connection is doing and since when; shared by its socket and its
/// task, which never contend.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<(Doing, Instant)>>);

impl Activity {
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new((Doing::Connected, Instant::now()))))
    }

    pub(crate) fn becomes(&self, doing: Doing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (doing, Instant::now());
    }

    pub(crate) fn doing(&self) -> Doing {
        self.now().0
    }

    fn now(&self) -> (Doing, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until patience ends and returns what the client was doing.
    pub(crate) async fn overdue(&self, patience: Patience) -> Doing {
        loop {
            let (doing, since) = self.now();
            let deadline = match doing {
                Doing::Connected | Doing::Asking => since + patience.header,
                Doing::Idle => since + patience.idle,
                // Look again later; by then the client may be idle.
                Doing::Waiting => Instant::now() + patience.header,
            };
            if doing != Doing::Waiting && deadline <= Instant::now() {
                return doing;
            }
            // What begins meanwhile has at least `header` from now.
            let look = deadline.min(Instant::now() + patience.header);
            tokio::time::sleep_until(look).await;
        }
    }

    fn read(&self) {
        if matches!(self.now().0, Doing::Connected | Doing::Idle) {
            self.becomes(Doing::Asking);
        }
    }
}

/// A socket that tells its [`Activity`] when bytes arrive.
#[derive(Debug)]
pub(crate) struct Observed<S> {
    socket: S,
    activity: Activity,
}

impl<S> Observed<S> {
    pub(crate) fn new(socket: S, activity: Activity) -> Self {
        Self { socket, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.socket).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.read();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    // Without these two hyper copies every body behind its head first.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        header: Duration::from_secs(15),
        idle: Duration::from_secs(75),
    };

    /// What the client was doing when patience ended, and after how long.
    async fn overdue(activity: &Activity) -> (Doing, u64) {
        let begun = Instant::now();
        let doing = activity.overdue(PATIENCE).await;
        (doing, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_has_the_time_of_a_header() {
        assert_eq!(overdue(&Activity::begin()).await, (Doing::Connected, 15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_has_its_time_from_the_first_byte_and_not_from_the_last() {
        let activity = Activity::begin();
        activity.read();
        tokio::time::sleep(Duration::from_secs(10)).await;
        activity.read();
        assert_eq!(overdue(&activity).await, (Doing::Asking, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_outlives_the_proxys_idle_time() {
        let activity = Activity::begin();
        activity.becomes(Doing::Idle);
        assert_eq!(overdue(&activity).await, (Doing::Idle, 75));
    }

    #[tokio::test(start_paused = true)]
    async fn our_own_delay_is_not_held_against_the_client() {
        let activity = Activity::begin();
        activity.becomes(Doing::Waiting);
        let patience = tokio::time::timeout(Duration::from_secs(3600), overdue(&activity));
        assert!(patience.await.is_err());
    }
}

//! The state of a connection, from the bytes it receives, and its time-outs.
//!
//! hyper has one time-out for an incomplete header and applies it to idle
//! keep-alive connections too. They need two: a header should come within seconds,
//! but an idle connection must stay open longer than the proxy's own keep-alive
//! time-out, or the proxy may send a request on a connection that is closing and
//! respond 502.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How long a client may take before its connection is closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// From the accept to the first byte.
    pub(crate) connected: Duration,
    /// From the first byte of a header to its last.
    pub(crate) header: Duration,
    /// From a response to the next request.
    pub(crate) idle: Duration,
    /// In place of `connected` once the drain has begun: a request that was sent before
    /// should be there, and an unused connection must not hold up the end.
    pub(crate) draining: Duration,
}

impl Timeouts {
    /// Those of a connection that has received nothing when the drain begins.
    pub(crate) fn of_the_drain(self) -> Self {
        Self {
            connected: self.draining,
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Accepted; no byte received yet.
    Connected,
    /// Between requests.
    Idle,
    /// Part of a header received.
    ReadingHeader,
    /// The client waits for the response: no time-out of its own.
    Responding,
}

/// The state and since when; shared by the socket and its task, which never
/// contend for the lock.
#[derive(Debug, Clone)]
pub(crate) struct Activity(Arc<Mutex<(State, Instant)>>);

impl Activity {
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new((State::Connected, Instant::now()))))
    }

    pub(crate) fn set(&self, state: State) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        current.0 = state;
        // The only state that has no time-out.
        if state != State::Responding {
            current.1 = Instant::now();
        }
    }

    pub(crate) fn state(&self) -> State {
        self.now().0
    }

    fn now(&self) -> (State, Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a time-out expires and returns the state that it expired in.
    pub(crate) async fn timed_out(&self, timeouts: Timeouts) -> State {
        loop {
            let (state, since) = self.now();
            let deadline = match state {
                State::Connected => since + timeouts.connected,
                State::ReadingHeader => since + timeouts.header,
                State::Idle => since + timeouts.idle,
                // Check again later: the client may be idle by then.
                State::Responding => Instant::now() + timeouts.header,
            };
            if state != State::Responding && deadline <= Instant::now() {
                return state;
            }
            // A state that begins meanwhile lasts at least `header`.
            let check = deadline.min(Instant::now() + timeouts.header);
            tokio::time::sleep_until(check).await;
        }
    }

    fn read(&self) {
        if matches!(self.now().0, State::Connected | State::Idle) {
            self.set(State::ReadingHeader);
        }
    }
}

/// A socket that updates its [`Activity`] when bytes arrive.
#[derive(Debug)]
pub(crate) struct ObservedSocket<S> {
    socket: S,
    activity: Activity,
}

impl<S> ObservedSocket<S> {
    pub(crate) fn new(socket: S, activity: Activity) -> Self {
        Self { socket, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedSocket<S> {
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

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedSocket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    // Without these two hyper copies each body into one buffer with its header.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
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

    const TIMEOUTS: Timeouts = Timeouts {
        connected: Duration::from_secs(14),
        header: Duration::from_secs(15),
        idle: Duration::from_secs(75),
        draining: Duration::from_secs(1),
    };

    /// The state in which a time-out expired, and after how many seconds.
    async fn timed_out(activity: &Activity) -> (State, u64) {
        let begun = Instant::now();
        let state = activity.timed_out(TIMEOUTS).await;
        (state, begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_nothing_has_a_time_out_of_its_own() {
        assert_eq!(timed_out(&Activity::begin()).await, (State::Connected, 14));
    }

    #[tokio::test(start_paused = true)]
    async fn the_header_time_out_runs_from_the_first_byte() {
        let activity = Activity::begin();
        activity.read();
        tokio::time::sleep(Duration::from_secs(10)).await;
        activity.read();
        assert_eq!(timed_out(&activity).await, (State::ReadingHeader, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_has_the_idle_time_out() {
        let activity = Activity::begin();
        activity.set(State::Idle);
        assert_eq!(timed_out(&activity).await, (State::Idle, 75));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pending_response_has_no_time_out() {
        let activity = Activity::begin();
        activity.set(State::Responding);
        let expired = tokio::time::timeout(Duration::from_secs(3600), timed_out(&activity));
        assert!(expired.await.is_err());
    }
}

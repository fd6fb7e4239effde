//! Serves HTTP/1 on a port, with time-outs and limits, until it is drained. Both
//! ports are served by this module; a [`Port`] makes the responses.

use crate::activity::{ObservedSocket, State, Timeouts};
use crate::connection_limit::{ConnectionLimit, ConnectionPermit};
use crate::shutdown::{Phase, reached};
use axum::body::Body;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The longest header with its request line, in bytes: hyper's minimum. Each
/// connection may use this much, so it decides how many fit into the memory limit.
const MAX_HEAD: usize = 8 * 1024;

/// What is served on a port.
pub(crate) trait Port: Clone + Send + Sync + 'static {
    /// Whether a connection is kept open for another request.
    const KEEP_ALIVE: bool;

    /// The response to one request.
    fn respond(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Called for bytes that were rejected before they were a request: not HTTP, a
    /// header too large (with the status that hyper sent), an incomplete header
    /// (408, which is not sent, as in nginx).
    fn rejected(&self, peer: SocketAddr, status: StatusCode);

    /// Called when a connection is accepted (`1`) or closed (`-1`).
    fn connected(&self, change: i64);
}

/// Serves `listener` until the phase is [`Phase::Draining`], then finishes the
/// requests in flight, or drops them when the phase is [`Phase::Cut`].
pub(crate) async fn serve<P: Port>(
    listener: TcpListener,
    limit: ConnectionLimit,
    timeouts: Timeouts,
    phase: watch::Receiver<Phase>,
    port: P,
) {
    let mut draining = phase.clone();
    tokio::select! {
        () = accept(listener, &limit, timeouts, &phase, port) => {}
        () = reached(&mut draining, Phase::Draining) => {}
    }
    limit.all_released().await;
}

/// Accepts connections; never returns. At the limit it waits for a permit, and
/// further connections wait in the kernel's queue.
async fn accept<P: Port>(
    listener: TcpListener,
    limit: &ConnectionLimit,
    timeouts: Timeouts,
    phase: &watch::Receiver<Phase>,
    port: P,
) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let connection = Connection {
                    peer,
                    timeouts,
                    permit: limit.acquire().await,
                    port: port.clone(),
                };
                tokio::spawn(connection.run(socket, phase.clone()));
            }
            Err(error) => {
                // Out of descriptors, or the client has closed already. Without
                // a pause this would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Connection<P> {
    peer: SocketAddr,
    timeouts: Timeouts,
    permit: ConnectionPermit,
    port: P,
}

impl<P: Port> Connection<P> {
    async fn run(self, socket: TcpStream, mut phase: watch::Receiver<Phase>) {
        let _counted = Counted::new(self.port.clone());
        // Responses are one small packet: Nagle's algorithm would only delay them.
        let _ = socket.set_nodelay(true);
        let activity = &self.permit.activity;
        let io = TokioIo::new(ObservedSocket::new(socket, activity.clone()));
        // hyper keeps the memory of this future until the connection is closed: boxed, it
        // is freed with each response.
        let service = service_fn(|request| Box::pin(self.respond(request)));
        let mut http = pin!(
            http1::Builder::new()
                .max_buf_size(MAX_HEAD)
                .keep_alive(P::KEEP_ALIVE)
                .serve_connection(io, service)
        );
        let mut timed_out = pin!(activity.timed_out(self.timeouts));
        let mut next = Phase::Draining;
        loop {
            let state = tokio::select! {
                outcome = http.as_mut() => return self.report(outcome),
                state = &mut timed_out => state,
                () = self.permit.evicted() => activity.state(),
                () = reached(&mut phase, next) => match next {
                    Phase::Cut => return,
                    _ => {
                        http.as_mut().graceful_shutdown();
                        next = Phase::Cut;
                        continue;
                    }
                },
            };
            match state {
                // The response will have `Connection: close`.
                State::Responding => {}
                State::ReadingHeader => {
                    return self.port.rejected(self.peer, StatusCode::REQUEST_TIMEOUT);
                }
                State::Connected | State::Idle => return,
            }
        }
    }

    fn respond(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> {
        let activity = &self.permit.activity;
        activity.set(State::Responding);
        let response = self.port.respond(self.peer, request);
        async move {
            let mut response = response.await;
            if self.permit.limit().is_reached() {
                // Others may be waiting: keep no idle connection open.
                response
                    .headers_mut()
                    .insert(CONNECTION, HeaderValue::from_static("close"));
            }
            activity.set(State::Idle);
            Ok(response)
        }
    }

    /// hyper responds by itself to what it cannot parse; this reports it to the port.
    /// A connection that fails after its response is logged already.
    fn report(&self, outcome: hyper::Result<()>) {
        if let Err(error) = outcome {
            if error.is_parse_too_large() {
                self.port
                    .rejected(self.peer, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            } else if error.is_parse() {
                self.port.rejected(self.peer, StatusCode::BAD_REQUEST);
            }
        }
    }
}

/// Counts a connection while it is open, however it ends.
struct Counted<P: Port>(P);

impl<P: Port> Counted<P> {
    fn new(port: P) -> Self {
        port.connected(1);
        Self(port)
    }
}

impl<P: Port> Drop for Counted<P> {
    fn drop(&mut self) {
        self.0.connected(-1);
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

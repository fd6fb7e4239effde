//! Serves HTTP/1 on a port, with time-outs and limits, until it is drained. Both
//! ports are served by this module; a [`Port`] makes the responses.

use crate::activity::{ObservedSocket, State, Timeouts};
use crate::connection_limit::{ConnectionLimit, ConnectionPermit};
use crate::listeners::BACKLOG;
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
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Serves `listener` until the phase is [`Phase::Draining`], then what has arrived until
/// then, or drops it when the phase is [`Phase::Cut`].
pub(crate) async fn serve<P: Port>(
    listener: TcpListener,
    limit: ConnectionLimit,
    timeouts: Timeouts,
    phase: watch::Receiver<Phase>,
    port: P,
) {
    let server = Server {
        limit,
        timeouts,
        phase,
        port,
    };
    let mut cut = server.phase.clone();
    tokio::select! {
        biased;
        () = reached(&mut cut, Phase::Cut) => {}
        () = server.accept(listener) => {}
    }
    server.limit.all_released().await;
}

/// What the connections of a port share.
struct Server<P> {
    limit: ConnectionLimit,
    timeouts: Timeouts,
    phase: watch::Receiver<Phase>,
    port: P,
}

impl<P: Port> Server<P> {
    /// Accepts connections until the drain begins, and then those in the kernel's queue:
    /// closing the listener would reset them.
    async fn accept(&self, listener: TcpListener) {
        let mut draining = self.phase.clone();
        loop {
            let accepted = tokio::select! {
                biased;
                () = reached(&mut draining, Phase::Draining) => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, peer)) => self.start(socket, peer).await,
                Err(error) => {
                    // Out of descriptors, or the client has closed already. Without
                    // a pause this would spin.
                    warn_of(&error);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        // tokio would only look at the queue after the next event.
        match listener.into_std() {
            Ok(listener) => self.accept_queued(&listener).await,
            Err(error) => warn_of(&error),
        }
    }

    /// Accepts what is in the queue, no more than fits into it: others may still arrive.
    async fn accept_queued(&self, listener: &std::net::TcpListener) {
        for _ in 0..=BACKLOG {
            let accepted = listener.accept().and_then(|(socket, peer)| {
                socket.set_nonblocking(true)?;
                Ok((TcpStream::from_std(socket)?, peer))
            });
            match accepted {
                Ok((socket, peer)) => self.start(socket, peer).await,
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::ConnectionAborted => {}
                    _ => return warn_of(&error),
                },
            }
        }
    }

    /// Serves a connection once the limit allows it; until then further ones wait in the
    /// kernel's queue.
    async fn start(&self, socket: TcpStream, peer: SocketAddr) {
        let connection = Connection {
            peer,
            timeouts: self.timeouts,
            permit: self.limit.acquire().await,
            draining: AtomicBool::new(false),
            port: self.port.clone(),
        };
        tokio::spawn(connection.run(socket, self.phase.clone()));
    }
}

fn warn_of(error: &std::io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
}

struct Connection<P> {
    peer: SocketAddr,
    timeouts: Timeouts,
    permit: ConnectionPermit,
    /// Whether a response is the last one.
    draining: AtomicBool,
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
                // A request that has arrived is read first.
                biased;
                outcome = http.as_mut() => return self.report(outcome),
                state = &mut timed_out => state,
                () = self.permit.evicted() => activity.state(),
                () = reached(&mut phase, next) => match next {
                    Phase::Cut => return,
                    _ => {
                        next = Phase::Cut;
                        self.draining.store(true, Ordering::Relaxed);
                        match activity.state() {
                            State::Responding | State::Idle => http.as_mut().graceful_shutdown(),
                            // hyper would close it although its request may be on its way.
                            State::Connected => {
                                activity.set(State::Connected);
                                timed_out.set(activity.timed_out(self.timeouts.of_the_drain()));
                            }
                            State::ReadingHeader => {}
                        }
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
            if self.permit.limit().is_reached() || self.draining.load(Ordering::Relaxed) {
                // Others may be waiting, or it is the last one: keep no idle connection open.
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

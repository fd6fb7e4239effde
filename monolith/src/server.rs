//! One port: serving HTTP/1 with bounds against strangers, draining. How many
//! are served at once is [`Places`]' business.
//!
//! What is answered is the [`Service`]'s business. Both ports are served here.

use crate::activity::{Doing, Observed, Patience};
use crate::places::{Place, Places};
use crate::shutdown::{Phase, reach};
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

/// The longest header, request line included, in bytes: the least hyper allows.
/// Every connection may make us hold this much, so it decides how many fit
/// into the memory limit.
const MAX_HEAD: usize = 8 * 1024;

/// What a port answers.
pub(crate) trait Service: Clone + Send + Sync + 'static {
    /// Whether a connection stays for another request.
    const KEEP_ALIVE: bool;

    /// Answers one request.
    fn answer(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send;

    /// Takes note of what never became a request: bytes that are not HTTP, a
    /// header too large (with the status hyper answered), a header that never
    /// ended (408, unanswered as in nginx).
    fn refused(&self, peer: SocketAddr, status: StatusCode);

    /// Takes note of a connection that begins (`1`) or ends (`-1`).
    fn connected(&self, change: i64);
}

/// Serves `listener` until the phase is [`Phase::Draining`], then finishes what
/// has begun, or drops it when the phase is [`Phase::Cut`].
pub(crate) async fn serve<S: Service>(
    listener: TcpListener,
    places: Places,
    patience: Patience,
    phase: watch::Receiver<Phase>,
    service: S,
) {
    let mut draining = phase.clone();
    tokio::select! {
        () = accept(listener, &places, patience, &phase, service) => {}
        () = reach(&mut draining, Phase::Draining) => {}
    }
    places.are_empty().await;
}

/// Accepts for ever. One that finds no place makes others leave; those behind it
/// wait in the backlog meanwhile and cost us nothing.
async fn accept<S: Service>(
    listener: TcpListener,
    places: &Places,
    patience: Patience,
    phase: &watch::Receiver<Phase>,
    service: S,
) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let connection = Connection {
                    peer,
                    patience,
                    place: places.take().await,
                    service: service.clone(),
                };
                tokio::spawn(connection.run(socket, phase.clone()));
            }
            Err(error) => {
                // Out of descriptors or a client that left at once; trying
                // again without a pause would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Connection<S> {
    peer: SocketAddr,
    patience: Patience,
    place: Place,
    service: S,
}

impl<S: Service> Connection<S> {
    async fn run(self, socket: TcpStream, mut phase: watch::Receiver<Phase>) {
        let _counted = Counted::new(self.service.clone());
        // Answers are one small packet; waiting to fill it only adds delay.
        let _ = socket.set_nodelay(true);
        let activity = &self.place.activity;
        let io = TokioIo::new(Observed::new(socket, activity.clone()));
        let answer = service_fn(|request| self.answer(request));
        let mut http = pin!(
            http1::Builder::new()
                .max_buf_size(MAX_HEAD)
                .keep_alive(S::KEEP_ALIVE)
                .serve_connection(io, answer)
        );
        let mut overdue = pin!(activity.overdue(self.patience));
        let mut goal = Phase::Draining;
        loop {
            let doing = tokio::select! {
                outcome = http.as_mut() => return self.report(outcome),
                doing = &mut overdue => doing,
                () = self.place.is_needed() => activity.doing(),
                () = reach(&mut phase, goal) => match goal {
                    Phase::Cut => return,
                    _ => {
                        http.as_mut().graceful_shutdown();
                        goal = Phase::Cut;
                        continue;
                    }
                },
            };
            match doing {
                // Its response says that the connection closes.
                Doing::Waiting => {}
                Doing::Asking => {
                    return self.service.refused(self.peer, StatusCode::REQUEST_TIMEOUT);
                }
                Doing::Connected | Doing::Idle => return,
            }
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let activity = &self.place.activity;
        activity.becomes(Doing::Waiting);
        let mut response = self.service.answer(self.peer, request).await;
        if self.place.places().are_taken() {
            // Others may wait: no idle connection keeps its place.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        activity.becomes(Doing::Idle);
        Ok(response)
    }

    /// hyper answers what it cannot parse by itself; here that leaves a trace.
    /// A connection that breaks after the answer has had its line already.
    fn report(&self, outcome: hyper::Result<()>) {
        if let Err(error) = outcome {
            if error.is_parse_too_large() {
                self.service
                    .refused(self.peer, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
            } else if error.is_parse() {
                self.service.refused(self.peer, StatusCode::BAD_REQUEST);
            }
        }
    }
}

/// A connection counted as long as it lives, however it ends.
struct Counted<S: Service>(S);

impl<S: Service> Counted<S> {
    fn new(service: S) -> Self {
        service.connected(1);
        Self(service)
    }
}

impl<S: Service> Drop for Counted<S> {
    fn drop(&mut self) {
        self.0.connected(-1);
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

//! One port: accepting no more than there is room for, serving HTTP/1 with
//! bounds against strangers, draining.
//!
//! What is answered is the [`Service`]'s business. Both ports are served here.

use crate::activity::{Activity, Doing, Observed, Patience};
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
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The longest header, request line included, in bytes: the least hyper allows.
/// Every connection may make us hold this much, so it decides how many fit
/// into the memory limit.
const MAX_HEAD: usize = 8 * 1024;

/// What a port answers.
pub(crate) trait Service: Clone + Send + Sync + 'static {
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

/// The bounds of a port.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections at once; more wait in the kernel's backlog.
    pub(crate) connections: u32,
    pub(crate) patience: Patience,
}

/// Serves `listener` until the phase is [`Phase::Draining`], then finishes what
/// has begun, or drops it when the phase is [`Phase::Cut`].
pub(crate) async fn serve<S: Service>(
    listener: TcpListener,
    bounds: Bounds,
    phase: watch::Receiver<Phase>,
    service: S,
) {
    let places = Places::new(bounds.connections);
    let mut draining = phase.clone();
    tokio::select! {
        () = accept(listener, bounds.patience, &places, &phase, service) => {}
        () = reach(&mut draining, Phase::Draining) => {}
    }
    // Every place free again: every connection has ended.
    let _ = places.free.acquire_many(bounds.connections).await;
}

/// Accepts for ever. The place is taken *before* the connection is: past the
/// limit a client waits in the backlog and costs us nothing.
async fn accept<S: Service>(
    listener: TcpListener,
    patience: Patience,
    places: &Places,
    phase: &watch::Receiver<Phase>,
    service: S,
) {
    while let Some(place) = places.take().await {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let service = service.clone();
                let connection = Connection {
                    peer,
                    patience,
                    places: places.clone(),
                    service,
                };
                tokio::spawn(connection.run(socket, phase.clone(), place));
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

/// The places for connections.
#[derive(Debug, Clone)]
struct Places {
    free: Arc<Semaphore>,
    /// Whether the next connection has no place.
    full: Arc<AtomicBool>,
}

impl Places {
    fn new(number: u32) -> Self {
        Self {
            free: Arc::new(Semaphore::new(number as usize)),
            full: Arc::default(),
        }
    }

    async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.free).try_acquire_owned() {
            return Some(place);
        }
        self.full.store(true, Ordering::Relaxed);
        let place = Arc::clone(&self.free).acquire_owned().await;
        self.full.store(false, Ordering::Relaxed);
        place.ok()
    }
}

struct Connection<S> {
    peer: SocketAddr,
    patience: Patience,
    places: Places,
    service: S,
}

impl<S: Service> Connection<S> {
    async fn run(
        self,
        socket: TcpStream,
        mut phase: watch::Receiver<Phase>,
        _place: OwnedSemaphorePermit,
    ) {
        let _counted = Counted::new(self.service.clone());
        // Answers are one small packet; waiting to fill it only adds delay.
        let _ = socket.set_nodelay(true);
        let activity = Activity::begin();
        let io = TokioIo::new(Observed::new(socket, activity.clone()));
        let answer = service_fn(|request| self.answer(request, &activity));
        let mut http = pin!(
            http1::Builder::new()
                .max_buf_size(MAX_HEAD)
                .serve_connection(io, answer)
        );
        let mut overdue = pin!(activity.overdue(self.patience));
        let mut goal = Phase::Draining;
        loop {
            tokio::select! {
                outcome = http.as_mut() => return self.report(outcome),
                doing = &mut overdue => {
                    if doing == Doing::Asking {
                        self.service.refused(self.peer, StatusCode::REQUEST_TIMEOUT);
                    }
                    return;
                }
                () = reach(&mut phase, goal) => match goal {
                    Phase::Cut => return,
                    _ => {
                        http.as_mut().graceful_shutdown();
                        goal = Phase::Cut;
                    }
                },
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        activity: &Activity,
    ) -> Result<Response<Body>, Infallible> {
        activity.becomes(Doing::Waiting);
        let mut response = self.service.answer(self.peer, request).await;
        if self.places.full.load(Ordering::Relaxed) {
            // Others may wait in the backlog: no idle connection keeps its place.
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

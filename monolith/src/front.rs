//! The service's port: every request goes through the routes and leaves one
//! line in the access log, however it ends.

use crate::access_log::{AccessLog, Entry};
use crate::app::App;
use crate::metrics::Metrics;
use crate::routes;
use crate::server::Service;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_service::Service as _;

/// nginx's status for a client that left before its answer.
const CLIENT_LEFT: u16 = 499;

/// The service's port.
#[derive(Clone)]
pub(crate) struct Front {
    router: Router,
    log: AccessLog,
    metrics: Arc<Metrics>,
}

impl Front {
    pub(crate) fn new(app: Arc<App>, log: AccessLog) -> Self {
        let metrics = Arc::clone(&app.metrics);
        Self {
            router: routes::routes(app),
            log,
            metrics,
        }
    }
}

impl Service for Front {
    const KEEP_ALIVE: bool = true;

    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let mut trace = Trace::begin(self, peer, &request);
        let Ok(response) = self.router.clone().call(request).await;
        trace.outcome = Some((response.status(), response.body().size_hint().lower()));
        response
    }

    fn refused(&self, peer: SocketAddr, status: StatusCode) {
        self.metrics
            .request(routes::REFUSED, status, Duration::ZERO);
        self.log.record(&Entry {
            peer,
            method: "-",
            path: "-",
            status,
            bytes: 0,
            duration: Duration::ZERO,
            agent: b"-",
        });
    }

    fn connected(&self, change: i64) {
        self.metrics.connection(change);
    }
}

/// A request on its way. When it goes, it is logged: answered, given up by the
/// client, cut, or lost to a panic.
struct Trace<'a> {
    front: &'a Front,
    begun: Instant,
    peer: SocketAddr,
    method: Method,
    uri: Uri,
    agent: Option<HeaderValue>,
    /// The status and the bytes of the body.
    outcome: Option<(StatusCode, u64)>,
}

impl<'a> Trace<'a> {
    /// Both the URI and the agent are cheap clones of the received bytes.
    fn begin(front: &'a Front, peer: SocketAddr, request: &Request<Incoming>) -> Self {
        Self {
            front,
            begun: Instant::now(),
            peer,
            method: request.method().clone(),
            uri: request.uri().clone(),
            agent: request.headers().get(USER_AGENT).cloned(),
            outcome: None,
        }
    }
}

impl Drop for Trace<'_> {
    fn drop(&mut self) {
        let (status, bytes) = self.outcome.unwrap_or_else(|| {
            let lost = if std::thread::panicking() {
                500
            } else {
                CLIENT_LEFT
            };
            (StatusCode::from_u16(lost).unwrap_or_default(), 0)
        });
        let duration = self.begun.elapsed();
        self.front
            .metrics
            .request(routes::index(self.uri.path()), status, duration);
        self.front.log.record(&Entry {
            peer: self.peer,
            method: self.method.as_str(),
            // Without the query, where some clients put tokens.
            path: self.uri.path(),
            status,
            bytes,
            duration,
            agent: self.agent.as_ref().map_or(b"-", HeaderValue::as_bytes),
        });
    }
}

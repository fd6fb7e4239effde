//! The service's port: every request is routed, counted and logged, however it
//! ends.

use crate::access_log::{AccessLog, Entry};
use crate::app::App;
use crate::metrics::{Metrics, Route};
use crate::routes;
use crate::server::Port;
use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::header::USER_AGENT;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower_service::Service as _;

/// nginx's status for a client that closed the connection before the response.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The service's port.
#[derive(Clone)]
pub(crate) struct HttpPort {
    router: Router,
    log: AccessLog,
    metrics: Arc<Metrics>,
}

impl HttpPort {
    pub(crate) fn new(app: Arc<App>, log: AccessLog) -> Self {
        let metrics = Arc::clone(&app.metrics);
        Self {
            router: routes::service(app),
            log,
            metrics,
        }
    }
}

impl Port for HttpPort {
    const KEEP_ALIVE: bool = true;

    fn respond(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send {
        let mut record = RequestRecord::begin(self, peer, &request);
        let routed = self.router.clone().call(routable(request));
        // Not an `async fn`, whose future would also have room for the request.
        async move {
            let Ok(response) = routed.await;
            record.responded(&response);
            response
        }
    }

    fn rejected(&self, peer: SocketAddr, status: StatusCode) {
        self.metrics
            .request(Route::Rejected, status, Duration::ZERO);
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

/// The request as the router takes it, with a body on the heap only if it has one.
fn routable(request: Request<Incoming>) -> Request<Body> {
    request.map(|body| match body.is_end_stream() {
        true => Body::empty(),
        false => Body::new(body),
    })
}

/// A request in progress. Dropping it logs the request, whether it got a response,
/// the client closed the connection, the drain cut it, or the handler panicked.
struct RequestRecord<'a> {
    port: &'a HttpPort,
    begun: Instant,
    peer: SocketAddr,
    method: Method,
    uri: Uri,
    agent: Option<HeaderValue>,
    /// The status and the size of the body in bytes; None until there is a response.
    outcome: Option<(StatusCode, u64)>,
}

impl<'a> RequestRecord<'a> {
    /// The clones of URI and agent share the received bytes.
    fn begin(port: &'a HttpPort, peer: SocketAddr, request: &Request<Incoming>) -> Self {
        Self {
            port,
            begun: Instant::now(),
            peer,
            method: request.method().clone(),
            uri: request.uri().clone(),
            agent: request.headers().get(USER_AGENT).cloned(),
            outcome: None,
        }
    }

    fn responded(&mut self, response: &Response<Body>) {
        self.outcome = Some((response.status(), response.body().size_hint().lower()));
    }
}

impl Drop for RequestRecord<'_> {
    fn drop(&mut self) {
        let (status, bytes) = self.outcome.unwrap_or_else(|| {
            let status = if std::thread::panicking() {
                500
            } else {
                CLIENT_CLOSED_REQUEST
            };
            (StatusCode::from_u16(status).unwrap_or_default(), 0)
        });
        let duration = self.begun.elapsed();
        self.port
            .metrics
            .request(Route::of(self.uri.path()), status, duration);
        self.port.log.record(&Entry {
            peer: self.peer,
            method: self.method.as_str(),
            // Without the query, in which some clients send tokens.
            path: self.uri.path(),
            status,
            bytes,
            duration,
            agent: self.agent.as_ref().map_or(b"-", HeaderValue::as_bytes),
        });
    }
}

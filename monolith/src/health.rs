//! The health port: probes, the faults a learner can switch on, metrics.

use crate::access_log::AccessLog;
use crate::answer;
use crate::app::App;
use crate::metrics::Gauges;
use crate::places::Places;
use crate::server::Service;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use axum::routing::get;
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tower_service::Service as _;

/// What the probes answer.
pub(crate) struct Health {
    pub(crate) app: Arc<App>,
    pub(crate) log: AccessLog,
    /// Those of the service.
    pub(crate) places: Places,
    healthy: AtomicBool,
    ready: AtomicBool,
    draining: AtomicBool,
}

impl Health {
    pub(crate) fn new(app: Arc<App>, log: AccessLog, places: Places) -> Self {
        Self {
            app,
            log,
            places,
            healthy: AtomicBool::new(true),
            ready: AtomicBool::new(true),
            draining: AtomicBool::new(false),
        }
    }

    /// Not ready from now on, whatever the switch says.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !self.draining.load(Ordering::Relaxed)
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            healthy: self.healthy.load(Ordering::Relaxed),
            ready: self.is_ready(),
            password_queue: self.app.passwords.waiting(),
            password_queue_capacity: self.app.passwords.capacity(),
            max_connections: self.places.most(),
            log_dropped: self.log.dropped(),
            users: self.app.users().count(),
        }
    }
}

/// The routes of the health port; without `faults`, those that switch the
/// probes do not exist.
fn routes(health: Arc<Health>, faults: bool) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readiness", get(readiness))
        .route("/metrics", get(metrics));
    if faults {
        router = router
            .route("/healthz/status", get(switch_healthz))
            .route("/readiness/status", get(switch_readiness));
    }
    router
        .fallback(answer::not_found)
        .method_not_allowed_fallback(answer::method_not_allowed)
        .with_state(health)
}

async fn healthz(State(health): State<Arc<Health>>) -> Response<Body> {
    state(health.healthy.load(Ordering::Relaxed))
}

async fn readiness(State(health): State<Arc<Health>>) -> Response<Body> {
    state(health.is_ready())
}

fn state(good: bool) -> Response<Body> {
    if good {
        answer::text(StatusCode::OK, "ok\n")
    } else {
        answer::text(StatusCode::SERVICE_UNAVAILABLE, "unavailable\n")
    }
}

async fn switch_healthz(State(health): State<Arc<Health>>) -> Response<Body> {
    switch("/healthz", &health.healthy)
}

async fn switch_readiness(State(health): State<Arc<Health>>) -> Response<Body> {
    switch("/readiness", &health.ready)
}

/// Each call turns the state, as in the original.
fn switch(probe: &str, state: &AtomicBool) -> Response<Body> {
    let now = !state.fetch_xor(true, Ordering::Relaxed);
    let status = if now { 200 } else { 503 };
    tracing::info!(probe, status, "probe switched");
    answer::text(StatusCode::OK, format!("{probe} now answers {status}\n"))
}

async fn metrics(State(health): State<Arc<Health>>) -> Response<Body> {
    let page = health.app.metrics.page(&health.gauges());
    let mut response = answer::text(StatusCode::OK, page);
    let kind = HeaderValue::from_static(pod::exposition::CONTENT_TYPE);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The health port as a service. Probes come every few seconds for ever, so
/// they are not logged.
#[derive(Clone)]
pub(crate) struct HealthPort(Router);

impl HealthPort {
    pub(crate) fn new(health: Arc<Health>, faults: bool) -> Self {
        Self(routes(health, faults))
    }
}

impl Service for HealthPort {
    /// Many requests sent at once over a few connections would keep a probe waiting.
    const KEEP_ALIVE: bool = false;

    async fn answer(&self, _: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let Ok(response) = self.0.clone().call(request).await;
        response
    }

    fn refused(&self, peer: SocketAddr, status: StatusCode) {
        tracing::debug!(%peer, status = status.as_u16(), "refused on the health port");
    }

    fn connected(&self, _: i64) {}
}

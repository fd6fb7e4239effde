//! The routes of both ports.

use crate::app::App;
use crate::handlers::{faults, hello, login, metrics, probes, secure, version};
use crate::health::Health;
use crate::response::{method_not_allowed, not_found};
use axum::Router;
use axum::routing::get;
use std::sync::Arc;

/// The routes of the service. `HEAD` is allowed wherever `GET` is; every other
/// method gets 405 with `Allow`. A new route needs a label in `metrics::Route`.
pub(crate) fn service(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(hello::hello))
        .route("/login", get(login::login))
        .route("/secure", get(secure::secure))
        .route("/version", get(version::version))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
}

/// The routes of the health port. Without `faults`, those that make probes fail
/// do not exist.
pub(crate) fn health(health: Arc<Health>, faults: bool) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(probes::healthz))
        .route("/readiness", get(probes::readiness))
        .route("/metrics", get(metrics::metrics));
    if faults {
        router = router
            .route("/healthz/status", get(faults::toggle_healthz))
            .route("/readiness/status", get(faults::toggle_readiness));
    }
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(health)
}

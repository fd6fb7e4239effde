//! `GET /healthz/status` and `GET /readiness/status`: each call toggles what the
//! probe reports, so that a learner can see what the kubelet does.

use crate::health::Health;
use crate::response;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use std::sync::Arc;

pub(crate) async fn toggle_healthz(State(health): State<Arc<Health>>) -> Response<Body> {
    toggled("/healthz", health.toggle_healthy())
}

pub(crate) async fn toggle_readiness(State(health): State<Arc<Health>>) -> Response<Body> {
    toggled("/readiness", health.toggle_ready())
}

fn toggled(probe: &str, passes: bool) -> Response<Body> {
    let status = if passes { 200 } else { 503 };
    tracing::info!(probe, status, "probe toggled");
    response::text(StatusCode::OK, format!("{probe} now answers {status}\n"))
}

//! `GET /healthz` and `GET /readiness`: the kubelet's probes.

use crate::health::Health;
use crate::response;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use std::sync::Arc;

pub(crate) async fn healthz(State(health): State<Arc<Health>>) -> Response<Body> {
    probe(health.is_healthy())
}

pub(crate) async fn readiness(State(health): State<Arc<Health>>) -> Response<Body> {
    probe(health.is_ready())
}

fn probe(passes: bool) -> Response<Body> {
    if passes {
        response::text(StatusCode::OK, "ok\n")
    } else {
        response::text(StatusCode::SERVICE_UNAVAILABLE, "unavailable\n")
    }
}

//! `GET /metrics`, for Prometheus.

use crate::health::Health;
use crate::response;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response, StatusCode};
use std::sync::Arc;

pub(crate) async fn metrics(State(health): State<Arc<Health>>) -> Response<Body> {
    let mut response = response::text(StatusCode::OK, health.metrics_page());
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(pod::exposition::CONTENT_TYPE),
    );
    response
}

//! The health port: probes and metrics. Probes come every few seconds, so they
//! are not logged.

use crate::health::Health;
use crate::routes;
use crate::server::Port;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use std::net::SocketAddr;
use std::sync::Arc;
use tower_service::Service as _;

/// The health port.
#[derive(Clone)]
pub(crate) struct HealthPort(Router);

impl HealthPort {
    pub(crate) fn new(health: Arc<Health>, faults: bool) -> Self {
        Self(routes::health(health, faults))
    }
}

impl Port for HealthPort {
    /// Many pipelined requests on a few connections would delay a probe.
    const KEEP_ALIVE: bool = false;

    async fn respond(&self, _: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let Ok(response) = self.0.clone().call(request).await;
        response
    }

    fn rejected(&self, peer: SocketAddr, status: StatusCode) {
        tracing::debug!(%peer, status = status.as_u16(), "request rejected on the health port");
    }

    fn connected(&self, _: i64) {}
}

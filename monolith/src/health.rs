//! What the health port reports: healthy or not, ready or not, gauges.

use crate::access_log::AccessLog;
use crate::app::App;
use crate::connection_limit::ConnectionLimit;
use crate::metrics::Gauges;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The state of the health port.
pub(crate) struct Health {
    app: Arc<App>,
    log: AccessLog,
    /// Of the service's port.
    connections: ConnectionLimit,
    healthy: AtomicBool,
    ready: AtomicBool,
    draining: AtomicBool,
}

impl Health {
    /// Healthy and ready.
    pub(crate) fn new(app: Arc<App>, log: AccessLog, connections: ConnectionLimit) -> Self {
        Self {
            app,
            log,
            connections,
            healthy: AtomicBool::new(true),
            ready: AtomicBool::new(true),
            draining: AtomicBool::new(false),
        }
    }

    /// Not ready from now on, even if readiness is toggled.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !self.draining.load(Ordering::Relaxed)
    }

    /// Returns the new value.
    pub(crate) fn toggle_healthy(&self) -> bool {
        !self.healthy.fetch_xor(true, Ordering::Relaxed)
    }

    /// Returns the new value, which does not matter once the drain has begun.
    pub(crate) fn toggle_ready(&self) -> bool {
        !self.ready.fetch_xor(true, Ordering::Relaxed)
    }

    /// The response to `GET /metrics`.
    pub(crate) fn metrics_page(&self) -> String {
        self.app.metrics.page(&Gauges {
            healthy: self.is_healthy(),
            ready: self.is_ready(),
            password_queue: self.app.passwords.pending(),
            password_queue_capacity: self.app.passwords.capacity(),
            max_connections: self.connections.max(),
            log_dropped: self.log.dropped(),
            users: self.app.users().count(),
        })
    }
}

//! When an idle connection has to close.

use std::time::Duration;

use crate::metrics;
use crate::request::connection::Connection;
use crate::request::worker::Worker;

/// After the drain has begun, the time a new connection has for its first request.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Resolves when an idle connection has to close: for the drain, to free memory, or because
/// the new configuration has no matching address.
pub(super) async fn closes_idle(connection: &Connection) {
    let worker = &connection.worker;
    loop {
        let reloaded = worker.reloaded.notified();
        if !connection.follow() {
            return;
        }
        tokio::select! {
            _ = worker.drain.closes_idle() => return,
            () = connection.account.holder().evicted() => {
                metrics::count(|own| &own.made_room);
                return;
            }
            () = reloaded => {}
        }
    }
}

/// Resolves when a connection without a request has to close for the drain. It gets some
/// time, since its first request may be on its way.
pub(super) async fn closes_silent(worker: &Worker) {
    worker.drain.closes_idle().await;
    tokio::time::sleep(FIRST_REQUEST).await;
}

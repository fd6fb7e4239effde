//! When a connection that waits for a request has to close.

use std::time::Duration;

use crate::metrics;
use crate::request::connection::Connection;
use crate::request::worker::Worker;

/// How long a connection that was opened just before the end may take to ask.
const FIRST_REQUEST: Duration = Duration::from_secs(1);

/// Resolves when a connection is to close though it is idle: for the drain, to make
/// room for another one, or because a new configuration has no place for it.
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

/// Resolves when a connection on which nothing has come yet is to close for the drain:
/// it is given a moment, since its first request may be on its way.
pub(super) async fn closes_silent(worker: &Worker) {
    worker.drain.closes_idle().await;
    tokio::time::sleep(FIRST_REQUEST).await;
}

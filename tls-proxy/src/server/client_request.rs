//! A client's request, from its head to its line in the access log.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use crate::message::head::RequestHead;
use crate::metrics;
use crate::metrics::InProgress;
use crate::pipeline::{phases, route};
use crate::request::Request;
use crate::request::connection::Connection;
use crate::upstream::body::RequestBody;

/// A request from a client. Dropping it runs the log phase, so that it is logged exactly
/// once however it ends.
pub(super) struct ClientRequest {
    request: Request,
    /// Counted by `stub_status` until it ends.
    #[expect(dead_code, reason = "held for its drop")]
    in_progress: InProgress,
}

impl ClientRequest {
    /// A request whose head has been read.
    pub(super) fn new(
        connection: &Rc<Connection>,
        head: Box<RequestHead>,
        body: RequestBody,
    ) -> Self {
        // Counted first: afterwards the request would be copied once more.
        let in_progress = count(connection);
        Self {
            request: Request::new(connection, head, body),
            in_progress,
        }
    }

    /// A request whose head was rejected or did not end.
    pub(super) fn malformed(connection: &Rc<Connection>, head: Box<RequestHead>) -> Self {
        let in_progress = count(connection);
        let mut own = Self {
            request: Request::malformed(connection, head),
            in_progress,
        };
        route::identify(&mut own.request);
        own
    }
}

/// Counts one more request of a connection.
fn count(connection: &Connection) -> InProgress {
    connection.requests.set(connection.requests.get() + 1);
    let in_flight = &connection.in_flight;
    if in_flight.replace(in_flight.get() + 1) == 0 {
        metrics::becomes_busy();
    }
    InProgress::new()
}

impl Deref for ClientRequest {
    type Target = Request;

    fn deref(&self) -> &Request {
        &self.request
    }
}

impl DerefMut for ClientRequest {
    fn deref_mut(&mut self) -> &mut Request {
        &mut self.request
    }
}

impl Drop for ClientRequest {
    fn drop(&mut self) {
        let in_flight = &self.request.connection.in_flight;
        if in_flight.replace(in_flight.get().saturating_sub(1)) == 1 {
            metrics::becomes_idle();
        }
        phases::log(&mut self.request);
    }
}

/// Logs a connection that ended within a request's head.
pub(crate) fn log_malformed(connection: &Rc<Connection>, head: Box<RequestHead>, status: u16) {
    let mut request = ClientRequest::malformed(connection, head);
    request.outcome.status = status;
}

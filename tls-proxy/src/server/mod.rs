//! From a socket to a response: worker, connection, request.
//!
//! A request takes one path: listen, TLS, HTTP, route, upstream, log. All of it runs on the
//! worker's own thread, so nothing here is shared or locked.

mod accept;
mod client_request;
mod closing;
pub(crate) mod connection;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod listener;
pub(crate) mod worker;

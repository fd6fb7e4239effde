//! From a socket to an answer: worker, connection, request.
//!
//! A request walks one way: listen, TLS, HTTP, route, upstream, log. All of it
//! happens on the worker's own thread, so nothing here is shared or locked.

mod client_request;
mod closing;
pub(crate) mod connection;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod listener;
pub(crate) mod worker;

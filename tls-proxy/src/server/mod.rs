//! From a socket to an answer: worker, connection, request.
//!
//! A request walks one way: listen, TLS, HTTP, route, upstream, log. All of it
//! happens on the worker's own thread, so nothing here is shared or locked.

pub(crate) mod admission;
pub(crate) mod buffers;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod counters;
pub(crate) mod current;
mod error_page;
pub(crate) mod file_body;
pub(crate) mod filters;
pub(crate) mod framing;
pub(crate) mod gather;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod http_date;
pub(crate) mod listener;
pub(crate) mod logs;
pub(crate) mod moment;
pub(crate) mod pages;
pub(crate) mod phases;
pub(crate) mod proxy_protocol;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod scratch;
pub(crate) mod source;
pub(crate) mod standing;
pub(crate) mod stream;
pub(crate) mod worker;

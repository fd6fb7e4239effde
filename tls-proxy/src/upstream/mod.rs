//! Requests to upstreams: a pool of connections, and one exchange.
//!
//! Everything is the worker's own; the client's TLS is not known here.

pub(crate) mod balance;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod dns;
pub(crate) mod exchange;
pub(crate) mod pool;
pub(crate) mod spooled;
pub(crate) mod target;
pub(crate) mod tunnel;

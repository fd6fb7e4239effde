//! Upstream connections: a pool of idle ones, and one exchange.
//!
//! Everything belongs to one worker. The client's TLS is not used here.

pub(crate) mod balance;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod dns;
pub(crate) mod exchange;
mod head_room;
pub(crate) mod pool;
pub(crate) mod spooled;
pub(crate) mod target;
pub(crate) mod tunnel;

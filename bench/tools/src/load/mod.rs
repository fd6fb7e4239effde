//! The client of `make bench` where wrk, h2load and curl do not do.

mod client;
pub mod first;
pub mod handshakes;
pub mod rate;
pub mod turns;

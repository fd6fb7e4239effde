//! The client of `make bench` for what wrk, h2load and curl cannot do.

mod client;
mod connection;
pub mod first;
pub mod handshakes;
pub mod rate;
pub mod turns;

/// The event loop of a thread.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

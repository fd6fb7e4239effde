//! The two sockets, bound before anything is served.

use rustix::net::listen;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Length of the accept queue; the kernel's limit (net.core.somaxconn) may be lower.
pub(crate) const BACKLOG: i32 = 1024;

/// The bound sockets.
#[derive(Debug)]
pub struct Listeners {
    /// For the service.
    pub http: TcpListener,
    /// For probes and metrics.
    pub health: TcpListener,
}

/// A port that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}, named by {flag}{}", hint(source, address.port()))]
pub struct BindError {
    flag: &'static str,
    address: SocketAddr,
    source: io::Error,
}

impl Listeners {
    /// Binds both ports.
    ///
    /// # Errors
    /// When one of them cannot be bound; then neither is.
    pub fn bind(http: SocketAddr, health: SocketAddr) -> Result<Self, BindError> {
        Ok(Self {
            http: bind("--http", http)?,
            health: bind("--health", health)?,
        })
    }
}

fn bind(flag: &'static str, address: SocketAddr) -> Result<TcpListener, BindError> {
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        // The standard library asks for a shorter queue; a second listen(2) changes it.
        listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    bound.map_err(|source| BindError {
        flag,
        address,
        source,
    })
}

fn hint(error: &io::Error, port: u16) -> String {
    let advice = pod::ports::bind_hint(error, port, "0.0.0.0");
    advice.map_or_else(String::new, |advice| format!(" ({advice})"))
}

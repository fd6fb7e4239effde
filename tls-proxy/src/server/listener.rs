//! Listening sockets: one for each address and worker (`SO_REUSEPORT`), so
//! that the kernel spreads connections and workers share nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::modules::listen::Listen;

/// nginx's default on Linux (`listen … backlog=`).
const BACKLOG: u32 = 511;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("bind() to {address} failed ({})", crate::conf::reason(source))]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// The sockets of one address, one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// The address that was asked for; workers find its settings by it.
    pub address: SocketAddr,
    /// One socket for each worker.
    pub sockets: Vec<TcpListener>,
}

/// Binds an address for `workers` workers.
///
/// # Errors
/// When the address is in use, not this host's, or not permitted.
pub(crate) fn bind(listen: &Listen, workers: usize) -> Result<Bound, BindError> {
    let fail = |source| BindError {
        address: listen.address,
        source,
    };
    // Shared ports would also be shared with another process that shares them:
    // a first socket that does not share shows whether there is one.
    let single = open(listen, false).map_err(fail)?;
    let sockets = if workers == 1 {
        vec![single]
    } else {
        drop(single);
        (0..workers)
            .map(|_| open(listen, true))
            .collect::<Result<_, _>>()
            .map_err(fail)?
    };
    Ok(Bound {
        address: listen.address,
        sockets,
    })
}

/// Whether an address could be bound; it may be in use.
pub(crate) fn try_bind(listen: &Listen) -> Result<(), BindError> {
    match bound(listen, false) {
        Err(source) if source.kind() != io::ErrorKind::AddrInUse => Err(BindError {
            address: listen.address,
            source,
        }),
        _ => Ok(()),
    }
}

fn open(listen: &Listen, shared: bool) -> io::Result<TcpListener> {
    let socket = bound(listen, shared)?;
    socket.listen(i32::try_from(listen.backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

/// A socket that does not listen yet.
fn bound(listen: &Listen, shared: bool) -> io::Result<Socket> {
    let domain = if listen.address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if listen.address.is_ipv6() {
        socket.set_only_v6(listen.ipv6_only)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&listen.address.into())?;
    Ok(socket)
}

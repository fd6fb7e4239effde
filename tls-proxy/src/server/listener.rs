//! Listening sockets: one for each address that is bound and each worker (`SO_REUSEPORT`), so
//! that the kernel distributes connections and workers share nothing.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::config::listen::{Endpoint, Listen};
use crate::net::{UNSPECIFIED, socket_buffers};

/// nginx's default on Linux (`listen … backlog=`).
const BACKLOG: u32 = 511;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error(
    "bind() to {address} failed ({}){}",
    crate::conf::reason(source),
    hint(source, address)
)]
pub struct BindError {
    address: Endpoint,
    source: io::Error,
}

fn hint(error: &io::Error, address: &Endpoint) -> String {
    let advice = match address {
        Endpoint::Tcp(address) => pod::ports::permission_hint(error, address.port()),
        Endpoint::Unix(_) => None,
    };
    advice.map_or_else(String::new, |advice| format!(": {advice}"))
}

/// The sockets of one address, one for each worker.
#[derive(Debug)]
pub struct Bound {
    /// The configured address, by which workers find its settings.
    pub address: Endpoint,
    /// One socket for each worker.
    pub sockets: Vec<Socket>,
}

/// Binds each of these addresses for `workers` workers, or none: on an error, no file of a UNIX
/// socket is left behind.
///
/// # Errors
/// The first address that is in use, not local, or not permitted.
pub(crate) fn bind_all<'a>(
    listens: impl Iterator<Item = &'a Listen>,
    workers: usize,
) -> Result<Vec<Bound>, BindError> {
    let mut all = Vec::new();
    for listen in listens {
        match bind(listen, workers) {
            Ok(bound) => all.push(bound),
            Err(error) => {
                all.iter().for_each(|bound: &Bound| unlink(&bound.address));
                return Err(error);
            }
        }
    }
    Ok(all)
}

/// Binds an address for `workers` workers.
fn bind(listen: &Listen, workers: usize) -> Result<Bound, BindError> {
    let fail = |source| BindError {
        address: listen.address.clone(),
        source,
    };
    if listen.address.path().is_some() {
        let sockets = open(listen, false).and_then(|socket| share(socket, workers));
        return Ok(Bound {
            address: listen.address.clone(),
            sockets: sockets.map_err(fail)?,
        });
    }
    let sockets = if workers == 1 {
        open(listen, false).map(|socket| vec![socket])
    } else {
        // With SO_REUSEPORT another process that sets it could share the port. A socket without
        // it shows whether there is one. It does not listen: its clients would be lost.
        bound(listen, false)
            .map(drop)
            .and_then(|()| (0..workers).map(|_| open(listen, true)).collect())
    };
    Ok(Bound {
        address: listen.address.clone(),
        sockets: sockets.map_err(fail)?,
    })
}

/// A UNIX socket has one queue, from which all workers accept.
fn share(socket: Socket, workers: usize) -> io::Result<Vec<Socket>> {
    let others = (1..workers).map(|_| socket.try_clone());
    let mut sockets = others.collect::<Result<Vec<_>, _>>()?;
    sockets.push(socket);
    Ok(sockets)
}

/// Removes the file of a UNIX socket that is no longer used.
pub(crate) fn unlink(place: &Endpoint) {
    if let Some(path) = place.path()
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!(
            "unlink() of {place} failed ({})",
            crate::conf::reason(&error)
        );
    }
}

/// Checks that an address can be bound; one in use passes.
pub(crate) fn try_bind(listen: &Listen) -> Result<(), BindError> {
    match bound(listen, false) {
        Err(source) if source.kind() != io::ErrorKind::AddrInUse => Err(BindError {
            address: listen.address.clone(),
            source,
        }),
        Ok(_) => {
            unlink(&listen.address);
            Ok(())
        }
        Err(_) => Ok(()),
    }
}

fn open(listen: &Listen, shared: bool) -> io::Result<Socket> {
    let socket = bound(listen, shared)?;
    socket.listen(i32::try_from(listen.backlog.unwrap_or(BACKLOG)).unwrap_or(i32::MAX))?;
    Ok(socket)
}

/// A bound socket that does not listen yet.
fn bound(listen: &Listen, shared: bool) -> io::Result<Socket> {
    let address = match &listen.address {
        Endpoint::Tcp(address) => address,
        Endpoint::Unix(path) => return bound_unix(path),
    };
    let domain = Domain::for_address(*address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(listen.ipv6_only)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&(*address).into())?;
    Ok(socket)
}

fn bound_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // As in nginx, everybody who can reach the directory may connect.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
    Ok(socket)
}

/// A listening socket in a worker's runtime.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Registers it with the runtime that the caller has entered.
    ///
    /// # Errors
    /// If the event loop cannot watch another socket, or has ended.
    pub(crate) fn new(socket: Socket, place: &Endpoint) -> io::Result<Self> {
        Ok(match place {
            Endpoint::Tcp(_) => Self::Tcp(tokio::net::TcpListener::from_std(socket.into())?),
            Endpoint::Unix(_) => Self::Unix(tokio::net::UnixListener::from_std(socket.into())?),
        })
    }

    /// Limits the kernel's socket buffers if memory is limited; returns whether it is.
    pub(crate) fn bounds_buffers(&self) -> bool {
        match self {
            Self::Tcp(listener) => socket_buffers::bounds_unsent(listener),
            Self::Unix(_) => true,
        }
    }

    /// Accepts the next client. A client of a UNIX socket has no address.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(tokio::net::TcpStream, SocketAddr)>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(cx),
            Self::Unix(listener) => {
                let (socket, _) = std::task::ready!(listener.poll_accept(cx))?;
                // Converted to a TCP stream: only calls about addresses and TCP options
                // fail on it.
                let socket = std::os::fd::OwnedFd::from(socket.into_std()?);
                let socket = tokio::net::TcpStream::from_std(socket.into())?;
                Poll::Ready(Ok((socket, UNSPECIFIED)))
            }
        }
    }

    /// Accepts the next client in the kernel's queue. `poll_accept` only knows of those that came
    /// before the event loop last looked.
    ///
    /// # Errors
    /// `WouldBlock` if the queue is empty, or why the client cannot be accepted.
    pub(crate) fn accept_queued(&self) -> io::Result<(std::net::TcpStream, SocketAddr)> {
        let own = match self {
            Self::Tcp(listener) => SockRef::from(listener),
            Self::Unix(listener) => SockRef::from(listener),
        };
        let (socket, peer) = own.accept()?;
        socket.set_nonblocking(true)?;
        Ok((socket.into(), peer.as_socket().unwrap_or(UNSPECIFIED)))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{Ipv4Addr, TcpStream};
    use std::thread;

    use super::*;
    use crate::config::listen::Listen;

    const ROUNDS: usize = 300;
    const CLIENTS: usize = 4;

    /// An address that nobody uses.
    fn unused() -> SocketAddr {
        let socket = std::net::TcpListener::bind((Ipv4Addr::new(127, 83, 1, 1), 0));
        let socket = socket.expect("an unused port");
        socket.local_addr().expect("its address")
    }

    fn listen(address: SocketAddr) -> Listen {
        let at = crate::conf::Position::in_a_test();
        Listen::new(Endpoint::Tcp(address), at)
    }

    #[test]
    fn an_address_of_another_process_is_not_shared() {
        let address = unused();
        let first = bind(&listen(address), 2).expect("bound");
        let second = bind(&listen(address), 2).expect_err("in use");
        assert_eq!(second.source.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        bind(&listen(address), 2).expect("bound");
    }

    #[tokio::test]
    async fn the_queue_is_emptied_before_the_event_loop_has_seen_it() {
        let address = unused();
        let bound = bind(&listen(address), 1).expect("bound");
        let socket = bound.sockets.into_iter().next().expect("a socket");
        let listener = Listener::new(socket, &bound.address).expect("a listener");
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let clients = [(); CLIENTS].map(|()| TcpStream::connect(address).expect("a client"));
        assert!(listener.poll_accept(&mut cx).is_pending());
        for client in clients {
            let (_, peer) = listener.accept_queued().expect("accepted");
            assert_eq!(peer, client.local_addr().expect("its address"));
        }
        let more = listener.accept_queued().map_err(|error| error.kind());
        assert_eq!(more.err(), Some(io::ErrorKind::WouldBlock));
    }

    #[test]
    fn clients_that_come_while_an_address_is_bound_are_kept() {
        for _ in 0..ROUNDS {
            let address = unused();
            let connect = move || {
                loop {
                    if let Ok(client) = TcpStream::connect(address) {
                        return client;
                    }
                }
            };
            let clients = [(); CLIENTS].map(|()| thread::spawn(connect));
            let bound = bind(&listen(address), 2).expect("bound");
            for client in clients {
                let mut client = client.join().expect("a client");
                client.set_nonblocking(true).expect("a flag");
                let read = client.read(&mut [0; 1]).map_err(|error| error.kind());
                assert_eq!(read, Err(io::ErrorKind::WouldBlock));
            }
            drop(bound);
        }
    }
}

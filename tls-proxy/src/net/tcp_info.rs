//! The kernel's information about a TCP connection (`TCP_INFO`), looked up by its addresses
//! over netlink (sock_diag(7)): the socket option would need `unsafe`.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use rustix::net::netlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// The used fields of `struct tcp_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    /// Smoothed round-trip time, microseconds.
    pub(crate) rtt: u32,
    /// Its mean deviation, microseconds.
    pub(crate) rttvar: u32,
    /// The sender's congestion window, segments.
    pub(crate) snd_cwnd: u32,
    /// The receive buffer space, bytes.
    pub(crate) rcv_space: u32,
}

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
const TCP: u8 = 6;
/// `INET_DIAG_INFO`, the attribute that holds a `struct tcp_info`.
const INFO: u16 = 2;
/// Sizes of `struct nlmsghdr`, `struct inet_diag_req_v2` and `struct inet_diag_msg`, bytes.
const HEADER: usize = 16;
const QUERY: usize = 56;
const REPLY: usize = 72;
/// The position of the peer's port in the reply.
const PEER: Range<usize> = HEADER + 6..HEADER + 8;

/// The information about the connection from `local` to `peer`; `None` if it is closed, or
/// if the kernel or a seccomp profile does not provide it.
pub(crate) fn of(local: SocketAddr, peer: SocketAddr) -> Option<TcpInfo> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol = Some(netlink::SOCK_DIAG);
    let kernel = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol).ok()?;
    send(&kernel, &query(local, peer)?, SendFlags::empty()).ok()?;
    // The kernel replies before `send` returns.
    let mut message = [0; 1024];
    let (size, _) = recv(&kernel, &mut message[..], RecvFlags::DONTWAIT).ok()?;
    read(message.get(..size)?, peer.port())
}

/// The request for one connection.
fn query(local: SocketAddr, peer: SocketAddr) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(HEADER + QUERY);
    out.extend_from_slice(&((HEADER + QUERY) as u32).to_ne_bytes());
    out.extend_from_slice(&BY_FAMILY.to_ne_bytes());
    out.extend_from_slice(&REQUEST.to_ne_bytes());
    // Sequence number and port ID.
    out.extend_from_slice(&[0; 8]);
    let (family, own, other) = match (local.ip().to_canonical(), peer.ip().to_canonical()) {
        (IpAddr::V4(own), IpAddr::V4(other)) => {
            let pad = |ip: [u8; 4]| [&ip[..], &[0; 12]].concat();
            (AddressFamily::INET, pad(own.octets()), pad(other.octets()))
        }
        (IpAddr::V6(own), IpAddr::V6(other)) => {
            let (own, other) = (own.octets().to_vec(), other.octets().to_vec());
            (AddressFamily::INET6, own, other)
        }
        _ => return None,
    };
    out.extend_from_slice(&[u8::try_from(family.as_raw()).ok()?, TCP, 1 << (INFO - 1), 0]);
    // In any state.
    out.extend_from_slice(&u32::MAX.to_ne_bytes());
    out.extend_from_slice(&local.port().to_be_bytes());
    out.extend_from_slice(&peer.port().to_be_bytes());
    out.extend_from_slice(&own);
    out.extend_from_slice(&other);
    let scope = match (local, peer) {
        (SocketAddr::V6(own), SocketAddr::V6(other)) => own.scope_id().max(other.scope_id()),
        _ => 0,
    };
    out.extend_from_slice(&scope.to_ne_bytes());
    // `INET_DIAG_NOCOOKIE`
    out.extend_from_slice(&[0xff; 8]);
    Some(out)
}

/// Parses the reply: header, socket, attributes.
fn read(message: &[u8], peer: u16) -> Option<TcpInfo> {
    let short = |bytes: &[u8], at: usize| {
        let field = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(u16::from_ne_bytes(field))
    };
    // If the connection is closed, the reply describes the listening socket.
    if short(message, 4)? != BY_FAMILY || message.get(PEER)? != peer.to_be_bytes() {
        return None;
    }
    let mut attributes = message.get(HEADER + REPLY..)?;
    loop {
        let (length, kind) = (usize::from(short(attributes, 0)?), short(attributes, 2)?);
        let value = attributes.get(4..length)?;
        if kind == INFO {
            return parse(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

/// Parses a `struct tcp_info` (linux/tcp.h).
fn parse(value: &[u8]) -> Option<TcpInfo> {
    let number = |at: usize| {
        let field = value.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_ne_bytes(field))
    };
    Some(TcpInfo {
        rtt: number(68)?,
        rttvar: number(72)?,
        snd_cwnd: number(80)?,
        rcv_space: number(96)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_connection_is_known_and_one_that_is_not_there_is_not() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let local = server.local_addr().unwrap();
            let info = of(local, peer).expect("the kernel says it");
            assert!(
                info.rtt > 0 && info.snd_cwnd > 0 && info.rcv_space > 0,
                "{info:?}"
            );
            drop((client, server));
            assert_eq!(of(local, SocketAddr::new(peer.ip(), 1)), None);
        }
        let mixed = of(([127, 0, 0, 1], 1).into(), ([0; 16], 1).into());
        assert_eq!(mixed, None);
    }

    #[test]
    fn whatever_the_kernel_says_is_read_or_none() {
        let mut message = vec![0; HEADER + REPLY];
        message[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        message[PEER].copy_from_slice(&443_u16.to_be_bytes());
        assert_eq!(read(&message, 443), None);
        for length in [0_u16, 3, 4, 200] {
            let mut broken = message.clone();
            broken.extend_from_slice(&length.to_ne_bytes());
            broken.extend_from_slice(&7_u16.to_ne_bytes());
            assert_eq!(read(&broken, 443), None, "{length}");
        }
        message.extend_from_slice(&104_u16.to_ne_bytes());
        message.extend_from_slice(&INFO.to_ne_bytes());
        message.extend(0..100_u8);
        let rtt = u32::from_ne_bytes([68, 69, 70, 71]);
        assert_eq!(read(&message, 443).map(|info| info.rtt), Some(rtt));
        assert_eq!(read(&message, 444), None);
    }
}

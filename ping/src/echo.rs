//! Echo requests and replies (RFC 792, RFC 4443) over an ICMP datagram socket. The
//! kernel writes the identifier and the checksum, and hands over no other's replies.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::arguments::Family;

const HEADER: usize = 8;
const DATA: usize = 56;

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("bad address '{0}'")]
    Unknown(String),
    #[error(
        "permission denied: the pod needs the sysctl net.ipv4.ping_group_range=\"0 2147483647\", \
         which Kubernetes counts as safe"
    )]
    NotPermitted,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A host and the socket to it.
#[derive(Debug)]
pub(crate) struct Target {
    address: IpAddr,
    socket: Socket,
}

impl Target {
    /// Looks a host up, and opens a socket to its first address of the family.
    ///
    /// # Errors
    /// A name without such an address, and a kernel that gives this user no ICMP socket.
    pub(crate) fn resolve(host: &str, family: Family) -> Result<Self, Error> {
        let found = (host, 0).to_socket_addrs().ok().and_then(|mut all| {
            all.find(|address| match family {
                Family::Either => true,
                Family::V4 => address.is_ipv4(),
                Family::V6 => address.is_ipv6(),
            })
        });
        let to = found.ok_or_else(|| Error::Unknown(host.to_owned()))?;
        let protocol = if to.is_ipv4() {
            Protocol::ICMPV4
        } else {
            Protocol::ICMPV6
        };
        let socket = open(to, protocol).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Error::NotPermitted,
            _ => Error::Io(error),
        })?;
        Ok(Self {
            address: to.ip(),
            socket,
        })
    }

    /// Where it sends.
    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }

    /// Sends a request and waits for the reply to it: its size in bytes and the time that
    /// it took, or `None` once `timeout` has passed.
    ///
    /// # Errors
    /// When the network is not there, or somebody on the way says that the host is not.
    pub(crate) fn echo(
        &mut self,
        number: u16,
        timeout: Duration,
    ) -> Result<Option<(usize, Duration)>, Error> {
        let began = Instant::now();
        self.socket
            .write_all(&request(self.address.is_ipv6(), number))?;
        let mut reply = [0; 256];
        loop {
            let left = timeout.saturating_sub(began.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.read(&mut reply) {
                Ok(size) if is_reply(&reply[..size], number) => {
                    return Ok(Some((size, began.elapsed())));
                }
                // To an earlier request that was given up.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn open(to: SocketAddr, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(protocol))?;
    socket.connect(&to.into())?;
    Ok(socket)
}

fn request(v6: bool, number: u16) -> [u8; HEADER + DATA] {
    let mut packet = [0; HEADER + DATA];
    packet[0] = if v6 { 128 } else { 8 };
    packet[6..8].copy_from_slice(&number.to_be_bytes());
    packet
}

fn is_reply(packet: &[u8], number: u16) -> bool {
    matches!(packet, [0 | 129, 0, _, _, _, _, high, low, ..]
        if u16::from_be_bytes([*high, *low]) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_known_by_its_number() {
        let mut packet = request(false, 513);
        assert!(!is_reply(&packet, 513), "that is the request");
        packet[0] = 0;
        assert!(is_reply(&packet, 513));
        assert!(!is_reply(&packet, 512));
        packet[0] = 129;
        assert!(is_reply(&packet, 513));
        assert!(!is_reply(&packet[..7], 513));
    }

    #[test]
    fn what_is_no_host_is_named() {
        let error = Target::resolve("no host", Family::Either).unwrap_err();
        assert_eq!(error.to_string(), "bad address 'no host'");
    }
}

//! The address of `--admin`.

use std::fmt::{self, Display};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::str::FromStr;

use socket2::{Domain, Protocol, Socket, Type};

/// Probes that may wait for the thread; each takes very little time.
const BACKLOG: i32 = 128;

/// `HOST:PORT`, `[ADDRESS]:PORT`, or `:PORT` for every address of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminAddress {
    /// Empty for every address.
    host: String,
    port: u16,
}

/// The address is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write HOST:PORT, such as 127.0.0.1:9113, [::1]:9113, or :9113 for every address")]
pub struct Error;

/// The address cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error(
    "bind() to {address}, named by --admin or TLS_PROXY_ADMIN, failed ({}){}",
    crate::conf::reason(source),
    hint(source, address.port)
)]
pub struct BindError {
    address: AdminAddress,
    source: io::Error,
}

impl FromStr for AdminAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (host, port) = text.rsplit_once(':').ok_or(Error)?;
        let port = port.parse().map_err(|_| Error)?;
        let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let known = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => !host.contains([':', '[', ']', '/', ' ']),
        };
        if !known || port == 0 {
            return Err(Error);
        }
        let host = bracketed.unwrap_or(host).to_owned();
        Ok(Self { host, port })
    }
}

impl Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host[..] {
            "" => write!(f, "*:{}", self.port),
            host if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

impl AdminAddress {
    /// Listens.
    ///
    /// # Errors
    /// If the host is unknown, or the port is in use or not permitted.
    pub fn bind(&self) -> Result<TcpListener, BindError> {
        self.open().map_err(|source| BindError {
            address: self.clone(),
            source,
        })
    }

    fn open(&self) -> io::Result<TcpListener> {
        if self.host.is_empty() {
            // One dual-stack socket, if the host has IPv6.
            let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, self.port));
            return match listen(all) {
                Err(error) if is_without_ipv6(&error) => {
                    listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port)))
                }
                result => result,
            };
        }
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for address in (&self.host[..], self.port).to_socket_addrs()? {
            match listen(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn is_without_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT: not supported; EADDRNOTAVAIL: disabled.
    matches!(error.raw_os_error(), Some(97 | 99))
}

fn hint(error: &io::Error, port: u16) -> String {
    let advice = pod::ports::bind_hint(error, port, ":PORT for all");
    advice.map_or_else(String::new, |advice| format!(": {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read_and_shown() {
        for (text, shown) in [
            ("127.0.0.1:9113", "127.0.0.1:9113"),
            (":9113", "*:9113"),
            ("[::1]:9113", "[::1]:9113"),
            ("localhost:1", "localhost:1"),
        ] {
            let address: AdminAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "9113",
            "::1:9113",
            "[::1]",
            "[x]:1",
            "a:",
            "a:0",
            "a:65536",
            "a:-1",
            "http://a:1",
        ] {
            assert_eq!(text.parse::<AdminAddress>(), Err(Error), "{text}");
        }
    }

    #[test]
    fn one_that_is_taken_is_refused_by_name() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let address: AdminAddress = format!("127.0.0.1:{port}").parse().unwrap();
        let error = address.bind().unwrap_err().to_string();
        assert!(
            error.contains("--admin") && error.contains(&port.to_string()),
            "{error}"
        );
    }
}

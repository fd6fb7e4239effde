//! A DNS client: over UDP with a new port and a random identifier (RFC 5452), over TCP if
//! the response was truncated.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::message::{self, DnsResponse, RecordType, Service};

/// Time until an unanswered query is repeated, or sent to the next server (as in nginx).
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// Aliases that are followed in turn.
const MAX_ALIASES: usize = 10;
/// Most servers of one name or service: a response has room for thousands of addresses, or of names
/// for a service. The rest is ignored.
const MAX_SERVERS: usize = 1024;

/// Addresses, and how long they are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) ttl: Duration,
}

impl Resolved {
    /// Leaves out the addresses behind the first `most`.
    fn limit(&mut self, most: usize) {
        let count = self.addresses.len();
        if count > most {
            tracing::warn!("a name server names {count} addresses, of which {most} are used");
            self.addresses.truncate(most);
            self.addresses.shrink_to_fit();
        }
    }
}

/// Why a name could not be resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("1: Format error")]
    Format,
    #[error("2: Server failure")]
    Server,
    #[error("3: Host not found")]
    NotFound,
    #[error("4: Unimplemented")]
    Unimplemented,
    #[error("5: Operation refused")]
    Refused,
    #[error("110: Operation timed out")]
    TimedOut,
}

impl Error {
    fn of(code: u8) -> Self {
        match code {
            1 => Self::Format,
            3 => Self::NotFound,
            4 => Self::Unimplemented,
            5 => Self::Refused,
            _ => Self::Server,
        }
    }
}

/// Looks up the servers of a service (RFC 2782) and their addresses, within `limit`.
pub(crate) async fn look_up_service(
    name: &str,
    servers: &[SocketAddr],
    kinds: &[RecordType],
    limit: Duration,
) -> Result<Vec<(Service, Resolved)>, Error> {
    let Some(name) = message::encode_name(name) else {
        return Err(Error::NotFound);
    };
    timeout(limit, resolve_service(&name, servers, kinds))
        .await
        .unwrap_or(Err(Error::TimedOut))
}

async fn resolve_service(
    name: &[u8],
    servers: &[SocketAddr],
    kinds: &[RecordType],
) -> Result<Vec<(Service, Resolved)>, Error> {
    let mut name = name.to_vec();
    let mut ttl = u32::MAX;
    let mut services = Vec::new();
    for _ in 0..MAX_ALIASES {
        let answer = query(&name, servers, RecordType::Srv).await?;
        ttl = ttl.min(answer.ttl);
        match answer.alias {
            Some(alias) if answer.services.is_empty() => name = alias,
            _ => {
                services = answer.services;
                break;
            }
        }
    }
    // Those of a lower priority are left out first.
    services.sort_by_key(|service| service.priority);
    let (mut found, mut room) = (Vec::new(), MAX_SERVERS);
    for service in services.into_iter().take(MAX_SERVERS) {
        match resolve(&service.target, servers, kinds).await {
            Ok(mut own) => {
                own.ttl = own.ttl.min(Duration::from_secs(ttl.into()));
                own.limit(room);
                room -= own.addresses.len();
                found.push((service, own));
                if room == 0 {
                    break;
                }
            }
            // A server that does not exist any more.
            Err(Error::NotFound) => {}
            Err(error) => return Err(error),
        }
    }
    match found.is_empty() {
        true => Err(Error::NotFound),
        false => Ok(found),
    }
}

/// Asks `servers` in turn until one has an answer, within `limit`.
pub(crate) async fn look_up(
    name: &str,
    servers: &[SocketAddr],
    kinds: &[RecordType],
    limit: Duration,
) -> Result<Resolved, Error> {
    let Some(name) = message::encode_name(name) else {
        return Err(Error::NotFound);
    };
    timeout(limit, resolve(&name, servers, kinds))
        .await
        .unwrap_or(Err(Error::TimedOut))
}

async fn resolve(
    name: &[u8],
    servers: &[SocketAddr],
    kinds: &[RecordType],
) -> Result<Resolved, Error> {
    let first = |index: usize| kinds.get(index).copied();
    let (one, two) = tokio::join!(
        follow(name, servers, first(0)),
        follow(name, servers, first(1))
    );
    let mut found = Resolved {
        addresses: Vec::new(),
        ttl: Duration::MAX,
    };
    let mut error = Error::NotFound;
    for result in [one, two].into_iter().flatten() {
        match result {
            Ok(more) => {
                found.addresses.extend(more.addresses);
                found.ttl = found.ttl.min(more.ttl);
            }
            Err(other) => error = other,
        }
    }
    if found.addresses.is_empty() {
        return Err(error);
    }
    found.limit(MAX_SERVERS);
    Ok(found)
}

/// Follows aliases to addresses; an empty list if there are none of this kind.
async fn follow(
    name: &[u8],
    servers: &[SocketAddr],
    kind: Option<RecordType>,
) -> Option<Result<Resolved, Error>> {
    let kind = kind?;
    let mut name = name.to_vec();
    let mut ttl = u32::MAX;
    for _ in 0..MAX_ALIASES {
        let answer = match query(&name, servers, kind).await {
            Ok(answer) => answer,
            Err(error) => return Some(Err(error)),
        };
        ttl = ttl.min(answer.ttl);
        match answer.alias {
            Some(alias) if answer.addresses.is_empty() => name = alias,
            _ => {
                return Some(Ok(Resolved {
                    addresses: answer.addresses,
                    ttl: Duration::from_secs(ttl.into()),
                }));
            }
        }
    }
    Some(Err(Error::NotFound))
}

async fn query(
    name: &[u8],
    servers: &[SocketAddr],
    kind: RecordType,
) -> Result<DnsResponse, Error> {
    let mut last = Error::TimedOut;
    // The caller has a time-out for everything; a server that reported an error is not
    // asked again.
    let mut failed = vec![false; servers.len()];
    loop {
        for (server, failed) in servers
            .iter()
            .zip(&mut failed)
            .filter(|(_, failed)| !**failed)
        {
            match timeout(RETRY_AFTER, query_server(name, *server, kind)).await {
                Ok(Ok(answer)) => match answer.code {
                    0 => return Ok(answer),
                    3 => return Err(Error::NotFound),
                    code => {
                        last = Error::of(code);
                        *failed = true;
                    }
                },
                // The server is not reachable yet; wait before the next attempt.
                Ok(Err(_)) => tokio::time::sleep(RETRY_AFTER).await,
                Err(_) => {}
            }
        }
        if failed.iter().all(|failed| *failed) {
            return Err(last);
        }
    }
}

async fn query_server(
    name: &[u8],
    server: SocketAddr,
    kind: RecordType,
) -> io::Result<DnsResponse> {
    let mut id = [0; 2];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| io::Error::other("no random numbers"))?;
    let id = u16::from_ne_bytes(id);
    let question = message::question(id, name, kind);
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut space = [0; 4096];
    loop {
        let length = socket.recv(&mut space).await?;
        // Anything else may be a spoofed answer: keep waiting.
        match message::parse(&space[..length], id, name, kind) {
            Some(answer) if answer.truncated => break,
            Some(answer) => return Ok(answer),
            None => {}
        }
    }
    query_over_tcp(&question, id, name, server, kind).await
}

/// Over TCP each message is preceded by its length (RFC 1035, section 4.2.2).
async fn query_over_tcp(
    question: &[u8],
    id: u16,
    name: &[u8],
    server: SocketAddr,
    kind: RecordType,
) -> io::Result<DnsResponse> {
    let mut stream = TcpStream::connect(server).await?;
    let mut out = Vec::with_capacity(question.len() + 2);
    out.extend_from_slice(&(question.len() as u16).to_be_bytes());
    out.extend_from_slice(question);
    stream.write_all(&out).await?;
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    message::parse(&message, id, name, kind)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an answer"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1];

    fn answer(question: &[u8], flags: [u8; 2], records: &[u8]) -> Vec<u8> {
        let mut out = question.to_vec();
        out[2..4].copy_from_slice(&flags);
        out[7] = (records.len() / ADDRESS.len()) as u8;
        out.extend_from_slice(records);
        out
    }

    async fn server() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let address = socket.local_addr().expect("its address");
        (socket, address)
    }

    async fn reply_once(socket: &UdpSocket, reply: impl Fn(&[u8]) -> Vec<Vec<u8>>) {
        let mut space = [0; 512];
        let (length, peer) = socket.recv_from(&mut space).await.expect("a question");
        for message in reply(&space[..length]) {
            socket.send_to(&message, peer).await.expect("sent");
        }
    }

    async fn find(server: SocketAddr) -> Result<Resolved, Error> {
        look_up(
            "a.example",
            &[server],
            &[RecordType::A],
            Duration::from_secs(60),
        )
        .await
    }

    #[tokio::test]
    async fn guesses_are_passed_over() {
        let (socket, address) = server().await;
        let reply = reply_once(&socket, |question| {
            let mut guess = answer(question, [0x81, 0x80], ADDRESS);
            guess[0] ^= 1;
            vec![
                guess,
                b"x".to_vec(),
                answer(question, [0x81, 0x80], ADDRESS),
            ]
        });
        let (found, ()) = tokio::join!(find(address), reply);
        let found = found.expect("an address");
        assert_eq!(found.addresses, [IpAddr::from([10, 0, 0, 1])]);
        assert_eq!(found.ttl, Duration::from_secs(60));
    }

    #[tokio::test]
    async fn names_that_are_not_there_are_told() {
        let (socket, address) = server().await;
        let reply = reply_once(&socket, |question| {
            vec![answer(question, [0x81, 0x83], b"")]
        });
        let (found, ()) = tokio::join!(find(address), reply);
        assert_eq!(found, Err(Error::NotFound));
    }

    #[tokio::test]
    async fn long_answers_come_over_tcp() {
        // A port that is free for UDP may be in use for TCP.
        let (socket, address, listener) = loop {
            let (socket, address) = server().await;
            if let Ok(listener) = TcpListener::bind(address).await {
                break (socket, address, listener);
            }
        };
        let reply = async {
            reply_once(&socket, |question| {
                vec![answer(question, [0x83, 0x80], b"")]
            })
            .await;
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut question = vec![0; usize::from(stream.read_u16().await.expect("a length"))];
            stream.read_exact(&mut question).await.expect("a question");
            let records = ADDRESS.repeat(100);
            let message = answer(&question, [0x81, 0x80], &records);
            stream.write_u16(message.len() as u16).await.expect("sent");
            stream.write_all(&message).await.expect("sent");
        };
        let (found, ()) = tokio::join!(find(address), reply);
        assert_eq!(found.expect("addresses").addresses.len(), 100);
    }

    #[tokio::test]
    async fn silence_ends() {
        let (_socket, address) = server().await;
        let limit = Duration::from_millis(50);
        let found = look_up("a.example", &[address], &[RecordType::A], limit).await;
        assert_eq!(found, Err(Error::TimedOut));
    }

    /// A hostile name server: each name has 240 addresses, and a service 60 names.
    #[tokio::test]
    async fn of_very_many_servers_some_are_known() {
        let (socket, address) = server().await;
        let hostile = async {
            let mut space = [0; 512];
            loop {
                let (length, peer) = socket.recv_from(&mut space).await.expect("a question");
                let mut message = space[..length].to_vec();
                let is_about_a_service = message.ends_with(&[0, 33, 0, 1]);
                let count: u8 = if is_about_a_service { 60 } else { 240 };
                message[2..4].copy_from_slice(&[0x81, 0x80]);
                message[7] = count;
                for number in 0..count {
                    match is_about_a_service {
                        // The name in the question, SRV, IN, a minute, 9 bytes: priority, weight,
                        // port, and a name of one letter.
                        true => {
                            message.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, 9]);
                            message.extend([0, 1, 0, 1, 0, 80, 1, b'a' + number % 26, 0]);
                        }
                        false => message.extend_from_slice(ADDRESS),
                    }
                }
                socket.send_to(&message, peer).await.expect("sent");
            }
        };
        let servers = [address];
        let asking = look_up_service(
            "a.example",
            &servers,
            &[RecordType::A],
            Duration::from_secs(60),
        );
        let found = tokio::select! {
            found = asking => found.expect("a service"),
            () = hostile => unreachable!("it serves for ever"),
        };
        let known: usize = found.iter().map(|(_, own)| own.addresses.len()).sum();
        assert_eq!(known, MAX_SERVERS);
    }
}

//! A DNS query: over UDP with a new port and a random identifier (RFC 5452), over TCP if the
//! response was truncated.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::lookup::Asking;
use super::message::{self, DnsResponse, RecordType};
use crate::net::socket_buffers;

/// Time until an unanswered query is repeated, or sent to the next server, as in nginx, if that is soon
/// enough to ask all of them.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Bytes of the messages over TCP that all workers hold together: one of the longest, or many
/// usual ones. A message is there as a whole soon after its length.
pub(super) static MESSAGES: Semaphore = Semaphore::const_new(u16::MAX as usize);

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

impl From<Elapsed> for Error {
    fn from(_: Elapsed) -> Self {
        Self::TimedOut
    }
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

/// Asks name servers in turn until one responds.
///
/// # Errors
/// What the servers report. Without any response it does not end: the caller has a time-out.
pub(super) async fn query(
    name: &[u8],
    asking: &Asking<'_>,
    kind: RecordType,
) -> Result<DnsResponse, Error> {
    let Asking {
        turns, patience, ..
    } = asking;
    let mut last = Error::TimedOut;
    // A server that reported an error is not asked again.
    let mut failed = vec![false; turns.servers.all.len()];
    loop {
        let mut has_waited = false;
        for server in turns.next() {
            if failed[server] {
                continue;
            }
            let response = query_server(name, turns.servers.all[server], kind);
            match timeout(*patience, response).await {
                Ok(Ok(response)) => match response.code {
                    0 => {
                        turns.responded(server);
                        return Ok(response);
                    }
                    3 => {
                        turns.responded(server);
                        return Err(Error::NotFound);
                    }
                    code => {
                        turns.failed(server);
                        last = Error::of(code);
                        failed[server] = true;
                    }
                },
                // The question could not be sent; the next server is asked at once.
                Ok(Err(_)) => {}
                Err(_) => has_waited = true,
            }
        }
        if failed.iter().all(|failed| *failed) {
            return Err(last);
        }
        if !has_waited {
            tokio::time::sleep(*patience).await;
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
    let response = query_over_udp(&question, id, name, server, kind).await?;
    match response.truncated {
        true => query_over_tcp(&question, id, name, server, kind).await,
        false => Ok(response),
    }
}

async fn query_over_udp(
    question: &[u8],
    id: u16,
    name: &[u8],
    server: SocketAddr,
    kind: RecordType,
) -> io::Result<DnsResponse> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    // The space for a message is on the stack: many lookups may wait.
    let receive = |cx: &mut Context<'_>| {
        let mut space = [0; 4096];
        let mut message = ReadBuf::new(&mut space);
        ready!(socket.poll_recv(cx, &mut message))?;
        Poll::Ready(Ok(message::parse(message.filled(), id, name, kind)))
    };
    loop {
        let response: io::Result<_> = poll_fn(receive).await;
        // Anything else may be a spoofed response: keep waiting.
        if let Some(response) = response? {
            return Ok(response);
        }
    }
}

/// Over TCP each message is preceded by its length (RFC 1035, section 4.2.2).
async fn query_over_tcp(
    question: &[u8],
    id: u16,
    name: &[u8],
    server: SocketAddr,
    kind: RecordType,
) -> io::Result<DnsResponse> {
    let socket = match server {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket_buffers::bound(&socket);
    let mut stream = socket.connect(server).await?;
    let mut out = Vec::with_capacity(question.len() + 2);
    out.extend_from_slice(&(question.len() as u16).to_be_bytes());
    out.extend_from_slice(question);
    stream.write_all(&out).await?;
    let length = stream.read_u16().await?;
    let room = MESSAGES.acquire_many(length.into()).await;
    let _room = room.map_err(io::Error::other)?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    message::parse(&message, id, name, kind)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a response"))
}

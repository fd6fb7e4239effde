//! Responds with two bytes, a hundred mebibytes, or the size of the request's body, with as
//! little CPU time as possible: one thread, one read and one write per request, and only
//! the necessary fields are parsed. It must never be the bottleneck.

mod requests;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use requests::{Asked, Requests};

/// Bytes of the large response: 100 MiB.
const LARGE: usize = 100 << 20;
/// Bytes of one read, or of one write of a large response.
const PIECE: usize = 256 << 10;
const LISTENER: Token = Token(usize::MAX);
const SMALL_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";

/// Serves for ever.
///
/// # Errors
/// When the address cannot be bound, or epoll fails.
pub fn serve(address: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    let registry = poll.registry().try_clone()?;
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(1024);
    let mut connections: Slab<Connection> = Slab::new();
    let (mut buffer, piece) = (vec![0; PIECE], vec![b'x'; PIECE]);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let place = connections.vacant_entry();
                    let token = Token(place.key());
                    let both = Interest::READABLE | Interest::WRITABLE;
                    if stream.set_nodelay(true).is_ok()
                        && registry.register(&mut stream, token, both).is_ok()
                    {
                        place.insert(Connection::new(stream));
                    }
                }
                continue;
            }
            let key = event.token().0;
            if let Some(connection) = connections.get_mut(key)
                && !connection.go_on(&mut buffer, &piece)
            {
                connections.remove(key);
            }
        }
    }
}

/// One connection of a contestant.
struct Connection {
    stream: TcpStream,
    requests: Requests,
    /// Headers and small responses that are not sent yet.
    unsent: Vec<u8>,
    /// Bytes of a large response that are not sent yet.
    large: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            requests: Requests::default(),
            unsent: Vec::new(),
            large: 0,
        }
    }

    /// Reads and responds until it would block; returns whether it stays open.
    fn go_on(&mut self, buffer: &mut [u8], piece: &[u8]) -> bool {
        loop {
            match self.send(piece) {
                Ok(true) => {}
                Ok(false) => return true,
                Err(_) => return false,
            }
            let read = match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            };
            if !self.answer(&buffer[..read]) {
                return false;
            }
            // Edge-triggered (EPOLLET): after a short read the next
            // bytes bring one.
            if read < buffer.len() {
                return self.send(piece).is_ok();
            }
        }
    }

    /// Queues the responses to requests that `bytes` completes; false if they are not HTTP.
    fn answer(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let (used, asked) = match self.requests.take(bytes) {
                Ok(taken) => taken,
                Err(_) => return false,
            };
            bytes = &bytes[used..];
            match asked {
                None => {}
                Some(Asked::Small) => self.unsent.extend_from_slice(SMALL_ANSWER),
                Some(Asked::Large) => {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
                    self.unsent.extend_from_slice(head.as_bytes());
                    self.large = LARGE;
                }
                Some(Asked::Sent(size)) => {
                    let size = size.to_string();
                    let length = size.len();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{size}");
                    self.unsent.extend_from_slice(head.as_bytes());
                }
            }
        }
        true
    }

    /// Sends until it would block; returns whether all is sent.
    fn send(&mut self, piece: &[u8]) -> std::io::Result<bool> {
        while !self.unsent.is_empty() || self.large > 0 {
            let from = match self.unsent.as_slice() {
                [] => &piece[..self.large.min(piece.len())],
                unsent => unsent,
            };
            let sent = match self.stream.write(from) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            };
            if self.unsent.is_empty() {
                self.large -= sent;
            } else {
                self.unsent.drain(..sent);
            }
        }
        Ok(true)
    }
}

//! A client that writes raw bytes, and reads complete responses.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;
use super::delimited::{Fault, Watch};

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    /// Received, and not parsed yet.
    held: Vec<u8>,
    /// Checks every response; None on connections from the proxy.
    watch: Option<Watch>,
}

/// A response, its body without chunk framing.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
}

impl Response {
    /// A field's value; names are case-insensitive.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A field's value in a header.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self {
            watch: Some(Watch::default()),
            ..Self::on(TcpStream::connect(address).expect("connects"))
        }
    }

    /// The upstream's end of a connection from the proxy.
    pub(crate) fn on(socket: TcpStream) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        let held = Vec::new();
        let watch = None;
        Self {
            socket,
            held,
            watch,
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        if let Some(watch) = &mut self.watch {
            watch.sent(bytes.as_ref());
        }
        self.socket.write_all(bytes.as_ref()).expect("sends");
    }

    /// Sends `GET path`.
    pub(crate) fn ask(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }

    /// Sends `GET path` and reads the response.
    pub(crate) fn fetch(&mut self, path: &str) -> Response {
        self.ask(path);
        self.response()
    }

    pub(crate) fn finish_sending(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Whether the peer has closed without sending another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.held.is_empty() && self.more() == 0
    }

    /// Reads once; 0 is the end, or a reset.
    fn more(&mut self) -> usize {
        let mut space = [0; 16 * 1024];
        let size = loop {
            match self.socket.read(&mut space) {
                Ok(size) => break size,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break 0,
                // A socket with a time-out returns this if the process was stopped meanwhile.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!(
                    "reads: {error}; held {:?}",
                    String::from_utf8_lossy(&self.held)
                ),
            }
        };
        self.held.extend_from_slice(&space[..size]);
        if let Some(watch) = &mut self.watch
            && let Err(Fault(what)) = watch.received(&space[..size])
        {
            panic!("a broken response: {what}");
        }
        size
    }

    /// The connection has ended: checks that no response was cut.
    fn fail_if_cut(&self) {
        if let Some(Err(Fault(what))) = self.watch.as_ref().map(Watch::closed) {
            panic!("a broken response: {what}");
        }
    }

    /// Exactly `size` bytes, or fewer at the end of the stream.
    pub(crate) fn take(&mut self, size: usize) -> Vec<u8> {
        while self.held.len() < size && self.more() > 0 {}
        self.held.drain(..size.min(self.held.len())).collect()
    }

    /// Up to and including `end`, or to the end of the stream.
    pub(crate) fn take_until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self
                .held
                .windows(end.len())
                .position(|window| window == end);
            if let Some(at) = found {
                return self.held.drain(..at + end.len()).collect();
            }
            if self.more() == 0 {
                return std::mem::take(&mut self.held);
            }
        }
    }

    /// Everything until the end of the stream.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() > 0 {}
        std::mem::take(&mut self.held)
    }

    /// Reads slowly and discards; returns the number of bytes, at most `size`.
    pub(crate) fn skip(&mut self, size: usize) -> usize {
        let (mut count, mut rest_at) = (0, 0);
        while count < size && (!self.held.is_empty() || self.more() > 0) {
            let piece = self.held.len().min(size - count);
            self.held.drain(..piece);
            count += piece;
            if count > rest_at {
                // First a pause that fills all buffers.
                let rest = if rest_at == 0 { 2000 } else { 10 };
                std::thread::sleep(std::time::Duration::from_millis(rest));
                rest_at += 8 << 20;
            }
        }
        count
    }

    /// A header, without its empty line.
    pub(crate) fn head(&mut self) -> String {
        let head = self.take_until(b"\r\n\r\n");
        String::from_utf8_lossy(&head).trim_end().to_owned()
    }

    /// A complete response to a request other than HEAD.
    pub(crate) fn response(&mut self) -> Response {
        let head = self.head();
        let status = head.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no answer: {head:?}"));
        let (mut body, mut trailers) = (Vec::new(), String::new());
        if field(&head, "transfer-encoding") == Some("chunked") {
            (body, trailers) = self.chunks();
        } else if let Some(length) = field(&head, "content-length") {
            let length = length.parse().unwrap();
            body = self.take(length);
            if body.len() < length {
                self.fail_if_cut();
            }
        } else if !matches!(status, 100..=199 | 204 | 304) {
            body = self.rest();
        }
        Response {
            status,
            head,
            body,
            trailers,
        }
    }

    /// A chunked body and its trailer, as far as received.
    pub(crate) fn chunks(&mut self) -> (Vec<u8>, String) {
        let mut body = Vec::new();
        loop {
            match self.chunk() {
                Ok(data) => body.extend(data),
                Err(trailers) => return (body, trailers),
            }
        }
    }

    /// One chunk, or the trailer after the last one.
    pub(crate) fn chunk(&mut self) -> Result<Vec<u8>, String> {
        let line = self.take_until(b"\r\n");
        let text = String::from_utf8_lossy(&line);
        let size = usize::from_str_radix(text.trim_end(), 16).expect("the size of a chunk");
        if size == 0 {
            let mut trailers = self.take_until(b"\r\n");
            while !trailers.ends_with(b"\r\n\r\n") && trailers != b"\r\n" {
                trailers.extend(self.take_until(b"\r\n"));
            }
            return Err(String::from_utf8_lossy(&trailers).trim_end().to_owned());
        }
        let data = self.take(size);
        assert_eq!(self.take(2), b"\r\n", "the end of a chunk");
        Ok(data)
    }
}

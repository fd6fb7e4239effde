//! A scripted upstream that counts its connections and requests.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use super::client::{Client, field};
use super::{Place, eventually};

/// A listening upstream.
pub(crate) struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    accepted: AtomicUsize,
    stopped: AtomicBool,
    seen: Mutex<Vec<String>>,
}

/// One connection from the proxy.
pub(crate) struct Served {
    pub(crate) wire: Client,
    shared: Arc<Shared>,
}

impl Upstream {
    /// Runs `script` on a thread of its own for each connection.
    pub(crate) fn start(place: &Place, script: impl Fn(Served) + Send + Sync + 'static) -> Self {
        Self::at(place.upstream(), script)
    }

    pub(crate) fn at(address: SocketAddr, script: impl Fn(Served) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        let script = Arc::new(script);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { continue };
                if own.stopped.load(Ordering::Relaxed) {
                    break;
                }
                own.accepted.fetch_add(1, Ordering::Relaxed);
                let (script, shared) = (script.clone(), own.clone());
                thread::spawn(move || {
                    let wire = Client::on(socket);
                    script(Served { wire, shared });
                });
            }
        });
        Self { address, shared }
    }

    /// Responds to every request with `200`, a `Content-Length`, and the request line and
    /// body as the text.
    pub(crate) fn echo(place: &Place) -> Self {
        Self::start(place, |mut served| {
            while let Some(request) = served.request() {
                let line = request.head.lines().next().unwrap_or_default().to_owned();
                let text = [line.as_bytes(), b"\n", &request.body].concat();
                served.respond("200 OK", &text);
            }
        })
    }

    /// Responds to every request after `pause`.
    pub(crate) fn slow(place: &Place, pause: Duration) -> Self {
        Self::start(place, move |mut served| {
            while served.request().is_some() {
                thread::sleep(pause);
                served.respond("200 OK", b"slow");
            }
        })
    }

    /// Responds to every request once the returned value has been dropped.
    pub(crate) fn held(place: &Place) -> (Self, mpsc::Sender<()>) {
        let (release, held) = mpsc::channel();
        let held = Mutex::new(held);
        let upstream = Self::start(place, move |mut served| {
            while served.request().is_some() {
                let _ = held.lock().unwrap().recv();
                served.respond("200 OK", b"held");
            }
        });
        (upstream, release)
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// The headers of all requests so far.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub(crate) fn has_seen(&self, count: usize) {
        eventually(&format!("request {count} upstream"), || {
            self.seen().len() >= count
        });
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread, so that it sees this.
        let _ = TcpStream::connect(self.address);
    }
}

/// A request as the upstream received it.
pub(crate) struct Got {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }
}

impl Served {
    /// The next header; None at the end of the connection.
    pub(crate) fn head(&mut self) -> Option<String> {
        let head = self.wire.head();
        if head.is_empty() {
            return None;
        }
        self.shared.seen.lock().unwrap().push(head.clone());
        Some(head)
    }

    /// The next request with its body.
    pub(crate) fn request(&mut self) -> Option<Got> {
        let head = self.head()?;
        let body = if field(&head, "transfer-encoding").is_some() {
            self.wire.chunks().0
        } else {
            let length = field(&head, "content-length").map_or(0, |text| text.parse().unwrap());
            self.wire.take(length)
        };
        Some(Got { head, body })
    }

    /// Responds with a `Content-Length`.
    pub(crate) fn respond(&mut self, status: &str, body: &[u8]) {
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.write([head.as_bytes(), body].concat());
    }

    /// Writes raw bytes; a closed connection is not an error.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = std::io::Write::write_all(&mut self.wire.socket, bytes.as_ref());
    }
}

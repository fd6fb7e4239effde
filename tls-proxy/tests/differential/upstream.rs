//! The scripted upstream: records every request and responds with scripted bytes.

use super::case::{Case, Script};
use super::sandbox::Sandbox;
use super::upstream_connection::UpstreamConnection;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// All upstreams of a case.
#[derive(Debug)]
pub(crate) struct Upstreams {
    shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) over: AtomicBool,
    pub(crate) seen: Mutex<Vec<String>>,
    pub(crate) scripts: Vec<(usize, Script)>,
    /// How many requests each upstream has had.
    pub(crate) next: [AtomicUsize; 4],
    connections: [AtomicUsize; 4],
    pub(crate) names_connections: bool,
    /// What the client has received, bytes.
    client: Mutex<Arc<AtomicUsize>>,
}

impl Shared {
    /// Bytes that the client has received on its present connection.
    pub(crate) fn client_has(&self) -> usize {
        self.client.lock().unwrap().load(Ordering::SeqCst)
    }
}

/// A TCP or Unix stream.
pub(crate) trait Stream: Read + Write + Send {
    fn set_patience(&self, time: Duration);
    fn end_sending(&self);
}

impl Stream for TcpStream {
    fn set_patience(&self, time: Duration) {
        let _ = self.set_read_timeout(Some(time));
    }
    fn end_sending(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Stream for UnixStream {
    fn set_patience(&self, time: Duration) {
        let _ = self.set_read_timeout(Some(time));
    }
    fn end_sending(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

impl Upstreams {
    /// Listens on every upstream address that the configuration names.
    pub(crate) fn start(case: &Case, sandbox: &Sandbox) -> Result<Self, String> {
        let (scripts, text) = (&case.scripts, &case.configuration);
        let filled = scripts.iter().map(|script| {
            let number = script
                .options
                .words
                .first()
                .and_then(|word| word.parse().ok());
            let script = Script {
                text: sandbox.fill(&script.text),
                ..script.clone()
            };
            (number.unwrap_or(1), script)
        });
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            seen: Mutex::new(Vec::new()),
            scripts: filled.collect(),
            next: Default::default(),
            connections: Default::default(),
            names_connections: case.connections,
            client: Mutex::default(),
        });
        let mut listeners = Vec::new();
        for number in 1..=3 {
            let named = format!("%UPSTREAM_{number}%");
            if text.contains(&named) || (number == 1 && text.contains("%UPSTREAM%")) {
                let address = ("127.0.0.1", sandbox.upstream(number));
                let listener = TcpListener::bind(address).map_err(|error| error.to_string())?;
                listener
                    .set_nonblocking(true)
                    .map_err(|error| error.to_string())?;
                let accept = move || {
                    let (stream, _) = listener.accept()?;
                    stream.set_nonblocking(false)?;
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn Stream>)
                };
                listeners.push(listen(Arc::clone(&shared), number, accept));
            }
        }
        if text.contains("%UPSTREAM_SOCKET%") {
            let _ = std::fs::remove_file(sandbox.upstream_socket());
            let listener =
                UnixListener::bind(sandbox.upstream_socket()).map_err(|error| error.to_string())?;
            listener
                .set_nonblocking(true)
                .map_err(|error| error.to_string())?;
            let accept = move || {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(false)?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            };
            listeners.push(listen(Arc::clone(&shared), 1, accept));
        }
        Ok(Self { shared, listeners })
    }

    /// Sets what the client of the next requests has received (`paced`).
    pub(crate) fn watch(&self, progress: &Arc<AtomicUsize>) {
        *self.shared.client.lock().unwrap() = Arc::clone(progress);
    }

    /// Stops listening and returns what was recorded.
    pub(crate) fn finish(self) -> Vec<String> {
        self.shared.over.store(true, Ordering::SeqCst);
        // The other program's upstreams take the same ports.
        for listener in self.listeners {
            let _ = listener.join();
        }
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }
}

fn listen<A>(shared: Arc<Shared>, number: usize, accept: A) -> JoinHandle<()>
where
    A: Fn() -> std::io::Result<Box<dyn Stream>> + Send + 'static,
{
    std::thread::spawn(move || {
        while !shared.over.load(Ordering::SeqCst) {
            let Ok(stream) = accept() else {
                std::thread::sleep(Duration::from_millis(2));
                continue;
            };
            let shared = Arc::clone(&shared);
            let connection = shared.connections[number].fetch_add(1, Ordering::SeqCst) + 1;
            std::thread::spawn(move || {
                let mut connection = UpstreamConnection {
                    shared,
                    number,
                    connection,
                    stream,
                    pending: Vec::new(),
                };
                connection.serve();
            });
        }
    })
}

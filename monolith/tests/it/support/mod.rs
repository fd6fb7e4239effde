//! The service in this process, and a client on plain sockets: no HTTP library
//! sends malformed requests.

#[path = "../../../../tls-proxy/tests/support/delimited/mod.rs"]
mod delimited;

use monolith::config::{Config, Secret, WatchedFile};
use monolith::flags::LogFormat;
use monolith::shutdown::Stop;
use monolith::{Listeners, RunError, Users, run};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// `secret` at the lowest cost.
pub(crate) const QUICK: &str = "$2y$04$180o4rKjFr2vU.ZvJOJROer2RInNlKBh4ivtGBYAmFEBS.oaNlSFW";
/// `secret` at a cost that keeps a request in flight.
pub(crate) const SLOW: &str = "$2y$12$XTeRQbtC5BWhL22dD4F8VOonFZBovBU9Ln/e2b1n6WvqQ4hDos1Ri";

/// The same at a cost that keeps one in flight for longer than a test takes to notice it.
pub(crate) const SLOWER: &str = "$2y$15$XTeRQbtC5BWhL22dD4F8VOonFZBovBU9Ln/e2b1n6WvqQ4hDos1Ri";

/// A running service.
pub(crate) struct Server {
    pub(crate) http: SocketAddr,
    pub(crate) health: SocketAddr,
    pub(crate) log: Log,
    stop: mpsc::Sender<Stop>,
    ended: JoinHandle<Result<(), RunError>>,
}

/// The access log.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Waits for `count` lines.
    pub(crate) async fn lines(&self, count: usize) -> Vec<String> {
        until(async || {
            let lines: Vec<String> = self.text().lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A loopback address of its own for each listener, with a port that the kernel chooses. On an
/// address that all share, that port may have been a client's: where the kernel still keeps such
/// a connection from the listener's former port, a client from there is refused.
pub(crate) fn own_address() -> SocketAddr {
    static NUMBERS: AtomicU16 = AtomicU16::new(0);
    let [.., process] = std::process::id().to_be_bytes();
    let [high, low] = (2 * NUMBERS.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes();
    // 127.0.x.y is left to others.
    SocketAddr::from(([127, process | 1, high, low], 0))
}

/// A configuration with three users, `user` (quick), `slow` and `slower`.
pub(crate) fn config() -> Config {
    let users = format!("user:{QUICK}\nslow:{SLOW}\nslower:{SLOWER}\n");
    Config {
        http: own_address(),
        health: own_address(),
        secret: Secret {
            key: b"secret".to_vec(),
            file: None,
        },
        users: Users::parse(Path::new("users"), users.as_bytes()).unwrap(),
        users_file: None,
        token_lifetime: Duration::from_secs(60),
        log_format: LogFormat::Text,
        max_connections: 64,
        limits: None,
        shutdown_budget: Duration::from_secs(600),
        leave_last: false,
        faults: true,
        workers: 1,
    }
}

impl Server {
    pub(crate) fn start(config: Config) -> Self {
        raise_file_limit();
        let listeners = Listeners::bind(config.http, config.health).unwrap();
        let http = listeners.http.local_addr().unwrap();
        let health = listeners.health.local_addr().unwrap();
        let log = Log::default();
        let (stop, stopping) = mpsc::channel(2);
        let ended = tokio::spawn(run(config, listeners, Box::new(log.clone()), stopping));
        Self {
            http,
            health,
            log,
            stop,
            ended,
        }
    }

    /// Requests a stop; the second time ends the drain.
    pub(crate) async fn stop(&self) {
        self.stop.send(Stop::Terminate).await.unwrap();
    }

    /// The result of `run`.
    pub(crate) async fn ended(self) -> Result<(), RunError> {
        self.ended.await.unwrap()
    }

    /// A token of `user`.
    pub(crate) async fn token(&self) -> String {
        let response = get(self.http, "/login", &[&basic("user:secret")]).await;
        assert_eq!(response.status, 200, "{}", response.body);
        response
            .body
            .trim_start_matches(r#"{"token":""#)
            .trim_end_matches(r#""}"#)
            .to_owned()
    }

    /// The value of a series in `/metrics`.
    pub(crate) async fn metric(&self, series: &str) -> Option<f64> {
        let page = get(self.health, "/metrics", &[]).await.body;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until a series has a value.
    pub(crate) async fn until_metric(&self, series: &str, value: f64) {
        until(async || (self.metric(series).await == Some(value)).then_some(())).await;
    }
}

/// Where tests run on many CPUs, they have more files open together than many a shell allows.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

/// A parsed response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Response {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .get(9..12)
            .and_then(|digits| digits.parse().ok())
            .unwrap_or(0);
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
            .next()
    }
}

/// Sends bytes, reads until the server closes.
pub(crate) async fn send(address: SocketAddr, bytes: &[u8]) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may respond and close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let received = read_to_end(&mut stream).await;
    let mut watch = delimited::Watch::default();
    watch.sent(bytes);
    if let Err(delimited::Fault(what)) = watch.received(&received).and_then(|()| watch.closed()) {
        panic!("malformed response: {what}");
    }
    Response::parse(&received)
}

/// Everything until the connection is closed or reset.
pub(crate) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// One request on a new connection.
pub(crate) async fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[&str],
) -> Response {
    send(address, request(method, path, headers, "close").as_bytes()).await
}

pub(crate) async fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Response {
    exchange(address, "GET", path, headers).await
}

pub(crate) fn request(method: &str, path: &str, headers: &[&str], connection: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    text + "\r\n"
}

/// An idle keep-alive connection, after one response.
pub(crate) async fn idle(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(request("GET", "/", &[], "keep-alive").as_bytes())
        .await
        .unwrap();
    let mut response = Vec::new();
    while !response.ends_with(b"}") {
        assert_ne!(stream.read_buf(&mut response).await.unwrap(), 0);
    }
    stream
}

/// A header field with credentials of Basic.
pub(crate) fn basic(credentials: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    format!("Authorization: Basic {encoded}")
}

/// A header field with a Bearer token.
pub(crate) fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// The result, if it comes before the shortest time-out of a port.
pub(crate) async fn before<T>(limit: Duration, what: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, what).await.ok()
}

/// Fails unless `what` completes before the shortest time-out of the service's port, of 15
/// seconds. It is long enough for a busy machine.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    before(Duration::from_secs(14), what)
        .await
        .expect("in time")
}

/// Retries until there is a result. The deadline only ends a test that hangs. The pause is
/// short beside a slow login, also on a fast machine.
pub(crate) async fn until<T>(attempt: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(found) = attempt().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("timed out");
}

/// A new directory for one test.
pub(crate) fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("monolith-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// A watched file with the given content.
pub(crate) fn watched(path: &Path, content: &str) -> WatchedFile {
    std::fs::write(path, content).unwrap();
    WatchedFile {
        path: path.into(),
        watch: pod::watch::Watch::new(vec![path.into()]),
    }
}

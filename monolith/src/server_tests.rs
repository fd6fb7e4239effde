//! Slow clients, with short time-outs, and the drain.

use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Responds to everything and records what was rejected.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<StatusCode>>>);

impl Port for Recorder {
    const KEEP_ALIVE: bool = true;

    async fn respond(&self, _: SocketAddr, _: Request<Incoming>) -> Response<Body> {
        Response::new(Body::empty())
    }

    fn rejected(&self, _: SocketAddr, status: StatusCode) {
        self.0.lock().unwrap().push(status);
    }

    fn connected(&self, _: i64) {}
}

/// Sends `bytes`, waits for the server to close, returns what was rejected.
async fn close_after(bytes: &[u8], timeouts: Timeouts) -> Vec<StatusCode> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_serving, phase) = watch::channel(Phase::Serving);
    let recorder = Recorder::default();
    let serving = serve(
        listener,
        ConnectionLimit::new(8),
        timeouts,
        phase,
        recorder.clone(),
    );
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(bytes).await.unwrap();
    // Accepted only now, so that the time-out does not run before the bytes are there.
    let server = tokio::spawn(serving);
    let _ = client.read_to_end(&mut Vec::new()).await;
    server.abort();
    let rejected = recorder.0.lock().unwrap();
    rejected.clone()
}

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(20);
/// A short time-out for headers, a long one for idle connections.
const QUICK_HEADER: Timeouts = Timeouts {
    connected: SHORT,
    header: SHORT,
    idle: LONG,
    draining: LONG,
};

#[tokio::test]
async fn an_incomplete_header_is_closed_and_reported() {
    let rejected = close_after(b"GET / HTTP/1.1\r\nX: ", QUICK_HEADER).await;
    assert_eq!(rejected, [StatusCode::REQUEST_TIMEOUT]);
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_closed_and_not_reported() {
    assert!(close_after(b"", QUICK_HEADER).await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_not_reported() {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    // The state is checked once per header time-out.
    let timeouts = Timeouts {
        header: Duration::from_secs(1),
        idle: SHORT,
        ..QUICK_HEADER
    };
    assert!(close_after(request, timeouts).await.is_empty());
}

const PATIENT: Timeouts = Timeouts {
    connected: LONG,
    header: LONG,
    idle: LONG,
    draining: LONG,
};
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server, not polled yet, and its address.
async fn prepared(
    limit: &ConnectionLimit,
    timeouts: Timeouts,
    phase: &watch::Sender<Phase>,
) -> (impl Future<Output = ()> + use<>, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (limit, phase) = (limit.clone(), phase.subscribe());
    let serving = serve(listener, limit, timeouts, phase, Recorder::default());
    (serving, address)
}

/// What a client receives until its connection is closed.
async fn received(mut client: TcpStream) -> String {
    let mut response = String::new();
    client.read_to_string(&mut response).await.unwrap();
    response
}

#[track_caller]
fn assert_last(response: &str) {
    assert!(response.starts_with("HTTP/1.1 200 "), "{response:?}");
    assert!(response.contains("connection: close\r\n"), "{response:?}");
}

#[tokio::test]
async fn connections_that_wait_in_the_queue_when_the_drain_begins_are_served() {
    let (phase, _) = watch::channel(Phase::Serving);
    let (serving, address) = prepared(&ConnectionLimit::new(64), PATIENT, &phase).await;
    let mut clients = Vec::new();
    for _ in 0..32 {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(REQUEST).await.unwrap();
        clients.push(client);
    }
    phase.send(Phase::Draining).unwrap();
    let serving = tokio::spawn(serving);
    for client in clients {
        assert_last(&received(client).await);
    }
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_waits_for_the_limit_when_the_drain_begins_is_served() {
    let (phase, _) = watch::channel(Phase::Serving);
    let limit = ConnectionLimit::new(1);
    let (serving, address) = prepared(&limit, PATIENT, &phase).await;
    let other = limit.acquire().await;
    other.activity.set(State::Responding);
    let serving = tokio::spawn(serving);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(REQUEST).await.unwrap();
    // Accepted, not yet allowed.
    tokio::time::sleep(SHORT).await;
    phase.send(Phase::Draining).unwrap();
    tokio::time::sleep(SHORT).await;
    drop(other);
    assert_last(&received(client).await);
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_without_a_request_when_the_drain_begins_has_time_for_one() {
    let (phase, _) = watch::channel(Phase::Serving);
    let limit = ConnectionLimit::new(64);
    for sent in [0, 5] {
        phase.send_replace(Phase::Serving);
        let (serving, address) = prepared(&limit, PATIENT, &phase).await;
        let serving = tokio::spawn(serving);
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(&REQUEST[..sent]).await.unwrap();
        // Accepted, and the drain noticed.
        tokio::time::sleep(SHORT).await;
        phase.send_replace(Phase::Draining);
        tokio::time::sleep(SHORT).await;
        client.write_all(&REQUEST[sent..]).await.unwrap();
        assert_last(&received(client).await);
        serving.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_without_a_request_does_not_hold_up_the_drain() {
    let (phase, _) = watch::channel(Phase::Serving);
    let timeouts = Timeouts {
        draining: SHORT,
        ..PATIENT
    };
    let (serving, address) = prepared(&ConnectionLimit::new(64), timeouts, &phase).await;
    let serving = tokio::spawn(serving);
    let client = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(SHORT).await;
    phase.send(Phase::Draining).unwrap();
    assert_eq!(received(client).await, "");
    serving.await.unwrap();
}

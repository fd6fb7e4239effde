//! Slow clients, with short time-outs.

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
    header: SHORT,
    idle: LONG,
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
    };
    assert!(close_after(request, timeouts).await.is_empty());
}

//! Clients that are slow, against a server with little patience.

use super::*;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers everything and keeps what was refused.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<StatusCode>>>);

impl Service for Recorder {
    const KEEP_ALIVE: bool = true;

    async fn answer(&self, _: SocketAddr, _: Request<Incoming>) -> Response<Body> {
        Response::new(Body::empty())
    }

    fn refused(&self, _: SocketAddr, status: StatusCode) {
        self.0.lock().unwrap().push(status);
    }

    fn connected(&self, _: i64) {}
}

/// Sends `bytes`, waits for the server to close, returns what was refused.
async fn close_after(bytes: &[u8], patience: Patience) -> Vec<StatusCode> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_serving, phase) = watch::channel(Phase::Serving);
    let recorder = Recorder::default();
    let serving = serve(listener, Places::new(8), patience, phase, recorder.clone());
    let server = tokio::spawn(serving);
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(bytes).await.unwrap();
    let _ = client.read_to_end(&mut Vec::new()).await;
    server.abort();
    let refused = recorder.0.lock().unwrap();
    refused.clone()
}

const LONG: Duration = Duration::from_secs(3600);
const SHORT: Duration = Duration::from_millis(20);
/// Little patience with a header, all of it with an idle connection.
const QUICK_HEADER: Patience = Patience {
    header: SHORT,
    idle: LONG,
};

#[tokio::test]
async fn a_header_that_never_ends_is_closed_and_noted() {
    let refused = close_after(b"GET / HTTP/1.1\r\nX: ", QUICK_HEADER).await;
    assert_eq!(refused, [StatusCode::REQUEST_TIMEOUT]);
}

#[tokio::test]
async fn a_client_that_never_asks_is_closed_without_a_note() {
    assert!(close_after(b"", QUICK_HEADER).await.is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_note() {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    // Patience is looked at as often as a header may take.
    let patience = Patience {
        header: Duration::from_secs(1),
        idle: SHORT,
    };
    assert!(close_after(request, patience).await.is_empty());
}

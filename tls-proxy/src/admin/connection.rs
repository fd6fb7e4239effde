//! One connection: one request and one response.

use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::AdminContext;
use super::response::{AdminResponse, respond};
use crate::http1::request_head::{self};
use crate::message::head::{Limits, RequestHead};

/// Time-out of a request's head, and of a response.
const HEAD: Duration = Duration::from_secs(5);
const SEND: Duration = Duration::from_secs(5);
/// How long to read on, so that the client can read the response before a reset.
const LINGER: Duration = Duration::from_secs(1);

/// A head is this long at most, bytes.
const LIMITS: Limits = Limits {
    line: 8 * 1024,
    head: 8 * 1024,
    fields: 100,
    underscores: true,
    ignore_invalid: true,
};

/// Serves a connection until it ends.
pub(super) async fn serve(mut socket: TcpStream, site: &AdminContext) {
    let response = match timeout(HEAD, read_head(&mut socket)).await {
        Ok(Some(Ok(head))) => respond(&head, site).await,
        Ok(Some(Err(error))) => AdminResponse::refusal(error.status),
        Ok(None) => return,
        Err(_) => AdminResponse::refusal(408),
    };
    let text = response.into_bytes();
    let sending = async {
        socket.write_all(&text).await?;
        socket.shutdown().await
    };
    if matches!(timeout(SEND, sending).await, Ok(Ok(()))) {
        let _ = timeout(LINGER, drop_rest(&mut socket)).await;
    }
}

/// `None` if the client has left.
async fn read_head(
    socket: &mut TcpStream,
) -> Option<Result<Box<RequestHead>, request_head::Error>> {
    let mut input = BytesMut::with_capacity(1024);
    loop {
        match request_head::parse(&mut input, &LIMITS, |_| None) {
            Ok(Some(head)) => return Some(Ok(head)),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
        match socket.read_buf(&mut input).await {
            Ok(size) if size > 0 => {}
            _ => return None,
        }
    }
}

/// Reads and discards until the client has closed.
async fn drop_rest(socket: &mut TcpStream) {
    let mut space = [0; 1024];
    while matches!(socket.read(&mut space).await, Ok(size) if size > 0) {}
}

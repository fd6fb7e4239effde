//! The application behind every contestant of `bench/compare`: two bytes, a
//! hundred megabytes, or what an upload counted to.
//!
//! Usage: backend LISTEN

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// One piece of a large answer, in bytes.
const PIECE: usize = 64 * 1024;
/// Pieces of a large answer: 100 MiB.
const PIECES: usize = 1600;

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let listen = std::env::args().nth(1).context("no address given")?;
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::task::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service_fn(answer)),
        );
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<AnyBody>, hyper::Error> {
    if request.method() != Method::GET {
        let mut size = 0;
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            size += frame?.data_ref().map_or(0, Bytes::len);
        }
        return Ok(Response::new(whole(size.to_string().into())));
    }
    if request.uri().path() != "/large" {
        return Ok(Response::new(whole(Bytes::from_static(b"ok"))));
    }
    let body = Large {
        piece: Bytes::from(vec![b'x'; PIECE]),
        left: PIECES,
    };
    let mut response = Response::new(body.boxed_unsync());
    let length = (PIECE * PIECES).to_string();
    if let Ok(length) = length.parse() {
        let headers = response.headers_mut();
        headers.insert(hyper::header::CONTENT_LENGTH, length);
    }
    Ok(response)
}

fn whole(text: Bytes) -> AnyBody {
    Full::new(text).boxed_unsync()
}

/// A large answer.
struct Large {
    piece: Bytes,
    /// Pieces still to come.
    left: usize,
}

impl Body for Large {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }
}

//! The baseline of `make bench`: TLS in, hyper's HTTP/1 or HTTP/2 server, hyper's
//! HTTP/1 client, nothing else. It has tls-proxy's layout (one single-threaded
//! runtime, its own pool of upstream connections, no lock) and none of its
//! features, so what it costs is what hyper costs.
//!
//! Usage: forwarder UPSTREAM (LISTEN CERTIFICATE KEY)...

use std::cell::RefCell;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The application, and connections to it that are free.
struct Upstream {
    address: SocketAddr,
    host: HeaderValue,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

/// Most idle connections that are kept; tls-proxy has `keepalive 1024`.
const KEPT: usize = 1024;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (upstream, listens) = arguments.split_first().context("no upstream given")?;
    let upstream = Rc::new(Upstream {
        address: upstream.parse()?,
        host: HeaderValue::from_str(upstream)?,
        idle: RefCell::default(),
    });
    let mut accepting = Vec::new();
    for listen in listens.chunks_exact(3) {
        let listener = TcpListener::bind(&listen[0]).await?;
        let acceptor = acceptor(&listen[1], &listen[2])?;
        accepting.push((listener, acceptor));
    }
    let local = tokio::task::LocalSet::new();
    for (listener, acceptor) in accepting {
        local.spawn_local(accept(listener, acceptor, upstream.clone()));
    }
    local.await;
    Ok(())
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor> {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(certificate)?.collect::<std::result::Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: Rc<Upstream>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        tokio::task::spawn_local(async move {
            // A client that closes is not an error.
            let _ = serve(socket, acceptor, upstream).await;
        });
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, upstream: Rc<Upstream>) -> Result<()> {
    socket.set_nodelay(true)?;
    let stream = acceptor.accept(socket).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request| upstream.clone().forward(request));
    let stream = TokioIo::new(stream);
    if http2 {
        let builder = hyper::server::conn::http2::Builder::new(Here);
        builder.serve_connection(stream, service).await?;
    } else {
        let builder = hyper::server::conn::http1::Builder::new();
        builder.serve_connection(stream, service).await?;
    }
    Ok(())
}

/// Streams are tasks of the one thread.
#[derive(Clone)]
struct Here;

impl<F: Future<Output = ()> + 'static> Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

impl Upstream {
    async fn forward(self: Rc<Self>, mut request: Request<Incoming>) -> Result<Response<Answer>> {
        let target = request.uri().path_and_query().context("no path")?.clone();
        *request.uri_mut() = Uri::from(target);
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().remove(CONNECTION);
        let mut sender = self.take().await?;
        let mut response = sender.send_request(request).await?;
        response.headers_mut().remove(CONNECTION);
        let upstream = self;
        Ok(response.map(|body| Answer {
            body,
            lent: Some((sender, upstream)),
        }))
    }

    /// A free connection, or a new one.
    async fn take(&self) -> Result<SendRequest<Incoming>> {
        loop {
            let Some(mut sender) = self.idle.borrow_mut().pop() else {
                break;
            };
            // Ready as soon as hyper's task has seen the end of the last response.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

/// The body of a response, which returns its connection at its end.
struct Answer {
    body: Incoming,
    lent: Option<(SendRequest<Incoming>, Rc<Upstream>)>,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let Some((sender, upstream)) = self.lent.take() else {
            return;
        };
        let mut idle = upstream.idle.borrow_mut();
        if idle.len() < KEPT && !sender.is_closed() && self.body.is_end_stream() {
            idle.push(sender);
        }
    }
}

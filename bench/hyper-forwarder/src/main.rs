//! The baseline of `bench/compare`: TLS in, hyper's HTTP/1 server, hyper's
//! HTTP/1 client, nothing else. It has tls-proxy's layout (one single-threaded
//! runtime, its own pool of upstream connections, no lock) and none of its
//! features, so what it costs is what hyper's HTTP/1 costs.
//!
//! Usage: hyper-forwarder UPSTREAM (LISTEN CERTIFICATE KEY)...

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The application, and connections to it that may be free.
struct Upstream {
    address: SocketAddr,
    host: HeaderValue,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

/// Most connections that are kept; tls-proxy gets `keepalive 64`.
const KEPT: usize = 64;

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
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, upstream: Rc<Upstream>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
        tokio::task::spawn_local(async move {
            // A client that goes away is nobody's loss.
            let _ = serve(socket, acceptor, upstream).await;
        });
    }
}

async fn serve(socket: TcpStream, acceptor: TlsAcceptor, upstream: Rc<Upstream>) -> Result<()> {
    socket.set_nodelay(true)?;
    let stream = acceptor.accept(socket).await?;
    let service = service_fn(|request| upstream.forward(request));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

impl Upstream {
    async fn forward(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>> {
        let target = request.uri().path_and_query().context("no path")?.clone();
        *request.uri_mut() = Uri::from(target);
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().remove(CONNECTION);
        let mut sender = self.take().await?;
        let mut response = sender.send_request(request).await?;
        response.headers_mut().remove(CONNECTION);
        // Not ready until its answer has been read; `take` looks.
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT {
            idle.push(sender);
        }
        Ok(response)
    }

    /// A free connection, or a new one.
    async fn take(&self) -> Result<SendRequest<Incoming>> {
        let found = {
            let mut idle = self.idle.borrow_mut();
            idle.retain(|sender| !sender.is_closed());
            let ready = idle.iter().rposition(SendRequest::is_ready);
            ready.map(|at| idle.swap_remove(at))
        };
        if let Some(sender) = found {
            return Ok(sender);
        }
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        tokio::task::spawn_local(connection);
        Ok(sender)
    }
}

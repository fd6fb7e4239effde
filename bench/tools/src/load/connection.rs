//! A keep-alive connection, over HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::kx_group;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client;

/// The version that a connection is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http1,
    Http2,
}

impl FromStr for Version {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "1.1" => Ok(Self::Http1),
            "2" => Ok(Self::Http2),
            other => bail!("{other} is no version of HTTP"),
        }
    }
}

/// The parameters of every connection.
#[derive(Clone)]
pub(super) struct Target {
    address: SocketAddr,
    version: Version,
    config: Arc<ClientConfig>,
    path: String,
}

impl Target {
    pub(super) fn new(address: SocketAddr, version: Version, path: &str) -> Result<Self> {
        let mut config = client::offer(kx_group::X25519, Resumption::disabled())?;
        if version == Version::Http2 {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        Ok(Self {
            address,
            version,
            config: Arc::new(config),
            path: path.to_owned(),
        })
    }

    pub(super) async fn open(&self) -> Result<Connection> {
        let stream = client::connect(self.address, &self.config).await?;
        if self.version == Version::Http1 {
            return Ok(Connection::Http1(Box::new(stream)));
        }
        let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // Ends with the connection; requests report its errors.
        tokio::spawn(driver);
        Ok(Connection::Http2(sender))
    }
}

/// An open connection. HTTP/2 is driven by a task.
pub(super) enum Connection {
    Http1(Box<TlsStream<TcpStream>>),
    Http2(SendRequest<Empty<Bytes>>),
}

impl Connection {
    /// Sends a request and reads the response, which has to be 200 and `ok`.
    pub(super) async fn ask(&mut self, target: &Target) -> Result<()> {
        match self {
            Self::Http1(stream) => client::ask(stream, &client::request(&target.path)).await,
            Self::Http2(sender) => {
                let request = Request::get(format!("https://localhost{}", target.path));
                let response = sender.send_request(request.body(Empty::new())?).await?;
                let status = response.status();
                ensure!(status == StatusCode::OK, "answered {status}");
                let body = response.into_body().collect().await?.to_bytes();
                ensure!(body == "ok", "the body is {body:?}");
                Ok(())
            }
        }
    }
}

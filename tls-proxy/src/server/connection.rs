//! Serves one client connection: detects its protocol, and ends it.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use rustls::sign::CertifiedKey;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::closing::closes_silent;
use super::http2::stream_tasks::StreamTasks;
use super::{http1, http2};
use crate::admission::{Admitted, HTTP2, Holder, MemoryUse, Waits};
use crate::conf::Problem;
use crate::config::ServerId;
use crate::lifecycle::drain::Token;
use crate::log::level::Level;
use crate::metrics;
use crate::metrics::Open;
use crate::metrics::labels::Handshake;
use crate::modules::{self, ssl};
use crate::net::UNSPECIFIED;
use crate::net::prefixed::Prefixed;
use crate::net::proxy_protocol::{self, Header};
use crate::request::Request;
use crate::request::conn_config::ConnConfig;
use crate::request::connection::Connection;
use crate::request::error_log;
use crate::request::worker::Worker;
use crate::time::cached_time;
use crate::tls::accept::{self, SelectedServer, TlsInfo};
use crate::tls::client_stream::ClientStream;
use crate::tls::named_certificates::NamedCertificates;
use crate::tls::settings::File;

/// The connection preface of an HTTP/2 client (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// First byte of a TLS record that holds a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 0x16;

/// A worker, and the state that only its connections' tasks use.
pub(crate) struct WorkerContext {
    pub(crate) worker: Rc<Worker>,
    /// The tasks that serve streams of HTTP/2.
    pub(crate) stream_tasks: Rc<StreamTasks>,
}

/// Serves a connection until it ends.
pub(crate) fn serve(
    server: Rc<WorkerContext>,
    socket: TcpStream,
    peer: SocketAddr,
    standing: ConnConfig,
    token: Token,
    admitted: Admitted,
) -> impl Future<Output = ()> {
    // What a handshake and HTTP/2 need has memory of its own: the task of an idle
    // connection of HTTP/1 is small. Arguments of an `async fn` would stay in it.
    let worker = server.worker.clone();
    let beginning = Box::pin(begin(worker, socket, peer, standing, admitted));
    serve_begun(server, beginning, token)
}

async fn serve_begun(
    server: Rc<WorkerContext>,
    beginning: Pin<Box<impl Future<Output = Option<Begun>>>>,
    token: Token,
) {
    let Some((connection, stream, http2)) = beginning.await else {
        return;
    };
    let holder = connection.account.holder().clone();
    let ended = if http2 {
        let tasks = server.stream_tasks.clone();
        let serving = Box::pin(http2::serve(connection.clone(), stream, token, tasks));
        unless_evicted(&holder, serving).await
    } else {
        let serving = Box::pin(http1::serve(connection.clone(), http1::wire(stream), token));
        unless_evicted(&holder, serving).await
    };
    if ended.is_none() {
        log_eviction(&connection);
    }
}

/// Runs `serving` until it ends or the connection is evicted (`None`). An idle connection
/// is not cut here: it closes itself.
async fn unless_evicted<T>(
    holder: &Holder,
    mut serving: Pin<Box<impl Future<Output = T>>>,
) -> Option<T> {
    poll_fn(|cx| {
        if let Poll::Ready(ended) = cached_time::poll(&mut serving, cx) {
            return Poll::Ready(Some(ended));
        }
        match holder.poll_evicted(cx) {
            Poll::Ready(()) if holder.waits() != Waits::Idle => Poll::Ready(None),
            _ => Poll::Pending,
        }
    })
    .await
}

/// A connection over which HTTP has begun, and whether it is HTTP/2.
type Begun = (Rc<Connection>, ClientStream, bool);

/// Everything before HTTP; none where the connection has ended.
async fn begin(
    worker: Rc<Worker>,
    socket: TcpStream,
    peer: SocketAddr,
    standing: ConnConfig,
    admitted: Admitted,
) -> Option<Begun> {
    let settings = standing.settings();
    let patience = settings.core.client_header_timeout;
    // With Nagle's algorithm small responses would wait for the client's acknowledgement.
    if settings.core.tcp_nodelay {
        let _ = socket.set_nodelay(true);
    }
    let local = socket.local_addr().unwrap_or(UNSPECIFIED);
    let (number, addresses) = (worker.next_connection(), (peer, local));
    let mut connection = Connection::new(&worker, number, standing, addresses, admitted);
    connection.open = Some(Open::new());
    let holder = connection.account.holder().clone();
    holder.wait(Waits::FirstBytes, 0);
    let stream = Prefixed {
        seen: BytesMut::new(),
        socket,
    };
    let opening = Box::pin(async {
        let opened = open(&mut connection, stream).await?;
        start_http(&connection, opened.1).await;
        Ok(opened)
    });
    let opening = unless_evicted(&holder, opening);
    let opened = tokio::time::timeout(patience, opening).await;
    let (level, what) = match opened {
        Ok(Some(Ok((stream, http2)))) => {
            holder.start_stage();
            return Some((Rc::new(connection), stream, http2));
        }
        Ok(Some(Err(Closed::Quiet))) => return None,
        Ok(None) => {
            log_eviction(&connection);
            return None;
        }
        Ok(Some(Err(Closed::NoHeader(broken)))) => (
            Level::Error,
            format!("{broken} while reading PROXY protocol"),
        ),
        Ok(Some(Err(Closed::Because(error)))) => {
            metrics::handshake_failed(error.reason());
            (Level::Info, format!("{error} while SSL handshaking"))
        }
        Err(_) => {
            let ssl = connection.conn_config().listen().listen.ssl;
            if ssl && connection.tls.is_none() {
                metrics::handshake_failed(Handshake::Timeout);
            }
            let what = "client timed out (110: Connection timed out)";
            (Level::Info, what.to_owned())
        }
    };
    error_log::connection(&connection, level, what);
    None
}

/// Why a connection ended before HTTP began.
enum Closed {
    Quiet,
    NoHeader(proxy_protocol::Error),
    Because(accept::Error),
}

/// Detects the protocol by the first bytes, and runs the TLS handshake if there is one. The
/// flag is set for HTTP/2.
async fn open(
    connection: &mut Connection,
    mut stream: Prefixed,
) -> Result<(ClientStream, bool), Closed> {
    let conn_config = connection.conn_config();
    let (config, listen) = (&conn_config.config, conn_config.listen());
    let http2_on = |server: ServerId| {
        let root = config.server(server).root;
        listen.listen.http2
            || config
                .location(root)
                .settings
                .of::<modules::http2::Settings>()
                .on
    };
    let worker = connection.worker.clone();
    let mut end = std::pin::pin!(closes_silent(&worker));
    if listen.listen.proxy_protocol {
        let header = tokio::select! {
            biased;
            header = read_proxy_header(&mut stream) => header.inspect_err(|_| {
                // nginx only peeks at the header before TLS: closing with unread bytes
                // sends a reset.
                if listen.listen.ssl {
                    let _ = SockRef::from(&stream.socket).set_linger(Some(Duration::ZERO));
                }
            })?,
            () = end.as_mut() => return Err(Closed::Quiet),
        };
        let memory = header.memory();
        connection.proxy_header = Some(Box::new(header));
        if memory > 0 {
            reserve(connection, memory, Waits::FirstBytes).await;
        }
    }
    if stream.seen.is_empty() {
        let peeked = tokio::select! {
            biased;
            peeked = stream.peek() => peeked,
            () = end.as_mut() => Ok(0),
        };
        if peeked.map_err(|_| Closed::Quiet)? == 0 {
            return Err(Closed::Quiet);
        }
    }
    if !listen.listen.ssl {
        let http2 = http2_on(listen.default) && is_http2(&mut stream).await;
        return Ok((ClientStream::Plain(stream), http2));
    }
    if stream.seen[0] != HANDSHAKE && stream.seen[0] & 0x80 == 0 {
        connection.plain_on_tls = true;
        metrics::handshake_failed(Handshake::PlainHttp);
        return Ok((ClientStream::Plain(stream), false));
    }
    let mut server = listen.default;
    let asking: &Connection = connection;
    let choose = |name: Option<&str>| {
        server = name
            .and_then(|name| listen.names.find_without_captures(name))
            .unwrap_or(listen.default);
        let own = config.server(server).tls.as_ref();
        let tls = own.or(config.server(listen.default).tls.as_ref())?;
        let certificates = match tls.named.as_ref().filter(|_| !tls.rejects) {
            Some(named) => {
                let conn_config = ConnConfig {
                    server,
                    ..conn_config.clone()
                };
                let found = named_certificates(asking, conn_config, named, name);
                let found = found.inspect_err(|problem| {
                    error_log::connection(asking, Level::Error, &problem.message);
                });
                Some(tls.certificates(found.ok()?))
            }
            None => None,
        };
        Some(SelectedServer {
            server: tls.clone(),
            http2: http2_on(server),
            certificates,
        })
    };
    let reserve = async |memory| reserve(asking, memory, Waits::Handshake).await;
    let (tls, info) = accept::accept(stream, choose, reserve)
        .await
        .map_err(Closed::Because)?;
    metrics::handshake_done(info.is_tls13(), info.reused);
    let http2 = info.alpn.as_deref() == Some(b"h2");
    connection.secured(server, info);
    Ok((ClientStream::Tls(Box::new(tls)), http2))
}

/// Waits for memory, and then for what the client sends next.
async fn reserve(connection: &Connection, memory: u64, next: Waits) {
    let holder = connection.account.holder();
    holder.stop_waiting();
    connection.permit.grow(memory).await;
    holder.wait(next, 0);
}

/// Loads certificates whose names contain variables, for the server that this connection
/// selected. The variables are evaluated for a substitute request.
fn named_certificates(
    connection: &Connection,
    conn_config: ConnConfig,
    named: &NamedCertificates,
    server_name: Option<&str>,
) -> Result<Vec<Arc<CertifiedKey>>, Problem> {
    let worker = &connection.worker;
    let addresses = (connection.peer, connection.local);
    let admitted = worker.admission.uncounted().accepted();
    let mut substitute =
        Connection::new(worker, connection.number, conn_config, addresses, admitted);
    substitute.tls = Some(TlsInfo::in_handshake(server_name));
    substitute.began = connection.began;
    substitute.proxy_header.clone_from(&connection.proxy_header);
    let request = Request::of_handshake(&Rc::new(substitute));
    // An empty name becomes that of the configuration's folder, as in nginx, and does not
    // load.
    let folder = || request.config.conf.clone();
    let path = |file: &File| ssl::path_of(file, &request).unwrap_or_else(folder);
    let pairs = named.pairs.iter();
    pairs
        .map(|(certificate, key)| named.load(&path(certificate), &path(key), &certificate.at))
        .collect()
}

/// Reads until the PROXY protocol header, whose size is limited, is complete.
async fn read_proxy_header(stream: &mut Prefixed) -> Result<Header, Closed> {
    loop {
        if stream.peek().await.map_err(|_| Closed::Quiet)? == 0 {
            return Err(Closed::Quiet);
        }
        match proxy_protocol::parse(&mut stream.seen) {
            Ok(Some(header)) => return Ok(header),
            Ok(None) => {}
            Err(broken) => return Err(Closed::NoHeader(broken)),
        }
    }
}

/// Whether the client sends the HTTP/2 preface; reads on while it might.
async fn is_http2(stream: &mut Prefixed) -> bool {
    while stream.seen.len() < PREFACE.len() && PREFACE.starts_with(&stream.seen) {
        match stream.peek().await {
            Ok(size) if size > 0 => {}
            _ => return false,
        }
    }
    stream.seen.starts_with(PREFACE)
}

/// Releases the memory of the handshake, except what is kept of it, and reserves that of
/// HTTP/2.
async fn start_http(connection: &Connection, http2: bool) {
    let permit = &connection.permit;
    let of_tls = connection.tls.as_ref().map_or(0, |tls| tls.memory);
    let of_header = connection.proxy_header.as_ref();
    let kept = of_tls + of_header.map_or(0, |header| header.memory());
    let stays = kept + if http2 { HTTP2 } else { 0 };
    if stays > 0 {
        connection.account.holder().stop_waiting();
        // The handshake's memory counts as short-lived, part of which is kept for that use:
        // so connections that wait here cannot block each other.
        let held = permit.memory(MemoryUse::Transfer);
        permit.grow(stays.saturating_sub(held)).await;
        permit.reclassify(MemoryUse::Transfer, MemoryUse::Connection, stays);
    }
    permit.shrink(MemoryUse::Transfer, permit.memory(MemoryUse::Transfer));
}

/// Logs that the connection was closed to free memory.
fn log_eviction(connection: &Connection) {
    if let Some(eviction) = connection.account.holder().eviction() {
        let what = format!("connection closed to free memory: {eviction}");
        error_log::connection(connection, Level::Warn, what);
    }
}

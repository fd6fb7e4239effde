//! Accepts connections: a task for each address that a worker listens on.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::Notify;

use super::connection::{self, WorkerContext};
use super::listener::Listener;
use crate::admission::Permit;
use crate::admission::pending::Pending;
use crate::config::Config;
use crate::config::listen::Endpoint;
use crate::lifecycle::drain::TokenKind;

/// Connections that are accepted from a socket's queue before it is closed although there is no
/// room for them: more might take more memory than there is.
const MAX_UNCOUNTED: usize = 128;

/// The accept tasks, one for each address.
#[derive(Default)]
pub(super) struct Listeners(HashMap<Endpoint, Accepting>);

struct Accepting {
    task: tokio::task::JoinHandle<()>,
    stop: Rc<Notify>,
}

impl Listeners {
    pub(super) fn open(&mut self, server: &Rc<WorkerContext>, fresh: Vec<(Endpoint, Listener)>) {
        for (address, listener) in fresh {
            let stop = Rc::new(Notify::new());
            let task = accept(server.clone(), listener, address.clone(), stop.clone());
            let task = tokio::task::spawn_local(task);
            self.0.insert(address, Accepting { task, stop });
        }
    }

    /// Stops those whose address is not in the configuration.
    pub(super) fn keep(&mut self, config: &Config) {
        self.0.retain(|address, accepting| {
            let kept = config.listens_on(address);
            if !kept {
                accepting.stop.notify_one();
            }
            kept
        });
    }

    /// Stops all, each after its queue is empty.
    pub(super) async fn close_all(&mut self) {
        for (_, accepting) in self.0.drain() {
            accepting.stop.notify_one();
            // A panic has been reported already.
            let _ = accepting.task.await;
        }
    }
}

/// Accepts connections on one address until it is stopped. Then accepts those already in
/// the queue, so that none of them is refused.
async fn accept(
    server: Rc<WorkerContext>,
    listener: Listener,
    address: Endpoint,
    stop: Rc<Notify>,
) {
    let mut bounded = false;
    let admission = &server.worker.admission;
    let mut pending = Pending::new(admission.clone());
    'serving: loop {
        // Memory may be limited only later.
        bounded = bounded || listener.bounds_buffers();
        let permit = match admission.try_for_connection() {
            Some(permit) => permit,
            None => {
                let mut place = pin!(admission.for_new_client());
                let mut asks = false;
                loop {
                    let has_room = pending.has_room();
                    // Memory is requested only when there is a connection to serve, or none
                    // may be accepted before. Once requested it is waited for.
                    asks |= !pending.is_empty() || !has_room;
                    tokio::select! {
                        biased;
                        () = stop.notified() => break 'serving,
                        permit = place.as_mut(), if asks => break permit,
                        accepted = poll_fn(|cx| listener.poll_accept(cx)), if has_room => {
                            queue(&mut pending, accepted).await;
                        }
                        // At the limit: looks again when the oldest may be closed.
                        () = sleep_until_stale(&pending), if !has_room => {}
                    }
                }
            }
        };
        let next = pending.next(has_sent);
        if !matches!(next, Some((_, true))) {
            permit.give_up_advance();
        }
        let accepted = match next {
            Some((next, _)) => register(next),
            None => tokio::select! {
                biased;
                () = stop.notified() => break,
                accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
            },
        };
        match accepted {
            Ok((socket, peer)) => start_connection(&server, socket, peer, &address, permit),
            Err(error) => accept_failed(&error).await,
        }
    }
    while let Some((next, _)) = pending.next(|_| true) {
        if let Ok((socket, peer)) = register(next) {
            start_connection(&server, socket, peer, &address, admission.uncounted());
        }
    }
    // A closed socket refuses what waits in its queue, which may be longer than Tokio's
    // budget for one poll of a task.
    let mut uncounted = 0;
    let rest = poll_fn(|cx| {
        while let Poll::Ready(Ok((socket, peer))) = listener.poll_accept(cx) {
            let permit = admission.try_for_connection().or_else(|| {
                uncounted += 1;
                (uncounted <= MAX_UNCOUNTED).then(|| admission.uncounted())
            });
            if let Some(permit) = permit {
                start_connection(&server, socket, peer, &address, permit);
            }
        }
        Poll::Ready(())
    });
    tokio::task::coop::unconstrained(rest).await;
}

async fn sleep_until_stale(pending: &Pending<Unserved>) {
    match pending.stale_at() {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A connection that the event loop does not watch yet, and its client's address.
type Unserved = (std::net::TcpStream, SocketAddr);

/// Queues a connection until there is memory to serve it.
async fn queue(
    pending: &mut Pending<Unserved>,
    accepted: io::Result<(tokio::net::TcpStream, SocketAddr)>,
) {
    match accepted.and_then(|(socket, peer)| Ok((socket.into_std()?, peer))) {
        Ok(unserved) => pending.push(unserved),
        Err(error) => accept_failed(&error).await,
    }
}

/// Whether its client has sent something, or has left.
fn has_sent((socket, _): &Unserved) -> bool {
    let peeked = socket.peek(&mut [0]);
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Registers it with the event loop, which may fail for lack of memory.
fn register((socket, peer): Unserved) -> io::Result<(tokio::net::TcpStream, SocketAddr)> {
    Ok((tokio::net::TcpStream::from_std(socket)?, peer))
}

async fn accept_failed(error: &io::Error) {
    if !is_about_the_peer(error) {
        tracing::error!("accept() failed ({})", crate::conf::reason(error));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The client left before the connection was accepted.
fn is_about_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

fn start_connection(
    server: &Rc<WorkerContext>,
    socket: tokio::net::TcpStream,
    peer: SocketAddr,
    address: &Endpoint,
    permit: Permit,
) {
    let config = server.worker.config();
    let Some(index) = config
        .listens
        .iter()
        .position(|own| own.listen.address == *address)
    else {
        return;
    };
    let token = server.worker.drain.token(TokenKind::Connection);
    let server = server.clone();
    let admitted = permit.accepted();
    tokio::task::spawn_local(connection::serve(
        server, socket, peer, index, token, admitted,
    ));
}

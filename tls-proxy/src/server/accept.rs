//! Accepts connections: a task for each socket that a worker listens on.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::{self, WorkerContext};
use super::listener::Listener;
use crate::admission::pending::Pending;
use crate::admission::{Admission, FIRST_BYTES, Permit, SILENCE};
use crate::config::Config;
use crate::config::listen::Endpoint;
use crate::lifecycle::drain::TokenKind;
use crate::net::UNSPECIFIED;
use crate::request::conn_config::ConnConfig;
use crate::request::live_config::ConfigHandle;

/// Connections that are accepted from a socket's queue before it is closed although there is no
/// room for them, at most.
const MAX_BEYOND: usize = 128;

/// How long those behind them wait for room.
const LAST_WAIT: Duration = Duration::from_millis(500);

/// The most connections that are accepted from it: clients may come faster than that.
const LONGEST_QUEUE: usize = 4096;

/// The accept tasks, one for each address that is bound.
#[derive(Default)]
pub(super) struct Listeners(HashMap<Endpoint, Accepting>);

struct Accepting {
    task: tokio::task::JoinHandle<()>,
    stop: Rc<Stop>,
}

/// Stops an accept task.
#[derive(Default)]
struct Stop {
    notify: Notify,
    /// The configuration in force at that time, by which the clients in its queue are served: the
    /// next one may not have their address.
    last: OnceCell<ConfigHandle>,
}

impl Stop {
    /// Before the next configuration comes into force.
    fn stop(&self, server: &WorkerContext) {
        self.last.get_or_init(|| server.worker.config());
        self.notify.notify_one();
    }

    async fn stopped(&self) {
        self.notify.notified().await;
    }
}

impl Listeners {
    pub(super) fn open(&mut self, server: &Rc<WorkerContext>, fresh: Vec<(Endpoint, Listener)>) {
        for (address, listener) in fresh {
            let stop = Rc::new(Stop::default());
            let task = accept(server.clone(), listener, address.clone(), stop.clone());
            let task = tokio::task::spawn_local(task);
            self.0.insert(address, Accepting { task, stop });
        }
    }

    /// Stops those whose address `config`, which comes into force next, does not bind.
    pub(super) fn keep(&mut self, server: &WorkerContext, config: &Config) {
        self.0.retain(|address, accepting| {
            let kept = config.binds(address);
            if !kept {
                accepting.stop.stop(server);
            }
            kept
        });
    }

    /// Stops all, each after its queue is empty.
    pub(super) async fn close_all(&mut self, server: &WorkerContext) {
        for accepting in self.0.values() {
            accepting.stop.stop(server);
        }
        for (_, accepting) in self.0.drain() {
            // A panic has been reported already.
            let _ = accepting.task.await;
        }
    }
}

/// Accepts connections on one address until it is stopped. Then accepts those already in
/// the queue, so that none of them is refused, and serves them by the last configuration that has
/// this address.
async fn accept(server: Rc<WorkerContext>, listener: Listener, address: Endpoint, stop: Rc<Stop>) {
    let mut bounded = false;
    let admission = &server.worker.admission;
    let start = |socket, peer, permit| {
        let config = stop.last.get().cloned();
        let config = config.unwrap_or_else(|| server.worker.config());
        start_connection(&server, config, (socket, peer), &address, permit);
    };
    let mut pending = Pending::new(admission.clone());
    // There is less memory than a new client needs, though enough for a silent connection.
    let mut is_short = false;
    'serving: loop {
        // Memory may be limited only later.
        bounded = bounded || listener.bounds_buffers();
        let free = match is_short {
            true => None,
            false => admission.try_for_connection(),
        };
        is_short = false;
        let permit = match free {
            Some(permit) => permit,
            None => {
                let mut place = pin!(admission.for_new_client());
                let mut tick = pin!(tokio::time::sleep(pending.next_look()));
                let mut asks = pending.is_ready(has_sent);
                loop {
                    let has_room = pending.has_room(has_sent);
                    // Memory is requested only for a client that has sent something, or if
                    // none may be accepted before. Once requested it is waited for.
                    asks = asks || !pending.is_open();
                    tokio::select! {
                        biased;
                        () = stop.stopped() => break 'serving,
                        permit = place.as_mut(), if asks => break permit,
                        // The event loop does not watch them.
                        () = tick.as_mut(), if !asks && !pending.is_empty() => {
                            asks = pending.is_ready(has_sent);
                            if !asks && let Some(permit) = admission.try_for_connection() {
                                break permit;
                            }
                            tick.set(tokio::time::sleep(pending.next_look()));
                        }
                        accepted = poll_fn(|cx| listener.poll_accept(cx)), if has_room => {
                            queue(&mut pending, accepted).await;
                            let next_look = tokio::time::Instant::now() + pending.next_look();
                            if next_look < tick.deadline() {
                                tick.as_mut().reset(next_look);
                            }
                        }
                        // At the limit, one may be closed later.
                        () = tokio::time::sleep(SILENCE / 2), if !has_room => {}
                    }
                }
            }
        };
        let mut next = pending.next(has_sent);
        while next.is_none() && !pending.is_empty() {
            // They have all come just now.
            tokio::select! {
                biased;
                () = stop.stopped() => break 'serving,
                accepted = poll_fn(|cx| listener.poll_accept(cx)), if pending.has_room(has_sent) => {
                    queue(&mut pending, accepted).await;
                }
                () = tokio::time::sleep(FIRST_BYTES / 4) => {}
            }
            next = pending.next(has_sent);
        }
        let accepted = match next {
            Some((next, true)) if !permit.take_advance() => {
                pending.put_back(next);
                is_short = true;
                continue;
            }
            Some((next, true)) => register(next),
            Some((next, false)) => {
                permit.give_up_advance();
                register(next)
            }
            None => {
                permit.give_up_advance();
                let accepted = tokio::select! {
                    biased;
                    () = stop.stopped() => break,
                    accepted = poll_fn(|cx| listener.poll_accept(cx)) => accepted,
                };
                if !permit.take_advance() {
                    queue(&mut pending, accepted).await;
                    is_short = true;
                    continue;
                }
                accepted
            }
        };
        match accepted {
            Ok((socket, peer)) => start(socket, peer, permit),
            Err(error) => accept_failed(&error).await,
        }
    }
    let mut last = LastPermits::new(admission);
    while let Some((next, _)) = pending.next(|_| true) {
        if let (Some(permit), Ok((socket, peer))) = (last.next().await, register(next)) {
            start(socket, peer, permit);
        }
    }
    // A closed socket resets what waits in its queue, also what the event loop has not seen yet.
    for _ in 0..LONGEST_QUEUE {
        let unserved = match listener.accept_queued() {
            Ok(unserved) => unserved,
            Err(error) if is_about_the_peer(&error) => continue,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    tracing::error!("accept() failed ({})", crate::conf::reason(&error));
                }
                break;
            }
        };
        if let (Some(permit), Ok((socket, peer))) = (last.next().await, register(unserved)) {
            start(socket, peer, permit);
        }
    }
}

/// Permits for what waits in the queue of a socket that is closed next.
struct LastPermits<'a> {
    admission: &'a Rc<Admission>,
    beyond: usize,
    until: Instant,
}

impl<'a> LastPermits<'a> {
    fn new(admission: &'a Rc<Admission>) -> Self {
        Self {
            admission,
            beyond: 0,
            until: Instant::now() + LAST_WAIT,
        }
    }

    /// `None` if there are too many, and others have not given way in time.
    async fn next(&mut self) -> Option<Permit> {
        if let Some(permit) = self.admission.try_for_connection() {
            return Some(permit);
        }
        if self.beyond < MAX_BEYOND
            && let Some(permit) = self.admission.beyond_limits()
        {
            self.beyond += 1;
            return Some(permit);
        }
        if Instant::now() >= self.until {
            return None;
        }
        let place = self.admission.for_new_client();
        tokio::time::timeout_at(self.until, place).await.ok()
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
        Ok(unserved) => pending.push(unserved, has_sent),
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
    config: ConfigHandle,
    (socket, peer): (tokio::net::TcpStream, SocketAddr),
    address: &Endpoint,
    permit: Permit,
) {
    // The address's number is one of this configuration only: the connection's task may begin after a
    // reload.
    let local = || socket.local_addr().unwrap_or(UNSPECIFIED);
    let Some(standing) = ConnConfig::of_accepted(config, address, local) else {
        return;
    };
    let token = server.worker.drain.token(TokenKind::Connection);
    let server = server.clone();
    let admitted = permit.accepted();
    tokio::task::spawn_local(connection::serve(
        server, socket, peer, standing, token, admitted,
    ));
}

//! A worker: a thread with its own runtime, listening sockets and upstream connections.
//! Workers share only the configuration.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use socket2::Socket;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::LocalSet;

use super::connection::{self, WorkerContext};
use super::listener::Listener;
use crate::admission::pending::Pending;
use crate::admission::{Capacity, Permit};
use crate::config::Config;
use crate::config::listen::Endpoint;
use crate::lifecycle::drain::{Phase, TokenKind};
use crate::log::sinks::{Logs, Reopened};
use crate::net;
use crate::request::live_config::ConfigHandle;
use crate::request::worker::Worker;
use crate::upstream::dns;

/// Threads of a worker that check passwords (`auth_basic`); more logins wait for them
/// instead of starting threads.
const HASHERS: usize = 2;

/// A message from the main thread.
pub(crate) enum Order {
    /// Serve a new configuration from now on, then acknowledge.
    Reload(Prepared, oneshot::Sender<()>),
    /// Write to reopened log files.
    Reopen(Reopened),
    /// The limits of the container have changed.
    Resize(Capacity),
    /// Acknowledge that the event loop is running.
    Ping(oneshot::Sender<()>),
}

/// A configuration with everything a worker needs to serve it: applying it cannot fail.
pub(crate) struct Prepared {
    config: Arc<Config>,
    logs: Logs,
    /// Listeners of the addresses that are new in it.
    listeners: Vec<(Endpoint, Listener)>,
}

impl Prepared {
    /// Opens the log files, and registers the sockets with the worker's `runtime`.
    ///
    /// # Errors
    /// Why the configuration cannot be applied.
    fn new(
        runtime: &Handle,
        config: Arc<Config>,
        sockets: Vec<(Endpoint, Socket)>,
    ) -> Result<Self, String> {
        let logs = Logs::open(&config.log_files).map_err(|error| error.to_string())?;
        let _inside = runtime.enter();
        let listeners =
            sockets
                .into_iter()
                .map(|(address, socket)| match Listener::new(socket, &address) {
                    Ok(listener) => Ok((address, listener)),
                    Err(error) => Err(format!("{address}: {}", crate::conf::reason(&error))),
                });
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            config,
            logs,
        })
    }
}

/// Parameters of a new worker.
pub(crate) struct Start {
    /// Its number, from 0.
    pub number: usize,
    /// The number of workers.
    pub workers: usize,
    /// Its limits.
    pub capacity: Capacity,
    /// The phases of the drain.
    pub phases: watch::Receiver<Phase>,
}

/// The main thread's handle of a worker.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    runtime: Handle,
}

impl WorkerHandle {
    /// Prepares a configuration for this worker.
    ///
    /// # Errors
    /// Why it cannot be applied; the worker has not been notified.
    pub(crate) fn prepare(
        &self,
        config: Arc<Config>,
        sockets: Vec<(Endpoint, Socket)>,
    ) -> Result<Prepared, String> {
        Prepared::new(&self.runtime, config, sockets)
    }
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// Its number.
    pub number: usize,
    /// Connections and tunnels that were cut; `None` if it panicked.
    pub cut: Option<usize>,
}

/// Reports the end to the main thread, also after a panic.
struct ReportEnd(End, mpsc::UnboundedSender<End>);

impl Drop for ReportEnd {
    fn drop(&mut self) {
        // The main thread may have ended already.
        let _ = self.1.send(self.0);
    }
}

/// Starts a worker that serves `config` on `sockets` until it is drained or cut.
///
/// # Errors
/// If a thread or runtime cannot be created, or a log file cannot be opened.
pub(crate) fn start(
    start: Start,
    config: Arc<Config>,
    sockets: Vec<(Endpoint, Socket)>,
    done: mpsc::UnboundedSender<End>,
) -> Result<WorkerHandle, String> {
    let said = |error: io::Error| crate::conf::reason(&error);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(HASHERS)
        .build()
        .map_err(said)?;
    let (orders, received) = mpsc::unbounded_channel();
    let handle = WorkerHandle {
        orders,
        runtime: runtime.handle().clone(),
    };
    let first = Prepared::new(&handle.runtime, config, sockets)?;
    let number = start.number;
    let name = format!("worker-{number}");
    let spawned = thread::Builder::new().name(name).spawn(move || {
        let mut report = ReportEnd(End { number, cut: None }, done);
        let cut = LocalSet::new().block_on(&runtime, run(start, first, received));
        report.0.cut = Some(cut);
    });
    spawned.map_err(said)?;
    Ok(handle)
}

/// Runs the worker; returns how many connections and tunnels were cut.
async fn run(start: Start, first: Prepared, mut orders: mpsc::UnboundedReceiver<Order>) -> usize {
    net::set_memory_limit(start.capacity.memory);
    let config = ConfigHandle::new(first.config, first.logs);
    let worker = Worker::new(start.number, start.workers, start.capacity, config);
    let server = Rc::new(WorkerContext {
        worker: Rc::new(worker),
        stream_tasks: Rc::default(),
    });
    let worker = &server.worker;
    tokio::task::spawn_local(worker.drain.clone().follow(start.phases));
    spawn(&server, async |server| server.worker.pool.run().await);
    spawn(&server, async |server| server.stream_tasks.run().await);
    spawn(&server, async |server| {
        let worker = &server.worker;
        worker.admission.run(|| worker.pool.clear()).await;
    });
    follow_names(&server.worker);
    let mut listeners = Listeners::default();
    listeners.open(&server, first.listeners);
    let mut closing = worker.drain.closes_idle();
    loop {
        tokio::select! {
            // A reload sent before the drain began is applied by every worker.
            biased;
            Some(order) = orders.recv() => apply(&server, order, &mut listeners),
            _ = &mut closing => break,
        }
    }
    let mut ending = pin!(async {
        listeners.close_all().await;
        tokio::select! {
            () = worker.drain.drained() => {}
            _ = worker.drain.forced() => {}
        }
    });
    loop {
        tokio::select! {
            () = &mut ending => break,
            // Probes are answered and log files reopened to the end.
            Some(order) = orders.recv() => match order {
                Order::Ping(sender) => acknowledge(sender),
                Order::Resize(capacity) => resize(worker, capacity),
                Order::Reopen(files) => worker.config().logs().replace(files),
                Order::Reload(..) => {}
            },
        }
    }
    let cut = worker.drain.cut();
    worker.pool.close();
    worker.config().logs().flush();
    cut.connections + cut.tunnels
}

/// The sender may have stopped waiting.
fn acknowledge(sender: oneshot::Sender<()>) {
    let _ = sender.send(());
}

fn spawn<F: Future<Output = ()> + 'static>(
    server: &Rc<WorkerContext>,
    task: impl FnOnce(Rc<WorkerContext>) -> F,
) {
    tokio::task::spawn_local(task(server.clone()));
}

fn resize(worker: &Worker, capacity: Capacity) {
    net::set_memory_limit(capacity.memory);
    worker.admission.resize(capacity);
}

/// Resolves upstream names periodically; the first worker does it for all.
fn follow_names(worker: &Worker) {
    if worker.number == 0 {
        dns::follow(&worker.config().upstreams);
    }
}

fn apply(server: &Rc<WorkerContext>, order: Order, listeners: &mut Listeners) {
    let worker = &server.worker;
    match order {
        Order::Ping(sender) => acknowledge(sender),
        Order::Resize(capacity) => resize(worker, capacity),
        Order::Reopen(files) => worker.config().logs().replace(files),
        Order::Reload(prepared, applied) => {
            listeners.keep(&prepared.config);
            worker.set_config(ConfigHandle::new(prepared.config, prepared.logs));
            // It holds connections of groups that no longer exist.
            worker.pool.clear();
            worker.groups.clear();
            follow_names(worker);
            listeners.open(server, prepared.listeners);
            worker.reloaded.notify_waiters();
            acknowledge(applied);
        }
    }
}

/// The accept tasks, one for each address.
#[derive(Default)]
struct Listeners(HashMap<Endpoint, Accepting>);

struct Accepting {
    task: tokio::task::JoinHandle<()>,
    stop: Rc<Notify>,
}

impl Listeners {
    fn open(&mut self, server: &Rc<WorkerContext>, fresh: Vec<(Endpoint, Listener)>) {
        for (address, listener) in fresh {
            let stop = Rc::new(Notify::new());
            let task = accept(server.clone(), listener, address.clone(), stop.clone());
            let task = tokio::task::spawn_local(task);
            self.0.insert(address, Accepting { task, stop });
        }
    }

    /// Stops those whose address is not in the configuration.
    fn keep(&mut self, config: &Config) {
        self.0.retain(|address, accepting| {
            let kept = config.listens_on(address);
            if !kept {
                accepting.stop.notify_one();
            }
            kept
        });
    }

    /// Stops all, each after its queue is empty.
    async fn close_all(&mut self) {
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
        let mut place = pin!(admission.for_connection());
        let permit = loop {
            let has_room = pending.has_room();
            tokio::select! {
                biased;
                () = stop.notified() => break 'serving,
                permit = place.as_mut() => break permit,
                accepted = poll_fn(|cx| listener.poll_accept(cx)), if has_room => {
                    hold(&mut pending, accepted).await;
                }
                // All places are taken: looks again when one may be given to another.
                () = sleep_until_stale(&pending), if !has_room => {}
            }
        };
        let accepted = match pending.next() {
            Some(next) => served(next),
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
    // A closed socket refuses what waits in its queue.
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok(accepted)) = listener.poll_accept(&mut cx) {
        hold(&mut pending, Ok(accepted)).await;
    }
    while let Some(next) = pending.next() {
        if let Ok((socket, peer)) = served(next) {
            start_connection(&server, socket, peer, &address, admission.uncounted());
        }
    }
}

async fn sleep_until_stale(pending: &Pending<Unserved>) {
    match pending.stale_at() {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A connection that the event loop does not watch yet, and whose it is.
type Unserved = (std::net::TcpStream, SocketAddr);

/// Keeps a connection until there is room for it.
async fn hold(
    pending: &mut Pending<Unserved>,
    accepted: io::Result<(tokio::net::TcpStream, SocketAddr)>,
) {
    match accepted.and_then(|(socket, peer)| Ok((socket.into_std()?, peer))) {
        Ok(unserved) => pending.push(unserved),
        Err(error) => accept_failed(&error).await,
    }
}

/// Has the event loop watch it, which may fail for want of memory.
fn served((socket, peer): Unserved) -> io::Result<(tokio::net::TcpStream, SocketAddr)> {
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

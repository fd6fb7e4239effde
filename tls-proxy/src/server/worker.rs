//! A worker: a thread with its own runtime, listening sockets and upstream connections.
//! Workers share only the configuration.

use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use socket2::Socket;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::LocalSet;

use super::accept::Listeners;
use super::connection::WorkerContext;
use super::listener::Listener;
use crate::admission::Capacity;
use crate::config::Config;
use crate::config::listen::Endpoint;
use crate::lifecycle::drain::Phase;
use crate::log::sinks::{Logs, Reopened};
use crate::net;
use crate::request::live_config::ConfigHandle;
use crate::request::worker::Worker;
use crate::upstream::dns;

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
    let (orders, received) = mpsc::unbounded_channel();
    let number = start.number;
    let started = pod::runtime_thread::start(
        thread::Builder::new().name(format!("worker-{number}")),
        |runtime| Prepared::new(runtime, config, sockets).map_err(io::Error::other),
        move |runtime, first| {
            let mut report = ReportEnd(End { number, cut: None }, done);
            let cut = LocalSet::new().block_on(runtime, run(start, first, received));
            report.0.cut = Some(cut);
        },
    );
    let runtime = started.map_err(|error| crate::conf::reason(&error))?;
    Ok(WorkerHandle { orders, runtime })
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
        listeners.close_all(&server).await;
        tokio::select! {
            () = worker.drain.drained() => {}
            _ = worker.drain.forced() => {}
        }
    });
    loop {
        tokio::select! {
            () = &mut ending => break,
            // Until the end, probes get responses and log files are reopened.
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
            listeners.keep(server, &prepared.config);
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

//! `--admin`: probes and metrics, on a port and a thread of their own, so that load on the
//! service does not delay probes.
//!
//! It supports as much HTTP as probes and Prometheus need, and uses no directives.

pub mod address;
mod connection;
pub(crate) mod liveness;
mod page;
mod response;
pub(crate) mod status;

use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use self::address::{AdminAddress, BindError};
use self::status::Status;
use crate::admin::liveness::WorkerProbe;
use crate::lifecycle::drain::Phase;
use crate::server::worker::Order;

/// Concurrent connections; one more replaces the oldest.
const MAX: usize = 16;
/// Pause after an accept error (no descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// The state that is reported.
pub(crate) struct AdminState {
    /// The main thread's part.
    pub(crate) status: Arc<Status>,
    /// The phase of the shutdown.
    pub(crate) phase: watch::Receiver<Phase>,
    /// The workers, in order.
    pub(crate) workers: Vec<mpsc::UnboundedSender<Order>>,
}

/// What a connection needs to respond.
struct AdminContext {
    status: Arc<Status>,
    phase: watch::Receiver<Phase>,
    probe: tokio::sync::Mutex<WorkerProbe>,
}

/// Serves until the process ends, through the drain.
///
/// # Errors
/// If a thread or runtime cannot be created.
pub(crate) fn start(listener: TcpListener, told: AdminState) -> io::Result<()> {
    pod::runtime_thread::start(
        thread::Builder::new().name("admin".into()),
        |_| tokio::net::TcpListener::from_std(listener),
        move |runtime, listener| runtime.block_on(serve(listener, told)),
    )?;
    Ok(())
}

async fn serve(listener: tokio::net::TcpListener, told: AdminState) {
    let site = Arc::new(AdminContext {
        status: told.status,
        phase: told.phase,
        probe: tokio::sync::Mutex::new(WorkerProbe::new(told.workers)),
    });
    let mut open: VecDeque<JoinHandle<()>> = VecDeque::new();
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        open.retain(|one| !one.is_finished());
        // An idle client must not keep probes out.
        if open.len() >= MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let site = site.clone();
        open.push_back(tokio::spawn(async move {
            connection::serve(socket, &site).await;
        }));
    }
}

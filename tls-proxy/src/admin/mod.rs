//! `--admin`: probes and metrics, on a port and a thread of their own, so that
//! no load on the service makes a probe late.
//!
//! It speaks as much HTTP as probes and Prometheus need. It knows how the
//! workers are and nothing of directives.

pub mod address;
mod answer;
mod connection;
pub(crate) mod liveness;
mod page;
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

/// Connections at once; one more takes the place of the oldest.
const MOST: usize = 16;
/// How long to wait where nothing can be accepted (no descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// What there is to tell.
pub(crate) struct AdminState {
    /// What the main thread knows.
    pub(crate) status: Arc<Status>,
    /// How far the end has come.
    pub(crate) phase: watch::Receiver<Phase>,
    /// The workers, in order.
    pub(crate) workers: Vec<mpsc::UnboundedSender<Order>>,
}

/// What a connection needs to answer.
struct Site {
    status: Arc<Status>,
    phase: watch::Receiver<Phase>,
    probe: tokio::sync::Mutex<WorkerProbe>,
}

/// Serves until the process ends, the drain too.
///
/// # Errors
/// When there is no thread or no runtime.
pub(crate) fn start(listener: TcpListener, told: AdminState) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    thread::Builder::new()
        .name("admin".into())
        .spawn(move || runtime.block_on(serve(listener, told)))?;
    Ok(())
}

async fn serve(listener: tokio::net::TcpListener, told: AdminState) {
    let site = Arc::new(Site {
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
        // Whoever says nothing must not keep a probe out.
        if open.len() >= MOST
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

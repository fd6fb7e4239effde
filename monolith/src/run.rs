//! The life of the service: start, serve, drain, end.

use crate::access_log::AccessLog;
use crate::activity::Patience;
use crate::app::App;
use crate::config::{Config, room_in};
use crate::front::Front;
use crate::health::{Health, HealthPort};
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::password::Passwords;
use crate::places::Places;
use crate::reload;
use crate::server::serve;
use crate::shutdown::{Phase, Stop, outlived, requested};
use crate::token::Tokens;
use pod::cgroup::Followed;
use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Longer than the 60 seconds the proxy keeps an idle connection: the one who
/// closes first must be the one who sends (istio#55138).
const PATIENCE: Patience = Patience {
    header: Duration::from_secs(15),
    idle: Duration::from_secs(75),
};

/// Connections of the health port: probes are short and few.
const PROBES: u32 = 32;
/// Whoever else connects there must not keep their places.
const PROBES_PATIENCE: Patience = Patience {
    header: Duration::from_secs(5),
    idle: Duration::from_secs(20),
};

/// An end that was not a drain.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The shutdown budget was spent.
    #[error("the shutdown budget of {} s is spent: {cut} connections were cut", budget.as_secs())]
    Deadline {
        /// The budget.
        budget: Duration,
        /// Connections that were still open.
        cut: u64,
    },
    /// A second request to stop came.
    #[error("a second signal forced the end: {cut} connections were cut")]
    Forced {
        /// Connections that were still open.
        cut: u64,
    },
    /// A thread or a socket could not be had.
    #[error("cannot start")]
    Start(#[from] io::Error),
}

/// Serves until `stop` yields for the first time, then finishes what has begun.
/// `access_log` gets one line for each request.
///
/// # Errors
/// When it could not start, when the drain took longer than the budget, or when
/// `stop` yielded again.
pub async fn run(
    config: Config,
    listeners: Listeners,
    access_log: Box<dyn Write + Send>,
    mut stop: mpsc::Receiver<Stop>,
) -> Result<(), RunError> {
    let log = AccessLog::start(config.log_format, access_log)?;
    let app = Arc::new(App::new(
        Tokens::new(config.secret.key, config.token_lifetime),
        Passwords::start(config.workers)?,
        config.users,
        Arc::new(Metrics::new()),
    ));
    let places = Places::new(config.max_connections);
    let health = Arc::new(Health::new(Arc::clone(&app), log.clone(), places.clone()));
    let (probes_end, phase) = watch::channel(Phase::Serving);
    start_health(
        listeners.health,
        HealthPort::new(Arc::clone(&health), config.faults),
        phase,
    )?;

    let (end, phase) = watch::channel(Phase::Serving);
    let reloads = tokio::spawn(reload::watch(
        Arc::clone(&app),
        config.secret.file,
        config.users_file,
    ));
    let resizes = tokio::spawn(follow(config.limits, places.clone()));
    let listener = tokio::net::TcpListener::from_std(listeners.http)?;
    let front = Front::new(Arc::clone(&app), log.clone());
    let serving = tokio::spawn(serve(listener, places, PATIENCE, phase, front));

    let asked = requested(&mut stop).await;
    let farewell = Farewell {
        outlive: config.leave_last && asked == Stop::Terminate,
        budget: config.shutdown_budget,
    };
    tracing::info!(
        budget = farewell.budget.as_secs(),
        leave_last = farewell.outlive,
        "stopping: not ready"
    );
    health.drain();
    let outcome = farewell.bid(&end, serving, stop, &app.metrics).await;
    // The probes answer to the very end.
    let _ = probes_end.send(Phase::Cut);
    reloads.abort();
    resizes.abort();
    log.flush();
    outcome
}

/// Gives the service as many places as fit into the limits, whenever they change.
async fn follow(limits: Option<Followed>, places: Places) {
    let Some(mut limits) = limits else { return };
    loop {
        let now = limits.changed().await;
        let max_connections = room_in(now.memory);
        places.resize(max_connections);
        tracing::info!(
            memory = now.memory,
            max_connections,
            "the limits of the cgroup have changed"
        );
    }
}

/// The part of the budget within which a proxy that ends closes its listeners: a
/// third, where tls-proxy's lame duck takes a fifth of the same budget.
const PROXYS_PART: u32 = 3;

/// How to end.
struct Farewell {
    /// Whether to go on serving until the proxy in front is gone.
    outlive: bool,
    /// From the request to stop to the cut.
    budget: Duration,
}

impl Farewell {
    /// Serves whom it has to outlive, then finishes what has begun; past the
    /// budget, or when asked again, drops the rest.
    async fn bid(
        self,
        end: &watch::Sender<Phase>,
        mut serving: JoinHandle<()>,
        mut stop: mpsc::Receiver<Stop>,
        metrics: &Metrics,
    ) -> Result<(), RunError> {
        let drained = async {
            if self.outlive {
                let left = outlived(self.budget / PROXYS_PART).await;
                tracing::info!("{}", left.meaning());
            }
            let _ = end.send(Phase::Draining);
            let _ = (&mut serving).await;
        };
        let late = tokio::select! {
            () = drained => return Ok(()),
            () = tokio::time::sleep(self.budget) => true,
            _ = requested(&mut stop) => false,
        };
        let cut = metrics.open_connections();
        let _ = end.send(Phase::Cut);
        let _ = serving.await;
        Err(if late {
            let budget = self.budget;
            RunError::Deadline { budget, cut }
        } else {
            RunError::Forced { cut }
        })
    }
}

/// Starts the health port on a thread and a runtime of its own, so that no load
/// on the service makes a probe late. The thread ends with its phase.
fn start_health(
    listener: TcpListener,
    service: HealthPort,
    phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = {
        let _inside = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    std::thread::Builder::new()
        .name("health".into())
        .stack_size(256 * 1024)
        .spawn(move || {
            let places = Places::new(PROBES);
            runtime.block_on(serve(listener, places, PROBES_PATIENCE, phase, service));
        })?;
    Ok(())
}

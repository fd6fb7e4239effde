//! Starts the service, serves, drains.

use crate::access_log::AccessLog;
use crate::activity::Timeouts;
use crate::app::App;
use crate::config::{Config, max_connections_within};
use crate::connection_limit::ConnectionLimit;
use crate::health::Health;
use crate::health_port::HealthPort;
use crate::http_port::HttpPort;
use crate::listeners::Listeners;
use crate::metrics::Metrics;
use crate::password_checker::PasswordChecker;
use crate::reload;
use crate::server::serve;
use crate::shutdown::{Phase, Stop, is_alone, proxy_ended, requested};
use crate::token::Tokens;
use pod::cgroup::Followed;
use std::io::{self, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// `idle` is longer than the proxy's 60 seconds: the side that sends requests must
/// be the one that closes an idle connection (istio#55138).
const SERVICE_TIMEOUTS: Timeouts = Timeouts {
    connected: Duration::from_secs(15),
    header: Duration::from_secs(15),
    idle: Duration::from_secs(75),
    draining: Duration::from_secs(1),
};

/// Connections of the health port: probes are short and few.
const HEALTH_CONNECTIONS: u32 = 32;
/// Short, so that other clients do not use up those connections.
const HEALTH_TIMEOUTS: Timeouts = Timeouts {
    connected: Duration::from_secs(5),
    header: Duration::from_secs(5),
    idle: Duration::from_secs(20),
    draining: Duration::from_secs(1),
};

/// Why the service did not start, or was not drained.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The drain took longer than the shutdown budget.
    #[error("shutdown budget of {} s exceeded: {cut} connections closed", budget.as_secs())]
    Deadline {
        /// The shutdown budget.
        budget: Duration,
        /// Connections that were still open.
        cut: u64,
    },
    /// There was a second request to stop.
    #[error("forced to stop by a second signal: {cut} connections closed")]
    Forced {
        /// Connections that were still open.
        cut: u64,
    },
    /// A thread, a runtime or a socket could not be created.
    #[error("cannot start")]
    Start(#[from] io::Error),
}

/// Serves until `stop` yields for the first time, then finishes the requests in
/// flight. One line per request is written to `access_log`.
///
/// # Errors
/// When it cannot start, when the drain takes longer than the budget, or when
/// `stop` yields again.
pub async fn run(
    config: Config,
    listeners: Listeners,
    access_log: Box<dyn Write + Send>,
    mut stop: mpsc::Receiver<Stop>,
) -> Result<(), RunError> {
    let log = AccessLog::start(config.log_format, access_log)?;
    let app = Arc::new(App::new(
        Tokens::new(config.secret.key, config.token_lifetime),
        PasswordChecker::start(config.workers)?,
        config.users,
        Arc::new(Metrics::new()),
    ));
    let connections = ConnectionLimit::new(config.max_connections);
    let health = Arc::new(Health::new(
        Arc::clone(&app),
        log.clone(),
        connections.clone(),
    ));
    let (health_phase, phase) = watch::channel(Phase::Serving);
    start_health(
        listeners.health,
        HealthPort::new(Arc::clone(&health), config.faults),
        phase,
    )?;

    let (service_phase, phase) = watch::channel(Phase::Serving);
    let reloads = tokio::spawn(reload::watch(
        Arc::clone(&app),
        config.secret.file,
        config.users_file,
    ));
    let resizes = tokio::spawn(follow_limits(config.limits, connections.clone()));
    let listener = tokio::net::TcpListener::from_std(listeners.http)?;
    let port = HttpPort::new(Arc::clone(&app), log.clone());
    let serving = tokio::spawn(serve(listener, connections, SERVICE_TIMEOUTS, phase, port));

    let request = requested(&mut stop).await;
    let drain = Drain {
        wait_for_proxy: config.leave_last && request == Stop::Terminate,
        budget: config.shutdown_budget,
    };
    tracing::info!(
        budget = drain.budget.as_secs(),
        leave_last = drain.wait_for_proxy,
        "stopping: not ready"
    );
    health.drain();
    let outcome = drain.run(&service_phase, serving, stop, &app.metrics).await;
    // Probes get responses until the end.
    let _ = health_phase.send(Phase::Cut);
    reloads.abort();
    resizes.abort();
    log.flush();
    outcome
}

/// Adjusts the limit on connections when the cgroup's limits change.
async fn follow_limits(limits: Option<Followed>, connections: ConnectionLimit) {
    let Some(mut limits) = limits else { return };
    loop {
        let now = limits.changed().await;
        let max_connections = max_connections_within(now.memory);
        connections.resize(max_connections);
        tracing::info!(
            memory = now.memory,
            max_connections,
            "cgroup limits changed"
        );
    }
}

/// A proxy that is stopping closes its listeners within this part of the budget, a
/// third: tls-proxy's lame-duck phase takes a fifth of the same budget.
const PROXY_SHARE: u32 = 3;

/// How to drain.
struct Drain {
    /// Whether to keep serving until the proxy in front has ended.
    wait_for_proxy: bool,
    /// How long it may take, from the request to stop.
    budget: Duration,
}

impl Drain {
    /// Keeps serving until the proxy has ended, then finishes the requests in
    /// flight. Closes all connections when the budget is exceeded or at a second
    /// request to stop.
    async fn run(
        self,
        phase: &watch::Sender<Phase>,
        mut serving: JoinHandle<()>,
        mut stop: mpsc::Receiver<Stop>,
        metrics: &Metrics,
    ) -> Result<(), RunError> {
        let drained = async {
            if self.wait_for_proxy {
                let end = proxy_ended(self.budget / PROXY_SHARE).await;
                tracing::info!("{}", end.message());
            }
            let _ = phase.send(Phase::Draining);
            let _ = (&mut serving).await;
        };
        let late = tokio::select! {
            () = drained => return Ok(()),
            () = tokio::time::sleep(self.budget) => true,
            _ = requested(&mut stop) => false,
        };
        // Podman repeats SIGTERM when the last other container ends.
        let unused = !late && (!self.wait_for_proxy || is_alone());
        let cut = metrics.open_connections();
        let _ = phase.send(Phase::Cut);
        let _ = serving.await;
        if unused && cut == 0 {
            return Ok(());
        }
        Err(if late {
            let budget = self.budget;
            RunError::Deadline { budget, cut }
        } else {
            RunError::Forced { cut }
        })
    }
}

/// Starts the health port on a thread and a runtime of its own, so that load on the
/// service does not delay probes. The thread ends when its phase is [`Phase::Cut`].
fn start_health(
    listener: TcpListener,
    port: HealthPort,
    phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    let thread = std::thread::Builder::new()
        .name("health".into())
        .stack_size(256 * 1024);
    pod::runtime_thread::start(
        thread,
        |_| tokio::net::TcpListener::from_std(listener),
        move |runtime, listener| {
            let connections = ConnectionLimit::new(HEALTH_CONNECTIONS);
            runtime.block_on(serve(listener, connections, HEALTH_TIMEOUTS, phase, port));
        },
    )?;
    Ok(())
}

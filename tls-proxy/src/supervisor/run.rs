//! Serving: workers, signals, shutdown.

use std::fs::File;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use pod::cgroup::{Cgroups, Followed, Limits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::{mpsc, watch};

use crate::admin::status::Status;
use crate::admin::{self, AdminState};
use crate::admission::table_size::TableSizes;
use crate::admission::{Capacity, FEWEST, LEAST_MEMORY, files_for_pending, for_pending};
use crate::cli::Options;
use crate::config::Config;
use crate::lifecycle::drain::{DrainController, Phase};
use crate::lifecycle::pid_file::PidFile;
use crate::lifecycle::shutdown_schedule::ShutdownSchedule;
use crate::lifecycle::signals::{Event, Signals};
use crate::metrics;
use crate::net::read_size;
use crate::server::listener::{self, BindError, Bound};
use crate::server::worker::{self, End, Start};
use crate::supervisor::announce;
use crate::supervisor::loading::{self, Cause};
use crate::supervisor::reload;
use crate::supervisor::retry;
use crate::supervisor::sources::{Origin, Sources};
use crate::supervisor::workers::{Workers, distribute};

/// Memory for the process itself, 2 MiB, and for the pages of its executable, bytes. With
/// less memory for its pages it reads them from the disk again and again. Measured with
/// `tests/attacks/run.py`.
const BASE_MEMORY: u64 = 6 << 20;
/// Percentage of the memory limit kept for memory that was freed and has not been returned
/// to the kernel.
const SLACK: u64 = 28;

/// Time from cutting connections to the end of the process, whatever workers do.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// How serving ended; the value is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All connections ended by themselves.
    Drained = 0,
    /// Something failed, or connections were cut.
    Forced = 1,
}

/// Binds every address of a configuration that does not share the socket of another one.
///
/// # Errors
/// The first address that cannot be bound.
pub fn bind(config: &Config) -> Result<Vec<Bound>, BindError> {
    listener::bind_all(config.sockets(), workers(config))
}

/// Checks that every address that [`bind`] binds can be bound, without listening, as nginx
/// does with `-t`. An address in use may be in use by the server whose next configuration
/// is tested.
///
/// # Errors
/// The first address that is not local, or not permitted.
pub fn try_addresses(config: &Config) -> Result<(), BindError> {
    config.sockets().try_for_each(listener::try_bind)
}

/// The number of workers: `worker_processes`, or as many as there are CPUs, unless the
/// memory limit leaves too little for so many.
fn workers(config: &Config) -> usize {
    config.main.workers.unwrap_or_else(|| {
        let cpus = pod::cgroup::cpu_workers().get();
        cpus.min(fitting_workers(pod::cgroup::memory_limit()))
    })
}

/// One part in so many of the memory for workers is for tables that clients fill, at most.
const TABLES_SHARE: u64 = 8;

/// The number of workers for which the memory limit leaves [`LEAST_MEMORY`] each, at least
/// one.
fn fitting_workers(limit: Option<u64>) -> usize {
    let fit = |limit| usize::try_from(for_workers(limit) / LEAST_MEMORY);
    limit.map_or(usize::MAX, |limit| fit(limit).unwrap_or(usize::MAX).max(1))
}

/// What a memory limit leaves for all workers, bytes.
fn for_workers(limit: u64) -> u64 {
    limit.saturating_sub(BASE_MEMORY + limit / 100 * SLACK)
}

/// Descriptors kept for occasional use: log files and sockets of a reload, DNS, the admin
/// port.
const OTHER_DESCRIPTORS: usize = 8;
/// Descriptors of a worker for clients and upstreams, at least.
const FEWEST_DESCRIPTORS: usize = 4;

/// The limits of one worker, from the configuration, the limit on open files less the
/// `open` ones, and the memory limit.
fn capacity(config: &Config, workers: usize, open: usize, memory: Option<u64>) -> Capacity {
    let tables = allow_tables(config, workers, memory);
    let each = |total: u64| total / workers as u64;
    let files = most_open_files().saturating_sub(open + OTHER_DESCRIPTORS) / workers;
    let memory = memory.map(|limit| each(for_workers(limit).saturating_sub(tables)));
    Capacity {
        connections: config.main.connections.unwrap_or(usize::MAX).max(FEWEST),
        descriptors: match memory {
            Some(_) => files - files_for_pending(files),
            None => files,
        }
        .max(FEWEST_DESCRIPTORS),
        memory: memory
            .map(|memory| memory.saturating_sub(read_size::reserved(memory)))
            .map(|memory| memory - for_pending(memory)),
    }
}

/// Gives the tables their part of the memory, and returns it, bytes.
pub(super) fn allow_tables(config: &Config, workers: usize, memory: Option<u64>) -> u64 {
    let most = memory.map_or(u64::MAX, |limit| for_workers(limit) / TABLES_SHARE);
    let sizes = config.parts.get::<TableSizes>();
    sizes.map_or(0, |sizes| sizes.allow(most, workers))
}

/// The number of open files of the process.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The limit on open files, after it was raised to the hard limit.
fn most_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let now = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    now.and_then(|now| usize::try_from(now).ok())
        .unwrap_or(usize::MAX)
}

/// Serves until the drain has ended. `pipes` are logs that stay open until the workers have opened
/// them.
pub async fn run(
    options: &Options,
    config: Config,
    origin: Origin,
    pipes: Vec<File>,
    bound: Vec<Bound>,
    admin: Option<TcpListener>,
    mut signals: Signals,
) -> Exit {
    let count = workers(&config);
    let config = Arc::new(config);
    let pid_file = match PidFile::write(&config.main.pid) {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!(
                "{error}: serving without a pid file; \"-s quit\" then signals PID 1 of the \
                 container. Mount an emptyDir there, or name a writable place with the directive \"pid\""
            );
            None
        }
    };
    tokio::spawn(pod::orphans::reap());
    let drain_controller = DrainController::new();
    let (done, mut ends) = mpsc::unbounded_channel();
    let limits = Cgroups::of_this_process().follow();
    let capacity = capacity(&config, count, open_files(), limits.limits().memory);
    let most = capacity.most_connections();
    let lifetimes = config.lifetimes();
    let status = Arc::new(Status::new(lifetimes.clone(), count, most * count));
    let sources = Sources::new(origin);
    let mut workers = Workers::new(config.clone(), sources, status.clone(), pid_file);
    for (number, sockets) in distribute(bound, count).into_iter().enumerate() {
        let start = Start {
            number,
            workers: count,
            capacity,
            phases: drain_controller.subscribe(),
        };
        match worker::start(start, config.clone(), sockets, done.clone()) {
            Ok(worker) => workers.all.push(worker),
            Err(reason) => {
                tracing::error!("worker {number} did not start: {reason}");
                return Exit::Forced;
            }
        }
    }
    drop(pipes);
    if let Some(listener) = admin {
        let told = AdminState {
            status,
            phase: drain_controller.subscribe(),
            workers: workers.orders(),
        };
        if let Err(error) = admin::start(listener, told) {
            tracing::error!("the admin port did not start: {error}");
            return Exit::Forced;
        }
    }
    // The number of files the process itself keeps open is known now.
    let open = open_files();
    workers.resize(crate::supervisor::run::capacity(
        &config,
        count,
        open,
        limits.limits().memory,
    ));
    let line = announce::start(options, &config, &lifetimes, count, most);
    tracing::info!("{line}");
    announce::warn_of_expiry(&lifetimes);
    announce::warn_of_tables(&config);
    announce::warn_of_pipes(workers.sources.origin());
    announce::templates(options, workers.sources.origin());
    for file in pod::mounts::mounted_alone(&workers.sources.origin().files) {
        tracing::warn!(
            "{} is mounted by subPath and never updated by Kubernetes; mount the directory of its volume",
            file.display()
        );
    }
    let end = serve(
        options,
        &mut workers,
        (limits, open),
        &mut signals,
        &drain_controller,
        &mut ends,
    )
    .await;
    for own in workers.config.sockets() {
        listener::unlink(&own.address);
    }
    if let Some(file) = workers.pid_file.take() {
        file.announce_drained();
    }
    end
}

/// Handles signals until every worker has ended.
async fn serve(
    options: &Options,
    workers: &mut Workers,
    (mut limits, open): (Followed, usize),
    signals: &mut Signals,
    drain_controller: &DrainController,
    ends: &mut mpsc::UnboundedReceiver<End>,
) -> Exit {
    let mut running = workers.all.len();
    let mut failed = false;
    let mut shutdown_schedule = ShutdownSchedule::serving();
    let mut exit_timeout = pin!(exit_timeout(drain_controller.subscribe()));
    while running > 0 {
        // From then on no configuration is loaded, as in nginx.
        let ends_soon = drain_controller.phase().is_ending();
        let may_reload = workers.reload.is_none() && workers.loading.is_none() && !ends_soon;
        tokio::select! {
            Some(end) = ends.recv() => {
                running -= 1;
                match end.cut {
                    Some(cut) => workers.status.cut(cut),
                    None => {
                        tracing::error!("worker {} panicked", end.number);
                        failed = true;
                    }
                }
            }
            () = &mut exit_timeout => {
                tracing::error!("{running} workers do not stop: exiting without them");
                break;
            }
            now = limits.changed() => {
                log_limits(now, workers.all.len());
                workers.resize(capacity(&workers.config, workers.all.len(), open, now.memory));
            }
            () = reload::done(&mut workers.reload) => {
                let memory = limits.limits().memory;
                workers.resize(capacity(&workers.config, workers.all.len(), open, memory));
                if workers.complete_reload() && !ends_soon {
                    workers.reload(options);
                }
            }
            () = workers.sources.change(), if may_reload => workers.load(options, Cause::Changed),
            () = retry::due(workers.retry.as_ref()), if may_reload => {
                workers.load(options, Cause::Rejected);
            }
            loaded = loading::done(&mut workers.loading) => {
                if workers.take(loaded, ends_soon) {
                    workers.reload(options);
                }
            }
            phase = shutdown_schedule.next() => {
                tracing::info!("{}", phase.meaning());
                if phase == Phase::Draining {
                    workers.status.drains(metrics::sums().closed);
                }
                drain_controller.advance(phase);
            }
            event = signals.next() => match event {
                Event::Quit => {
                    let limit = workers.config.main.shutdown_timeout;
                    let now = tokio::time::Instant::now();
                    shutdown_schedule = ShutdownSchedule::of_the_end(now, options.shutdown_budget, limit);
                }
                // Sent by the kubelet at the end of the grace period, while the hook still
                // waits.
                Event::Again if workers.pid_file.as_ref().is_some_and(PidFile::is_waited_for) => {
                    tracing::info!("signal ignored: \"-s quit\" is waiting for this drain");
                }
                Event::Again => {
                    tracing::warn!("second signal: closing the remaining connections");
                    drain_controller.advance(Phase::Deadline);
                }
                Event::Reload if ends_soon => {
                    tracing::warn!("reload ignored: the process is shutting down");
                }
                Event::Reload => workers.reload(options),
                Event::Reopen => workers.reopen(),
            },
        }
    }
    let snapshot = workers.status.snapshot();
    let finished = snapshot.finished_in_drain(metrics::sums().closed);
    if failed || drain_controller.phase() == Phase::Deadline {
        let cut = snapshot.cut;
        tracing::warn!("exiting: drained {finished} connections, {cut} connections were cut");
        return Exit::Forced;
    }
    tracing::info!("exiting: drained {finished} connections, none was cut");
    Exit::Drained
}

/// Logs new limits of the container. The number of workers is fixed at the start.
fn log_limits(now: Limits, workers: usize) {
    let memory = now
        .memory
        .map_or_else(|| "none".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
    let cpus = now
        .cpus
        .map_or_else(|| "none".to_owned(), |cpus| cpus.to_string());
    tracing::info!(
        "limits changed: memory {memory}, CPU quota {cpus}; still {workers} workers, \
         their number follows the quota at a restart"
    );
}

/// Resolves some time after the deadline: a worker that has not ended by then hangs.
async fn exit_timeout(mut phases: watch::Receiver<Phase>) {
    let cut = phases.wait_for(|phase| *phase == Phase::Deadline).await;
    if cut.is_err() {
        std::future::pending().await
    }
    drop(cut);
    tokio::time::sleep(EXIT_TIMEOUT).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_workers_than_the_memory_limit_has_room_for() {
        assert_eq!(fitting_workers(Some(1 << 20)), 1);
        assert_eq!(fitting_workers(Some(10 << 20)), 1);
        assert_eq!(fitting_workers(Some(12 << 20)), 2);
        assert_eq!(fitting_workers(None), usize::MAX);
    }
}

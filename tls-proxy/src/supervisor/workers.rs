//! The running workers, from the main thread's view, and their configuration.

use std::sync::Arc;
use std::time::Duration;

use pod::watch::Watch;
use socket2::Socket;
use tokio::sync::mpsc;

use super::load::{Configuration, ON_REQUEST, load_within};
use super::loading::{Cause, Loading};
use super::reload::Reload;
use super::retry::Retry;
use super::sources::{Origin, Sources};
use super::{announce, run};
use crate::admin::status::Status;
use crate::admission::Capacity;
use crate::cli::Options;
use crate::conf::Problem;
use crate::config::Config;
use crate::config::listen::Endpoint;
use crate::lifecycle::pid_file::PidFile;
use crate::log::sinks::Reopened;
use crate::modules::limit_zone;
use crate::server::listener::{self, Bound};
use crate::server::worker::{Order, Prepared, WorkerHandle};

/// Attempts, at most, to read files that change meanwhile.
const MAX_ATTEMPTS: u32 = 5;

/// Logged after the reasons.
const KEPT: &str = "the new configuration was rejected; keeping the previous one";

/// The running workers.
pub(crate) struct Workers {
    pub(crate) all: Vec<WorkerHandle>,
    /// The configuration that every worker serves or has been sent.
    pub(crate) config: Arc<Config>,
    pub(crate) sources: Sources,
    pub(crate) status: Arc<Status>,
    /// `None` if it could not be written at the start.
    pub(crate) pid_file: Option<PidFile>,
    /// A configuration that is being read.
    pub(crate) loading: Option<Loading>,
    /// The configuration that was rejected last, if none came after it.
    pub(crate) retry: Option<Retry>,
    /// A reload that not every worker has acknowledged.
    pub(crate) reload: Option<Reload>,
    /// Another reload was requested meanwhile.
    reload_requested: bool,
}

/// Distributes the sockets to the workers.
pub(crate) fn distribute(bound: Vec<Bound>, workers: usize) -> Vec<Vec<(Endpoint, Socket)>> {
    let mut hands: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for Bound { address, sockets } in bound {
        for (hand, socket) in hands.iter_mut().zip(sockets) {
            hand.push((address.clone(), socket));
        }
    }
    hands
}

impl Workers {
    pub(crate) fn new(
        config: Arc<Config>,
        sources: Sources,
        status: Arc<Status>,
        pid_file: Option<PidFile>,
    ) -> Self {
        Self {
            all: Vec::new(),
            config,
            sources,
            status,
            pid_file,
            loading: None,
            retry: None,
            reload: None,
            reload_requested: false,
        }
    }

    /// For sending to the workers, in order.
    pub(crate) fn orders(&self) -> Vec<mpsc::UnboundedSender<Order>> {
        self.all.iter().map(|own| own.orders.clone()).collect()
    }

    /// Sends new limits to every worker.
    pub(crate) fn resize(&self, capacity: Capacity) {
        let most = capacity.most_connections();
        if self.status.resized(most * self.all.len()) {
            tracing::info!("each worker accepts at most {most} connections");
        }
        for worker in &self.all {
            // A worker that has ended holds nothing.
            let _ = worker.orders.send(Order::Resize(capacity));
        }
    }

    /// Reopens the log files for every worker.
    pub(crate) fn reopen(&self) {
        let files = Reopened::open(&self.config.log_files, self.all.len());
        for (worker, files) in self.all.iter().zip(files) {
            // A worker that has ended does not log.
            let _ = worker.orders.send(Order::Reopen(files));
        }
    }

    /// Reloads the configuration on request; after the current reload, if there is one.
    pub(crate) fn reload(&mut self, options: &Options) {
        if self.loading.is_some() || self.reload.is_some() {
            self.reload_requested = true;
            return;
        }
        self.load(options, Cause::Requested);
    }

    /// Begins to read the configuration. [`Workers::take`] gets it.
    pub(crate) fn load(&mut self, options: &Options, cause: Cause) {
        let patience = match cause {
            Cause::Requested => ON_REQUEST,
            Cause::Changed | Cause::Rejected => Duration::ZERO,
        };
        let (options, watch) = (options.clone(), self.sources.watch());
        let has_pipes = !self.sources.origin().pipes.is_empty();
        let read = move || read_unchanged(&options, watch, has_pipes, patience);
        match Loading::begin(cause, read) {
            Ok(loading) => self.loading = Some(loading),
            Err(error) => {
                let reason = format!("no thread to read the configuration: {error}");
                self.reject(cause, None, vec![reason, KEPT.to_owned()]);
            }
        }
    }

    /// Applies the configuration that was read, `None` if that failed, unless the process ends
    /// soon. Returns whether another reload was requested meanwhile and can begin.
    pub(crate) fn take(&mut self, loaded: Option<Configuration>, ends_soon: bool) -> bool {
        let Some(Loading { cause, .. }) = self.loading.take() else {
            return false;
        };
        if ends_soon {
            if cause == Cause::Requested {
                tracing::warn!("reload ignored: the process is shutting down");
            }
            return false;
        }
        match (loaded, cause) {
            (Some(loaded), Cause::Changed) => self.follow_files(loaded),
            (Some(loaded), _) => self.adopt(loaded, cause),
            (None, _) => {
                let reason = "reading the configuration panicked".to_owned();
                self.reject(cause, None, vec![reason, KEPT.to_owned()]);
            }
        }
        self.reload.is_none() && std::mem::take(&mut self.reload_requested)
    }

    /// Completes a reload after every worker has acknowledged it; returns whether another
    /// one was requested meanwhile.
    pub(crate) fn complete_reload(&mut self) -> bool {
        let Some(done) = self.reload.take() else {
            return false;
        };
        tracing::info!("configuration reloaded");
        let lifetimes = self.config.lifetimes();
        if lifetimes != done.lifetimes_before {
            tracing::info!("{}", announce::certificates(&lifetimes));
        }
        announce::warn_of_expiry(&lifetimes);
        announce::warn_of_tables(&self.config);
        announce::warn_of_pipes(self.sources.origin());
        self.status.taken(lifetimes);
        std::mem::take(&mut self.reload_requested)
    }

    /// Applies a configuration if a file that belongs to it has changed.
    fn follow_files(&mut self, loaded: Configuration) {
        let same = loaded.origin.same_directives(self.sources.origin());
        let known = self.sources.differ();
        let differs = known.unwrap_or_else(|| {
            let fresh = loaded.config.as_ref();
            fresh.is_none_or(|fresh| fresh.tls_contents != self.config.tls_contents)
        });
        if same && !differs {
            if known.is_none() {
                self.sources = Sources::new(loaded.origin);
            }
            return;
        }
        if self.retry.is_some() && known == Some(false) {
            // Only a directory has changed since the last one was rejected.
            return self.adopt(loaded, Cause::Rejected);
        }
        tracing::info!("configuration files have changed");
        self.adopt(loaded, Cause::Changed);
    }

    /// Applies a configuration; an invalid one is only logged, and read again later.
    fn adopt(&mut self, loaded: Configuration, cause: Cause) {
        let loaded = loaded.opened_again();
        let mut problems: Vec<_> = loaded.problems.iter().map(Problem::to_string).collect();
        let Some(config) = loaded.config else {
            problems.push(KEPT.to_owned());
            return self.reject(cause, Some(loaded.origin), problems);
        };
        let config = Arc::new(config);
        let pid_file = self.pid_file_of(&config);
        let prepared = pid_file.and_then(|file| Ok((file, self.prepare(&config)?)));
        let (pid_file, prepared) = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => {
                problems.push(format!("{reason}; keeping the previous configuration"));
                return self.reject(cause, Some(loaded.origin), problems);
            }
        };
        for problem in problems {
            tracing::error!("{problem}");
        }
        self.retry = None;
        self.sources = Sources::new(loaded.origin);
        if pid_file.is_some() {
            // The previous one is removed.
            self.pid_file = pid_file;
        }
        // Before clients fill them.
        run::allow_tables(&config, self.all.len(), pod::cgroup::memory_limit());
        let before = std::mem::replace(&mut self.config, config);
        let addresses = before.sockets().map(|own| &own.address);
        addresses
            .filter(|address| !self.config.binds(address))
            .for_each(listener::unlink);
        let mut reload = Reload::new(before.lifetimes());
        for (worker, prepared) in self.all.iter().zip(prepared) {
            // A worker that has ended drops the acknowledgement, which is noticed.
            let order = Order::Reload(prepared, reload.acknowledgement());
            let _ = worker.orders.send(order);
        }
        self.reload = Some(reload);
    }

    /// Logs why a configuration was rejected, once for the same reasons if it is read again and
    /// again, and keeps the one in force. `origin` is what it was read from, if it was read.
    fn reject(&mut self, cause: Cause, origin: Option<Origin>, reasons: Vec<String>) {
        // A request or a change begins anew.
        let mut retry = self.retry.take_if(|_| cause == Cause::Rejected);
        let same = retry.as_mut().is_some_and(|retry| retry.again(&reasons));
        let retry = retry.unwrap_or_else(|| Retry::new(reasons.clone()));
        let pause = retry.seconds();
        if same {
            tracing::debug!("the new configuration is still rejected; next attempt in {pause}s");
            self.retry = Some(retry);
            return;
        }
        self.retry = None;
        for reason in &reasons {
            tracing::error!("{reason}");
        }
        self.status.refused();
        let kept = self.sources.origin();
        // What was read from a pipe does not come again.
        let has_pipes = |origin: &Origin| !origin.pipes.is_empty();
        let may_repeat = !has_pipes(kept) && !origin.as_ref().is_some_and(has_pipes);
        if let Some(origin) = origin {
            // Later changes are compared with these files.
            self.sources = Sources::new(kept.with_files_of(origin));
        }
        if may_repeat {
            tracing::info!("the new configuration is read again in {pause}s, and then less often");
            self.retry = Some(retry);
        }
    }

    /// The pid file of `config`, written, if that names another one.
    fn pid_file_of(&self, config: &Config) -> Result<Option<PidFile>, String> {
        let path = &config.main.pid;
        if *path == self.config.main.pid {
            return Ok(None);
        }
        let written = PidFile::write(path);
        written.map(Some).map_err(|error| error.to_string())
    }

    /// Prepares `config` for every worker; on an error nothing has changed.
    fn prepare(&self, config: &Arc<Config>) -> Result<Vec<Prepared>, String> {
        limit_zone::keep_tables(config, &self.config)?;
        config.adopt_members(&self.config);
        let sockets = config.sockets();
        let fresh = sockets.filter(|own| !self.config.binds(&own.address));
        let bound = listener::bind_all(fresh.clone(), self.all.len());
        let sockets = distribute(bound.map_err(|error| error.to_string())?, self.all.len());
        let prepared = self.all.iter().zip(sockets);
        let prepared = prepared.map(|(worker, sockets)| worker.prepare(config.clone(), sockets));
        let prepared: Result<_, _> = prepared.collect();
        if prepared.is_err() {
            fresh.for_each(|own| listener::unlink(&own.address));
        }
        prepared
    }
}

/// Reads the configuration until no file changes meanwhile: then a certificate and its key
/// belong together. With a pipe they are read once: its writer changes it meanwhile, and what was
/// read does not come again.
fn read_unchanged(
    options: &Options,
    mut watch: Watch,
    had_pipes: bool,
    patience: Duration,
) -> Configuration {
    for _ in 1..MAX_ATTEMPTS {
        let loaded = load_within(options, patience);
        let has_pipes = had_pipes || !loaded.origin.pipes.is_empty();
        if has_pipes || !watch.changed() {
            return loaded;
        }
    }
    load_within(options, patience)
}

//! The running workers as the main thread sees them, and the configuration
//! they are given.

use std::sync::Arc;

use socket2::Socket;
use tokio::sync::mpsc;

use super::announce;
use super::handover::Handover;
use super::sources::Sources;
use crate::admin::status::Status;
use crate::admission::Capacity;
use crate::cli::Options;
use crate::config::Config;
use crate::config::listen::Endpoint;
use crate::log::sinks::Reopened;
use crate::modules::limit_zone;
use crate::server::listener::{self, Bound};
use crate::server::worker::{Order, Prepared, WorkerHandle};

/// Readings at most of files that change while they are read.
const MOST_READINGS: u32 = 5;

/// The running workers.
pub(crate) struct Workers {
    pub(crate) all: Vec<WorkerHandle>,
    /// What every worker serves, or is about to.
    pub(crate) config: Arc<Config>,
    pub(crate) sources: Sources,
    pub(crate) status: Arc<Status>,
    /// A reload that not every worker has taken yet.
    pub(crate) handover: Option<Handover>,
    /// Another one was asked for meanwhile.
    asked_again: bool,
}

/// One list of sockets for each worker.
pub(crate) fn deal(bound: Vec<Bound>, workers: usize) -> Vec<Vec<(Endpoint, Socket)>> {
    let mut hands: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for Bound { address, sockets } in bound {
        for (hand, socket) in hands.iter_mut().zip(sockets) {
            hand.push((address.clone(), socket));
        }
    }
    hands
}

impl Workers {
    pub(crate) fn new(config: Arc<Config>, sources: Sources, status: Arc<Status>) -> Self {
        Self {
            all: Vec::new(),
            config,
            sources,
            status,
            handover: None,
            asked_again: false,
        }
    }

    /// For who asks the workers something, in order.
    pub(crate) fn orders(&self) -> Vec<mpsc::UnboundedSender<Order>> {
        self.all.iter().map(|own| own.orders.clone()).collect()
    }

    /// Has every worker keep within `capacity` from now on.
    pub(crate) fn resize(&self, capacity: Capacity) {
        let most = capacity.most_connections();
        if self.status.resized(most * self.all.len()) {
            tracing::info!("each worker holds {most} connections at most");
        }
        for worker in &self.all {
            // Who has ended holds nothing.
            let _ = worker.orders.send(Order::Resize(capacity));
        }
    }

    /// Opens the log files again for every worker.
    pub(crate) fn reopen(&self) {
        let files = Reopened::open(&self.config.log_files, self.all.len());
        for (worker, files) in self.all.iter().zip(files) {
            // Who has ended writes no more lines.
            let _ = worker.orders.send(Order::Reopen(files));
        }
    }

    /// Reads the configuration again because somebody asked for it; after the
    /// present reload, where there is one.
    pub(crate) fn reload(&mut self, options: &Options) {
        if self.handover.is_some() {
            self.asked_again = true;
            return;
        }
        let loaded = read_standing_still(options, &mut self.sources);
        self.adopt(loaded);
    }

    /// Every worker serves the new configuration; whether another reload was
    /// asked for meanwhile.
    pub(crate) fn taken(&mut self) -> bool {
        let Some(done) = self.handover.take() else {
            return false;
        };
        tracing::info!("configuration reloaded");
        let lifetimes = self.config.lifetimes();
        if lifetimes != done.lifetimes_before {
            tracing::info!("{}", announce::certificates(&lifetimes));
        }
        announce::warn_of_ends(&lifetimes);
        self.status.taken(lifetimes);
        std::mem::take(&mut self.asked_again)
    }

    /// Reads the configuration again if what changed is part of it.
    pub(crate) fn follow_files(&mut self, options: &Options) {
        let loaded = read_standing_still(options, &mut self.sources);
        let same = loaded.origin.says_the_same(self.sources.origin());
        let known = self.sources.differ();
        let differs = known.unwrap_or_else(|| {
            let fresh = loaded.config.as_ref().map(Config::lifetimes);
            fresh.is_none_or(|fresh| fresh != self.config.lifetimes())
        });
        if same && !differs {
            if known.is_none() {
                self.sources = Sources::new(loaded.origin);
            }
            return;
        }
        tracing::info!("files of the configuration have changed");
        self.adopt(loaded);
    }

    /// Puts what was read in force; what is wrong with it changes nothing.
    fn adopt(&mut self, loaded: crate::Configuration) {
        for problem in &loaded.problems {
            tracing::error!("{problem}");
        }
        let kept = self.sources.origin();
        let Some(config) = loaded.config else {
            tracing::error!("the new configuration is refused; keeping the previous one");
            // The next change counts from here, wherever it is made.
            self.sources = Sources::new(kept.with_files_of(loaded.origin));
            self.status.refused();
            return;
        };
        let config = Arc::new(config);
        let prepared = match self.prepare(&config) {
            Ok(prepared) => prepared,
            Err(reason) => {
                tracing::error!("{reason}; keeping the previous configuration");
                self.status.refused();
                return;
            }
        };
        self.sources = Sources::new(loaded.origin);
        let before = std::mem::replace(&mut self.config, config);
        let places = before.listens.iter().map(|own| &own.listen.address);
        places
            .filter(|place| !self.config.listens_on(place))
            .for_each(listener::unlink);
        let mut handover = Handover::new(before.lifetimes());
        for (worker, prepared) in self.all.iter().zip(prepared) {
            // Who has ended lets go of the acknowledgement, which is seen.
            let order = Order::Reload(prepared, handover.acknowledgement());
            let _ = worker.orders.send(order);
        }
        self.handover = Some(handover);
    }

    /// All that the workers need to serve `config`. Nothing has changed where
    /// that cannot be had.
    fn prepare(&self, config: &Arc<Config>) -> Result<Vec<Prepared>, String> {
        limit_zone::keep_tables(config, &self.config)?;
        config.adopt_members(&self.config);
        let listens = config.listens.iter().map(|own| &own.listen);
        let fresh = listens.filter(|own| !self.config.listens_on(&own.address));
        let bound = listener::bind_all(fresh.clone(), self.all.len());
        let hands = deal(bound.map_err(|error| error.to_string())?, self.all.len());
        let prepared = self.all.iter().zip(hands);
        let prepared = prepared.map(|(worker, sockets)| worker.prepare(config.clone(), sockets));
        let prepared: Result<_, _> = prepared.collect();
        if prepared.is_err() {
            fresh.for_each(|own| listener::unlink(&own.address));
        }
        prepared
    }
}

/// Reads the configuration until its files have not changed meanwhile: a
/// certificate and its key are then of one generation.
fn read_standing_still(options: &Options, sources: &mut Sources) -> crate::Configuration {
    for _ in 1..MOST_READINGS {
        let loaded = crate::supervisor::load::load(options).opened();
        if !sources.moved() {
            return loaded;
        }
    }
    crate::supervisor::load::load(options).opened()
}

//! The running workers as the main thread sees them, and the configuration
//! they are given.

use std::sync::Arc;

use socket2::Socket;
use tokio::sync::mpsc;

use crate::admin::status::Status;
use crate::announce;
use crate::cli::Options;
use crate::config::Config;
use crate::modules::listen::Endpoint;
use crate::server::listener::{self, Bound};
use crate::server::worker::Order;
use crate::sources::Sources;

/// Readings at most of files that change while they are read.
const MOST_READINGS: u32 = 5;

/// The running workers.
pub(crate) struct Workers {
    pub(crate) count: usize,
    pub(crate) config: Arc<Config>,
    pub(crate) sources: Sources,
    pub(crate) orders: Vec<mpsc::UnboundedSender<Order>>,
    pub(crate) status: Arc<Status>,
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
    /// Tells every worker to open its log files again.
    pub(crate) fn reopen(&self) {
        for order in &self.orders {
            let _ = order.send(Order::Reopen);
        }
    }

    /// Reads the configuration again because somebody asked for it.
    pub(crate) fn reload(&mut self, options: &Options) {
        let loaded = read_standing_still(options, &mut self.sources);
        self.adopt(loaded);
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
            tracing::error!("the new configuration is refused; the old one goes on");
            // The next change counts from here, wherever it is made.
            self.sources = Sources::new(kept.with_files_of(loaded.origin));
            self.status.refused();
            return;
        };
        let zones = config.zones.adopt(&self.config.zones);
        let bound = zones
            .map_err(|reason| reason.to_string())
            .and_then(|()| self.bind_new(&config).map_err(|error| error.to_string()));
        let bound = match bound {
            Ok(bound) => bound,
            Err(reason) => {
                tracing::error!("{reason}; the old configuration goes on");
                self.status.refused();
                return;
            }
        };
        self.sources = Sources::new(loaded.origin);
        let before = std::mem::replace(&mut self.config, Arc::new(config));
        let places = before.listens.iter().map(|own| &own.listen.address);
        places
            .filter(|place| !self.config.listens_on(place))
            .for_each(listener::unlink);
        for (order, sockets) in self.orders.iter().zip(deal(bound, self.count)) {
            let config = self.config.clone();
            let _ = order.send(Order::Reload { config, sockets });
        }
        tracing::info!("configuration reloaded");
        let lifetimes = self.config.lifetimes();
        if lifetimes != before.lifetimes() {
            tracing::info!("{}", announce::certificates(&lifetimes));
        }
        announce::warn_of_ends(&lifetimes);
        self.status.taken(lifetimes);
    }

    /// Opens the addresses that are not open yet.
    fn bind_new(&self, config: &Config) -> Result<Vec<Bound>, listener::BindError> {
        let fresh = config.listens.iter();
        let fresh = fresh.filter(|address| !self.config.listens_on(&address.listen.address));
        fresh
            .map(|address| listener::bind(&address.listen, self.count))
            .collect()
    }
}

/// Reads the configuration until its files have not changed meanwhile: a
/// certificate and its key are then of one generation.
fn read_standing_still(options: &Options, sources: &mut Sources) -> crate::Configuration {
    for _ in 1..MOST_READINGS {
        let loaded = crate::load(options).opened();
        if !sources.moved() {
            return loaded;
        }
    }
    crate::load(options).opened()
}

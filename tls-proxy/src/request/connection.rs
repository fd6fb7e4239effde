//! A client's connection, as its requests see it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use super::conn_config::ConnConfig;
use super::worker::Worker;
use crate::admission::{Account, Admitted, Permit};
use crate::config::ServerId;
use crate::message::head::Version;
use crate::metrics::Open;
use crate::net::proxy_protocol::Header;
use crate::time::cached_time;
use crate::time::timer::Timer;
use crate::tls::accept::TlsInfo;

/// What is known of a connection while it serves.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    standing: RefCell<ConnConfig>,
    /// `$connection`.
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// Whether the client came by a UNIX socket, and has no address.
    pub(crate) is_unix: bool,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) began: Instant,
    /// `stub_status` counts it while it is open; none for one that stands in for another.
    pub(crate) open: Option<Open>,
    /// What a load balancer says of the client (`listen … proxy_protocol`).
    pub(crate) proxy_header: Option<Box<Header>>,
    /// Clear text on a port for TLS: every request gets nginx's 400.
    pub(crate) plain_on_tls: bool,
    /// Requests so far.
    pub(crate) requests: Cell<u64>,
    /// Requests being answered; several in HTTP/2.
    pub(crate) in_flight: Cell<usize>,
    /// A request of it was rejected for want of memory, and the log says so.
    pub(crate) is_short_of_memory: Cell<bool>,
    /// HTTP/1 waits for one thing at a time, so its time-outs share an alarm.
    pub(crate) timer: Cell<Timer>,
    /// What it holds itself, and its place among those who may be asked to give up.
    pub(crate) permit: Permit,
    pub(crate) account: Account,
}

impl Connection {
    /// One of which nothing but its addresses is known, and that no client has yet.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        number: u64,
        standing: ConnConfig,
        (peer, local): (SocketAddr, SocketAddr),
        Admitted { permit, account }: Admitted,
    ) -> Self {
        Self {
            number,
            worker: worker.clone(),
            is_unix: standing.listen().listen.address.path().is_some(),
            standing: RefCell::new(standing),
            peer,
            local,
            tls: None,
            began: cached_time::now(),
            open: None,
            proxy_header: None,
            plain_on_tls: false,
            requests: Cell::new(0),
            in_flight: Cell::new(0),
            is_short_of_memory: Cell::new(false),
            timer: Cell::default(),
            permit,
            account,
        }
    }

    /// Where it stands in the configuration of its next request.
    pub(crate) fn standing(&self) -> ConnConfig {
        self.standing.borrow().clone()
    }

    /// A handshake is over, which has named a server.
    pub(crate) fn secured(&mut self, server: ServerId, tls: TlsInfo) {
        self.standing.get_mut().server = server;
        self.tls = Some(tls);
    }

    /// The alarm of its time-outs, for a request of HTTP/1; streams of HTTP/2 have
    /// their own.
    pub(crate) fn lend_timer(&self, version: Version) -> Timer {
        match version {
            Version::Http2 => Timer::default(),
            _ => self.timer.take(),
        }
    }

    /// Goes over to the configuration in force. `false` where that has no place
    /// for it: it ends after the request that it is about.
    pub(crate) fn follow(&self) -> bool {
        let config = self.worker.config();
        if config.is(&self.standing.borrow().config) {
            return true;
        }
        let tls = self.tls.as_ref();
        if tls.is_some_and(|tls| tls.client.is_some()) {
            // Whether its certificate is still good, a new handshake has to say.
            return false;
        }
        let named = tls.and_then(|tls| tls.server_name.as_deref());
        let there = self.standing.borrow().in_config(config, named);
        there.map(|there| self.standing.replace(there)).is_some()
    }
}

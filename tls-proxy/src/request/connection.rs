//! A client's connection, as its requests use it.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use super::conn_config::ConnConfig;
use super::worker::Worker;
use crate::admission::{Account, Admitted, Permit};
use crate::config::ServerId;
use crate::metrics::Open;
use crate::net::proxy_protocol::Header;
use crate::time::cached_time;
use crate::time::timer::Timer;
use crate::tls::accept::TlsInfo;

/// The state of an open connection.
pub(crate) struct Connection {
    pub(crate) worker: Rc<Worker>,
    conn_config: RefCell<ConnConfig>,
    /// `$connection`.
    pub(crate) number: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The client is connected through a UNIX socket and has no address.
    pub(crate) is_unix: bool,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) began: Instant,
    /// Counted by `stub_status` while it is open; `None` for a connection that only stands
    /// in for one.
    pub(crate) open: Option<Open>,
    /// The load balancer's PROXY header (`listen … proxy_protocol`).
    pub(crate) proxy_header: Option<Box<Header>>,
    /// Clear text on a port for TLS: every request gets nginx's 400.
    pub(crate) plain_on_tls: bool,
    /// Requests so far.
    pub(crate) requests: Cell<u64>,
    /// Streams of HTTP/2 that were reset before they were served.
    pub(crate) early_resets: Cell<u32>,
    /// Requests in progress; several in HTTP/2.
    pub(crate) in_flight: Cell<usize>,
    /// One of its requests was rejected for lack of memory, and this has been logged.
    pub(crate) is_short_of_memory: Cell<bool>,
    /// HTTP/1 has one time-out at a time, so they share a timer. A stream of HTTP/2 has its own
    /// (`Request::timer`).
    pub(crate) timer: Cell<Timer>,
    /// The memory it holds itself, and its registration for eviction.
    pub(crate) permit: Permit,
    pub(crate) account: Account,
}

impl Connection {
    /// A connection of which only the addresses are known and that is not counted yet.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        number: u64,
        conn_config: ConnConfig,
        (peer, local): (SocketAddr, SocketAddr),
        Admitted { permit, account }: Admitted,
    ) -> Self {
        Self {
            number,
            worker: worker.clone(),
            is_unix: conn_config.listen().listen.address.path().is_some(),
            conn_config: RefCell::new(conn_config),
            peer,
            local,
            tls: None,
            began: cached_time::now(),
            open: None,
            proxy_header: None,
            plain_on_tls: false,
            requests: Cell::new(0),
            early_resets: Cell::default(),
            in_flight: Cell::new(0),
            is_short_of_memory: Cell::new(false),
            timer: Cell::default(),
            permit,
            account,
        }
    }

    /// The configuration of its next request.
    pub(crate) fn conn_config(&self) -> ConnConfig {
        self.conn_config.borrow().clone()
    }

    /// Records a finished handshake, and the server that its SNI selected.
    pub(crate) fn secured(&mut self, server: ServerId, tls: TlsInfo) {
        self.conn_config.get_mut().server = server;
        self.tls = Some(tls);
    }

    /// Switches to the configuration in force. `false` if that has no matching address: the
    /// connection then closes after its current request.
    pub(crate) fn follow(&self) -> bool {
        let config = self.worker.config();
        if config.is(&self.conn_config.borrow().config) {
            return true;
        }
        let tls = self.tls.as_ref();
        if tls.is_some_and(|tls| tls.client.is_some()) {
            // A client certificate is verified by the new configuration only in a new
            // handshake.
            return false;
        }
        let named = tls.and_then(|tls| tls.server_name.as_deref());
        let there = self
            .conn_config
            .borrow()
            .in_config(config, self.local, named);
        there.map(|there| self.conn_config.replace(there)).is_some()
    }
}

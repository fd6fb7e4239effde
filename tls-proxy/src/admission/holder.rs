//! Holders of memory: a client with its connection and streams.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::Admission;
use crate::metrics;
use crate::metrics::labels::Relief;
use crate::time::cached_time;

/// A client that transfers fewer bytes than this while it is waited for counts as making no
/// progress.
const MOVED: u64 = 1024;

/// A client's connection with everything on it.
#[derive(Debug)]
pub(crate) struct Client {
    /// When it connected.
    pub(super) came: Instant,
    /// Memory of the connection and its streams, bytes.
    pub(super) held: Cell<u64>,
    /// Of it what has been granted for its first response and is not used yet, bytes.
    pub(super) advance: Cell<u64>,
    /// Streams evicted so far.
    shed: Cell<u32>,
    /// The connection itself has been evicted.
    pub(super) closing: Cell<bool>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            came: cached_time::now(),
            held: Cell::default(),
            advance: Cell::default(),
            shed: Cell::default(),
            closing: Cell::default(),
        }
    }

    /// Streams reset to free memory.
    pub(crate) fn shed(&self) -> u32 {
        self.shed.get()
    }
}

/// What a connection or stream is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Not for its client: it is working, or waits for an upstream.
    NotForClient,
    /// For a permit.
    Memory,
    /// For the next request.
    Idle,
    /// For the first bytes of the client: a PROXY protocol header, a ClientHello, or the
    /// start of a plain-text request.
    FirstBytes,
    /// For the rest of a handshake.
    Handshake,
    /// For the rest of a request's head.
    Head,
    /// For more of a request's body.
    Body,
    /// For the client to read more of a response.
    Response,
    /// For data in a tunnel, in either direction.
    Tunnel,
}

impl Waits {
    /// The description for the log.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::NotForClient => "an upstream",
            Self::Memory => "memory",
            Self::Idle => "a request",
            Self::FirstBytes | Self::Handshake => "the handshake",
            Self::Head => "the request header",
            Self::Body => "the request body",
            Self::Response => "the client to read the response",
            Self::Tunnel => "data in its tunnel",
        }
    }
}

/// What an evicted holder had and waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eviction {
    /// Bytes.
    pub(crate) held: u64,
    pub(crate) waited_for: Waits,
}

impl fmt::Display for Eviction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (held, what) = (self.held >> 10, self.waited_for.what());
        write!(out, "it held {held} KiB while waiting for {what}")
    }
}

/// A connection or stream, which can be evicted.
#[derive(Debug)]
pub(crate) struct Holder {
    admission: Rc<Admission>,
    pub(super) client: Rc<Client>,
    /// It is the connection itself.
    pub(super) is_connection: bool,
    /// The memory it holds, bytes.
    pub(super) held: Cell<u64>,
    pub(super) waits: Cell<Waits>,
    /// What the request waited for last. `since` is when that began or, if it has not
    /// waited, when the request did; it starts again for every [`MOVED`] bytes. `moved` is
    /// the byte count at `since`.
    stage: Cell<Waits>,
    pub(super) since: Cell<Instant>,
    moved: Cell<u64>,
    /// Set when it is evicted.
    pub(super) evicted: Cell<Option<Eviction>>,
    waker: RefCell<Option<Waker>>,
    /// Its index in the worker's list of holders.
    pub(super) slot: Cell<usize>,
}

impl Holder {
    pub(super) fn new(
        admission: Rc<Admission>,
        client: Rc<Client>,
        is_connection: bool,
        slot: usize,
    ) -> Self {
        Self {
            admission,
            client,
            is_connection,
            held: Cell::new(0),
            waits: Cell::new(Waits::NotForClient),
            stage: Cell::new(Waits::NotForClient),
            since: Cell::new(cached_time::now()),
            moved: Cell::new(0),
            evicted: Cell::new(None),
            waker: RefCell::default(),
            slot: Cell::new(slot),
        }
    }

    pub(super) fn add(&self, memory: u64) {
        self.held.set(self.held.get() + memory);
        self.client.held.set(self.client.held.get() + memory);
    }

    pub(super) fn subtract(&self, memory: u64) {
        self.held.set(self.held.get().saturating_sub(memory));
        let all = &self.client.held;
        all.set(all.get().saturating_sub(memory));
    }

    /// Its client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Starts or continues waiting for the client; `moved` is how many bytes of what it
    /// waits for have been transferred so far.
    pub(crate) fn wait(&self, what: Waits, moved: u64) {
        self.waits.set(what);
        let same = self.stage.replace(what) == what;
        if !same || moved.saturating_sub(self.moved.get()) >= MOVED {
            self.since.set(cached_time::now());
            self.moved.set(moved);
        }
    }

    /// The client has made progress: it is not waited for, and a pending eviction is
    /// withdrawn.
    pub(crate) fn stop_waiting(&self) {
        self.waits.set(Waits::NotForClient);
        if let Some(eviction) = self.evicted.take() {
            if self.is_connection {
                self.client.closing.set(false);
            }
            self.admission.no_longer_expect(eviction.held);
        }
    }

    /// Starts a new stage: time waited before does not count.
    pub(crate) fn start_stage(&self) {
        self.stop_waiting();
        self.stage.set(Waits::NotForClient);
    }

    /// Starts a request: its age is counted from now.
    pub(crate) fn start_request(&self) {
        self.start_stage();
        self.since.set(cached_time::now());
    }

    /// It waits for memory from now on, and is not waited for.
    pub(crate) fn wait_for_memory(&self) {
        self.stop_waiting();
        self.wait_for_permit();
    }

    /// It waits for a permit, not for its client.
    pub(super) fn wait_for_permit(&self) {
        if self.waits.get() == Waits::NotForClient {
            self.waits.set(Waits::Memory);
            self.since.set(cached_time::now());
        }
    }

    /// It has got its permit, or does not want it any more.
    pub(super) fn stop_waiting_for_permit(&self) {
        if self.waits.get() == Waits::Memory {
            self.waits.set(Waits::NotForClient);
        }
    }

    /// Whether its request has never waited for the client.
    pub(super) fn never_waited_for_client(&self) -> bool {
        self.stage.get() == Waits::NotForClient
    }

    /// Whether it is a tunnel.
    pub(super) fn is_of_tunnel(&self) -> bool {
        self.stage.get() == Waits::Tunnel
    }

    /// What it is waiting for.
    pub(crate) fn waits(&self) -> Waits {
        self.waits.get()
    }

    /// Ready when it is evicted; wakes the task then.
    pub(crate) fn poll_evicted(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.evicted.get().is_some() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        match &mut *waker {
            Some(own) => own.clone_from(cx.waker()),
            own => *own = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Its eviction; `None` if it was not evicted.
    pub(crate) fn eviction(&self) -> Option<Eviction> {
        self.evicted.get()
    }

    /// Resolves when it is evicted.
    pub(crate) async fn evicted(&self) {
        std::future::poll_fn(|cx| self.poll_evicted(cx)).await;
    }

    /// Evicts it for its own demand, which cannot be met; never resolves.
    pub(super) async fn refused(&self) {
        std::future::poll_fn(|_| {
            if self.evicted.get().is_none() {
                let held = self.evict();
                self.admission.expect(held);
            }
            Poll::Pending
        })
        .await
    }

    /// Evicts it; returns the memory it holds, bytes.
    pub(super) fn evict(&self) -> u64 {
        let held = match self.is_connection {
            true => self.client.held.get(),
            false => self.held.get(),
        };
        let waited_for = self.waits.get();
        self.evicted.set(Some(Eviction { held, waited_for }));
        self.client.closing.set(self.is_connection);
        if !self.is_connection {
            self.client.shed.set(self.client.shed.get() + 1);
        }
        metrics::relieved(match waited_for {
            Waits::NotForClient | Waits::Memory => Relief::Share,
            Waits::Idle => Relief::Idle,
            Waits::FirstBytes | Waits::Handshake => Relief::Handshake,
            Waits::Head => Relief::RequestHead,
            Waits::Body => Relief::RequestBody,
            Waits::Response => Relief::Response,
            Waits::Tunnel => Relief::Tunnel,
        });
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
        held
    }
}

/// A registration in the list of holders, until it is dropped.
#[derive(Debug)]
pub(crate) struct Account(pub(super) Rc<Holder>);

impl Account {
    /// The registered holder.
    pub(crate) fn holder(&self) -> &Rc<Holder> {
        &self.0
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.0.admission.remove(&self.0);
    }
}

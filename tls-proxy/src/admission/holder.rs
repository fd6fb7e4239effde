//! Who holds memory: a client, and each of its connection and streams.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use super::Admission;
use crate::metrics;
use crate::metrics::labels::Relief;
use crate::time::cached_time;

/// A client that moves fewer bytes than this while it is waited for has not
/// moved at all.
const MOVED: u64 = 1024;

/// A client's connection with everything on it.
#[derive(Debug)]
pub(crate) struct Client {
    /// When it came.
    pub(super) came: Instant,
    /// What all of it holds, bytes.
    pub(super) held: Cell<u64>,
    /// Streams that had to give up.
    shed: Cell<u32>,
    /// The connection itself has been asked to.
    pub(super) closing: Cell<bool>,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            came: cached_time::now(),
            held: Cell::default(),
            shed: Cell::default(),
            closing: Cell::default(),
        }
    }

    /// How many of its streams have been reset to make room.
    pub(crate) fn shed(&self) -> u32 {
        self.shed.get()
    }
}

/// What the proxy waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Not for the client: it has work, or waits for an upstream.
    Otherwise,
    /// For the next request.
    Idle,
    /// For what a client says first: a PROXY protocol header, a ClientHello, or how
    /// its request in clear text begins.
    FirstWords,
    /// For the rest of a handshake.
    Handshake,
    /// For the rest of a request's head.
    Head,
    /// For more of a request's body.
    Body,
    /// For the client to take more of a response.
    Response,
    /// For anything to come through a tunnel, from either side.
    Tunnel,
}

impl Waits {
    /// In words for the log.
    pub(crate) fn what(self) -> &'static str {
        match self {
            Self::Otherwise => "an upstream",
            Self::Idle => "a request",
            Self::FirstWords | Self::Handshake => "the handshake",
            Self::Head => "the request header",
            Self::Body => "the request body",
            Self::Response => "the client to read the response",
            Self::Tunnel => "data in its tunnel",
        }
    }
}

/// One that can be asked to give up what it holds: a connection or a stream.
#[derive(Debug)]
pub(crate) struct Holder {
    admission: Rc<Admission>,
    pub(super) client: Rc<Client>,
    /// Whether it is the connection itself.
    pub(super) is_connection: bool,
    /// What it holds, bytes.
    pub(super) held: Cell<u64>,
    pub(super) waits: Cell<Waits>,
    /// What it waited for last in its request; since when it does so without more than
    /// [`MOVED`] having come or gone, or since when the request has been under way; and
    /// how much had come or gone then.
    stage: Cell<Waits>,
    pub(super) since: Cell<Instant>,
    moved: Cell<u64>,
    /// It has been asked to give up, and what it held then, bytes.
    pub(super) evicted: Cell<Option<u64>>,
    waker: RefCell<Option<Waker>>,
    /// Its place among all of the worker's.
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
            waits: Cell::new(Waits::Otherwise),
            stage: Cell::new(Waits::Otherwise),
            since: Cell::new(cached_time::now()),
            moved: Cell::new(0),
            evicted: Cell::new(None),
            waker: RefCell::default(),
            slot: Cell::new(slot),
        }
    }

    /// The client of it.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The proxy has to wait for the client; `moved` is how many bytes of what it
    /// waits for have come or gone so far.
    pub(crate) fn wait(&self, what: Waits, moved: u64) {
        self.waits.set(what);
        let same = self.stage.replace(what) == what;
        if !same || moved.saturating_sub(self.moved.get()) >= MOVED {
            self.since.set(cached_time::now());
            self.moved.set(moved);
        }
    }

    /// The client has done something: it is not waited for now, and if it has just
    /// been asked to give up, it need not.
    pub(crate) fn goes_on(&self) {
        self.waits.set(Waits::Otherwise);
        if let Some(expected) = self.evicted.take() {
            if self.is_connection {
                self.client.closing.set(false);
            }
            self.admission.stays(expected);
        }
    }

    /// Something new begins: however it is waited for, it is for the first time.
    pub(crate) fn begins(&self) {
        self.goes_on();
        self.stage.set(Waits::Otherwise);
    }

    /// A request begins: however long it takes, it is from now on.
    pub(crate) fn begins_request(&self) {
        self.begins();
        self.since.set(cached_time::now());
    }

    /// It waits for room, not for its client.
    pub(super) fn waits_in_line(&self) {
        if self.waits.get() == Waits::Otherwise {
            self.since.set(cached_time::now());
        }
    }

    /// Whether its request has never had to wait for the client.
    pub(super) fn has_not_waited(&self) -> bool {
        self.stage.get() == Waits::Otherwise
    }

    /// What is waited for.
    pub(crate) fn waits(&self) -> Waits {
        self.waits.get()
    }

    /// Ready when it is to give up. The task is woken when it is asked to.
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

    /// What it held when it was asked to give up, bytes, if it was.
    pub(crate) fn evicted_at(&self) -> Option<u64> {
        self.evicted.get()
    }

    /// Resolves when it is to give up.
    pub(crate) async fn evicted(&self) {
        std::future::poll_fn(|cx| self.poll_evicted(cx)).await;
    }

    /// Asks it to give up what it holds; says how much that is, bytes.
    pub(super) fn evict(&self) -> u64 {
        let held = match self.is_connection {
            true => self.client.held.get(),
            false => self.held.get(),
        };
        self.evicted.set(Some(held));
        self.client.closing.set(self.is_connection);
        if !self.is_connection {
            self.client.shed.set(self.client.shed.get() + 1);
        }
        metrics::relieved(match self.waits.get() {
            Waits::Otherwise => Relief::Share,
            Waits::Idle => Relief::Idle,
            Waits::FirstWords | Waits::Handshake => Relief::Handshake,
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

/// A place among those who can be asked to give up, until it is dropped.
#[derive(Debug)]
pub(crate) struct Account(pub(super) Rc<Holder>);

impl Account {
    /// The holder itself.
    pub(crate) fn holder(&self) -> &Rc<Holder> {
        &self.0
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.0.admission.remove(&self.0);
    }
}

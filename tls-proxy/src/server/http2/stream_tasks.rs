//! Tasks that serve streams. A finished task waits for the next stream and keeps its
//! memory, and so is the memory of a request kept: both are too large for the allocator's
//! fast path, and a new task is copied several times.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use h2::server::SendResponse;

use super::send_buffer::{Chunk, InFlight};
use super::shared::Shared;
use super::stream;
use super::task_pool::{ParkedTask, TaskPool};
use crate::admission::Account;
use crate::lifecycle::drain::Token;
use crate::message::rules;
use crate::request::connection::Connection;
use crate::server::client_request::ClientRequest;
use crate::time::cached_time;
use crate::time::timer::Timer;

/// How often surplus idle tasks are released.
const SHRINK_INTERVAL: Duration = Duration::from_secs(5);

/// Memory for a request, used by one after the other.
pub(super) type RequestSlot = Box<Option<ClientRequest>>;

/// A worker's tasks for streams.
#[derive(Default)]
pub(crate) struct StreamTasks {
    pool: TaskPool<StreamJob>,
    slots: RefCell<Vec<RequestSlot>>,
}

/// A stream to be served.
pub(super) struct StreamJob {
    /// Holds its request.
    pub(super) slot: RequestSlot,
    /// Why its head was rejected.
    pub(super) error: Option<rules::Error>,
    pub(super) responder: SendResponse<Chunk>,
    pub(super) account: Account,
    pub(super) connection: Rc<Connection>,
    pub(super) in_flight: Token,
    pub(super) shared: Rc<Shared>,
}

impl StreamTasks {
    /// Memory for a request.
    pub(super) fn slot(&self) -> RequestSlot {
        self.slots.borrow_mut().pop().unwrap_or_default()
    }

    /// Serves a stream in an idle task or a new one.
    pub(super) fn serve(self: &Rc<Self>, job: StreamJob) {
        if let Some(job) = self.pool.dispatch(job) {
            let serving = serve(self.clone(), job);
            tokio::task::spawn_local(cached_time::scope(Box::pin(serving)));
        }
    }

    /// Releases surplus tasks and memory periodically. Runs as a task of the worker.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(SHRINK_INTERVAL).await;
            let most = self.pool.shrink();
            let mut slots = self.slots.borrow_mut();
            slots.truncate(most);
            slots.shrink_to_fit();
        }
    }
}

/// Serves streams, one after the other.
async fn serve(tasks: Rc<StreamTasks>, mut job: StreamJob) {
    let parked = Rc::new(ParkedTask::default());
    let mut queue = Rc::default();
    let mut timer = Timer::default();
    loop {
        let slot = serve_stream(job, &queue, &mut timer).await;
        if Rc::strong_count(&queue) > 1 {
            // `h2` still holds unsent pieces of the finished stream.
            queue = Rc::default();
        }
        tasks.slots.borrow_mut().push(slot);
        match tasks.pool.next(&parked).await {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// Serves one stream; returns its slot.
async fn serve_stream(job: StreamJob, queue: &Rc<InFlight>, timer: &mut Timer) -> RequestSlot {
    let StreamJob {
        mut slot,
        error,
        responder,
        account,
        connection,
        in_flight,
        shared,
    } = job;
    if let Some(request) = &mut *slot {
        request.timer.set(std::mem::take(timer));
        stream::serve(request, error, responder, queue, &shared, account.holder()).await;
        *timer = request.timer.take();
    }
    // Its log line is written here.
    *slot = None;
    drop(account);
    drop(in_flight);
    if connection.in_flight.get() == 0 {
        shared.streams_done.notify_one();
    }
    slot
}

//! The tasks that answer streams. One that has ended waits for the next stream
//! and keeps its memory for it, and so does the memory of its request: both are
//! more than an allocator hands out without searching, and a new task is copied several
//! times over.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use h2::server::SendResponse;
use tokio::sync::Notify;

use super::send_buffer::{Chunk, InFlight};
use super::stream;
use super::task_pool::{ParkedTask, TaskPool};
use crate::admission::Account;
use crate::lifecycle::drain::Token;
use crate::message::rules;
use crate::request::connection::Connection;
use crate::server::client_request::ClientRequest;
use crate::time::cached_time;

/// How often surplus idle tasks are released.
const SHRINK_INTERVAL: Duration = Duration::from_secs(5);

/// Where a request stands, one after the other.
pub(super) type RequestSlot = Box<Option<ClientRequest>>;

/// A worker's tasks for streams.
#[derive(Default)]
pub(crate) struct StreamTasks {
    pool: TaskPool<StreamJob>,
    slots: RefCell<Vec<RequestSlot>>,
}

/// A stream to be answered.
pub(super) struct StreamJob {
    /// Holds its request.
    pub(super) slot: RequestSlot,
    /// What is wrong with its head.
    pub(super) error: Option<rules::Error>,
    pub(super) answer: SendResponse<Chunk>,
    pub(super) account: Account,
    pub(super) connection: Rc<Connection>,
    pub(super) in_flight: Token,
    /// Told when the connection's last stream is answered.
    pub(super) quiet: Rc<Notify>,
}

impl StreamTasks {
    /// Room for a request.
    pub(super) fn slot(&self) -> RequestSlot {
        self.slots.borrow_mut().pop().unwrap_or_default()
    }

    /// Has a stream answered.
    pub(super) fn take(self: &Rc<Self>, job: StreamJob) {
        if let Some(job) = self.pool.dispatch(job) {
            let serving = serve(self.clone(), job);
            tokio::task::spawn_local(cached_time::moving(Box::pin(serving)));
        }
    }

    /// Gives back what has not been needed, again and again. Runs as a task of
    /// the worker.
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

/// Answers streams, one after the other.
async fn serve(tasks: Rc<StreamTasks>, mut job: StreamJob) {
    let parked = Rc::new(ParkedTask::default());
    let mut queue = Rc::default();
    loop {
        let slot = answer(job, &queue).await;
        if Rc::strong_count(&queue) > 1 {
            // `h2` holds what the client has not taken of a stream that is over.
            queue = Rc::default();
        }
        tasks.slots.borrow_mut().push(slot);
        match tasks.pool.next(&parked).await {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// Answers one stream; gives back its slot.
async fn answer(job: StreamJob, queue: &Rc<InFlight>) -> RequestSlot {
    let StreamJob {
        mut slot,
        error,
        answer,
        account,
        connection,
        in_flight,
        quiet,
    } = job;
    if let Some(request) = &mut *slot {
        stream::serve(request, error, answer, queue, account.holder()).await;
    }
    // Its line is written here.
    *slot = None;
    drop(account);
    drop(in_flight);
    if connection.in_flight.get() == 0 {
        quiet.notify_one();
    }
    slot
}

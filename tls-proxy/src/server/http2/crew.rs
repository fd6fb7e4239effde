//! The tasks that answer streams. One that has ended waits for the next stream
//! and keeps its memory for it, and so does the memory of its request: both are
//! more than glibc hands out without searching, and a new task is copied several
//! times over.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use h2::server::SendResponse;
use tokio::sync::Notify;

use super::hands::{Hand, Hands};
use super::piece::{Piece, Queue};
use super::stream;
use crate::admission::Account;
use crate::lifecycle::drain::Token;
use crate::message::rules::Flaw;
use crate::request::Request;
use crate::server::connection::Connection;
use crate::server::worker::Worker;
use crate::time::cached_time;

/// How often those are let go of whom nobody has needed meanwhile.
const SWEEP: Duration = Duration::from_secs(5);

/// Where a request stands, one after the other.
pub(super) type Berth = Box<Option<Request>>;

/// A worker's tasks for streams.
#[derive(Default)]
pub(crate) struct Crew {
    hands: Hands<Job>,
    berths: RefCell<Vec<Berth>>,
}

/// A stream to be answered.
pub(super) struct Job {
    /// Holds its request.
    pub(super) berth: Berth,
    /// What is wrong with its head.
    pub(super) flaw: Option<Flaw>,
    pub(super) answer: SendResponse<Piece>,
    pub(super) account: Account,
    pub(super) connection: Rc<Connection>,
    pub(super) in_flight: Token,
    /// Told when the connection's last stream is answered.
    pub(super) quiet: Rc<Notify>,
}

impl Crew {
    /// Room for a request.
    pub(super) fn berth(&self) -> Berth {
        self.berths.borrow_mut().pop().unwrap_or_default()
    }

    /// Has a stream answered.
    pub(super) fn take(&self, job: Job) {
        if let Some(job) = self.hands.give(job) {
            let serving = serve(job.connection.worker.clone(), job);
            tokio::task::spawn_local(cached_time::moving(Box::pin(serving)));
        }
    }

    /// Gives back what has not been needed, again and again. Runs as a task of
    /// the worker.
    pub(crate) async fn run(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let most = self.hands.sweep();
            let mut berths = self.berths.borrow_mut();
            berths.truncate(most);
            berths.shrink_to_fit();
        }
    }
}

/// Answers streams, one after the other.
async fn serve(worker: Rc<Worker>, mut job: Job) {
    let hand = Rc::new(Hand::default());
    let mut queue = Rc::default();
    loop {
        let berth = answer(job, &queue).await;
        if Rc::strong_count(&queue) > 1 {
            // `h2` holds what the client has not taken of a stream that is over.
            queue = Rc::default();
        }
        worker.crew.berths.borrow_mut().push(berth);
        match worker.crew.hands.next(&hand).await {
            Some(next) => job = next,
            None => return,
        }
    }
}

/// Answers one stream; gives back its berth.
async fn answer(job: Job, queue: &Rc<Queue>) -> Berth {
    let Job {
        mut berth,
        flaw,
        answer,
        account,
        connection,
        in_flight,
        quiet,
    } = job;
    if let Some(request) = &mut *berth {
        stream::serve(request, flaw, answer, queue, account.holder()).await;
    }
    // Its line is written here.
    *berth = None;
    drop(account);
    drop(in_flight);
    if connection.in_flight.get() == 0 {
        quiet.notify_one();
    }
    berth
}

//! Who gets in: what the connections and requests of a worker may hold together.
//!
//! An idle connection holds little and a request much, so each is counted as
//! what it is. While there is no room, those who want in wait, requests before
//! connections, and the connection that has been idle the longest is asked to
//! go, as nginx does when `worker_connections` are used up.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use tokio::sync::Notify;

use super::counters;

/// What a connection holds that waits for a request, bytes: 6.7 KiB of this
/// program, the rest in the kernel. This and the next two were measured with
/// `bench/proxy-limits`.
const CONNECTION: u64 = 10 << 10;
/// What its handshake adds to it, and then, if that is what it speaks, HTTP/2
/// with its frames and its table of fields, bytes.
const BEGINNING: u64 = 24 << 10;
/// What a request adds to it, bytes: its head, its phases and a piece of its body
/// on either side of the proxy, 30 KiB where all of it stands still; and as much
/// again, since what a busy time leaves behind has to leave room for the pages of
/// the program itself.
const REQUEST: u64 = 60 << 10;
/// Connections of a worker, and their requests, for which there is room whatever
/// limits say.
pub(crate) const FEWEST: usize = 8;
/// The part of the memory that connections leave to requests: a fifth.
const FOR_REQUESTS: u64 = 5;

/// How large a room is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capacity {
    /// Most connections at once.
    pub(crate) seats: usize,
    /// What connections and requests may hold together, bytes, if that is limited.
    pub(crate) memory: Option<u64>,
}

impl Capacity {
    /// Connections that are held while all of them are idle.
    pub(crate) fn connections(self) -> usize {
        let fit = (self.memory() - self.reserve()) / CONNECTION;
        self.seats.min(usize::try_from(fit).unwrap_or(usize::MAX))
    }

    fn memory(self) -> u64 {
        let least = FEWEST as u64 * (CONNECTION + BEGINNING + REQUEST);
        self.memory.map_or(u64::MAX, |memory| memory.max(least))
    }

    fn reserve(self) -> u64 {
        let part = self.memory.map(|_| self.memory() / FOR_REQUESTS);
        part.map_or(0, |part| part.max(REQUEST))
    }
}

/// The room of one worker.
#[derive(Debug)]
pub(crate) struct Room {
    /// Connections that may still come.
    seats: Cell<usize>,
    /// Memory that may still be taken, bytes.
    memory: Cell<u64>,
    /// What of it connections leave alone, bytes.
    reserve: u64,
    /// Idle connections, the longest idle first.
    idle: Notify,
    connections: Queue,
    requests: Queue,
}

/// Those who wait for room.
#[derive(Debug, Default)]
struct Queue {
    waiting: Cell<usize>,
    freed: Notify,
}

/// What somebody has taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Rc<Room>,
    seats: usize,
    memory: u64,
}

impl Room {
    pub(crate) fn new(capacity: Capacity) -> Rc<Self> {
        Rc::new(Self {
            seats: Cell::new(capacity.seats),
            reserve: capacity.reserve(),
            memory: Cell::new(capacity.memory()),
            idle: Notify::new(),
            connections: Queue::default(),
            requests: Queue::default(),
        })
    }

    /// A place for one more connection, its handshake included.
    pub(crate) async fn for_connection(self: &Rc<Self>) -> Place {
        let memory = CONNECTION + BEGINNING;
        self.take(&self.connections, 1, memory, self.reserve).await
    }

    /// A place for one more request.
    pub(crate) async fn for_request(self: &Rc<Self>) -> Place {
        self.take(&self.requests, 0, REQUEST, 0).await
    }

    /// Whether somebody waits: answers then end their connections.
    pub(crate) fn is_crowded(&self) -> bool {
        self.connections.waiting.get() + self.requests.waiting.get() > 0
    }

    /// Resolves when the idle connection that waits for it has to go.
    pub(crate) async fn is_needed(&self) {
        self.idle.notified().await;
        counters::count(|own| &own.made_room);
    }

    async fn take(
        self: &Rc<Self>,
        queue: &Queue,
        seats: usize,
        memory: u64,
        reserve: u64,
    ) -> Place {
        // Whoever came before is served before, and requests before connections.
        if queue.waiting.get() + self.requests.waiting.get() == 0
            && let Some(place) = self.try_take(seats, memory, reserve)
        {
            return place;
        }
        let _waiting = Waiting::new(self, queue);
        loop {
            let freed = queue.freed.notified();
            if let Some(place) = self.try_take(seats, memory, reserve) {
                return place;
            }
            self.idle.notify_one();
            freed.await;
        }
    }

    fn try_take(self: &Rc<Self>, seats: usize, memory: u64, reserve: u64) -> Option<Place> {
        let left = self.memory.get().checked_sub(memory)?;
        if left < reserve {
            return None;
        }
        self.seats.set(self.seats.get().checked_sub(seats)?);
        self.memory.set(left);
        Some(Place {
            room: self.clone(),
            seats,
            memory,
        })
    }

    /// Wakes the next one who waits, requests first.
    fn wake(&self) {
        if self.requests.waiting.get() > 0 {
            self.requests.freed.notify_one();
        } else if self.connections.waiting.get() > 0 {
            self.connections.freed.notify_one();
        }
    }
}

impl Place {
    /// The connection's handshake is over, and it does not speak HTTP/2.
    pub(crate) fn settle(&mut self) {
        let less = self.memory.min(BEGINNING);
        self.memory -= less;
        self.room.memory.set(self.room.memory.get() + less);
        self.room.wake();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let room = &self.room;
        room.seats.set(room.seats.get() + self.seats);
        room.memory.set(room.memory.get() + self.memory);
        room.wake();
    }
}

/// One who waits, counted until it has a place or gives up.
struct Waiting<'a> {
    room: &'a Room,
    queue: &'a Queue,
}

impl<'a> Waiting<'a> {
    fn new(room: &'a Room, queue: &'a Queue) -> Self {
        queue.waiting.set(queue.waiting.get() + 1);
        Self { room, queue }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.waiting.set(self.queue.waiting.get() - 1);
        if self.room.is_crowded() {
            // There may be enough for the next one, too.
            self.room.wake();
        } else {
            // Where nobody was idle, the request to go waits for the next one
            // who is; there is room for that one now.
            let _ = pin!(self.room.idle.notified()).enable();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(50);

    fn room_of(seats: usize, memory: Option<u64>) -> Rc<Room> {
        Room::new(Capacity { seats, memory })
    }

    async fn waits<T>(wanted: impl Future<Output = T>) -> bool {
        timeout(MOMENT, wanted).await.is_err()
    }

    /// Memory for `connections`, one more that begins, and the reserve.
    fn room_for(connections: u64) -> Rc<Room> {
        let memory = (connections + 1) * CONNECTION + BEGINNING;
        let memory = memory * FOR_REQUESTS / (FOR_REQUESTS - 1);
        room_of(1000, Some(memory + FOR_REQUESTS))
    }

    /// A connection that has begun.
    async fn begun(room: &Rc<Room>) -> Place {
        let mut place = room.for_connection().await;
        place.settle();
        place
    }

    #[tokio::test]
    async fn connections_leave_room_for_requests() {
        let room = room_for(100);
        let mut held = Vec::new();
        for _ in 0..100 {
            held.push(begun(&room).await);
        }
        let mut beginning = room.for_connection().await;
        assert!(waits(begun(&room)).await, "the rest is for requests");
        let request = room.for_request().await;
        drop(request);
        assert!(waits(begun(&room)).await, "so it is still");
        beginning.settle();
        drop(held.pop());
        let _last = begun(&room).await;
    }

    #[tokio::test]
    async fn the_longest_idle_one_is_asked_to_go() {
        let room = room_of(2, None);
        let mut places = vec![room.for_connection().await, room.for_connection().await];
        let (first, second) = (room.idle.notified(), room.idle.notified());
        let (mut first, mut second) = (pin!(first), pin!(second));
        first.as_mut().enable();
        second.as_mut().enable();
        let (_third, ()) = tokio::join!(room.for_connection(), async {
            first.await;
            places.remove(0);
        });
        assert!(waits(second).await, "the other one may stay");
        assert!(!room.is_crowded());
    }

    #[tokio::test]
    async fn nobody_is_asked_to_go_for_one_who_has_a_place() {
        let room = room_of(1, None);
        let place = room.for_connection().await;
        let (_next, ()) = tokio::join!(room.for_connection(), async { drop(place) });
        assert!(waits(room.is_needed()).await);
    }

    #[tokio::test]
    async fn requests_are_served_before_connections() {
        let room = room_of(1000, Some(0));
        let mut held = Vec::new();
        while let Ok(place) = timeout(MOMENT, room.for_request()).await {
            held.push(place);
        }
        assert_eq!(
            held.len() as u64,
            FEWEST as u64 * (CONNECTION + BEGINNING + REQUEST) / REQUEST
        );
        let connection = room.for_connection();
        let request = room.for_request();
        let (mut connection, mut request) = (pin!(connection), pin!(request));
        assert!(waits(connection.as_mut()).await && waits(request.as_mut()).await);
        held.pop();
        let _request = request.await;
        assert!(waits(connection).await);
    }
}

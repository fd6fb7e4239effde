//! How much of a body is read at a time.
//!
//! A read of 256 KiB takes a sixteenth of the system calls, and less time, than sixteen
//! small ones. But its memory is in use until it has been consumed. So it is used only for
//! bodies whose reads are filled and whose data is passed on before their task waits.

use std::cell::Cell;
use std::time::Instant;

use crate::time::cached_time;

/// A normal read, bytes.
pub(crate) const READ_SIZE: usize = 16 * 1024;
/// A bulk read, bytes.
pub(crate) const BULK_SIZE: usize = 256 * 1024;
/// Streams of a worker that may read in bulk at the same time: few, because unconsumed data
/// keeps its memory.
const MAX: usize = 2;
/// Memory of a worker from which on bulk reads are allowed, bytes. A piece, its encrypted
/// copy and the part being sent take about 0.5 MiB: with 10Mi, pages of the program itself
/// would be evicted for that.
const BULK_FROM: u64 = 16 << 20;
/// The additional memory of those streams, bytes.
const RESERVED: u64 = 1 << 20;
/// Limit of `required`: filled reads passed on without waiting that are required before a bulk
/// read.
const MAX_REQUIRED: u8 = 64;

thread_local! {
    /// The permissions of this worker, and how many of them are in use.
    static ALLOWED: Cell<usize> = const { Cell::new(MAX) };
    static IN_USE: Cell<usize> = const { Cell::new(0) };
}

/// Sets the memory limit of this thread's worker, bytes; `None` if there is none.
pub(super) fn set_memory_limit(memory: Option<u64>) {
    let enough = memory.is_none_or(|memory| memory >= BULK_FROM);
    ALLOWED.set(if enough { MAX } else { 0 });
}

/// The part of a worker's memory that is kept for bulk reads, bytes.
pub(crate) fn reserved(memory: u64) -> u64 {
    match memory >= BULK_FROM {
        true => RESERVED,
        false => 0,
    }
}

/// The permission for bulk reads, until it is dropped.
#[derive(Debug)]
pub(crate) struct BulkPermit;

impl BulkPermit {
    fn take() -> Option<Self> {
        let taken = IN_USE.get();
        (taken < ALLOWED.get()).then(|| {
            IN_USE.set(taken + 1);
            Self
        })
    }
}

impl Drop for BulkPermit {
    fn drop(&mut self) {
        IN_USE.set(IN_USE.get() - 1);
    }
}

/// Chooses the size of a stream's next read by its last ones.
#[derive(Debug)]
pub(crate) struct Bulk {
    permit: Option<BulkPermit>,
    /// When its task was woken for the last read.
    woken: Option<Instant>,
    /// Filled reads since then.
    filled: u8,
    /// How many are required for a bulk read.
    required: u8,
}

impl Bulk {
    pub(crate) fn new() -> Self {
        Self {
            permit: None,
            woken: None,
            filled: 0,
            required: 1,
        }
    }

    /// The size of the next read of a body, bytes. Everything read before has been
    /// consumed.
    pub(crate) fn size(&mut self) -> usize {
        let woken = Some(cached_time::now());
        if self.woken == woken {
            if self.permit.is_some() {
                self.required = 1;
            } else if self.filled >= self.required {
                self.permit = BulkPermit::take();
            }
        } else {
            if self.permit.take().is_some() {
                // The task had to wait for its piece to be consumed.
                self.required = (self.required * 2).min(MAX_REQUIRED);
            }
            (self.woken, self.filled) = (woken, 0);
        }
        match self.permit {
            Some(_) => BULK_SIZE,
            None => READ_SIZE,
        }
    }

    /// Whether the last read was a bulk read, or might have been.
    pub(crate) fn is_permitted(&self) -> bool {
        self.permit.is_some()
    }

    /// The reads so far do not count for the next one.
    pub(crate) fn restart(&mut self) {
        self.give_back();
        self.woken = None;
    }

    /// Records a read of `size` bytes.
    pub(crate) fn record(&mut self, size: usize) {
        if size >= READ_SIZE {
            self.filled = self.filled.saturating_add(1);
        } else {
            self.filled = 0;
        }
    }

    /// No more data is available: ends bulk reads. Returns their permission if the last read was
    /// one.
    pub(crate) fn give_back(&mut self) -> Option<BulkPermit> {
        self.permit.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of filled reads in a task that is woken for each of `wakes` and then reads
    /// that many times.
    async fn sizes(bulk: &mut Bulk, wakes: &[usize]) -> Vec<Vec<usize>> {
        let reading = async {
            let mut all = Vec::new();
            for reads in wakes {
                tokio::task::yield_now().await;
                let mut sizes = Vec::new();
                for _ in 0..*reads {
                    sizes.push(bulk.size());
                    bulk.record(BULK_SIZE);
                }
                all.push(sizes);
            }
            all
        };
        cached_time::scope(Box::pin(reading)).await
    }

    #[tokio::test]
    async fn a_body_passed_on_at_once_is_read_in_bulk() {
        let mut bulk = Bulk::new();
        let read = sizes(&mut bulk, &[3, 1]).await;
        assert_eq!(
            read,
            [vec![READ_SIZE, BULK_SIZE, BULK_SIZE], vec![READ_SIZE]]
        );
        assert_eq!(IN_USE.get(), 0);
    }

    #[tokio::test]
    async fn unconsumed_pieces_require_more_small_reads() {
        let mut bulk = Bulk::new();
        let read = sizes(&mut bulk, &[2, 3, 5, 2]).await;
        let large = |sizes: &Vec<usize>| sizes.iter().position(|size| *size == BULK_SIZE);
        let first: Vec<_> = read.iter().map(large).collect();
        assert_eq!(first, [Some(1), Some(2), Some(4), None]);
        let read = sizes(&mut bulk, &[200, 3]).await;
        assert_eq!(large(&read[0]), Some(8));
        assert_eq!(large(&read[1]), Some(2));
    }

    #[tokio::test]
    async fn unfilled_reads_do_not_count() {
        let read = cached_time::scope(Box::pin(async {
            let mut bulk = Bulk::new();
            [READ_SIZE - 1, READ_SIZE, READ_SIZE].map(|size| {
                let asked = bulk.size();
                bulk.record(size);
                asked
            })
        }))
        .await;
        assert_eq!(read, [READ_SIZE, READ_SIZE, BULK_SIZE]);
    }

    #[tokio::test]
    async fn small_memory_allows_no_bulk_reads() {
        set_memory_limit(Some(6 << 20));
        let read = sizes(&mut Bulk::new(), &[3]).await;
        assert_eq!(read, [[READ_SIZE; 3]]);
        set_memory_limit(Some(28 << 20));
        let read = sizes(&mut Bulk::new(), &[2]).await;
        assert_eq!(read, [[READ_SIZE, BULK_SIZE]]);
    }

    #[tokio::test]
    async fn few_streams_read_in_bulk() {
        let mut wires = [Bulk::new(), Bulk::new(), Bulk::new()];
        let reading = async {
            let each = wires.each_mut().map(|bulk| {
                bulk.size();
                bulk.record(READ_SIZE);
                bulk.size()
            });
            wires[0].give_back();
            (each, wires[2].size())
        };
        let (each, then) = cached_time::scope(Box::pin(reading)).await;
        assert_eq!(each, [BULK_SIZE, BULK_SIZE, READ_SIZE]);
        assert_eq!(then, BULK_SIZE);
    }
}

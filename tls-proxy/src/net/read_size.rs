//! How much of a body a wire reads at once.
//!
//! A piece of a quarter of a mebibyte takes a sixteenth of the system calls, and
//! less time than sixteen small ones. But it is memory that nobody else can use
//! until it has been taken, so it is for those bodies that are: whose reads come
//! filled, and whose pieces go on before their task waits for anything.

use std::cell::Cell;
use std::time::Instant;

use crate::time::cached_time;

/// One read of a body, bytes.
pub(crate) const READ_SIZE: usize = 16 * 1024;
/// One read in bulk, bytes.
pub(crate) const BULK_SIZE: usize = 256 * 1024;
/// Wires of a worker that may read so much at once. Whoever takes nothing of
/// what has been read keeps its memory, so there are few.
const MOST: usize = 2;
/// Memory of a worker from which on there are any, bytes. A piece, its copy that is
/// encrypted and what is being sent of it are about 0.5 MiB: inside 10Mi the
/// pages of the program itself would have to go for it.
const ENOUGH: u64 = 16 << 20;
/// What those wires hold beyond other ones, bytes.
const RESERVED: u64 = 1 << 20;
/// Filled reads that went on at once, before the next one is in bulk; at most,
/// where pieces have been left lying.
const PRICE: u8 = 64;

thread_local! {
    /// How many rights this worker has, and how many of them are taken.
    static RIGHTS: Cell<usize> = const { Cell::new(MOST) };
    static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// Says how much memory this thread's worker may hold, bytes, if that is limited.
pub(super) fn fit_into(memory: Option<u64>) {
    let enough = memory.is_none_or(|memory| memory >= ENOUGH);
    RIGHTS.set(if enough { MOST } else { 0 });
}

/// What of a worker's memory is kept for reading in bulk, bytes.
pub(crate) fn reserved(memory: u64) -> u64 {
    match memory >= ENOUGH {
        true => RESERVED,
        false => 0,
    }
}

/// The right to read in bulk.
#[derive(Debug)]
struct Right;

impl Right {
    fn take() -> Option<Self> {
        let taken = TAKEN.get();
        (taken < RIGHTS.get()).then(|| {
            TAKEN.set(taken + 1);
            Self
        })
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        TAKEN.set(TAKEN.get() - 1);
    }
}

/// What a wire's last reads say about its next one.
#[derive(Debug)]
pub(crate) struct Bulk {
    right: Option<Right>,
    /// When its task was woken for the last read.
    woken: Option<Instant>,
    /// Filled reads since then.
    filled: u8,
    /// How many there have to be.
    price: u8,
}

impl Bulk {
    pub(crate) fn new() -> Self {
        Self {
            right: None,
            woken: None,
            filled: 0,
            price: 1,
        }
    }

    /// What the next read of a body may bring, bytes. All that was read before has
    /// been taken.
    pub(crate) fn size(&mut self) -> usize {
        let woken = Some(cached_time::now());
        if self.woken == woken {
            if self.right.is_some() {
                self.price = 1;
            } else if self.filled >= self.price {
                self.right = Right::take();
            }
        } else {
            if self.right.take().is_some() {
                // The task had to wait until its piece was taken.
                self.price = (self.price * 2).min(PRICE);
            }
            (self.woken, self.filled) = (woken, 0);
        }
        match self.right {
            Some(_) => BULK_SIZE,
            None => READ_SIZE,
        }
    }

    /// A read of a body has brought `size` bytes.
    pub(crate) fn came(&mut self, size: usize) {
        if size >= READ_SIZE {
            self.filled = self.filled.saturating_add(1);
        } else {
            self.filled = 0;
        }
    }

    /// Nothing more of it is there. Returns whether it was read in bulk.
    pub(crate) fn give_back(&mut self) -> bool {
        self.right.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a wire reads, all of it filled, in a task that is woken for each of
    /// `wakes` and then reads so many times.
    async fn sizes(bulk: &mut Bulk, wakes: &[usize]) -> Vec<Vec<usize>> {
        let reading = async {
            let mut all = Vec::new();
            for reads in wakes {
                tokio::task::yield_now().await;
                let mut sizes = Vec::new();
                for _ in 0..*reads {
                    sizes.push(bulk.size());
                    bulk.came(BULK_SIZE);
                }
                all.push(sizes);
            }
            all
        };
        cached_time::moving(Box::pin(reading)).await
    }

    #[tokio::test]
    async fn what_goes_on_at_once_comes_in_bulk() {
        let mut bulk = Bulk::new();
        let read = sizes(&mut bulk, &[3, 1]).await;
        assert_eq!(
            read,
            [vec![READ_SIZE, BULK_SIZE, BULK_SIZE], vec![READ_SIZE]]
        );
        assert_eq!(TAKEN.get(), 0);
    }

    #[tokio::test]
    async fn who_leaves_a_piece_lying_has_to_take_more_small_ones_first() {
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
    async fn reads_that_are_not_filled_earn_nothing() {
        let read = cached_time::moving(Box::pin(async {
            let mut bulk = Bulk::new();
            [READ_SIZE - 1, READ_SIZE, READ_SIZE].map(|size| {
                let asked = bulk.size();
                bulk.came(size);
                asked
            })
        }))
        .await;
        assert_eq!(read, [READ_SIZE, READ_SIZE, BULK_SIZE]);
    }

    #[tokio::test]
    async fn where_memory_is_small_nobody_does() {
        fit_into(Some(6 << 20));
        let read = sizes(&mut Bulk::new(), &[3]).await;
        assert_eq!(read, [[READ_SIZE; 3]]);
        fit_into(Some(28 << 20));
        let read = sizes(&mut Bulk::new(), &[2]).await;
        assert_eq!(read, [[READ_SIZE, BULK_SIZE]]);
    }

    #[tokio::test]
    async fn few_hold_so_much() {
        let mut wires = [Bulk::new(), Bulk::new(), Bulk::new()];
        let reading = async {
            let each = wires.each_mut().map(|bulk| {
                bulk.size();
                bulk.came(READ_SIZE);
                bulk.size()
            });
            wires[0].give_back();
            (each, wires[2].size())
        };
        let (each, then) = cached_time::moving(Box::pin(reading)).await;
        assert_eq!(each, [BULK_SIZE, BULK_SIZE, READ_SIZE]);
        assert_eq!(then, BULK_SIZE);
    }
}

//! Checks passwords with bcrypt, on threads of its own with a bounded queue.
//!
//! A check takes some 50 ms of CPU time, a quarter of a second within a quota of a
//! fifth of a CPU. So there are as many threads as CPUs, they run at a low priority,
//! and a check that would wait too long is rejected at once.

use bcrypt::BcryptResult;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// bcrypt ignores what follows the first 72 bytes: a longer password would be
/// accepted with any ending.
const MAX_LENGTH: usize = 72;
/// Checks that may wait, per thread, however little time each takes.
const QUEUE_LENGTH: usize = 64;
/// How long a check may have to wait for a thread: its client should have a response by
/// then, and a flood of logins must not delay all others. With a fifth of a CPU eight wait.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// A low priority (nice(2)): requests and probes go before checks. At 19, the
/// lowest, a login takes more than a minute beside programs that use all CPUs.
const NICE: i32 = 10;

/// The threads that check passwords. Clones share them; they end with the last.
#[derive(Debug, Clone)]
pub(crate) struct PasswordChecker {
    queue: SyncSender<Check>,
    load: Arc<Load>,
}

/// The length of the queue, and how long a check takes.
#[derive(Debug)]
struct Load {
    threads: usize,
    pending: AtomicUsize,
    /// How long the last check took, in milliseconds.
    last_ms: AtomicU64,
}

struct Check {
    password: Vec<u8>,
    hash: String,
    result: oneshot::Sender<bool>,
}

/// The queue is full, or takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many password checks are waiting; retry in about {} s", retry_after.as_secs())]
pub(crate) struct Busy {
    /// When the queue should be empty, in whole seconds.
    pub(crate) retry_after: Duration,
}

impl PasswordChecker {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let (queue, checks) = sync_channel(threads * QUEUE_LENGTH);
        let checks = Arc::new(Mutex::new(checks));
        let load = Arc::new(Load {
            threads,
            pending: AtomicUsize::new(0),
            last_ms: AtomicU64::new(250),
        });
        for _ in 0..threads {
            let (checks, load) = (Arc::clone(&checks), Arc::clone(&load));
            std::thread::Builder::new()
                .name("bcrypt".into())
                .stack_size(64 * 1024)
                .spawn(move || work(&checks, &load))?;
        }
        Ok(Self { queue, load })
    }

    /// Whether `hash` is the hash of `password`. Passwords that bcrypt does not
    /// read to the end do not match: those of more than 72 bytes, and those with a
    /// NUL, where other implementations stop.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full, or would take too long.
    pub(crate) async fn check(&self, password: Vec<u8>, hash: String) -> Result<bool, Busy> {
        if password.len() > MAX_LENGTH || password.contains(&0) {
            return Ok(false);
        }
        if self.load.is_too_long() {
            return Err(self.load.busy());
        }
        let (result, checked) = oneshot::channel();
        self.load.pending.fetch_add(1, Ordering::Relaxed);
        match self.queue.try_send(Check {
            password,
            hash,
            result,
        }) {
            Ok(()) => Ok(checked.await.unwrap_or(false)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.load.pending.fetch_sub(1, Ordering::Relaxed);
                Err(self.load.busy())
            }
        }
    }

    /// Checks waiting or running.
    pub(crate) fn pending(&self) -> usize {
        self.load.pending.load(Ordering::Relaxed)
    }

    /// The largest number of checks that may wait.
    pub(crate) fn capacity(&self) -> usize {
        self.load.threads * QUEUE_LENGTH
    }
}

impl Load {
    /// How long the threads are busy with so many checks.
    fn time_of(&self, checks: usize) -> Duration {
        let total_ms = self.last_ms.load(Ordering::Relaxed) * checks as u64;
        Duration::from_millis(total_ms / self.threads as u64)
    }

    /// Whether one more check would wait too long. One for each thread may always wait.
    fn is_too_long(&self) -> bool {
        let pending = self.pending.load(Ordering::Relaxed);
        let waiting = pending.saturating_sub(self.threads);
        waiting >= self.threads && self.time_of(waiting + 1) > LONGEST_WAIT
    }

    /// Says when the queue should be empty, between 1 and 60 seconds.
    fn busy(&self) -> Busy {
        let delay = self.time_of(self.pending.load(Ordering::Relaxed));
        let seconds = delay.as_millis().div_ceil(1000).clamp(1, 60);
        Busy {
            retry_after: Duration::from_secs(seconds as u64),
        }
    }
}

fn work(checks: &Mutex<Receiver<Check>>, load: &Load) {
    // On Linux this changes only the calling thread. Checks work without it.
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        let next = checks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(check) = next else { return };
        // Skip it if the client has closed the connection.
        if !check.result.is_closed() {
            let start = Instant::now();
            let matches = verify(&check.password, &check.hash);
            load.last_ms
                .store(start.elapsed().as_millis() as u64, Ordering::Relaxed);
            // Hashes were validated when they were read, so this does not fail; if
            // it did, the password would be wrong.
            let _ = check.result.send(matches.unwrap_or(false));
        }
        load.pending.fetch_sub(1, Ordering::Relaxed);
    }
}

fn verify(password: &[u8], hash: &str) -> BcryptResult<bool> {
    bcrypt::verify(password, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret` at the lowest cost.
    const HASH: &str = "$2y$04$180o4rKjFr2vU.ZvJOJROer2RInNlKBh4ivtGBYAmFEBS.oaNlSFW";

    async fn check(password: &[u8], hash: &str) -> bool {
        PasswordChecker::start(1)
            .unwrap()
            .check(password.to_vec(), hash.into())
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_right_password_and_no_other() {
        assert!(check(b"secret", HASH).await);
        assert!(!check(b"Secret", HASH).await);
        assert!(!check(b"", HASH).await);
    }

    #[tokio::test]
    async fn a_password_is_not_accepted_by_its_first_72_bytes() {
        let long = [b'x'; 73];
        let hash = bcrypt::hash_with_salt(&long[..72], 4, [7; 16])
            .unwrap()
            .to_string();
        assert!(check(&long[..72], &hash).await);
        assert!(!check(&long, &hash).await);
    }

    #[tokio::test]
    async fn a_password_is_not_accepted_up_to_a_nul() {
        assert!(!check(b"secret\0", HASH).await);
        assert!(!check(b"secret\0other", HASH).await);
    }

    /// How long the check took, in milliseconds, if it was made; `abort` if the client
    /// closed before.
    async fn time_of_a_check(abort: bool) -> Option<u64> {
        const UNSET: u64 = u64::MAX;
        let (queue, checks) = sync_channel(1);
        let load = Arc::new(Load {
            threads: 1,
            pending: AtomicUsize::new(0),
            last_ms: AtomicU64::new(UNSET),
        });
        let passwords = PasswordChecker {
            queue,
            load: Arc::clone(&load),
        };
        let waiting =
            tokio::spawn(async move { passwords.check(b"a".to_vec(), HASH.into()).await });
        while load.pending.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        if abort {
            waiting.abort();
            assert!(waiting.await.unwrap_err().is_cancelled());
        }
        // It ends with the queue, whose other end the waiting check has.
        let checker = Arc::clone(&load);
        std::thread::spawn(move || work(&Mutex::new(checks), &checker));
        while load.pending.load(Ordering::Relaxed) > 0 {
            tokio::task::yield_now().await;
        }
        let last = load.last_ms.load(Ordering::Relaxed);
        (last != UNSET).then_some(last)
    }

    #[tokio::test]
    async fn a_password_is_checked_only_while_its_client_waits() {
        assert!(time_of_a_check(false).await.is_some());
        assert_eq!(time_of_a_check(true).await, None);
    }

    #[test]
    fn as_many_wait_as_are_checked_in_time() {
        let waiting = |threads: usize, last_ms: u64| {
            let load = Load {
                threads,
                pending: AtomicUsize::new(0),
                last_ms: AtomicU64::new(last_ms),
            };
            while !load.is_too_long() && load.pending.load(Ordering::Relaxed) < 1000 {
                load.pending.fetch_add(1, Ordering::Relaxed);
            }
            load.pending.load(Ordering::Relaxed) - threads
        };
        for (threads, last_ms, expected) in [
            (1, 250, 8),
            (1, 50, 40),
            (4, 50, 160),
            (2, 250, 16),
            // However slow they are.
            (1, 60_000, 1),
            (2, 60_000, 2),
        ] {
            assert_eq!(waiting(threads, last_ms), expected, "{threads} {last_ms}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_rejects_and_says_when_to_retry() {
        let (queue, _checks) = sync_channel(1);
        let load = Load {
            threads: 1,
            pending: AtomicUsize::new(0),
            last_ms: AtomicU64::new(1500),
        };
        let passwords = PasswordChecker {
            queue,
            load: Arc::new(load),
        };
        let first = passwords.clone();
        let waiting = tokio::spawn(async move { first.check(b"a".to_vec(), HASH.into()).await });
        tokio::task::yield_now().await;
        let rejected = passwords.check(b"b".to_vec(), HASH.into()).await;
        assert_eq!(
            rejected,
            Err(Busy {
                retry_after: Duration::from_secs(2)
            })
        );
        assert_eq!(passwords.pending(), 1);
        waiting.abort();
    }
}

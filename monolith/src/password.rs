//! Checking passwords: bcrypt on threads of its own, bounded in number and in
//! queue.
//!
//! One check is some 50 ms of CPU, and a quarter of a second of time within a
//! fifth of a CPU. So the threads are as many as the CPUs, they run at a low
//! priority, and who would wait too long is sent away at once.

use bcrypt::BcryptResult;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// bcrypt looks at 72 bytes and no further: a longer password would be accepted
/// by its beginning.
const LONGEST: usize = 72;
/// Checks that wait, for each thread. Within a fifth of a CPU the last of them
/// waits about a quarter of a minute.
const QUEUE: usize = 64;
/// A low priority (nice(2)): a check waits for requests and probes, never the
/// other way round. At 19, the lowest, a login would take more than a minute
/// beside programs that keep all CPUs busy.
const NICE: i32 = 10;

/// The threads that check passwords, to be cloned freely. They end with the
/// last clone.
#[derive(Debug, Clone)]
pub(crate) struct Passwords {
    queue: SyncSender<Check>,
    load: Arc<Load>,
}

/// How much is waiting, and for how long.
#[derive(Debug)]
struct Load {
    threads: usize,
    waiting: AtomicUsize,
    /// What the last check took, in milliseconds of time.
    last: AtomicU64,
}

struct Check {
    password: Vec<u8>,
    hash: String,
    verdict: oneshot::Sender<bool>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords wait for their check; the queue is empty in about {} s", retry_after.as_secs())]
pub(crate) struct Busy {
    /// When there may be room again, in whole seconds.
    pub(crate) retry_after: Duration,
}

impl Passwords {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let (queue, checks) = sync_channel(threads * QUEUE);
        let checks = Arc::new(Mutex::new(checks));
        let load = Arc::new(Load {
            threads,
            waiting: AtomicUsize::new(0),
            last: AtomicU64::new(250),
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

    /// Whether `password` is the one `hash` was made of. What bcrypt cannot
    /// tell apart is refused without a check: more than 72 bytes, and a NUL,
    /// where other implementations stop reading.
    ///
    /// # Errors
    /// [`Busy`] when too many wait already.
    pub(crate) async fn check(&self, password: Vec<u8>, hash: String) -> Result<bool, Busy> {
        if password.len() > LONGEST || password.contains(&0) {
            return Ok(false);
        }
        let (verdict, answer) = oneshot::channel();
        self.load.waiting.fetch_add(1, Ordering::Relaxed);
        match self.queue.try_send(Check {
            password,
            hash,
            verdict,
        }) {
            Ok(()) => Ok(answer.await.unwrap_or(false)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.load.waiting.fetch_sub(1, Ordering::Relaxed);
                Err(Busy {
                    retry_after: self.load.delay(),
                })
            }
        }
    }

    /// Checks that wait or run.
    pub(crate) fn waiting(&self) -> usize {
        self.load.waiting.load(Ordering::Relaxed)
    }

    /// Checks that may wait.
    pub(crate) fn capacity(&self) -> usize {
        self.load.threads * QUEUE
    }
}

impl Load {
    /// How long the queue lasts, from a second to a minute.
    fn delay(&self) -> Duration {
        let each = self.last.load(Ordering::Relaxed) / self.threads as u64;
        let whole = each * self.waiting.load(Ordering::Relaxed) as u64;
        Duration::from_secs(whole.div_ceil(1000).clamp(1, 60))
    }
}

fn work(checks: &Mutex<Receiver<Check>>, load: &Load) {
    // On Linux the priority is the thread's own. Without it the checks still work.
    let _ = rustix::process::setpriority_process(None, NICE);
    loop {
        let next = checks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(check) = next else { return };
        // A client that left needs no answer.
        if !check.verdict.is_closed() {
            let begun = Instant::now();
            let verdict = verify(&check.password, &check.hash);
            load.last
                .store(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
            // A hash is parsed when it is read, so this does not fail; if it
            // did, nobody would get in.
            let _ = check.verdict.send(verdict.unwrap_or(false));
        }
        load.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

fn verify(password: &[u8], hash: &str) -> BcryptResult<bool> {
    bcrypt::verify(password, hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `secret` at the least cost.
    const HASH: &str = "$2y$04$180o4rKjFr2vU.ZvJOJROer2RInNlKBh4ivtGBYAmFEBS.oaNlSFW";

    async fn check(password: &[u8], hash: &str) -> bool {
        Passwords::start(1)
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

    #[tokio::test]
    async fn a_full_queue_sends_away_and_says_for_how_long() {
        let (queue, _checks) = sync_channel(1);
        let load = Load {
            threads: 1,
            waiting: AtomicUsize::new(0),
            last: AtomicU64::new(1500),
        };
        let passwords = Passwords {
            queue,
            load: Arc::new(load),
        };
        let first = passwords.clone();
        let waiting = tokio::spawn(async move { first.check(b"a".to_vec(), HASH.into()).await });
        tokio::task::yield_now().await;
        let refused = passwords.check(b"b".to_vec(), HASH.into()).await;
        assert_eq!(
            refused,
            Err(Busy {
                retry_after: Duration::from_secs(2)
            })
        );
        assert_eq!(passwords.waiting(), 1);
        waiting.abort();
    }
}

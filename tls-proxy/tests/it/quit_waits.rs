//! `-s quit` holds a preStop hook until the server has drained. The server is
//! this test's process: it gets the signal, and removes the pid file.

use std::fs::File;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Place, in_own_process};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tls_proxy::lifecycle::control::{self, Signal};
use tls_proxy::lifecycle::pid_file::PidFile;
use tls_proxy::lifecycle::signals::{Event, Signals};

const DRAIN: Duration = Duration::from_millis(200);

#[test]
fn quit_returns_when_the_server_has_drained() {
    let name = "quit_waits::quit_returns_when_the_server_has_drained";
    in_own_process(name, async {
        let place = Place::new("quit");
        let path = place.path("nginx.pid");
        let mut signals = Signals::install().unwrap();
        let file = PidFile::write(&path).unwrap();
        let looked_at = File::open(&path).unwrap();

        let reload = path.clone();
        thread::spawn(move || control::send(Signal::Reload, &reload))
            .join()
            .unwrap()
            .unwrap();
        assert_eq!(signals.next().await, Event::Reload);

        let begin = Instant::now();
        let waiter = thread::spawn(move || {
            control::send(Signal::Quit, &path).unwrap();
            begin.elapsed()
        });
        assert_eq!(signals.next().await, Event::Quit);
        tokio::time::sleep(DRAIN).await;
        assert!(!waiter.is_finished(), "waits for the drain");
        let free = flock(&looked_at, FlockOperation::NonBlockingLockExclusive);
        assert_eq!(
            free,
            Err(Errno::WOULDBLOCK),
            "the server can tell that somebody waits"
        );
        file.announce_drained();
        let waited = waiter.join().unwrap();
        assert!(waited >= DRAIN, "{waited:?}");
    });
}

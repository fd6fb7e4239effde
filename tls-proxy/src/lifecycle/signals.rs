//! nginx's signals as events.
//!
//! PID 1 of a container has no default signal handlers: until these are installed, a TERM
//! is ignored and the pod waits for its KILL. So `main` installs them before it reads the
//! configuration.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Drain, then exit 0. QUIT, and unlike nginx also TERM and INT, for which nginx drops
    /// its connections.
    Quit,
    /// A second QUIT, TERM or INT: close the remaining connections, exit 1, unless `-s
    /// quit` is waiting, which shows that the kubelet sent it.
    Again,
    /// HUP: read the configuration again.
    Reload,
    /// USR1: reopen the logs.
    Reopen,
}

/// The installed handlers.
#[derive(Debug)]
pub struct Signals {
    quit: Signal,
    term: Signal,
    int: Signal,
    hup: Signal,
    usr1: Signal,
    usr2: Signal,
    winch: Signal,
    quitting: bool,
}

impl Signals {
    /// Installs the handlers; needs a runtime with its I/O driver.
    ///
    /// # Errors
    /// If the system refuses a handler.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            quit: signal(SignalKind::quit())?,
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
            usr1: signal(SignalKind::user_defined1())?,
            usr2: signal(SignalKind::user_defined2())?,
            winch: signal(SignalKind::window_change())?,
            quitting: false,
        })
    }

    /// The next event. Cancel safe.
    pub async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                Some(()) = self.quit.recv() => return self.stop("SIGQUIT"),
                Some(()) = self.term.recv() => return self.stop("SIGTERM"),
                Some(()) = self.int.recv() => return self.stop("SIGINT"),
                Some(()) = self.hup.recv() => return Event::Reload,
                Some(()) = self.usr1.recv() => return Event::Reopen,
                Some(()) = self.usr2.recv() => tracing::warn!(
                    "SIGUSR2 ignored: a new executable comes with a new pod, not beside this one"
                ),
                Some(()) = self.winch.recv() => tracing::warn!(
                    "SIGWINCH ignored: there are no worker processes to stop; send SIGQUIT to drain"
                ),
            }
        }
    }

    /// Waits for QUIT, TERM or INT, and returns its name; others are left for `next`. Cancel safe.
    pub async fn stopped(&mut self) -> &'static str {
        tokio::select! {
            Some(()) = self.quit.recv() => "SIGQUIT",
            Some(()) = self.term.recv() => "SIGTERM",
            Some(()) = self.int.recv() => "SIGINT",
        }
    }

    fn stop(&mut self, name: &str) -> Event {
        tracing::info!("{name} received");
        if std::mem::replace(&mut self.quitting, true) {
            return Event::Again;
        }
        Event::Quit
    }
}

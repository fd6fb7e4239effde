//! nginx's signals as events.
//!
//! The kernel gives PID 1 of a container no default handlers: until these
//! are installed, a TERM is thrown away and the pod hangs until its KILL. So
//! `main` installs them before it reads any configuration.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Drain, then exit 0. QUIT, and on purpose also TERM and INT, upon which
    /// nginx drops its connections.
    Quit,
    /// A second QUIT, TERM or INT: cut what is left, exit 1, unless a
    /// waiting `-s quit` shows that the kubelet sent it.
    Again,
    /// HUP: read the configuration again.
    Reload,
    /// USR1: open the logs again.
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
    /// When the system refuses a handler.
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

    /// The next event. Can be cancelled without losing one.
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

    fn stop(&mut self, name: &str) -> Event {
        tracing::info!("{name} received");
        if std::mem::replace(&mut self.quitting, true) {
            return Event::Again;
        }
        Event::Quit
    }
}

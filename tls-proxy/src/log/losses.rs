//! Lines of logs that are lost, because a disk is full or nobody reads them: counted for
//! `/metrics`, and said in the main error log.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two messages about one log.
const PAUSE: Duration = Duration::from_secs(60);

/// The lost lines of all logs.
static ALL: AtomicU64 = AtomicU64::new(0);

/// The number of lost lines of all logs.
pub(crate) fn total() -> u64 {
    ALL.load(Relaxed)
}

/// Counts lost lines about which there is another message, or can be none.
pub(crate) fn count(lines: u64) {
    ALL.fetch_add(lines, Relaxed);
}

/// The lost lines of one log.
#[derive(Debug)]
pub(crate) struct Losses {
    /// The log's name.
    name: String,
    /// Lines that are in no message yet, and why the last one was lost.
    pub(super) unsaid: u64,
    reason: Option<io::Error>,
    /// The time of the last message.
    said: Option<Instant>,
}

impl Losses {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            unsaid: 0,
            reason: None,
            said: None,
        }
    }

    /// Counts lost lines; says it at once if there was no message for a minute.
    pub(crate) fn add(&mut self, lines: u64, reason: io::Error) {
        if lines == 0 {
            return;
        }
        count(lines);
        self.unsaid += lines;
        self.reason = Some(reason);
        self.say_due();
    }

    /// When to say what is unsaid.
    pub(crate) fn due(&self) -> Option<Instant> {
        let said = self.said.filter(|_| self.unsaid > 0)?;
        Some(said + PAUSE)
    }

    /// Says what is due.
    pub(crate) fn say_due(&mut self) {
        let waits = || self.due().is_some_and(|due| Instant::now() < due);
        if self.unsaid > 0 && !waits() {
            self.said = Some(Instant::now());
            self.say();
        }
    }

    /// This is not a line of the worker's own logs, so it cannot be lost in the same way again.
    fn say(&mut self) {
        tracing::error!("{}", self.message());
        self.unsaid = 0;
    }

    fn message(&self) -> String {
        let lines = match self.unsaid {
            1 => "1 line".to_owned(),
            many => format!("{many} lines"),
        };
        let were = if self.unsaid == 1 { "was" } else { "were" };
        let reason = match &self.reason {
            Some(error) if error.kind() == io::ErrorKind::WouldBlock => {
                "nobody reads it in time".to_owned()
            }
            Some(error) => crate::conf::reason(error),
            None => String::new(),
        };
        format!("{lines} of {} {were} lost: {reason}", self.name)
    }
}

impl Drop for Losses {
    fn drop(&mut self) {
        if self.unsaid > 0 {
            self.say();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> io::Error {
        io::Error::from_raw_os_error(28)
    }

    #[test]
    fn the_first_loss_is_said_at_once_and_others_once_a_minute() {
        let before = total();
        let mut losses = Losses::new("\"a\"".to_owned());
        losses.add(1, full());
        assert_eq!((losses.unsaid, losses.due()), (0, None));
        losses.add(2, full());
        losses.add(3, full());
        assert_eq!(losses.unsaid, 5);
        let message = "5 lines of \"a\" were lost: 28: No space left on device";
        assert_eq!(losses.message(), message);
        losses.say_due();
        assert_eq!(losses.unsaid, 5);
        losses.said = losses.said.and_then(|it| it.checked_sub(PAUSE));
        losses.say_due();
        assert_eq!((losses.unsaid, losses.due()), (0, None));
        losses.add(1, io::ErrorKind::WouldBlock.into());
        assert_eq!(losses.unsaid, 1);
        let message = "1 line of \"a\" was lost: nobody reads it in time";
        assert_eq!(losses.message(), message);
        assert!(total() >= before + 7);
    }
}

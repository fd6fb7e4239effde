//! Signals as the process gets them.

use crate::support::in_own_process;
use rustix::process::{Signal, getpid, kill_process};
use tls_proxy::lifecycle::signals::{Event, Signals};

#[test]
fn signals_arrive_as_events_and_a_second_stop_forces() {
    let name = "signals::signals_arrive_as_events_and_a_second_stop_forces";
    in_own_process(name, async {
        let mut signals = Signals::install().unwrap();
        for (signal, expected) in [
            (Signal::HUP, Event::Reload),
            (Signal::USR1, Event::Reopen),
            (Signal::TERM, Event::Quit),
            (Signal::HUP, Event::Reload),
            (Signal::QUIT, Event::Again),
            (Signal::INT, Event::Again),
        ] {
            // Ignored, and does not end the process.
            for ignored in [Signal::USR2, Signal::WINCH] {
                kill_process(getpid(), ignored).unwrap();
            }
            kill_process(getpid(), signal).unwrap();
            assert_eq!(signals.next().await, expected, "{signal:?}");
        }
    });
}

//! From the first signal handler to the last connection: signals, the pid
//! file, `-s`, and the drain.
//!
//! The end of a pod, as these files share it: a signal becomes
//! [`signals::Event::Quit`]; `main` moves the [`drain::DrainController`] forward by
//! the [`crate::lifecycle::shutdown_schedule::ShutdownSchedule`];
//! every worker follows with its own [`drain::Drain`]; when all are done,
//! [`pid_file::PidFile::announce_drained`] lets a waiting `-s quit` leave.

pub mod control;
pub mod drain;
mod phase;
pub mod pid_file;
pub mod shutdown_schedule;
pub mod signals;
mod wakers;

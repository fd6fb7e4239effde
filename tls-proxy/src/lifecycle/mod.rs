//! The life of the process: signals, the pid file, `-s`, and the drain.
//!
//! The shutdown of a pod: a signal becomes [`signals::Event::Quit`]; `main` advances the
//! [`drain::DrainController`] according to the
//! [`crate::lifecycle::shutdown_schedule::ShutdownSchedule`]; every worker follows with its
//! own [`drain::Drain`]; when all have finished, [`pid_file::PidFile::announce_drained`]
//! lets a waiting `-s quit` exit.

pub mod control;
pub mod drain;
mod phase;
pub mod pid_file;
pub mod shutdown_schedule;
pub mod signals;
mod wakers;

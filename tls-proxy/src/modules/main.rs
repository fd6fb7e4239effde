//! The main context and `events`: the process, not its requests.

use std::path::PathBuf;
use std::time::Duration;

use super::{Contexts, Effect, MANY, Spec, arguments};
use crate::config::build::walk_block;
use crate::error_log::ErrorLog;

/// What the process as a whole is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `worker_processes`; `None` follows the cgroup's CPU quota.
    pub workers: Option<usize>,
    /// `worker_connections`, of each worker; `None` follows the cgroup's
    /// memory limit.
    pub connections: Option<usize>,
    /// `worker_shutdown_timeout`.
    pub shutdown_timeout: Option<Duration>,
    /// `pid`.
    pub pid: PathBuf,
    /// `error_log` of the main context.
    pub error_log: ErrorLog,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            workers: None,
            connections: None,
            shutdown_timeout: None,
            pid: PathBuf::from("/run/nginx.pid"),
            error_log: ErrorLog::default(),
        }
    }
}

const ONE_PROCESS: &str = "the program is one process in its container";
const PLATFORM: &str = "the runtime chooses how it waits for events";
const IDENTITY: &str = "the container's securityContext says who the process is";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new(
        "http",
        Contexts::MAIN,
        (0, 0),
        Effect::Block(|scope, _, children| {
            scope.settings.core.error_log = scope.draft.main.error_log.clone();
            walk_block(
                children,
                Contexts::HTTP,
                scope.settings,
                scope.draft,
                &mut Default::default(),
            );
            Ok(())
        }),
    )
    .about("Everything about HTTP."),
    Spec::new(
        "events",
        Contexts::MAIN,
        (0, 0),
        Effect::Block(|scope, _, children| {
            let place = &mut Default::default();
            walk_block(
                children,
                Contexts::EVENTS,
                scope.settings,
                scope.draft,
                place,
            );
            Ok(())
        }),
    )
    .about("How connections are taken."),
    Spec::set(
        "worker_processes",
        Contexts::MAIN,
        (1, 1),
        |scope, directive| {
            let word = arguments::first(directive);
            scope.draft.main.workers = match word.text.as_str() {
                "auto" => None,
                _ => Some(
                    arguments::number(directive)
                        .ok()
                        .filter(|count| *count > 0)
                        .ok_or_else(|| {
                            arguments::invalid(directive, word, "write \"auto\" or a number from 1")
                        })?,
                ),
            };
            Ok(())
        },
    )
    .default("auto")
    .about("Threads that serve; `auto` is the cgroup's CPU quota, rounded up."),
    Spec::set(
        "worker_connections",
        Contexts::EVENTS,
        (1, 1),
        |scope, directive| {
            let count = arguments::number(directive)?;
            if count == 0 {
                let word = arguments::first(directive);
                return Err(arguments::invalid(directive, word, "write a number from 1"));
            }
            scope.draft.main.connections = Some(count);
            Ok(())
        },
    )
    .default("512")
    .about("Most client connections of a worker; the cgroup's memory limit may lower it."),
    Spec::set(
        "worker_shutdown_timeout",
        Contexts::MAIN,
        (1, 1),
        |scope, directive| {
            let limit = arguments::time(directive, arguments::first(directive))?;
            scope.draft.main.shutdown_timeout = Some(limit);
            Ok(())
        },
    )
    .about("How long a drain may take before connections are cut."),
    Spec::set("pid", Contexts::MAIN, (1, 1), |scope, directive| {
        let path = &arguments::first(directive).text;
        scope.draft.main.pid = scope.draft.paths.in_prefix(path);
        Ok(())
    })
    .default("/run/nginx.pid")
    .about("File that holds the process id while the program serves."),
    Spec::set("error_log", Contexts::MAIN, (1, 2), |scope, directive| {
        scope.draft.main.error_log = ErrorLog::parse(directive, scope.draft)?;
        Ok(())
    })
    .default("stderr error")
    .about("Where errors go, and from which severity on.")
    .repeats(),
    Spec::new(
        "daemon",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted("it always runs in the foreground"),
    ),
    Spec::new(
        "master_process",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(ONE_PROCESS),
    ),
    Spec::new("user", Contexts::MAIN, (1, 2), Effect::Accepted(IDENTITY)),
    Spec::new(
        "worker_rlimit_nofile",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted("the container runtime sets the limit"),
    ),
    Spec::new(
        "worker_cpu_affinity",
        Contexts::MAIN,
        (1, MANY),
        Effect::Accepted("the scheduler places threads within the pod's quota"),
    ),
    Spec::new(
        "worker_priority",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(IDENTITY),
    ),
    Spec::new(
        "pcre_jit",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted("regular expressions are compiled once and run in linear time"),
    ),
    Spec::new("env", Contexts::MAIN, (1, 1), Effect::Accepted(ONE_PROCESS)).repeats(),
    Spec::new(
        "timer_resolution",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(PLATFORM),
    ),
    Spec::new(
        "lock_file",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(ONE_PROCESS),
    ),
    Spec::new(
        "thread_pool",
        Contexts::MAIN,
        (1, MANY),
        Effect::Accepted(PLATFORM),
    )
    .repeats(),
    Spec::new(
        "load_module",
        Contexts::MAIN,
        (1, 1),
        Effect::Refused("modules cannot be loaded; remove the line and what needs it"),
    )
    .repeats(),
    Spec::new("use", Contexts::EVENTS, (1, 1), Effect::Accepted(PLATFORM)),
    Spec::new(
        "multi_accept",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(PLATFORM),
    ),
    Spec::new(
        "accept_mutex",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted("every worker has its own listening socket"),
    ),
    Spec::new(
        "accept_mutex_delay",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(PLATFORM),
    ),
    Spec::new(
        "worker_aio_requests",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(PLATFORM),
    ),
    Spec::new(
        "stream",
        Contexts::MAIN,
        (0, 0),
        Effect::Refused("plain TCP proxying is not this program's job; keep nginx for it"),
    ),
    Spec::new(
        "mail",
        Contexts::MAIN,
        (0, 0),
        Effect::Refused("mail proxying is not this program's job; keep nginx for it"),
    ),
];

//! Directives of the main context and of `events`: the process, not its requests.

use super::log;

use crate::conf::hosts::Hosts;
use crate::conf::{Directive, Problem, Word, units};
use crate::config::spec::{Contexts, Effect, MANY, Spec};
use crate::config::walk::walk_block;
use crate::directive::arguments;
use crate::directive::differs;
use crate::directive::value::Value;

const ONE_PROCESS: &str = "the program is one process in its container";
const NO_CORE: &str = "the container runtime decides about core files";
const NO_DEBUG: &str = "there are no lines of level debug for one client alone";
const PLATFORM: &str = "the runtime chooses how it waits for events";
const IDENTITY: &str = "the container's securityContext sets the user and the priority";

pub(crate) const DIRECTIVES: &[Spec] = &[
    Spec::new(
        "http",
        Contexts::MAIN,
        (0, 0),
        Effect::Block(|scope, directive, children| {
            scope.settings.core.error_log = scope.draft.main.error_log.clone();
            scope.draft.http_end.clone_from(&directive.close);
            log::begin(scope, &directive.name.at);
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
    .about("How connections are accepted."),
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
    .about("Worker threads; `auto` is the cgroup's CPU quota, rounded up, or as many as the memory limit has room for."),
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
    .differs(
        differs::always,
        "it bounds clients' connections, and not those to upstreams",
        "as-many-connections-as-there-is-room-for",
    )
    .about(
        "Most client connections of a worker. By default, and at most, as many as the cgroup's \
         memory and the limit on open files allow; beyond it the longest idle one is closed.",
    ),
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
    .differs(
        differs::always,
        "it bounds the end of the program, and not what a reload leaves behind",
        "connections-that-stay-over-a-reload",
    )
    .about("How long a drain may take before connections are cut."),
    Spec::set("pid", Contexts::MAIN, (1, 1), |scope, directive| {
        let path = &arguments::first(directive).text;
        scope.draft.main.pid = scope.draft.paths.in_prefix(path);
        Ok(())
    })
    .default("/run/nginx.pid")
    .about("File that holds the process id while the program serves."),
    Spec::set(
        "error_log",
        Contexts::MAIN,
        (1, MANY),
        |scope, directive| {
            let mut logs = scope.draft.main.error_log.clone();
            crate::modules::error_log::add(&mut logs, scope.first_here, directive, scope.draft)?;
            scope.draft.main.error_log = logs;
            Ok(())
        },
    )
    .default("stderr error")
    .about("Where errors are logged, and from which severity on.")
    .repeats(),
    Spec::new(
        "daemon",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted("it always runs in the foreground"),
    )
    .differs(differs::on, "", "starting-in-a-container")
    .takes(Value::Flag),
    Spec::new(
        "master_process",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(ONE_PROCESS),
    )
    .takes(Value::Flag),
    Spec::new("user", Contexts::MAIN, (1, 2), Effect::Accepted(IDENTITY)).differs(
        differs::always,
        "",
        "starting-in-a-container",
    ),
    Spec::new(
        "worker_rlimit_nofile",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted("the container runtime sets the limit"),
    )
    .differs(
        differs::always,
        "the limit is raised as far as the container runtime lets it",
        "as-many-connections-as-there-is-room-for",
    )
    .takes(Value::Number),
    Spec::new(
        "worker_cpu_affinity",
        Contexts::MAIN,
        (1, MANY),
        Effect::Accepted("the scheduler places threads within the pod's quota"),
    )
    .differs(differs::always, "", "directives-without-effect")
    .takes(Value::Checked(check_affinity)),
    Spec::new(
        "worker_priority",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(IDENTITY),
    )
    .differs(differs::not_off, "", "directives-without-effect")
    .takes(Value::Checked(check_priority)),
    Spec::new(
        "pcre_jit",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted("regular expressions run without memory that is executable"),
    )
    .takes(Value::Flag),
    Spec::new("env", Contexts::MAIN, (1, 1), Effect::Accepted(ONE_PROCESS)).repeats(),
    Spec::new(
        "timer_resolution",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(PLATFORM),
    )
    .takes(Value::Time),
    Spec::new(
        "lock_file",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(ONE_PROCESS),
    ),
    Spec::new(
        "thread_pool",
        Contexts::MAIN,
        (2, 3),
        Effect::Accepted(PLATFORM),
    )
    .takes(Value::Checked(check_thread_pool))
    .repeats(),
    Spec::new(
        "load_module",
        Contexts::MAIN,
        (1, 1),
        Effect::Refused("modules cannot be loaded; remove the line and what needs it"),
    )
    .repeats(),
    Spec::new("use", Contexts::EVENTS, (1, 1), Effect::Accepted(PLATFORM))
        .takes(Value::OneOf(&["epoll"])),
    Spec::new(
        "multi_accept",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(PLATFORM),
    )
    .takes(Value::Flag),
    Spec::new(
        "accept_mutex",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted("every worker has its own listening socket"),
    )
    .takes(Value::Flag),
    Spec::new(
        "accept_mutex_delay",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(PLATFORM),
    )
    .takes(Value::Time),
    Spec::new(
        "worker_aio_requests",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(PLATFORM),
    )
    .takes(Value::Number),
    Spec::new(
        "debug_points",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(NO_CORE),
    )
    .differs(differs::always, "", "directives-without-effect")
    .takes(Value::EachOf(&["stop", "abort"])),
    Spec::new(
        "worker_rlimit_core",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(NO_CORE),
    )
    .differs(differs::always, "", "directives-without-effect")
    .takes(Value::Offset),
    Spec::new(
        "working_directory",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted(NO_CORE),
    )
    .differs(differs::always, "", "directives-without-effect"),
    Spec::new(
        "ssl_object_cache_inheritable",
        Contexts::MAIN,
        (1, 1),
        Effect::Accepted("a reload reads certificates again where they have changed"),
    )
    .takes(Value::Flag),
    Spec::new(
        "debug_connection",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(NO_DEBUG),
    )
    .differs(differs::always, "", "directives-without-effect")
    .takes(Value::Host(check_client))
    .repeats(),
    Spec::new(
        "epoll_events",
        Contexts::EVENTS,
        (1, 1),
        Effect::Accepted(PLATFORM),
    )
    .takes(Value::Number),
];

/// `debug_connection`: an address, a network, a name or `unix:`.
fn check_client(directive: &Directive, hosts: &mut Hosts) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let host = word.text.split('/').next().unwrap_or_default();
    if word.text == "unix:" || !hosts.find(host, 0).is_empty() {
        return Ok(());
    }
    let message = format!("host not found in debug_connection \"{}\"", word.text);
    Err(Problem::emerg(&word.at, message))
}

/// `worker_priority`: a signed number.
fn check_priority(directive: &Directive) -> Result<(), Problem> {
    let word = arguments::first(directive);
    let digits = word.text.strip_prefix(['-', '+']).unwrap_or(&word.text);
    match units::parse_number(digits) {
        Some(_) => Ok(()),
        None => Err(arguments::invalid(directive, word, "write a number")),
    }
}

/// `worker_cpu_affinity`: masks of 0 and 1, or `auto` before one.
fn check_affinity(directive: &Directive) -> Result<(), Problem> {
    let masks = match directive.args.split_first() {
        Some((first, rest)) if first.text == "auto" => rest,
        _ => &directive.args,
    };
    let odd = |word: &&Word| word.text.bytes().any(|byte| !b"01 ".contains(&byte));
    match masks.iter().find(odd) {
        Some(word) => Err(arguments::invalid(
            directive,
            word,
            "write masks such as 0101",
        )),
        None => Ok(()),
    }
}

/// `thread_pool NAME threads=N [max_queue=N]`.
fn check_thread_pool(directive: &Directive) -> Result<(), Problem> {
    let mut has_threads = false;
    for word in &directive.args[1..] {
        let invalid = || arguments::unknown_parameter(word, &["threads=", "max_queue="]);
        let (name, value) = word.text.split_once('=').ok_or_else(invalid)?;
        let number = units::parse_number(value).ok_or_else(invalid)?;
        match name {
            "threads" if number > 0 => has_threads = true,
            "max_queue" => {}
            _ => return Err(invalid()),
        }
    }
    if has_threads {
        return Ok(());
    }
    let message = "\"thread_pool\" must have \"threads\" parameter";
    Err(Problem::emerg(&directive.name.at, message))
}

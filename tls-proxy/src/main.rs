//! `tls-proxy`, and `nginx` in its image: reads the command line, reads the
//! configuration, binds, serves, exits.

use std::io::Write as _;
use std::process::ExitCode;

use tls_proxy::admin::AdminAddress;
use tls_proxy::cli::{self, Command, Options};
use tls_proxy::entry_point::EntryPoint;
use tls_proxy::lifecycle::control;
use tls_proxy::lifecycle::signals::Signals;
use tls_proxy::log::diagnostics::{self, Diagnostics};
use tls_proxy::log::form::Form;
use tls_proxy::log::level::Level;
use tls_proxy::{
    Configuration, Exit, LogFile, bind, build_info, conf, envsubst, load, load_for_signal, run,
    try_addresses, unless_stopped,
};

/// glibc's allocator keeps freed memory: after a flood tens of MiB would stay.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The configuration, an address or the command line is wrong (nginx: 1).
const FAILURE: u8 = 1;
/// Wrong usage (sysexits).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    if let Some(code) = envsubst::run(std::env::args_os()) {
        return code;
    }
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            say(&format!("nginx: {error}\n"));
            return ExitCode::from(USAGE);
        }
    };
    match command {
        Command::Version => say(&build_info::version()),
        Command::BuildInfo => say(&build_info::build_info()),
        Command::Help => say(&cli::help()),
        Command::Test {
            options,
            quiet,
            dump,
        } => return test(&options, quiet, dump),
        Command::Signal { options, signal } => return send(&options, signal),
        Command::Serve(options) => return serve(&options),
    }
    ExitCode::SUCCESS
}

/// Writes to standard error, as nginx does.
fn say(text: &str) {
    // There is nowhere else to say that this failed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn show_problems(loaded: &Configuration) {
    let _ = conf::render(
        &loaded.problems,
        &loaded.origin.texts,
        &mut std::io::stderr(),
    );
}

/// Prints the notices: lines that have another effect than in nginx.
fn show_notices(loaded: &Configuration) {
    let _ = conf::render(&loaded.notices, &[], &mut std::io::stderr());
}

fn test(options: &Options, quiet: bool, dump: bool) -> ExitCode {
    let loaded = load(options).opened();
    show_problems(&loaded);
    let name = &loaded.name;
    let tried = loaded.config.as_ref().map(try_addresses);
    if let Some(Err(error)) = &tried {
        say(&format!("nginx: [emerg] {error}\n"));
    }
    if !matches!(tried, Some(Ok(()))) {
        say(&format!("nginx: configuration file {name} test failed\n"));
        return ExitCode::from(FAILURE);
    }
    if !quiet {
        show_notices(&loaded);
        say(&format!(
            "nginx: the configuration file {name} syntax is ok\n"
        ));
        say(&format!(
            "nginx: configuration file {name} test is successful\n"
        ));
    }
    if dump {
        let mut out = std::io::stdout().lock();
        for file in &loaded.origin.texts {
            if let Some(path) = file.included() {
                let (path, text) = (path.display(), &file.text);
                let _ = write!(out, "# configuration file {path}:\n{text}\n\n");
            }
        }
    }
    ExitCode::SUCCESS
}

fn send(options: &Options, signal: control::Signal) -> ExitCode {
    // Neither an invalid configuration nor what it waits for may keep the pod from draining: the
    // path of the pid file can be read all the same.
    let loaded = load_for_signal(options);
    show_problems(&loaded);
    if matches!(signal, control::Signal::Reload) && loaded.config.is_none() {
        return ExitCode::from(FAILURE);
    }
    match control::send(signal, &loaded.pid) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("nginx: [error] {error}\n"));
            ExitCode::from(FAILURE)
        }
    }
}

fn serve(options: &Options) -> ExitCode {
    match try_to_serve(options) {
        Ok(Exit::Drained) => ExitCode::SUCCESS,
        Ok(Exit::Forced) => ExitCode::from(FAILURE),
        Err(why) => {
            if let Some(why) = why {
                print_error(options.log_format, Level::Emerg, &why);
            }
            ExitCode::from(FAILURE)
        }
    }
}

/// Prints a fatal error, or a problem found before the logs are open.
fn print_error(form: Form, level: Level, what: &str) {
    match form {
        Form::Text => say(&format!("nginx: [{}] {what}\n", level.name())),
        Form::Json => say(&diagnostics::line(form, level, what)),
    }
}

/// Prints the configuration's problems: with source lines as text, on one line each as JSON.
fn print_problems(loaded: &Configuration, form: Form) {
    if form == Form::Text {
        return show_problems(loaded);
    }
    for problem in &loaded.problems {
        let level = match problem.severity {
            conf::Severity::Notice => Level::Notice,
            conf::Severity::Warn => Level::Warn,
            conf::Severity::Emerg => Level::Emerg,
        };
        let help = problem.help.as_deref();
        let help = help.map_or_else(String::new, |help| format!("; help: {help}"));
        print_error(form, level, &format!("{problem}{help}"));
    }
}

/// A signal ended the program before it served.
fn stopped(options: &Options, signal: &str) -> Exit {
    let what = format!("{signal} received before the start was complete: exiting");
    print_error(options.log_format, Level::Notice, &what);
    Exit::Drained
}

/// Serves until shutdown. Returns the error that kept it from serving, or `None` if that has been
/// logged already.
fn try_to_serve(options: &Options) -> Result<Exit, Option<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    // First of all: in PID 1 a signal without a handler is lost.
    let mut signals = runtime
        .block_on(async { Signals::install() })
        .map_err(|error| format!("no signal handlers: {error}"))?;
    if let Some(line) = options
        .entry_point
        .as_ref()
        .and_then(|_| EntryPoint::scripts())
    {
        print_error(options.log_format, Level::Warn, &line);
    }
    let own = options.clone();
    let loaded = unless_stopped(&mut signals, move || load(&own).opened());
    let loaded = match runtime.block_on(loaded)? {
        Ok(loaded) => loaded,
        Err(signal) => return Ok(stopped(options, signal)),
    };
    print_problems(&loaded, options.log_format);
    let Some(config) = loaded.config else {
        return Err(None);
    };
    let files = config.main.error_log.iter().map(|log| {
        let file = config.log_files[log.file.index()].clone();
        (file, log.level.min(Level::Notice))
    });
    let files: Vec<_> = files.collect();
    let on_stderr = files.iter().any(|(file, _)| *file == LogFile::Stderr);
    Diagnostics::install(files, options.log_format);
    if !on_stderr {
        for problem in &loaded.problems {
            tracing::warn!("{problem}");
        }
    }
    // Its host may be a name.
    let admin = options.admin.clone();
    let admin = unless_stopped(&mut signals, move || {
        admin.as_ref().map(AdminAddress::bind).transpose()
    });
    let admin = match runtime.block_on(admin)? {
        Ok(admin) => admin.map_err(|error| error.to_string())?,
        Err(signal) => return Ok(stopped(options, signal)),
    };
    let bound = bind(&config).map_err(|error| error.to_string())?;
    let (origin, pipes) = (loaded.origin, loaded.pipes);
    let serving = run(options, config, origin, pipes, bound, admin, signals);
    Ok(runtime.block_on(serving))
}

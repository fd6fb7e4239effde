//! `tls-proxy`, and `nginx` in its image: reads the command line, reads the
//! configuration, binds, serves, exits.

use std::io::Write as _;
use std::process::ExitCode;

use tls_proxy::admin::Address;
use tls_proxy::cli::{self, Command, Options};
use tls_proxy::diagnostics::Diagnostics;
use tls_proxy::error_log::Level;
use tls_proxy::life::control;
use tls_proxy::life::signals::Signals;
use tls_proxy::{Configuration, Exit, LogFile, bind, conf, load, run, try_addresses};

/// The configuration, an address or the command line is wrong (nginx: 1).
const FAILURE: u8 = 1;
/// Wrong usage (sysexits).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        Err(error) => {
            say(&format!("nginx: {error}\n"));
            return ExitCode::from(USAGE);
        }
    };
    match command {
        Command::Version => say(&cli::version()),
        Command::BuildInfo => say(&cli::build_info()),
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

/// Writes to standard error, where nginx writes all it has to say.
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
        say(&format!(
            "nginx: the configuration file {name} syntax is ok\n"
        ));
        say(&format!(
            "nginx: configuration file {name} test is successful\n"
        ));
    }
    if dump {
        let mut out = std::io::stdout().lock();
        for file in loaded.origin.texts.iter().filter(|file| file.on_disk) {
            let _ = write!(
                out,
                "# configuration file {}:\n{}\n\n",
                file.path.display(),
                file.text
            );
        }
    }
    ExitCode::SUCCESS
}

fn send(options: &Options, signal: control::Signal) -> ExitCode {
    // A file that went wrong since the start must not keep the pod from
    // draining: where the pid file is can be read all the same.
    let loaded = load(options);
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
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("nginx: [emerg] no runtime: {error}\n"));
            return ExitCode::from(FAILURE);
        }
    };
    // Before anything else: as PID 1 a signal without a handler is lost.
    let signals = match runtime.block_on(async { Signals::install() }) {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("nginx: [emerg] no signal handlers: {error}\n"));
            return ExitCode::from(FAILURE);
        }
    };
    let loaded = load(options).opened();
    show_problems(&loaded);
    let Some(config) = loaded.config else {
        return ExitCode::from(FAILURE);
    };
    let files = config.main.error_log.iter().map(|log| {
        let file = config.log_files[log.file.index()].clone();
        (file, log.level.min(Level::Notice))
    });
    let files: Vec<_> = files.collect();
    let on_stderr = files.iter().any(|(file, _)| *file == LogFile::Stderr);
    Diagnostics::install(files);
    if !on_stderr {
        for problem in &loaded.problems {
            tracing::warn!("{problem}");
        }
    }
    let bound = match bind(&config) {
        Ok(bound) => bound,
        Err(error) => {
            say(&format!("nginx: [emerg] {error}\n"));
            return ExitCode::from(FAILURE);
        }
    };
    let admin = match options.admin.as_ref().map(Address::bind).transpose() {
        Ok(admin) => admin,
        Err(error) => {
            say(&format!("nginx: [emerg] {error}\n"));
            return ExitCode::from(FAILURE);
        }
    };
    let serving = run(options, config, loaded.origin, bound, admin, signals);
    match runtime.block_on(serving) {
        Exit::Drained => ExitCode::SUCCESS,
        Exit::Forced => ExitCode::from(FAILURE),
    }
}

//! The program: flags, configuration, sockets, then [`monolith::run`].
//!
//! Exit codes: 0 drained, 1 failed or forced to stop, 64 usage, 78 configuration
//! (sysexits.h).

use monolith::config::Config;
use monolith::diagnostics::{self, chain};
use monolith::flags::Flags;
use monolith::{Listeners, RunError, STACK, run, shutdown};
use std::error::Error;
use std::io;
use std::panic;
use std::process::{ExitCode, exit};
use tokio::runtime::{Builder, Runtime};

const FAILED: u8 = 1;
const USAGE: u8 = 64;
const CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    // The image's /bin/ping is a link to this program.
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| ping::is_name(&name)) {
        return ping::run(arguments);
    }
    let flags = match Flags::parse_from_args(std::env::args_os()) {
        Ok(flags) => flags,
        Err(error) => {
            // clap returns --help and --version as errors, too.
            let _ = error.print();
            return if error.use_stderr() {
                USAGE.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    diagnostics::install(flags.log_format);
    let config = match Config::load(flags) {
        Ok(config) => config,
        Err(error) => return fail(&error, CONFIGURATION),
    };
    match serve(config) {
        Ok(()) => {
            tracing::info!("drained");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&*error, FAILED),
    }
}

fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    let listeners = Listeners::bind(config.http, config.health)?;
    let runtime = runtime(config.workers).map_err(RunError::Start)?;
    let outcome = runtime.block_on(async {
        let stop = shutdown::signals().map_err(RunError::Start)?;
        tokio::spawn(pod::orphans::reap());
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            http = %listeners.http.local_addr().map_err(RunError::Start)?,
            health = %listeners.health.local_addr().map_err(RunError::Start)?,
            workers = config.workers,
            max_connections = config.max_connections,
            "serving",
        );
        run(config, listeners, Box::new(io::stdout()), stop).await
    });
    Ok(outcome?)
}

/// As many threads as the CPU quota allows; one of them needs no pool.
///
/// # Errors
/// If the system refuses descriptors. If it refuses a thread, the process ends.
fn runtime(workers: usize) -> io::Result<Runtime> {
    let mut builder = match workers {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(workers)
        .thread_stack_size(STACK)
        .enable_all();
    // If it is refused a thread, tokio panics, and waits for ever for those that it has got.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|panic| {
        let reason = panic.payload().downcast_ref::<String>();
        tracing::error!("cannot start: {}", reason.map_or("no thread", |text| text));
        exit(FAILED.into());
    }));
    let built = builder.build();
    panic::set_hook(hook);
    built
}

fn fail(error: &dyn Error, code: u8) -> ExitCode {
    tracing::error!("{}", chain(error));
    code.into()
}

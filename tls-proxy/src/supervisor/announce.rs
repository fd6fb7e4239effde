//! Log lines at the start and after a reload: what is served on which addresses within
//! which limits, and when certificates expire.

use std::time::Duration;

use super::sources::Origin;
use crate::admission::table_size::TableSizes;
use crate::cli::Options;
use crate::conf::Source;
use crate::config::Config;
use crate::tls::lifetime::{Lifetime, Urgency};

/// The line logged at the start. `most` is the connection limit of one worker.
pub(crate) fn start(
    options: &Options,
    config: &Config,
    lifetimes: &[Lifetime],
    workers: usize,
    most: usize,
) -> String {
    let addresses = config.listens.iter().map(|own| {
        let tls = if own.listen.ssl { " (TLS)" } else { "" };
        format!("{}{tls}", own.listen.address)
    });
    let addresses: Vec<_> = addresses.collect();
    let admin = options.admin.as_ref();
    let admin = admin.map_or_else(
        || "no admin port".to_owned(),
        |own| format!("admin on {own}"),
    );
    let memory = pod::cgroup::memory_limit();
    let memory = memory.map_or_else(
        || "no memory limit".to_owned(),
        |bytes| format!("memory limit {} MiB", bytes >> 20),
    );
    let budget = options.shutdown_budget.map_or_else(
        || "no shutdown budget".to_owned(),
        |budget| format!("shutdown budget {}", seconds(budget)),
    );
    format!(
        "{}/{}: listening on {}; {admin}; {}; {workers} {}, {most} connections each; {memory}; {budget}",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_VERSION"),
        addresses.join(", "),
        certificates(lifetimes),
        if workers == 1 { "worker" } else { "workers" },
    )
}

/// The certificates and their expiry.
pub(crate) fn certificates(all: &[Lifetime]) -> String {
    if all.is_empty() {
        return "no certificates".to_owned();
    }
    let shown = all.iter().map(|own| {
        let (name, file) = (shown(&own.name), own.file.display());
        format!("{name} until {} ({file})", own.end())
    });
    format!("certificates: {}", shown.collect::<Vec<_>>().join(", "))
}

/// Warns about certificates that have expired or expire soon.
pub(crate) fn warn_of_expiry(all: &[Lifetime]) {
    for own in all {
        let what = match own.urgency() {
            Some(Urgency::Expired) => "has expired",
            Some(Urgency::Soon) => "expires within 7 days",
            None => continue,
        };
        let (file, name, end) = (own.file.display(), shown(&own.name), own.end());
        tracing::warn!("certificate \"{file}\" of {name} {what}: valid until {end}; renew it");
    }
}

/// Warns about zones and buffers for whose configured sizes there is no memory.
pub(crate) fn warn_of_tables(config: &Config) {
    let Some(sizes) = config.parts.get::<TableSizes>() else {
        return;
    };
    let (configured, allowed) = sizes.sums();
    if allowed < configured {
        let kib = |bytes: u64| bytes >> 10;
        let (configured, allowed) = (kib(configured), kib(allowed));
        tracing::warn!(
            "zones of limit_req and ssl_session_cache, and buffers of access_log for each worker, are \
             configured with {configured} KiB and use {allowed} KiB: the memory limit leaves no more; \
             raise it, or make them smaller"
        );
    }
}

/// Warns about pipes among the files of the configuration: because of them no file is watched.
pub(crate) fn warn_of_pipes(origin: &Origin) {
    for file in &origin.pipes {
        tracing::warn!(
            "\"{}\" is a pipe, so changes to the configuration's files are not followed; HUP reads \
             all of them again, and what is written to the pipe within two seconds",
            file.display()
        );
    }
}

/// Logs the templates and the files they are expanded as.
pub(crate) fn templates(options: &Options, origin: &Origin) {
    if options.entry_point.as_ref().is_none_or(|it| it.quiet) {
        return;
    }
    for text in &origin.texts {
        if let Source::Template(file) = &text.source {
            let (template, file) = (text.path.display(), file.display());
            tracing::info!("{template} is expanded as {file}");
        }
    }
}

fn shown(name: &str) -> std::borrow::Cow<'_, str> {
    pod::escape::escape(name.as_bytes())
}

fn seconds(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

//! Reloads files when they change. The previous content stays in use until the
//! new one is valid.

use crate::app::App;
use crate::config::{ConfigError, WatchedFile, read_secret, read_users};
use crate::diagnostics::chain;
use crate::metrics::Reload;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::MissedTickBehavior;

/// Checks the files once every [`pod::watch::INTERVAL`]. Never returns.
pub(crate) async fn watch(
    app: Arc<App>,
    mut secret: Option<WatchedFile>,
    mut users: Option<WatchedFile>,
) {
    let mut ticks = tokio::time::interval(pod::watch::INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(file) = changed(&mut secret) {
            report(&app, Reload::Secret, file, reload_secret(&app, file));
        }
        if let Some(file) = changed(&mut users) {
            report(&app, Reload::Users, file, reload_users(&app, file));
        }
    }
}

/// The file, if there is one and it has changed.
fn changed(file: &mut Option<WatchedFile>) -> Option<&WatchedFile> {
    let file = file.as_mut()?;
    file.watch.changed().then_some(&*file)
}

fn reload_secret(app: &App, file: &WatchedFile) -> Result<&'static str, ConfigError> {
    let is_new = app
        .tokens
        .replace(read_secret(&file.path, Duration::ZERO)?, SystemTime::now());
    Ok(if is_new {
        "secret reloaded; tokens signed with the previous secret stay valid until they expire"
    } else {
        "secret file rewritten with the same secret"
    })
}

fn reload_users(app: &App, file: &WatchedFile) -> Result<&'static str, ConfigError> {
    app.replace_users(read_users(&file.path, Duration::ZERO)?);
    Ok("users reloaded")
}

fn report(app: &App, what: Reload, file: &WatchedFile, outcome: Result<&'static str, ConfigError>) {
    app.metrics.reload(what, outcome.is_ok());
    let file = file.path.display();
    match outcome {
        Ok(done) => tracing::info!(%file, "{done}"),
        Err(error) => {
            tracing::error!(%file, "{}; keeping the previous content", chain(&error));
        }
    }
}

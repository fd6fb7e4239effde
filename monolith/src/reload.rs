//! Files read again when they change. What was good stays in force until
//! something better is read.

use crate::app::App;
use crate::config::{ConfigError, WatchedFile, read_secret, read_users};
use crate::diagnostics::chain;
use crate::metrics::Reload;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::time::MissedTickBehavior;

/// Looks at the files for ever, once each [`pod::watch::INTERVAL`].
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

/// The file, if there is one and it changed.
fn changed(file: &mut Option<WatchedFile>) -> Option<&WatchedFile> {
    let file = file.as_mut()?;
    file.watch.changed().then_some(&*file)
}

fn reload_secret(app: &App, file: &WatchedFile) -> Result<&'static str, ConfigError> {
    let another = app
        .tokens
        .replace(read_secret(&file.path)?, SystemTime::now());
    Ok(if another {
        "signing with the new secret; tokens of the one before stay valid until they expire"
    } else {
        "the secret file was written again with the same secret"
    })
}

fn reload_users(app: &App, file: &WatchedFile) -> Result<&'static str, ConfigError> {
    app.replace_users(read_users(&file.path)?);
    Ok("the users were read again")
}

fn report(app: &App, what: Reload, file: &WatchedFile, outcome: Result<&'static str, ConfigError>) {
    app.metrics.reload(what, outcome.is_ok());
    let file = file.path.display();
    match outcome {
        Ok(done) => tracing::info!(%file, "{done}"),
        Err(error) => {
            tracing::error!(%file, "{}; what was read before stays in force", chain(&error));
        }
    }
}

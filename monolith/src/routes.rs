//! The table of the service's routes, and nothing else.

use crate::app::App;
use crate::{hello, login, secure, version};
use axum::Router;
use axum::routing::get;
use std::sync::Arc;

/// The routes by name, for the metrics. Paths of strangers are one name, or
/// they could make as many series as they like.
pub(crate) const NAMES: [&str; 6] = ["/", "/login", "/secure", "/version", "other", "refused"];

/// A request that no route takes.
pub(crate) const OTHER: usize = 4;
/// What never became a request.
pub(crate) const REFUSED: usize = 5;

/// `HEAD` is answered wherever `GET` is; every other method gets 405 with `Allow`.
pub(crate) fn routes(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(hello::hello))
        .route("/login", get(login::login))
        .route("/secure", get(secure::secure))
        .route("/version", get(version::version))
        .fallback(crate::answer::not_found)
        .method_not_allowed_fallback(crate::answer::method_not_allowed)
        .with_state(app)
}

/// The index in [`NAMES`] of the route that takes `path`.
pub(crate) fn index(path: &str) -> usize {
    NAMES[..OTHER]
        .iter()
        .position(|&name| name == path)
        .unwrap_or(OTHER)
}

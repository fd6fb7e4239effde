//! `GET /login`: a token for a name and a password.

use crate::app::App;
use crate::authorization::{self, Parameter};
use crate::metrics::Login;
use crate::response;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use std::sync::Arc;

/// RFC 7617, section 2.1: names and passwords are UTF-8.
const CHALLENGE: &str = r#"Basic realm="monolith", charset="UTF-8""#;

pub(crate) async fn login(State(app): State<Arc<App>>, headers: HeaderMap) -> Response<Body> {
    let (outcome, response) = log_in(&app, &headers).await;
    app.metrics.login(outcome);
    response
}

async fn log_in(app: &App, headers: &HeaderMap) -> (Login, Response<Body>) {
    let credentials = match authorization::credentials(headers) {
        Parameter::Present(credentials) => credentials,
        Parameter::Absent => return (Login::Anonymous, response::unauthorized(CHALLENGE)),
        Parameter::Malformed => return (Login::Malformed, response::unauthorized(CHALLENGE)),
    };
    let candidate = app.users().candidate(&credentials.user);
    let checked = app
        .passwords
        .check(credentials.password, candidate.hash)
        .await;
    match checked {
        Err(busy) => (Login::Busy, response::busy(busy.retry_after)),
        Ok(true) if candidate.known => (Login::Accepted, token(app, &credentials.user)),
        Ok(_) => (Login::Refused, response::unauthorized(CHALLENGE)),
    }
}

fn token(app: &App, user: &str) -> Response<Body> {
    match app.tokens.issue(user) {
        // A token is letters, digits, `-`, `_` and dots: nothing to escape.
        Ok(token) => response::json(format!(r#"{{"token":"{token}"}}"#)),
        Err(error) => {
            tracing::error!(%error, "cannot issue a token");
            response::internal_error()
        }
    }
}

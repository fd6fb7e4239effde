//! `GET /login`: a name and a password for a token.

use crate::answer;
use crate::app::App;
use crate::authorization::{self, Given};
use crate::metrics::Login;
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
    let given = match authorization::credentials(headers) {
        Given::Some(given) => given,
        Given::Nothing => return (Login::Anonymous, answer::refusal(CHALLENGE)),
        Given::Damaged => return (Login::Malformed, answer::refusal(CHALLENGE)),
    };
    let candidate = app.users().candidate(&given.user);
    match app.passwords.check(given.password, candidate.hash).await {
        Err(busy) => (Login::Busy, answer::busy(busy.retry_after)),
        Ok(right) if right && candidate.known => (Login::Accepted, token(app, &given.user)),
        Ok(_) => (Login::Refused, answer::refusal(CHALLENGE)),
    }
}

fn token(app: &App, user: &str) -> Response<Body> {
    match app.tokens.issue(user) {
        // A token is letters, digits, `-`, `_` and dots: nothing to escape.
        Ok(token) => answer::json(format!(r#"{{"token":"{token}"}}"#)),
        Err(error) => {
            tracing::error!(%error, "cannot issue a token");
            answer::failure()
        }
    }
}

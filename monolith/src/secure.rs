//! `GET /secure`: the greeting for who has a token.

use crate::answer;
use crate::app::App;
use crate::authorization::{self, Given};
use crate::hello::HELLO;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response};
use std::sync::Arc;

/// RFC 6750, section 3.1: who sent no token is told of no error.
const CHALLENGE: &str = r#"Bearer realm="monolith""#;
const INVALID: &str = r#"Bearer realm="monolith", error="invalid_token""#;

pub(crate) async fn secure(State(app): State<Arc<App>>, headers: HeaderMap) -> Response<Body> {
    let token = match authorization::token(&headers) {
        Given::Some(token) => token,
        Given::Nothing => return answer::refusal(CHALLENGE),
        Given::Damaged => return answer::refusal(INVALID),
    };
    match app.tokens.verify(token) {
        Ok(claims) => {
            tracing::debug!(user = claims.sub, "token accepted");
            answer::json(HELLO)
        }
        Err(error) => {
            // Only the operator learns why.
            tracing::debug!(error = &error as &dyn std::error::Error, "token refused");
            answer::refusal(INVALID)
        }
    }
}

//! `GET /version`: which version answers.

use crate::answer;
use axum::body::Body;
use axum::http::Response;

pub(crate) async fn version() -> Response<Body> {
    answer::json(concat!(
        r#"{"version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    ))
}

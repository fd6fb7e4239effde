//! `GET /version`: the version of the program.

use crate::response;
use axum::body::Body;
use axum::http::Response;

pub(crate) async fn version() -> Response<Body> {
    response::json(concat!(
        r#"{"version":""#,
        env!("CARGO_PKG_VERSION"),
        r#""}"#
    ))
}

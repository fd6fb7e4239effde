//! The access phase (`ngx_http_core_access_phase`): addresses, then passwords, then
//! `auth_request`; `satisfy` decides whether one or all of them have to allow the request.

use super::phases;
use crate::log::level::Level;
use crate::modules::{access, auth_basic, auth_request};
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;

/// Runs the phase, and `auth_delay` after a 401.
pub(super) async fn run(request: &mut Request) -> Result<(), Refusal> {
    let result = check_all(request).await;
    if matches!(&result, Err(refusal) if refusal.status == 401) {
        let delay = request.settings().of::<access::Settings>().delay;
        if !delay.is_zero() {
            request.count_values(0)?;
            tokio::time::sleep(delay).await;
        }
    }
    result
}

/// Does not apply to subrequests.
async fn check_all(request: &mut Request) -> Result<(), Refusal> {
    let settings = request.settings();
    let is_asked = settings.uses::<access::Settings>()
        || settings.uses::<auth_basic::Settings>()
        || settings.uses::<auth_request::Settings>();
    if request.is_subrequest() || !is_asked {
        return Ok(());
    }
    // It may wait for an upstream, or for a password's hash.
    request.count_values(0)?;
    let config = request.config.clone();
    let settings = &config.location(request.location).settings;
    let any = settings.of::<access::Settings>().any;
    let mut refused = None;
    for check in 0..3 {
        let result = match check {
            0 => access::check(settings.of::<access::Settings>(), request),
            1 => match settings.used::<auth_basic::Settings>() {
                Some(basic) => auth_basic::check(basic, request).await,
                None => None,
            },
            _ => match auth_request::subrequest(settings.of::<auth_request::Settings>(), request) {
                Some(mut asked) => {
                    let response = phases::respond_to_subrequest(&mut asked).await;
                    let settings = settings.of::<auth_request::Settings>();
                    Some(auth_request::decide(
                        settings, request, &mut asked, *response,
                    ))
                }
                None => None,
            },
        };
        match result {
            None => {}
            Some(Ok(())) if any => {
                request.challenge = None;
                request.kept_fields.clear();
                return Ok(());
            }
            Some(Ok(())) => {}
            // A client that can still authenticate gets a 401, not a 403.
            Some(Err(refusal)) if any && matches!(refusal.status, 401 | 403) => {
                refused = refused.filter(|before| *before == 401);
                refused = refused.or(Some(refusal.status));
            }
            Some(Err(_)) if check == 0 => return Err(forbid(request)),
            Some(Err(refusal)) => return Err(refusal),
        }
    }
    match refused {
        None => Ok(()),
        Some(403) => Err(forbid(request)),
        Some(status) => Err(Refusal::new(status)),
    }
}

fn forbid(request: &Request) -> Refusal {
    error_log::request(request, Level::Error, "access forbidden by rule");
    Refusal::new(403)
}

//! nginx's phases of a request in its order, each a function under its name: post-read, server
//! rewrite, find config, rewrite, preaccess, access, precontent, content, log.

use bytes::Bytes;

use super::route::{identify, route};
use super::{access, error_page, filters};
use crate::config::LocationId;
use crate::config::locations::{LocationMatch, LocationTree};
use crate::log::level;
use crate::log::level::Level;
use crate::message::head::Framing;
use crate::message::{internal_path, target};
use crate::metrics;
use crate::metrics::FinishedRequest;
use crate::modules::proxy;
use crate::modules::proxy::handler;
use crate::modules::rewrite::{self, Flow};
use crate::modules::static_files::Served;
use crate::modules::try_files;
use crate::modules::{
    self, autoindex, limit_conn, limit_except, limit_req, log, realip, static_files,
};
use crate::request::Request;
use crate::request::content_result::ContentResult;
use crate::request::error_log;
use crate::request::response::{Refusal, Response};
use crate::request::source::Source as _;

/// Produces the response to a request whose head has been read.
pub(crate) async fn respond(request: &mut Request) -> Box<Response> {
    let result = match route(request) {
        Ok(()) => {
            post_read(request);
            run(request, Start::ServerRewrite).await
        }
        Err(refusal) => {
            request.discard_unframed();
            Err(refusal)
        }
    };
    finish(request, result).await
}

/// Produces the response to a subrequest, of which only the head is used.
pub(crate) async fn respond_to_subrequest(request: &mut Request) -> Box<Response> {
    let result = Box::pin(run(request, Start::ServerRewrite)).await;
    let mut response = Box::pin(error_page::finalize(request, result)).await;
    if request.patterns.has_given_up() {
        response.status = 500;
    }
    response
}

/// Applies error pages and filters; a filter may return an error, too.
async fn finish(
    request: &mut Request,
    mut result: Result<Box<Response>, Refusal>,
) -> Box<Response> {
    loop {
        let mut response = error_page::finalize(request, result).await;
        match filters::apply(request, &mut response) {
            Ok(()) => return response,
            Err(refusal) => {
                if let Some(body) = response.content.upstream_body() {
                    request.take_back(body);
                }
                result = Err(refusal);
            }
        }
    }
}

/// The phase in which a request starts, or starts again.
#[derive(PartialEq)]
enum Start {
    ServerRewrite,
    FindConfig,
    Rewrite,
}

/// The phases before the log, except the first.
async fn run(request: &mut Request, mut start: Start) -> Result<Box<Response>, Refusal> {
    loop {
        if start == Start::ServerRewrite
            && let Flow::Respond(result) = server_rewrite(request)
        {
            return result;
        }
        if start != Start::Rewrite
            && let Some(redirect) = find_config(request)?
        {
            return Ok(redirect);
        }
        start = match location_rewrite(request) {
            Flow::Respond(result) => return result,
            Flow::Continue => match in_location(request).await {
                ContentResult::Response(result) => return result,
                ContentResult::Relocate => {
                    request.valid_location = true;
                    Start::ServerRewrite
                }
                ContentResult::Named(name) => return run_named(request, &name).await,
            },
            Flow::Relocate => Start::FindConfig,
        };
        count_redirect(request)?;
    }
}

/// Routes a request that its client canceled before it was served, for its log line.
pub(crate) fn route_canceled(request: &mut Request) {
    identify(request);
    realip::apply(request);
    request.outcome.status = 499;
}

/// The client's address, by the settings of the server.
fn post_read(request: &mut Request) {
    realip::apply(request);
}

/// The rewrite directives of the server.
fn server_rewrite(request: &mut Request) -> Flow {
    request.behind_alias = false;
    request.location = request.config.server(request.server).root;
    rewrite(request)
}

/// Selects the location, and checks what its settings say of the request; returns a redirect
/// if the path lacks a final slash.
fn find_config(request: &mut Request) -> Result<Option<Box<Response>>, Refusal> {
    let redirect = choose_location(request)?;
    request.located = true;
    if request.settings().core.internal && !request.rewritten {
        return Err(Refusal::new(404));
    }
    check_length(request)?;
    Ok(redirect)
}

/// The rewrite directives of the location. Without one they are the server's, which have run.
fn location_rewrite(request: &mut Request) -> Flow {
    if request.location == request.config.server(request.server).root {
        return Flow::Continue;
    }
    rewrite(request)
}

/// The rewrite directives of the block that the request is in.
fn rewrite(request: &mut Request) -> Flow {
    if !request.settings().uses::<rewrite::Settings>() {
        return Flow::Continue;
    }
    let config = request.config.clone();
    let settings = &config.location(request.location).settings;
    rewrite::run(&settings.of::<rewrite::Settings>().steps, request)
}

fn too_many_redirects(request: &Request) -> Refusal {
    let path = level::shown(&request.path);
    let what = format!("rewrite or internal redirection cycle while processing \"{path}\"");
    error_log::request(request, Level::Error, what);
    Refusal::new(500)
}

/// Selects the location; returns a redirect if the path lacks a final slash.
fn choose_location(request: &mut Request) -> Result<Option<Box<Response>>, Refusal> {
    let config = request.config.clone();
    let server = config.server(request.server);
    let inside = |id: LocationId| -> &LocationTree { &config.location(id).tree };
    let path = &request.path;
    let found = server
        .tree
        .find(path, &inside, &|pattern| pattern.matches(request, path))?;
    match found {
        Some(LocationMatch::Location(id)) => {
            request.location = id;
            limit_except::apply(request);
        }
        None => request.location = server.root,
        Some(LocationMatch::Redirect(id)) => {
            request.location = id;
            let mut address = Vec::with_capacity(request.path.len() + 1);
            target::escape_path(&request.path, &mut address);
            address.push(b'/');
            if !request.args.is_empty() {
                address.push(b'?');
                address.extend_from_slice(&request.args);
            }
            let tokens = request.settings().core.server_tokens;
            return Ok(Some(Response::redirect(301, address.into(), tokens)));
        }
    }
    Ok(None)
}

/// Rejects a body by its announced length, or by what has been read of it (`client_max_body_size`).
fn check_length(request: &mut Request) -> Result<(), Refusal> {
    let limit = request.settings().core.client_max_body_size;
    let length = match request.framing {
        Framing::None => return Ok(()),
        Framing::Length(length) => length,
        Framing::Chunked | Framing::UntilClose => request.body.taken(),
    };
    if limit == 0 || length <= limit || request.discards_body() {
        return Ok(());
    }
    // The error page is processed without the body, unless it is at hand.
    if !request.has_body_at_hand() {
        request.discard();
    }
    let what = format!("client intended to send too large body: {length} bytes");
    error_log::request(request, Level::Error, what);
    Err(Refusal::closing(413))
}

/// The phases of a location.
async fn in_location(request: &mut Request) -> ContentResult {
    if let Err(refusal) = preaccess(request).await {
        return ContentResult::Response(Err(refusal));
    }
    if let Err(refusal) = access::run(request).await {
        return ContentResult::Response(Err(refusal));
    }
    if let Some(result) = precontent(request) {
        return result;
    }
    content(request).await
}

/// The client's address, by the settings of the location, and limits.
async fn preaccess(request: &mut Request) -> Result<(), Refusal> {
    realip::apply(request);
    if request.settings().uses::<limit_req::Settings>() {
        limit_req::check(request).await?;
    }
    limit_conn::check(request)
}

/// The content handler of the location.
async fn content(request: &mut Request) -> ContentResult {
    if request.settings().of::<proxy::Settings>().pass.is_some() {
        let result = handler::forward(request).await;
        return follow_accel_redirect(request).unwrap_or(ContentResult::Response(result));
    }
    if let Some(serve) = modules::content_handler(request.settings()) {
        return serve(request);
    }
    match static_files::serve(request) {
        Served::Result(result) => result,
        Served::Folder(folder) => Box::pin(autoindex::serve(request, folder)).await,
    }
}

/// Follows `X-Accel-Redirect`: the upstream's own response is dropped.
fn follow_accel_redirect(request: &mut Request) -> Option<ContentResult> {
    let target = request.accel.redirect.take()?;
    if std::mem::take(&mut request.accel.refused) {
        return Some(ContentResult::refuse(503));
    }
    if target.starts_with(b"@") {
        return Some(ContentResult::Named(target));
    }
    let Some(target) = internal_path::parse_untrusted(&target) else {
        let address = level::shown(&target);
        let what = format!(
            "unsafe URI \"{address}\" was detected while reading response header from upstream"
        );
        error_log::request(request, Level::Error, what);
        return Some(ContentResult::refuse(404));
    };
    if let Err(refusal) = request.relocate(target) {
        return Some(ContentResult::Response(Err(refusal)));
    }
    if !request.is_head() {
        request.head.method = Bytes::from_static(b"GET");
    }
    Some(ContentResult::Relocate)
}

/// `try_files`: the result, if it does not leave the request to the content handler.
fn precontent(request: &mut Request) -> Option<ContentResult> {
    if !request.settings().uses::<try_files::Settings>() {
        return None;
    }
    let config = request.config.clone();
    let settings = &config.location(request.location).settings;
    settings
        .of::<try_files::Settings>()
        .0
        .as_ref()?
        .run(request)
}

/// An internal redirect as in nginx: processing starts again with the server's rewrite.
pub(crate) async fn redirect(
    request: &mut Request,
    target: internal_path::Target,
) -> Result<Box<Response>, Refusal> {
    // Before anything can fail: `recursive_error_pages` may lead here again.
    count_redirect(request)?;
    request.relocate(target)?;
    request.valid_location = true;
    Box::pin(run(request, Start::ServerRewrite)).await
}

/// Path changes and redirects have a common limit.
fn count_redirect(request: &mut Request) -> Result<(), Refusal> {
    request.redirects += 1;
    if request.too_many_redirects() {
        Err(too_many_redirects(request))
    } else {
        Ok(())
    }
}

/// Continues in a named location.
pub(crate) async fn run_named(
    request: &mut Request,
    name: &[u8],
) -> Result<Box<Response>, Refusal> {
    // Before anything can fail, as above.
    count_redirect(request)?;
    let config = request.config.clone();
    let Some(location) = config.server(request.server).tree.named(name) else {
        let what = format!("could not find named location \"{}\"", level::shown(name));
        error_log::request(request, Level::Error, what);
        return Err(Refusal::new(500));
    };
    if request.path.is_empty() {
        // Its target was refused.
        let what = format!(
            "empty URI in redirect to named location \"{}\"",
            level::shown(name)
        );
        error_log::request(request, Level::Error, what);
        return Err(Refusal::new(500));
    }
    request.location = location;
    limit_except::apply(request);
    request.behind_alias = false;
    Box::pin(run(request, Start::Rewrite)).await
}

/// The log phase, however the client's request has ended.
pub(crate) fn log(request: &mut Request) {
    request.end();
    log::write(request);
    let refused = |status| status == Some("REJECTED");
    metrics::request_ended(FinishedRequest {
        version: request.head.version,
        status: request.outcome.status,
        took: request.took.unwrap_or_default(),
        received: request.received,
        sent: request.outcome.bytes(),
        limited: [
            refused(request.limit_req_status),
            refused(request.limit_conn_status),
        ],
    });
}

/// The response to a head that was rejected while it was read.
pub(crate) async fn respond_to_malformed(request: &mut Request, status: u16) -> Box<Response> {
    finish(request, Err(Refusal::closing(status))).await
}

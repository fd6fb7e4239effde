//! HTTP/1 with a client (RFC 9112): one request after the other.

mod end;
mod head;
mod send;

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::timeout;

use self::end::{End, LingerTimes, Served, close, end, linger};
use self::head::Next;
use self::send::Sent;
use super::client_request::ClientRequest;
use crate::admission::{Permit, Waits};
use crate::http1::body::Decoder;
use crate::http1::request_head;
use crate::lifecycle::drain::{Token, TokenKind};
use crate::log::level::Level;
use crate::message::head::{Framing, RequestHead};
use crate::message::rules;
use crate::net::buffered_stream::BufferedStream;
use crate::pipeline::phases;
use crate::request::Request;
use crate::request::connection::Connection;
use crate::request::error_log;
use crate::request::response::{Content, Response};
use crate::tls::client_stream::ClientStream;
use crate::upstream::body::{self, Http1Body, RequestBody, SharedWire};

/// Bytes of the next request that are read during this one.
const READ_AHEAD: usize = 2 * 1024;
/// Interval of checking whether a client that has sent more than that has left: its FIN
/// comes after the data that is not read yet.
const HANGUP_CHECK: Duration = Duration::from_millis(500);
/// Time for TLS `close_notify` to be written before the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The connection's stream, from which requests are read.
pub(crate) fn wire(stream: ClientStream) -> SharedWire {
    Rc::new(RefCell::new(BufferedStream::new(stream, BytesMut::new())))
}

/// Serves requests until the connection ends.
#[expect(
    clippy::manual_async_fn,
    reason = "an `async fn` holds its arguments twice"
)]
pub(crate) fn serve(
    connection: Rc<Connection>,
    wire: SharedWire,
    mut token: Token,
) -> impl Future<Output = ()> {
    async move {
        let mut idle = None;
        loop {
            // Read before the previous response was written.
            let pipelined = !wire.borrow().inbound.is_empty();
            if !pipelined && !head::begins(&connection, &wire, idle).await {
                break;
            }
            // A task is as large as the largest future it may await: reading a head and
            // responding are boxed, so that an idle connection is small.
            let end = match Box::pin(head::next(&connection, &wire)).await {
                Next::Close => End::Close,
                Next::Rejected(error) => Box::pin(refuse_head(&connection, &wire, error)).await,
                Next::Head {
                    head,
                    permit,
                    refused,
                } => {
                    let _in_flight = connection.worker.drain.token(TokenKind::Request);
                    let framing = match refused {
                        Some(error) => Err(error),
                        None => rules::check(&head, false).map_err(Box::new),
                    };
                    let serving = serve_request(
                        &connection,
                        &wire,
                        (head, framing),
                        pipelined,
                        permit,
                        &mut token,
                    );
                    Box::pin(serving).await
                }
            };
            match end {
                End::KeepAlive(timeout) => idle = Some(timeout),
                End::Close => break,
                End::Abandon => return,
                End::Linger(patience) => {
                    connection.account.holder().wait(Waits::Body, 0);
                    Box::pin(linger(&wire, patience)).await;
                    break;
                }
            }
        }
        connection.account.holder().wait(Waits::Response, 0);
        let _ = timeout(
            CLOSE_TIMEOUT,
            poll_fn(|cx| wire.borrow_mut().poll_shutdown(cx)),
        )
        .await;
    }
}

/// Sends the error response to a head that was rejected.
async fn refuse_head(
    connection: &Rc<Connection>,
    wire: &SharedWire,
    error: request_head::Error,
) -> End {
    let request_head::Error {
        status,
        reason,
        head,
        in_fields: _,
    } = error;
    let mut request = ClientRequest::malformed(connection, head);
    // Without memory for a request there is the built-in page: another may be a location's.
    if status != 503 {
        let waiting = connection
            .worker
            .admission
            .for_request(connection.account.holder());
        let patience = request.settings().core.client_header_timeout;
        request.permit = timeout(patience, waiting).await.ok();
    }
    request.in_error_page = request.permit.is_none();
    let what = format!("{reason} while reading client request line");
    // The memory limit is reached.
    let level = match status {
        503 => Level::Error,
        _ => Level::Info,
    };
    error_log::request(&request, level, what);
    let ignores_abort = request.ignore_client_abort.clone();
    let leaving = async {
        leaves(wire.clone()).await;
        while ignores_abort.get() {
            tokio::time::sleep(HANGUP_CHECK).await;
        }
    };
    let response = tokio::select! {
        biased;
        response = phases::respond_to_malformed(&mut request, status) => Some(response),
        () = leaving => None,
    };
    let Some(response) = response else {
        error_log::request(&request, Level::Info, send::GONE);
        return End::Close;
    };
    if matches!(response.content, Content::Nothing) {
        request.outcome.status = response.status;
        return End::Abandon;
    }
    let patience = LingerTimes::of(&request);
    match send::send(&mut request, wire, response, false).await {
        Sent::Cut => End::Close,
        Sent::Whole(_) => End::Linger(patience),
    }
}

/// Serves one request.
async fn serve_request(
    connection: &Rc<Connection>,
    wire: &SharedWire,
    (head, framing): (Box<RequestHead>, Result<Framing, Box<rules::Error>>),
    pipelined: bool,
    permit: Option<Permit>,
    token: &mut Token,
) -> End {
    let framed = *framing.as_ref().unwrap_or(&Framing::None);
    let body = body_of(connection, &head, framed, wire);
    let served = {
        let mut request = ClientRequest::new(connection, head, body);
        request.announced = framing;
        request.pipelined = pipelined;
        request.permit = permit;
        exchange(&mut request, wire, token).await
        // It ends here, in its place: `drop` would copy it.
    };
    match served {
        Ok(served) => end(wire, served).await,
        Err(end) => end,
    }
}

/// Responds to a request; an error if the connection cannot be used any more.
async fn exchange(
    request: &mut Request,
    wire: &SharedWire,
    token: &mut Token,
) -> Result<Served, End> {
    let start = wire.borrow().consumed() - request.head.length;
    let written = wire.borrow().sent;
    let Some(response) = respond(request, wire).await else {
        error_log::request(request, Level::Info, send::GONE);
        return Err(End::Close);
    };
    let response = check_unread_body(request, response).await;
    // `100 Continue` counts as body, as in nginx.
    request.outcome.body_bytes = wire.borrow().sent - written;
    let connection = &request.connection;
    // An empty body is not asked for any more.
    if matches!(&request.body, RequestBody::Http1(body) if body.is_at_end()) {
        request.body = RequestBody::None;
    }
    // Whether a client that was not asked for its body sends it, is not known.
    let withheld = matches!(&request.body, RequestBody::Http1(body) if body.is_withheld());
    let keep_alive = request.keeps_alive()
        && !response.close
        && !withheld
        && !connection.worker.should_close()
        && connection.follow();
    let sent = match response.content {
        Content::Nothing => {
            request.outcome.status = response.status;
            Err(End::Abandon)
        }
        Content::Tunnel(_) => {
            token.reclassify(TokenKind::Tunnel);
            send::open_tunnel(request, wire, response).await;
            let core = &request.settings().core;
            let unread = !wire.borrow().inbound.is_empty();
            Err(close(
                core.lingering_close,
                unread,
                LingerTimes::of(request),
            ))
        }
        _ => match send::send(request, wire, response, keep_alive).await {
            Sent::Whole(keep_alive) => Ok(keep_alive),
            Sent::Cut => Err(End::Close),
        },
    };
    request.received = wire.borrow().consumed() - start;
    let keep_alive = sent?;
    let core = &request.settings().core;
    Ok(Served {
        keep_alive: keep_alive.then_some(core.keepalive_timeout),
        lingering: core.lingering_close,
        patience: LingerTimes::of(request),
        body: std::mem::replace(&mut request.body, RequestBody::None),
    })
}

fn body_of(
    connection: &Connection,
    head: &RequestHead,
    framing: Framing,
    wire: &SharedWire,
) -> RequestBody {
    let expects = head.expects_continue();
    if matches!(framing, Framing::None | Framing::Length(0)) && !expects {
        return RequestBody::None;
    }
    let decoder = Decoder::new(framing);
    let holder = connection.account.holder().clone();
    let body = Http1Body::new(wire.clone(), decoder, expects, holder);
    RequestBody::Http1(Box::new(body))
}

/// Runs the phases; `None` if the client has left meanwhile.
async fn respond(request: &mut Request, wire: &SharedWire) -> Option<Box<Response>> {
    // While a body is read, its reader notices that the client has left.
    let whole = request.body.whole();
    let watch = || whole.as_ref().is_none_or(|whole| whole.get());
    let ignore_client_abort = request.ignore_client_abort.clone();
    let connection = request.connection.clone();
    let holder = connection.account.holder();
    let mut leaving = None;
    let mut responding = pin!(phases::respond(request));
    poll_fn(|cx| {
        if let Poll::Ready(response) = responding.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        let reads = watch();
        // Nobody reads it while there is no memory, or another request decides about this one.
        let is_read = !reads && holder.waits() == Waits::Body;
        if ignore_client_abort.get() || is_read {
            return Poll::Pending;
        }
        if reads {
            if client_is_gone(wire, cx) {
                return Poll::Ready(None);
            }
            if wire.borrow().inbound.len() < READ_AHEAD {
                return Poll::Pending;
            }
        }
        let leaving = leaving.get_or_insert_with(|| Box::pin(leaves(wire.clone())));
        leaving.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// Whether the client has closed; data it sends meanwhile is kept.
fn client_is_gone(wire: &SharedWire, cx: &mut Context<'_>) -> bool {
    let mut wire = wire.borrow_mut();
    while wire.inbound.len() < READ_AHEAD {
        match wire.poll_fill(cx) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return true,
            Poll::Ready(Ok(_)) => {}
            Poll::Pending => return false,
        }
    }
    false
}

/// Resolves when the client has closed, even if data it sent before is not read yet.
async fn leaves(wire: SharedWire) {
    while !wire.borrow().stream().has_hung_up() {
        tokio::time::sleep(HANGUP_CHECK).await;
    }
}

/// Reads what has arrived of a body that no handler has read: an error in it changes the
/// response (`ngx_http_discard_request_body`).
async fn check_unread_body(request: &mut Request, mut response: Box<Response>) -> Box<Response> {
    /// Pieces; the rest is read after the response.
    const MAX_PIECES: usize = 16;
    let own = matches!(
        response.content,
        Content::Empty | Content::Memory(_) | Content::Stream(_)
    );
    // A client whose body is too long is not asked to send it.
    let reads = response.reads_body && !request.in_error_page && !request.closing;
    let withheld = matches!(&request.body, RequestBody::Http1(body) if body.is_withheld());
    if !own || (withheld && !reads) {
        return response;
    }
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for _ in 0..MAX_PIECES {
        match request.body.poll_data(&mut cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(body::Error::Invalid))) if reads => {
                error_log::request(request, Level::Info, body::Error::Invalid);
                return Box::pin(phases::respond_to_malformed(request, 400)).await;
            }
            Poll::Ready(Some(Err(_))) => {
                response.close = true;
                return response;
            }
            Poll::Ready(None) | Poll::Pending => return response,
        }
    }
    response
}

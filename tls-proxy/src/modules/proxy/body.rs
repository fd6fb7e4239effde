//! The body of a request on its way to an upstream: how much of it is read before the
//! request is sent, and where the rest comes from.

use std::future::poll_fn;
use std::task::Poll;

use bytes::{Bytes, BytesMut};

use crate::admission::TRANSFER;
use crate::log::level::Level;
use crate::message::head::{Framing, Version};
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::Refusal;
use crate::upstream::body::{Bounds, Fault, RequestBody};

/// Bytes of a body that are looked at before an unbuffered request is sent.
const AT_HAND: usize = 16 * 1024;

/// What is known of the body when the request is sent: its beginning, how it
/// is framed, and where the rest comes from.
pub(super) struct Body {
    pub(super) framing: Framing,
    pub(super) begun: Bytes,
    pub(super) rest: RequestBody,
}

impl Body {
    /// Reads a small body whole, so that the upstream learns its length and a
    /// failed try can be repeated (`proxy_request_buffering`,
    /// `client_body_buffer_size`).
    pub(super) async fn begin(request: &mut Request) -> Result<Self, Refusal> {
        let core = &request.settings().core;
        let bounds = Bounds {
            size: core.client_max_body_size,
            pause: core.client_body_timeout,
        };
        let proxy = &request.settings().proxy;
        let (buffering, wanted) = (proxy.request_buffering, proxy.pass_request_body);
        // HTTP/1.0 knows no chunks: such a body is read whole, for its length.
        let whole = proxy.version == Version::Http10 && request.framing == Framing::Chunked;
        let room = if whole {
            u64::MAX
        } else {
            core.client_body_buffer_size as u64
        };
        if let Some(body) = &proxy.body {
            let begun = body.evaluate(request);
            return Ok(Self {
                framing: Framing::Length(begun.len() as u64),
                begun,
                rest: RequestBody::None,
            });
        }
        if !wanted {
            return Ok(Self {
                framing: Framing::None,
                begun: Bytes::new(),
                rest: RequestBody::None,
            });
        }
        request.reserve_upload().await;
        let mut begun = BytesMut::from(std::mem::take(&mut request.begun));
        if request.body.taken() > begun.len() as u64 {
            let what = "the request body has been sent to another upstream and is not at hand; raise \"client_body_buffer_size\"";
            error_log::request(request, Level::Error, what);
            return Err(Refusal::closing(500));
        }
        let mut rest = std::mem::replace(&mut request.body, RequestBody::None);
        rest.bound(bounds);
        let read = match request.framing {
            Framing::Length(length) if buffering && length > room => Ok(()),
            _ if buffering || whole => read_up_to(request, &mut rest, room, &mut begun).await,
            _ => read_at_hand(&mut rest, &mut begun).await,
        };
        read.map_err(|fault| refuse_body(request, fault))?;
        let framing = match request.framing {
            Framing::Chunked if rest.is_done() => Framing::Length(begun.len() as u64),
            framing => framing,
        };
        let begun = begun.freeze();
        if rest.is_done() && request.framing != Framing::None {
            request.whole_body = Some(begun.clone());
        }
        Ok(Self {
            framing,
            begun,
            rest,
        })
    }

    /// Keeps the body for another upstream, to which an error page may lead,
    /// or for whoever reads it off the connection.
    pub(super) fn give_back(self, request: &mut Request, failed: bool) {
        request.begun = self.begun;
        if failed {
            request.body = self.rest;
        }
    }
}

/// Waits for the body's beginning, `room` bytes at most but for the last piece.
async fn read_up_to(
    request: &Request,
    body: &mut RequestBody,
    room: u64,
    begun: &mut BytesMut,
) -> Result<(), Fault> {
    let mut counted = TRANSFER;
    while (begun.len() as u64) < room && !body.is_done() {
        // With as much again, since it is copied while it grows.
        if 2 * begun.len() as u64 >= counted
            && let Some(permit) = &request.permit
        {
            permit.grow(counted).await;
            counted *= 2;
        }
        match poll_fn(|cx| body.poll_data(cx)).await {
            Some(Ok(data)) => begun.extend_from_slice(&data),
            Some(Err(fault)) => return Err(fault),
            None => break,
        }
    }
    Ok(())
}

/// Takes what has come of the body already and waits for nothing.
async fn read_at_hand(body: &mut RequestBody, begun: &mut BytesMut) -> Result<(), Fault> {
    poll_fn(|cx| {
        while !body.is_done() && begun.len() < AT_HAND {
            match body.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => begun.extend_from_slice(&data),
                Poll::Ready(Some(Err(fault))) => return Poll::Ready(Err(fault)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// The client's body cannot be read.
pub(super) fn refuse_body(request: &Request, fault: Fault) -> Refusal {
    let level = match fault {
        Fault::Gone | Fault::TimedOut => Level::Info,
        Fault::Invalid | Fault::TooLarge => Level::Error,
    };
    error_log::request(request, level, fault);
    match fault {
        Fault::Gone | Fault::TimedOut => Refusal::silent(fault.status()),
        Fault::Invalid | Fault::TooLarge => Refusal::closing(fault.status()),
    }
}

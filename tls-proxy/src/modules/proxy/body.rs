//! The body of a request to an upstream: how much of it is read before the request is sent, and
//! where the rest comes from.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use super::settings::Settings;
use crate::admission::TRANSFER;
use crate::config::core;
use crate::log::level::Level;
use crate::message::head::{Framing, Version};
use crate::modules::client_body;
use crate::request::Request;
use crate::request::error_log;
use crate::request::response::{Refusal, Response};
use crate::request::source::Source as _;
use crate::upstream::body::{self, Bounds, RequestBody};
use crate::upstream::spooled::{After, Folder, Spooled};

/// Memory for a chunked body that is kept, at first, bytes: the default of `client_body_buffer_size`.
const LIKELY_CHUNKED: u64 = 16 * 1024;
/// Most bytes of a body that are read before an unbuffered request is sent.
const AT_HAND: usize = 16 * 1024;

/// Spare memory that a body may keep until its response has ended, bytes.
const SLACK: usize = 1024;

/// How much of a body is read before the request is sent.
#[derive(Clone, Copy)]
enum Beginning {
    /// Nothing: it is larger than what is kept.
    Nothing,
    /// All of it, of this length, bytes.
    Whole(u64),
    /// So many bytes at most, not counting the last piece.
    UpTo(u64),
    /// What has arrived.
    AtHand,
}

/// What is known of the body when the request is sent: its beginning, how it
/// is framed, and where the rest comes from.
pub(super) struct Body {
    pub(super) framing: Framing,
    pub(super) begun: Bytes,
    rest: RequestBody,
    /// Bytes of the client's body that had been read when the last try ended or had a response.
    pub(super) taken: u64,
    /// It is the client's, unlike that of `proxy_set_body`.
    of_client: bool,
    /// All of it, if it is in a file.
    file: Option<Rc<Spooled>>,
}

impl Body {
    /// Reads a small body whole, so that the upstream learns its length and a failed try can be
    /// repeated (`proxy_request_buffering`, `client_body_buffer_size`). A larger one is written to
    /// a file first if the configuration names a folder for it, and else streamed.
    pub(super) async fn begin(request: &mut Request) -> Result<Self, Refusal> {
        let config = request.config.clone();
        let settings = &config.location(request.location).settings;
        let (core, proxy) = (&settings.core, settings.of::<Settings>());
        let files = settings.of::<client_body::Settings>();
        let wanted = proxy.pass_request_body && proxy.body.is_none();
        let buffering = proxy.request_buffering;
        let discards = request.discards_body();
        let has_body = request.framing != Framing::None && request.spooled.is_none() && !discards;
        if files.in_file.is_some() && has_body && (buffering || !wanted) {
            // Without memory it waits, and keeps no descriptor meanwhile.
            request.reserve_upload(0).await;
            let file = create_file(request, Level::Crit);
            let file = file.ok_or_else(|| Refusal::closing(500))?;
            let begun = take_begun(request)?;
            write_to(file, request, core, begun).await?;
        } else if !wanted && has_body && buffering {
            set_aside(request, core).await?;
        }
        if let Some(body) = &proxy.body {
            let begun = body.evaluate_kept(request)?;
            let framing = Framing::Length(begun.len() as u64);
            return Ok(Self::own(framing, begun));
        }
        if !wanted {
            return Ok(Self::own(Framing::None, Bytes::new()));
        }
        if discards {
            // Nothing of it, and so not its length.
            let framing = match request.framing {
                Framing::None => Framing::None,
                _ => Framing::Length(0),
            };
            return Ok(Self::own(framing, Bytes::new()));
        }
        if let Some(body) = Self::in_file(request) {
            return Ok(body);
        }
        let spools = buffering && files.folder.is_some();
        // HTTP/1.0 has no chunks: such a body is read whole, for its length.
        let whole = proxy.version == Version::Http10 && request.framing == Framing::Chunked;
        let room = match whole && !spools {
            true => u64::MAX,
            false => core.client_body_buffer_size as u64,
        };
        let beginning = match request.framing {
            Framing::Length(length) if buffering && length <= room => Beginning::Whole(length),
            Framing::Length(_) if buffering => Beginning::Nothing,
            _ if buffering || whole => Beginning::UpTo(room),
            _ => Beginning::AtHand,
        };
        let (mut begun, mut rest) = read(request, core, beginning).await?;
        if spools && !rest.is_done() {
            if let Some(file) = create_file(request, Level::Warn) {
                request.body = rest;
                write_to(file, request, core, begun).await?;
                return Self::in_file(request).ok_or_else(|| Refusal::new(500));
            }
            if whole {
                let all = Beginning::UpTo(u64::MAX);
                let read = read_beginning(request, &mut rest, all, &mut begun).await;
                if let Err(error) = read {
                    return Err(lose(request, rest, error));
                }
            }
        }
        let framing = match request.framing {
            Framing::Chunked if rest.is_done() => Framing::Length(begun.len() as u64),
            framing => framing,
        };
        let begun = without_slack(begun);
        if rest.is_done() && request.framing != Framing::None {
            request.whole_body = Some(begun.clone());
        }
        Ok(Self::of(framing, begun, rest))
    }

    fn of(framing: Framing, begun: Bytes, rest: RequestBody) -> Self {
        Self {
            framing,
            begun,
            rest,
            taken: 0,
            of_client: true,
            file: None,
        }
    }

    /// A body that is not the client's; that stays with the request.
    fn own(framing: Framing, begun: Bytes) -> Self {
        Self {
            of_client: false,
            ..Self::of(framing, begun, RequestBody::None)
        }
    }

    /// The body that has been written to a file.
    fn in_file(request: &Request) -> Option<Self> {
        let file = request.spooled.clone()?;
        let framing = Framing::Length(file.length());
        Some(Self {
            file: Some(file),
            ..Self::of(framing, Bytes::new(), RequestBody::None)
        })
    }

    /// What follows the beginning, for one try.
    pub(super) fn take_rest(&mut self) -> RequestBody {
        match &self.file {
            Some(file) => RequestBody::of_file(file.clone()),
            None => std::mem::replace(&mut self.rest, RequestBody::None),
        }
    }

    /// What follows the beginning and has not been sent, after a try that failed.
    pub(super) fn put_rest(&mut self, rest: RequestBody) {
        if self.file.is_none() {
            self.rest = rest;
        }
    }

    /// The same after a try whose response is not passed on.
    pub(super) fn take_back(&mut self, response: &mut Response) {
        if let Some(body) = response.content.upstream_body() {
            self.put_rest(body.take_unread());
        }
    }

    /// Whether all of it can be sent again.
    pub(super) fn is_at_hand(&self) -> bool {
        self.taken <= self.begun.len() as u64
    }

    /// Gives the body back to the request: an error page may lead to another upstream, or the rest
    /// has to be read off the connection. While a response is passed on, the rest is with that.
    pub(super) fn give_back(self, request: &mut Request) {
        if self.of_client {
            request.begun = self.begun;
            request.body = self.rest;
        }
    }
}

/// Reads a small body that the upstream does not get: it is the value of `$request_body`. A larger one
/// stays with the client.
async fn set_aside(request: &mut Request, core: &core::Settings) -> Result<(), Refusal> {
    if request.body.taken() > request.begun.len() as u64 {
        // Another upstream has had it.
        return Ok(());
    }
    let room = core.client_body_buffer_size as u64;
    let beginning = match request.framing {
        Framing::Length(length) if length > room => return Ok(()),
        Framing::Length(length) => Beginning::Whole(length),
        // With its end.
        _ => Beginning::UpTo(room + 1),
    };
    let (begun, body) = read(request, core, beginning).await?;
    let begun = without_slack(begun);
    if body.is_done() {
        request.whole_body = Some(begun.clone());
    }
    // An error page may lead to an upstream that gets it.
    request.begun = begun;
    request.body = body;
    Ok(())
}

/// Takes the body from the request and reads its beginning.
async fn read(
    request: &mut Request,
    core: &core::Settings,
    beginning: Beginning,
) -> Result<(Vec<u8>, RequestBody), Refusal> {
    request.reserve_upload(beginning.likely()).await;
    let mut begun = take_begun(request)?;
    let mut rest = std::mem::replace(&mut request.body, RequestBody::None);
    rest.bound(bounds(request, core));
    match read_beginning(request, &mut rest, beginning, &mut begun).await {
        Ok(()) => Ok((begun, rest)),
        Err(error) => Err(lose(request, rest, error)),
    }
}

fn without_slack(mut begun: Vec<u8>) -> Bytes {
    if begun.capacity() - begun.len() > SLACK {
        begun.shrink_to_fit();
    }
    Bytes::from(begun)
}

fn bounds(request: &Request, core: &core::Settings) -> Bounds {
    // As in nginx, an announced length is compared where the location is found by its path, and so
    // not with the limit of a named one.
    let is_compared = matches!(request.framing, Framing::Length(_)) & request.located;
    Bounds {
        size: if is_compared {
            0
        } else {
            core.client_max_body_size
        },
        pause: core.client_body_timeout,
    }
}

/// A body that cannot be read stays with the request: an error page may lead to another upstream.
fn lose(request: &mut Request, body: RequestBody, error: body::Error) -> Refusal {
    request.body = body;
    refuse_body(request, error)
}

/// What has already been read of the body.
fn take_begun(request: &mut Request) -> Result<Vec<u8>, Refusal> {
    // Without this second reference the memory is not copied.
    request.whole_body = None;
    let begun = Vec::from(std::mem::take(&mut request.begun));
    if request.body.taken() > begun.len() as u64 {
        let what = "the request body has been sent to another upstream and is not at hand; raise \"client_body_buffer_size\", or name a \"client_body_temp_path\"";
        error_log::request(request, Level::Error, what);
        return Err(Refusal::closing(500));
    }
    Ok(begun)
}

/// Creates a file for the body; a failure is logged with `level`.
fn create_file(request: &Request, level: Level) -> Option<Spooled> {
    let files = request.settings().of::<client_body::Settings>();
    let worker = &request.connection.worker;
    let descriptor = worker.admission.try_for_file().or_else(|| {
        // Idle connections to upstreams have taken the rest.
        worker.pool.clear();
        worker.admission.try_for_file()
    });
    let Some(descriptor) = descriptor else {
        let what = "no file for the request body: all descriptors are in use; raise the limit of open files";
        error_log::request(request, level, what);
        return None;
    };
    let usual = || Folder {
        path: request.config.prefix.join("client_body_temp"),
        levels: Vec::new(),
    };
    let folder = files.folder.clone();
    let folder = folder.unwrap_or_else(|| Arc::new(usual()));
    // Only `client_body_in_file_only` needs a named file.
    let named = files.in_file.is_some();
    match Spooled::create(&folder, named, descriptor) {
        Ok(file) => {
            let level = if named { Level::Notice } else { Level::Warn };
            let path = file.path().display();
            let what = format!("a client request body is buffered to a temporary file {path}");
            error_log::request(request, level, what);
            Some(file)
        }
        Err((path, error)) => {
            let reason = crate::conf::reason(&error);
            let what = format!("open() \"{}\" failed ({reason})", path.display());
            error_log::request(request, level, what);
            None
        }
    }
}

/// Writes the body to a file, starting with `begun`.
async fn write_to(
    mut file: Spooled,
    request: &mut Request,
    core: &core::Settings,
    begun: Vec<u8>,
) -> Result<(), Refusal> {
    let mut body = std::mem::replace(&mut request.body, RequestBody::None);
    body.bound(bounds(request, core));
    let mut next = Some(Ok(Bytes::from(begun)));
    while let Some(piece) = next {
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Err(lose(request, body, error)),
        };
        if let Err(error) = file.append(&piece) {
            let reason = crate::conf::reason(&error);
            let what = format!("write() \"{}\" failed ({reason})", file.path().display());
            error_log::request(request, Level::Crit, what);
            body.fail(body::Error::Lost);
            request.body = body;
            return Err(Refusal::closing(500));
        }
        next = poll_fn(|cx| body.poll_data(cx)).await;
    }
    let files = request.settings().of::<client_body::Settings>();
    if files.in_file == Some(After::Kept) {
        file.keep();
    }
    // Its length is known now.
    request.framing = Framing::Length(file.length());
    request.spooled = Some(Rc::new(file));
    Ok(())
}

impl Beginning {
    /// What is kept of the body, at first, bytes.
    fn likely(self) -> u64 {
        match self {
            Self::Whole(length) => length,
            Self::UpTo(room) => room.min(LIKELY_CHUNKED),
            Self::Nothing | Self::AtHand => 0,
        }
    }
}

/// Reads the beginning of the body. No piece of it is read in bulk, since it is kept.
async fn read_beginning(
    request: &Request,
    body: &mut RequestBody,
    beginning: Beginning,
    begun: &mut Vec<u8>,
) -> Result<(), body::Error> {
    match beginning {
        Beginning::Nothing => Ok(()),
        Beginning::Whole(length) => {
            let missing = length.saturating_sub(begun.len() as u64);
            begun.reserve_exact(usize::try_from(missing).unwrap_or_default());
            while let Some(data) = poll_fn(|cx| body.poll_kept(cx)).await {
                begun.extend_from_slice(&data?);
            }
            Ok(())
        }
        Beginning::UpTo(room) => read_up_to(request, body, room, begun).await,
        Beginning::AtHand => read_at_hand(body, begun).await,
    }
}

/// Waits for `room` bytes of the body at most, not counting the last piece.
async fn read_up_to(
    request: &Request,
    body: &mut RequestBody,
    room: u64,
    begun: &mut Vec<u8>,
) -> Result<(), body::Error> {
    let mut counted = request.upload_memory.get().max(TRANSFER);
    while (begun.len() as u64) < room && !body.is_done() {
        let Some(data) = poll_fn(|cx| body.poll_kept(cx)).await else {
            break;
        };
        let data = data?;
        // Twice the size, since it is copied while it grows.
        while 2 * (begun.len() + data.len()) as u64 > counted {
            if let Some(permit) = &request.permit {
                permit.grow(counted).await;
            }
            counted *= 2;
            request.upload_memory.set(counted);
        }
        begun.extend_from_slice(&data);
    }
    Ok(())
}

/// Takes what has arrived of the body without waiting.
async fn read_at_hand(body: &mut RequestBody, begun: &mut Vec<u8>) -> Result<(), body::Error> {
    poll_fn(|cx| {
        while !body.is_done() && begun.len() < AT_HAND {
            match body.poll_kept(cx) {
                Poll::Ready(Some(Ok(data))) => begun.extend_from_slice(&data),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}

/// The client's body cannot be read.
pub(super) fn refuse_body(request: &Request, error: body::Error) -> Refusal {
    error_log::request(request, error.level(), error);
    match error {
        body::Error::Gone | body::Error::TimedOut => Refusal::silent(error.status()),
        body::Error::Invalid | body::Error::TooLarge | body::Error::Lost => {
            Refusal::closing(error.status())
        }
    }
}

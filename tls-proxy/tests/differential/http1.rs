//! Parses HTTP/1 responses: the harness's own parser, shared with neither program.

/// One response as received.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status_line: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Bytes of each chunk.
    pub(crate) chunks: Vec<usize>,
    pub(crate) framing: Framing,
    pub(crate) trailers: Vec<String>,
    /// Bytes on the wire, header included.
    pub(crate) size: usize,
    /// Bytes on the wire after the header.
    pub(crate) body_size: usize,
    /// The connection ended before the response did.
    pub(crate) is_cut: bool,
}

/// How the end of a body is known.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Framing {
    None,
    Length,
    Chunks,
    Close,
    /// No header, as in HTTP/0.9.
    Bare,
}

impl Response {
    pub(crate) fn status(&self) -> &str {
        self.status_line.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn is_interim(&self) -> bool {
        self.status().starts_with('1') && self.status() != "101"
    }

    /// A response to HEAD whose body would be one of the server's error pages.
    pub(crate) fn is_headed_page(&self) -> bool {
        let kind = self.field("content-type").unwrap_or_default();
        let is_html = kind == "text/html" || kind.starts_with("text/html;");
        self.framing == Framing::None && is_html && self.status() >= "300"
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut named = self
            .fields
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }
}

/// Parses one response at the start of `bytes`, if it is complete or the connection is over.
pub(crate) fn take_response(bytes: &[u8], to_head: bool, is_over: bool) -> Option<Response> {
    if bytes.is_empty() {
        return None;
    }
    let known = bytes.len().min(5);
    if bytes[..known] != b"HTTP/"[..known] {
        return is_over.then(|| bare(bytes));
    }
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return is_over.then(|| bare(bytes));
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut response = Response {
        status_line: lines.next().unwrap_or_default().to_owned(),
        fields: lines.map(split_field).collect(),
        body: Vec::new(),
        chunks: Vec::new(),
        framing: Framing::None,
        trailers: Vec::new(),
        size: head_end + 4,
        body_size: 0,
        is_cut: false,
    };
    let bodiless = to_head || response.status().starts_with('1');
    if bodiless || matches!(response.status(), "204" | "304") {
        return Some(response);
    }
    take_body(&bytes[head_end + 4..], &mut response, is_over).then_some(response)
}

/// Parses the body after a header; false if more is needed.
fn take_body(rest: &[u8], response: &mut Response, is_over: bool) -> bool {
    let used;
    if response.field("transfer-encoding").is_some() {
        response.framing = Framing::Chunks;
        let end = chunked_end(rest);
        if end.is_none() && !is_over {
            return false;
        }
        response.is_cut = end.is_none();
        used = end.unwrap_or(rest.len());
        (response.body, response.trailers) = join_chunks(&rest[..used]);
        response.chunks = chunk_sizes(&rest[..used]);
    } else if let Some(length) = response
        .field("content-length")
        .and_then(|v| v.parse().ok())
    {
        response.framing = Framing::Length;
        if rest.len() < length && !is_over {
            return false;
        }
        response.is_cut = rest.len() < length;
        used = rest.len().min(length);
        response.body = rest[..used].to_vec();
    } else {
        response.framing = Framing::Close;
        if !is_over {
            return false;
        }
        used = rest.len();
        response.body = rest.to_vec();
    }
    response.size += used;
    response.body_size = used;
    true
}

fn bare(bytes: &[u8]) -> Response {
    Response {
        status_line: "(no status line)".to_owned(),
        fields: Vec::new(),
        body: bytes.to_vec(),
        chunks: Vec::new(),
        framing: Framing::Bare,
        trailers: Vec::new(),
        size: bytes.len(),
        body_size: bytes.len(),
        is_cut: false,
    }
}

fn split_field(line: &str) -> (String, String) {
    match line.split_once(':') {
        Some((name, value)) => (
            name.to_owned(),
            value.strip_prefix(' ').unwrap_or(value).to_owned(),
        ),
        None => (line.to_owned(), String::new()),
    }
}

/// Where a chunked body that starts `bytes` ends, trailers included.
pub(crate) fn chunked_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = line_end(bytes, at)?;
        let size = chunk_size(&bytes[at..line])?;
        at = line + 2;
        if size == 0 {
            break;
        }
        at = at.checked_add(size)?.checked_add(2)?;
        if at > bytes.len() {
            return None;
        }
    }
    loop {
        let line = line_end(bytes, at)?;
        let is_last = line == at;
        at = line + 2;
        if is_last {
            return Some(at);
        }
    }
}

/// The bytes and the trailer lines of a chunked body, as far as it goes.
pub(crate) fn join_chunks(bytes: &[u8]) -> (Vec<u8>, Vec<String>) {
    let (mut body, mut trailers) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(line) = line_end(bytes, at) {
        let Some(size) = chunk_size(&bytes[at..line]) else {
            break;
        };
        at = line + 2;
        if size == 0 {
            break;
        }
        let end = at.saturating_add(size).min(bytes.len());
        body.extend_from_slice(&bytes[at.min(end)..end]);
        at = end.saturating_add(2);
    }
    while let Some(line) = line_end(bytes, at) {
        if line == at {
            break;
        }
        trailers.push(String::from_utf8_lossy(&bytes[at..line]).into_owned());
        at = line + 2;
    }
    (body, trailers)
}

/// The size of each chunk that carries something.
fn chunk_sizes(bytes: &[u8]) -> Vec<usize> {
    let (mut sizes, mut at) = (Vec::new(), 0_usize);
    while let Some(line) = line_end(bytes, at) {
        match chunk_size(&bytes[at..line]) {
            Some(size) if size > 0 => sizes.push(size),
            _ => break,
        }
        at = (line + 4).saturating_add(sizes[sizes.len() - 1]);
    }
    sizes
}

fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(2)
        .position(|window| window == b"\r\n")
        .map(|at| from + at)
}

fn chunk_size(line: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(line).ok()?;
    usize::from_str_radix(text.split(';').next()?.trim(), 16).ok()
}

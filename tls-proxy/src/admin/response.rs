//! The responses of the admin port.

use pod::exposition;

use super::{AdminContext, page};
use crate::lifecycle::drain::Phase;
use crate::message::head::RequestHead;
use crate::message::status::reason;
use crate::time::clock::Stamp;

/// A response of the admin port.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AdminResponse {
    status: u16,
    kind: &'static str,
    body: String,
    /// The response to a HEAD: only the length of the body is sent.
    bodiless: bool,
}

impl AdminResponse {
    fn text(status: u16, body: impl Into<String>) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.into(),
            bodiless: false,
        }
    }

    /// A response with only the status.
    pub(super) fn refusal(status: u16) -> Self {
        // nginx's own status for a head that is too large.
        let status = if status == 494 { 431 } else { status };
        Self::text(status, format!("{}\n", words(status)))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        let allow = if self.status == 405 {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let mut out = format!(
            "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
            self.status,
            words(self.status),
            String::from_utf8_lossy(&Stamp::now().http),
            self.kind,
            self.body.len(),
        );
        if !self.bodiless {
            out.push_str(&self.body);
        }
        out.into_bytes()
    }
}

fn words(status: u16) -> &'static str {
    match status {
        // nginx has no reason phrase for it.
        431 => "Request Header Fields Too Large",
        status => reason(status),
    }
}

/// Produces the response to a request.
pub(super) async fn respond(head: &RequestHead, site: &AdminContext) -> AdminResponse {
    let path = head.target.split(|byte| *byte == b'?').next();
    let known = matches!(path, Some(b"/healthz" | b"/readiness" | b"/metrics"));
    if !known {
        return AdminResponse::refusal(404);
    }
    let bodiless = match &head.method[..] {
        b"GET" => false,
        b"HEAD" => true,
        _ => return AdminResponse::refusal(405),
    };
    let response = match path {
        Some(b"/healthz") => healthz(site).await,
        Some(b"/readiness") => readiness(*site.phase.borrow()),
        _ => metrics(site),
    };
    AdminResponse {
        bodiless,
        ..response
    }
}

async fn healthz(site: &AdminContext) -> AdminResponse {
    let phase = *site.phase.borrow();
    match site.probe.lock().await.check(phase).await {
        Ok(()) => AdminResponse::text(200, "ok\n"),
        Err(error) => AdminResponse::text(503, format!("{error}\n")),
    }
}

fn readiness(phase: Phase) -> AdminResponse {
    if phase.is_ending() {
        AdminResponse::text(503, format!("{}\n", phase.meaning()))
    } else {
        AdminResponse::text(200, "ok\n")
    }
}

fn metrics(site: &AdminContext) -> AdminResponse {
    AdminResponse {
        status: 200,
        kind: exposition::CONTENT_TYPE,
        body: page::page(&site.status.snapshot(), *site.phase.borrow()),
        bodiless: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_shuts_down_is_not_ready() {
        assert_eq!(readiness(Phase::Serving).status, 200);
        for phase in [Phase::LameDuck, Phase::Draining, Phase::Deadline] {
            assert_eq!(readiness(phase).status, 503);
        }
    }

    #[test]
    fn a_head_gets_the_length_without_the_body() {
        let response = AdminResponse {
            bodiless: true,
            ..AdminResponse::text(200, "ok\n")
        };
        let text = String::from_utf8(response.into_bytes()).unwrap();
        assert!(text.contains("Content-Length: 3\r\n") && text.ends_with("\r\n\r\n"));
    }

    #[test]
    fn a_405_names_the_allowed_methods() {
        let text = String::from_utf8(AdminResponse::refusal(405).into_bytes()).unwrap();
        assert!(text.contains("Allow: GET, HEAD\r\n"), "{text}");
        assert_eq!(AdminResponse::refusal(494).status, 431);
    }
}

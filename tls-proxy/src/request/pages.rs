//! nginx's error pages.

use bytes::Bytes;

use crate::message::status::reason;

/// The product as `Server` names it (RFC 9110, section 10.2.4).
pub(crate) fn product(tokens: bool) -> &'static str {
    if tokens {
        concat!("tls-proxy/", env!("CARGO_PKG_VERSION"))
    } else {
        "tls-proxy"
    }
}

/// The status that is sent: 400 for those that are nginx's own.
pub(crate) fn sent_as(status: u16) -> u16 {
    match status {
        494..=497 => 400,
        status => status,
    }
}

/// The page of a status; empty if it has none.
pub(crate) fn page(status: u16, tokens: bool) -> Bytes {
    let shown = sent_as(status);
    let words = match shown {
        401 => "Authorization Required",
        302 => "Found",
        301..=599 => reason(shown),
        _ => "",
    };
    if words.is_empty() || status == 304 {
        return Bytes::new();
    }
    let detail = page_detail(status);
    let title = detail.unwrap_or(words);
    let detail = detail
        .map(|text| format!("<center>{text}</center>\r\n"))
        .unwrap_or_default();
    let product = product(tokens);
    format!(
        "<html>\r\n<head><title>{shown} {title}</title></head>\r\n<body>\r\n\
         <center><h1>{shown} {words}</h1></center>\r\n{detail}\
         <hr><center>{product}</center>\r\n</body>\r\n</html>\r\n"
    )
    .into()
}

/// A page with nginx's padding: browsers replace a short page by one of their own
/// (`msie_padding`).
pub(crate) fn pad(page: &[u8]) -> Bytes {
    const LINE: &[u8] = b"<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n";
    [page, &LINE.repeat(6)].concat().into()
}

/// The extra line of nginx's own statuses, which are sent as `400 Bad Request`.
fn page_detail(status: u16) -> Option<&'static str> {
    match status {
        494 => Some("Request Header Or Cookie Too Large"),
        495 => Some("The SSL certificate error"),
        496 => Some("No required SSL certificate was sent"),
        497 => Some("The plain HTTP request was sent to HTTPS port"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(status: u16) -> String {
        String::from_utf8_lossy(&page(status, false)).into_owned()
    }

    #[test]
    fn plain_http_on_a_tls_port_gets_nginx_words() {
        let page = text(497);
        assert!(page.contains("<title>400 The plain HTTP request was sent to HTTPS port</title>"));
        assert!(page.contains("<h1>400 Bad Request</h1>"));
        assert!(page.contains("<center>The plain HTTP request was sent to HTTPS port</center>"));
    }

    #[test]
    fn statuses_without_a_page_have_none() {
        assert_eq!(
            (text(200), text(418), text(304)),
            (String::new(), String::new(), String::new())
        );
    }
}

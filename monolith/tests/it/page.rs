//! `GET /` for browsers: when it is a page, its content, its security policy.

use crate::support::*;

const CHROME: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// Requests the page as a browser does, with more header fields.
async fn page(server: &Server, fields: &[&str]) -> Response {
    let mut all = vec![CHROME];
    all.extend(fields);
    let response = get(server.http, "/", &all).await;
    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    response
}

#[tokio::test]
async fn clients_that_do_not_prefer_html_get_json() {
    let server = Server::start(config());
    for fields in [
        &[][..],
        &["Accept: */*"],
        &["Accept: application/json"],
        &["Accept:"],
        &["Accept: text/html, application/json"],
        &["Accept: text/html;q=0.5, */*;q=0.8"],
        &["Accept: image/png"],
    ] {
        let response = get(server.http, "/", fields).await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (200, r#"{"message":"Hello"}"#),
            "{fields:?}"
        );
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_eq!(response.header("content-length"), Some("19"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn browsers_get_a_page() {
    let server = Server::start(config());
    let response = page(&server, &[]).await;
    assert!(response.body.starts_with("<!DOCTYPE html>"));
    assert!(response.body.ends_with("</html>\n"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let bytes = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(bytes.as_str()));
    let line = server.log.lines(1).await.remove(0);
    assert!(line.contains(&format!("\"GET /\" 200 {bytes} ")), "{line}");
}

#[tokio::test]
async fn the_response_varies_by_accept() {
    let server = Server::start(config());
    for accept in [CHROME, "Accept: */*"] {
        let response = get(server.http, "/", &[accept]).await;
        assert_eq!(response.header("vary"), Some("Accept"));
    }
}

#[tokio::test]
async fn head_has_the_fields_of_the_page_and_no_body() {
    let server = Server::start(config());
    let head = exchange(server.http, "HEAD", "/", &[CHROME]).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    let got = page(&server, &[]).await;
    for name in [
        "content-type",
        "content-length",
        "content-security-policy",
        "vary",
    ] {
        assert!(got.header(name).is_some(), "{name}");
        assert_eq!(head.header(name), got.header(name), "{name}");
    }
}

#[tokio::test]
async fn header_values_are_escaped() {
    let server = Server::start(config());
    let attack = "<script>alert(1)</script>\"'&amp;";
    let fields = [
        format!("X-Attack: {attack}"),
        format!("User-Agent: </table>{attack}"),
        format!("X-SSL-Protocol: {attack}"),
        "X-SSL-Client-Verify: SUCCESS".to_owned(),
        format!("X-SSL-Client-S-DN: CN={attack}"),
        format!("X-Forwarded-For: {attack}"),
    ];
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let body = page(&server, &fields).await.body;
    assert!(!body.contains("<script>alert"), "{body}");
    assert_eq!(body.matches("<script>").count(), 1);
    assert_eq!(body.matches("</table>").count(), 1);
    assert_eq!(
        body.matches("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;amp;")
            .count(),
        8
    );
}

#[tokio::test]
async fn header_names_are_escaped() {
    let server = Server::start(config());
    // The only special characters of HTML in a token (RFC 9110, section 5.6.2).
    let body = page(&server, &["x-&lt'y: 1"]).await.body;
    assert!(body.contains("x-&amp;lt&#39;y"), "{body}");
}

#[tokio::test]
async fn credentials_are_not_shown() {
    let server = Server::start(config());
    let fields = [
        "Authorization: Bearer hidden",
        "Cookie: a=hidden",
        "Proxy-Authorization: Basic hidden",
    ];
    let body = page(&server, &fields).await.body;
    assert!(!body.contains("hidden"));
    assert_eq!(body.matches("sent, not shown").count(), 3);
}

#[tokio::test]
async fn without_a_proxy_the_connection_is_not_known() {
    let server = Server::start(config());
    let body = page(&server, &[]).await.body;
    assert_eq!(body.matches("<dd>not known</dd>").count(), 4);
}

#[tokio::test]
async fn the_connection_is_described_by_the_proxy() {
    let server = Server::start(config());
    let fields = [
        "X-Forwarded-For: 192.0.2.7",
        "X-SSL-Protocol: TLSv1.3",
        "X-SSL-Curve: X25519MLKEM768",
        "X-SSL-Client-Verify: NONE",
    ];
    let body = page(&server, &fields).await.body;
    for value in ["192.0.2.7", "TLSv1.3", "X25519MLKEM768", "none sent"] {
        assert!(body.contains(&format!("<dd>{value}</dd>")), "{value}");
    }
    for (verify, shown) in [
        ("SUCCESS", "CN=Ana,O=Example"),
        (
            "FAILED:certificate has expired",
            "CN=Ana,O=Example (FAILED:certificate has expired)",
        ),
    ] {
        let verify = format!("X-SSL-Client-Verify: {verify}");
        let body = page(&server, &[&verify, "X-SSL-Client-S-DN: CN=Ana,O=Example"])
            .await
            .body;
        assert!(body.contains(&format!("<dd>{shown}</dd>")), "{shown}");
    }
}

/// The hash of an element's content, as a browser computes it.
fn hash_of(body: &str, element: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let (_, rest) = body.split_once(&format!("<{element}>")).unwrap();
    let (content, _) = rest.split_once(&format!("</{element}>")).unwrap();
    let hash = sha2::Sha256::digest(content);
    let encoded = base64::engine::general_purpose::STANDARD.encode(hash);
    format!("'sha256-{encoded}'")
}

#[tokio::test]
async fn the_policy_allows_the_pages_own_script_and_style_and_no_other() {
    let server = Server::start(config());
    let response = page(&server, &[]).await;
    let expected = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
        hash_of(&response.body, "script"),
        hash_of(&response.body, "style"),
    );
    assert_eq!(
        response.header("content-security-policy"),
        Some(expected.as_str())
    );
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
}

#[tokio::test]
async fn the_page_loads_nothing_else() {
    let server = Server::start(config());
    let body = page(&server, &[]).await.body;
    for way in ["src=", "<link", "@import", "url(", "style=", "onclick="] {
        assert!(!body.contains(way), "{way}");
    }
}

#[tokio::test]
async fn the_size_of_the_page_is_bounded() {
    let server = Server::start(config());
    let plain = page(&server, &[]).await.body.len();
    let long = |name: &str, count| format!("{name}: {}", "\"".repeat(count));
    let one = [long("X-Long", 7000)];
    let many: Vec<String> = (0..90).map(|n| long(&format!("X-{n}"), 60)).collect();
    let all = [
        "X-Forwarded-For",
        "X-SSL-Protocol",
        "X-SSL-Curve",
        "X-SSL-Client-Verify",
        "X-SSL-Client-S-DN",
        "Y",
    ];
    let described = all.map(|name| long(name, 1200));
    for (fields, end) in [
        (&one[..], "…"),
        (&many, "not shown"),
        (&described, "not shown"),
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let body = page(&server, &fields).await.body;
        assert!(body.len() < plain + 7 * 1024, "{}", body.len() - plain);
        assert!(body.contains(end), "{body}");
    }
}

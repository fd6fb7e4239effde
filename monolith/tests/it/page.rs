//! `GET /` for browsers: who gets the page, what is in it, what protects it.

use crate::support::*;

const CHROME: &str =
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";

/// The page as a browser gets it that sends these fields, too.
async fn page(server: &Server, fields: &[&str]) -> Answer {
    let mut all = vec![CHROME];
    all.extend(fields);
    let answer = get(server.http, "/", &all).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    answer
}

#[tokio::test]
async fn curl_and_whoever_is_indifferent_get_the_same_json_as_ever() {
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
        let answer = get(server.http, "/", fields).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, r#"{"message":"Hello"}"#),
            "{fields:?}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("content-length"), Some("19"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn browsers_get_a_page() {
    let server = Server::start(config());
    let answer = page(&server, &[]).await;
    assert!(answer.body.starts_with("<!DOCTYPE html>"));
    assert!(answer.body.ends_with("</html>\n"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let bytes = answer.body.len().to_string();
    assert_eq!(answer.header("content-length"), Some(bytes.as_str()));
    let line = server.log.lines(1).await.remove(0);
    assert!(line.contains(&format!("\"GET /\" 200 {bytes} ")), "{line}");
}

#[tokio::test]
async fn caches_are_told_that_the_response_varies() {
    let server = Server::start(config());
    for accept in [CHROME, "Accept: */*"] {
        let answer = get(server.http, "/", &[accept]).await;
        assert_eq!(answer.header("vary"), Some("Accept"));
    }
}

#[tokio::test]
async fn head_has_the_fields_of_the_page_and_no_body() {
    let server = Server::start(config());
    let head = ask(server.http, "HEAD", "/", &[CHROME]).await;
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
async fn what_a_client_sends_is_text_on_the_page() {
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
async fn a_name_of_a_field_is_text_on_the_page() {
    let server = Server::start(config());
    // The only characters of a token (RFC 9110, section 5.6.2) that mean something in HTML.
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
async fn a_direct_visitor_sees_that_the_connection_is_not_known() {
    let server = Server::start(config());
    let body = page(&server, &[]).await.body;
    assert_eq!(body.matches("<dd>not known</dd>").count(), 4);
}

#[tokio::test]
async fn the_proxy_in_front_tells_of_the_connection() {
    let server = Server::start(config());
    let fields = [
        "X-Forwarded-For: 192.0.2.7",
        "X-SSL-Protocol: TLSv1.3",
        "X-SSL-Curve: X25519MLKEM768",
        "X-SSL-Client-Verify: NONE",
    ];
    let body = page(&server, &fields).await.body;
    for told in ["192.0.2.7", "TLSv1.3", "X25519MLKEM768", "none sent"] {
        assert!(body.contains(&format!("<dd>{told}</dd>")), "{told}");
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

/// The element's content, as the browser hashes it.
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
    let answer = page(&server, &[]).await;
    let expected = format!(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
        hash_of(&answer.body, "script"),
        hash_of(&answer.body, "style"),
    );
    assert_eq!(
        answer.header("content-security-policy"),
        Some(expected.as_str())
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere() {
    let server = Server::start(config());
    let body = page(&server, &[]).await.body;
    for way in ["src=", "<link", "@import", "url(", "style=", "onclick="] {
        assert!(!body.contains(way), "{way}");
    }
}

#[tokio::test]
async fn the_largest_request_makes_a_page_of_bounded_size() {
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
    let told = all.map(|name| long(name, 1200));
    for (fields, end) in [(&one[..], "…"), (&many, "not shown"), (&told, "not shown")] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let body = page(&server, &fields).await.body;
        assert!(body.len() < plain + 7 * 1024, "{}", body.len() - plain);
        assert!(body.contains(end), "{body}");
    }
}

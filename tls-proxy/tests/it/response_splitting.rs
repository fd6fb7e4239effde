//! What a client chooses does not become a field of its response, or another request.

use crate::support::{Place, Proxy, Upstream};

#[test]
fn a_decoded_path_does_not_end_the_field_that_it_is_in() {
    let place = Place::new("splitting");
    place.write("users", "user:{PLAIN}password\n");
    let _upstream = Upstream::start(&place, |mut served| {
        served.request();
        served.write("HTTP/1.1 302 Found\r\nLocation: http://a/\r\nContent-Length: 0\r\n\r\n");
    });
    let proxy = Proxy::start(
        place,
        "server { listen {plain}; add_header X-Uri $uri always;
             location / { return 200 a; add_trailer X-Uri $uri; charset $uri; default_type text/html; }
             location /return { return 302 http://x$uri; }
             location /rewrite { rewrite ^/rewrite(.*)$ http://x$1; }
             location /error { error_page 403 http://x$uri; return 403; }
             location /proxy { proxy_pass http://{upstream}; proxy_redirect http://a/ http://x$uri; }
             location /auth { auth_basic $uri; auth_basic_user_file {folder}/users; } }",
    );
    for path in ["", "return", "rewrite", "error", "proxy", "auth"] {
        for end in ["%0d%0a", "%0a", "%0d"] {
            let response = proxy
                .connect()
                .fetch(&format!("/{path}{end}X-Other:%20a{end}"));
            let lines = [response.head, response.trailers].concat();
            assert!(lines.contains("X-Other: a"), "{path}: {lines}");
            let fields = lines.split(['\r', '\n']);
            let other = fields.filter(|line| line.starts_with("X-Other")).count();
            assert_eq!(other, 0, "{path}: {lines}");
        }
    }
}

#[test]
fn a_decoded_path_does_not_end_the_request_for_the_upstream() {
    let place = Place::new("request_splitting");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::start(
        place,
        "server { listen {plain};
             location /rewrite { rewrite ^ /x?u=$uri break; proxy_pass http://{upstream}; }
             location /set { set $args u=$uri; proxy_pass http://{upstream}; }
             location /base/ { set $args u=$uri; proxy_pass http://{upstream}/x/; } }",
    );
    let paths = ["rewrite", "set", "base/"];
    for path in paths {
        let other = "%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/other%20HTTP/1.1%0d%0aX:%20a";
        proxy.connect().fetch(&format!("/{path}{other}"));
    }
    let seen = upstream.seen();
    assert_eq!(seen.len(), paths.len(), "{seen:?}");
    for head in seen {
        let line = head.lines().next().unwrap_or_default();
        assert!(
            line.contains("HTTP/1.1%0D%0AHost: a%0D%0A%0D%0AGET /other"),
            "{head}"
        );
    }
}

#[test]
fn a_method_of_a_variable_is_one_token() {
    let place = Place::new("method_splitting");
    let upstream = Upstream::echo(&place);
    let proxy = Proxy::start(
        place,
        "server { listen {plain}; error_page 500 /page; location = /page { internal; return 200 page; }
             location ~ ^/(?<verb>[^:]*):(?<rest>.*)$ { proxy_method $verb; proxy_pass http://{upstream}$rest; } }",
    );
    for (verb, accepted) in [
        ("PATCH", true),
        ("m-search", true),
        ("GET%20/other%20HTTP/1.1%0d%0a%0d%0aGET", false),
        ("A%0d%0aB", false),
        ("A%20B", false),
        ("A/B", false),
        ("", false),
    ] {
        let response = proxy.connect().fetch(&format!("/{verb}:/pub"));
        assert_eq!(response.body == b"page", !accepted, "{verb}");
    }
    let seen = upstream.seen();
    let lines = seen.iter().filter_map(|head| head.lines().next());
    let lines: Vec<_> = lines.collect();
    assert_eq!(lines, ["PATCH /pub HTTP/1.1", "m-search /pub HTTP/1.1"]);
}

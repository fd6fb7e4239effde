//! Cases made at random: locations that lead to each other by rewriting, error pages, subrequests
//! and upstreams' responses, and requests for them. A seed and a number always make the same case.

use std::fmt::Write as _;

/// Locations by path of one configuration, and those by name.
const PATHS: usize = 6;
const NAMED: usize = 3;
/// Requests of a case.
const REQUESTS: usize = 12;

/// The case of a seed and a number.
pub(crate) fn case(seed: u64, number: u64) -> String {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9) ^ number.wrapping_mul(0x85eb_ca6b));
    let mut text = format!(
        "title: Case {number} of seed {seed}\n\
         --- file users\nu:{{PLAIN}}p\n\
         --- file root/index.html\nindex <b>of</b> all\n\
         --- file root/small.txt\nsmall\n\
         --- file root/files/a.txt\n0123456789abcdefghijklmnopqrstuvwxyz\n\
         --- file root/files/index.html\nindex of files\n\
         --- conf\n{}",
        configuration(&mut random)
    );
    for upstream in 1..=3 {
        for _ in 0..random.within(1, 3) {
            text += &response(&mut random, upstream);
        }
    }
    for _ in 0..REQUESTS {
        text += &request(&mut random);
    }
    text
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn within(&mut self, least: usize, most: usize) -> usize {
        least + self.below(most - least + 1)
    }

    /// `true` in so many cases of 100.
    fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// A text in which `N` is a location by path and `M` one by name.
    fn filled(&mut self, of: &[&str]) -> String {
        let text = self.one(of).to_owned();
        let path = self.below(PATHS).to_string();
        text.replace("/lN", &format!("/l{path}"))
            .replace("@nM", &format!("@n{}", self.below(NAMED)))
    }
}

fn configuration(random: &mut Random) -> String {
    let mut text = String::from(
        "log_format seen '$request|$status|$uri$is_args|$upstream_status|$v';\n\
         upstream app { server %UPSTREAM% max_fails=0; server %UPSTREAM_2% max_fails=0; keepalive 2; }\n\
         map $arg_q $mapped { default m; 1 one; ~^x(?<rest>.*)$ $rest; }\n\
         server { listen 127.0.0.1:%PORT%; http2 on; server_name a b.example; access_log %PREFIX%/seen-access.log seen if=$request; root %ROOT%; set $v \"\";\n",
    );
    text += &page(random, 40);
    if random.chance(30) {
        text += "  proxy_intercept_errors on;\n";
    }
    if random.chance(25) {
        let line = rewriting(random, true);
        writeln!(text, "  {line}").unwrap();
    }
    if random.chance(20) {
        text += random.one(&[
            "  gzip on; gzip_min_length 1; gzip_types *;\n",
            "  charset utf-8;\n",
            "  expires 1h;\n",
            "  absolute_redirect off;\n",
            "  merge_slashes off;\n",
            "  add_trailer X-T \"$v\";\n",
        ]);
    }
    for number in 0..PATHS {
        let kind = random.one(&[
            "P",
            "P",
            "P",
            "^~ P",
            "= P",
            "~ ^P(?<rest>.*)$",
            "P/",
            "~* P/(.)",
        ]);
        let name = kind.replace('P', &format!("/l{number}"));
        let kind = if kind.starts_with('~') {
            Kind::Pattern
        } else {
            Kind::Prefix
        };
        writeln!(text, "  location {name} {{\n{}  }}", location(random, kind)).unwrap();
    }
    for number in 0..NAMED {
        writeln!(
            text,
            "  location @n{number} {{\n{}  }}",
            location(random, Kind::Named)
        )
        .unwrap();
    }
    let inside = random.one(&[
        "",
        "internal;",
        "error_page 401 404 /auth/page;",
        "error_page 500 =401 @n0;",
    ]);
    let asked = random.filled(&[
        "proxy_pass http://%UPSTREAM_2%/asked;",
        "proxy_pass http://%UPSTREAM_3%;",
        "proxy_pass http://%UPSTREAM_2%; proxy_intercept_errors on;",
        "return 401;",
        "return 204;",
        "rewrite ^ /small.txt break;",
        "try_files /nope /small.txt =403;",
    ]);
    // Without the body: nginx announces it and does not send it.
    let bodiless = "proxy_pass_request_body off; proxy_set_header Content-Length \"\";";
    writeln!(text, "  location /auth {{ {inside} {bodiless} {asked} }}").unwrap();
    text + "}\n"
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prefix,
    Pattern,
    Named,
}

fn location(random: &mut Random, kind: Kind) -> String {
    let mut lines = Vec::new();
    if random.chance(85) {
        lines.push(
            "add_header X-D \"$uri $args $is_args$request_uri $request_method $v $mapped \
             $upstream_status $upstream_http_x_u $request_filename\" always;"
                .to_owned(),
        );
    }
    for _ in 0..random.one(&["", "", "", "1", "1", "12"]).len() {
        lines.push(rewriting(random, true));
    }
    lines.push(page(random, 45));
    let options: [(u64, &[&str]); 12] = [
        (25, &["recursive_error_pages on;"]),
        (35, &["proxy_intercept_errors on;"]),
        (15, &["client_max_body_size 3;", "client_max_body_size 8;"]),
        (
            15,
            &[
                "deny all;",
                "satisfy any; deny all; auth_basic x; auth_basic_user_file %PREFIX%/users;",
                "auth_basic \"r $v\"; auth_basic_user_file %PREFIX%/users;",
            ],
        ),
        (15, &["auth_request /auth;", "auth_request /auth/q;"]),
        (
            10,
            &["auth_request_set $v \"$upstream_http_x_u.$upstream_status\";"],
        ),
        (15, &["internal;"]),
        (
            10,
            &[
                "limit_except GET { deny all; }",
                "limit_except POST { proxy_pass http://%UPSTREAM_3%; }",
            ],
        ),
        (
            15,
            &["proxy_next_upstream error http_500 http_404 non_idempotent;"],
        ),
        (
            15,
            &[
                "proxy_http_version 1.1; proxy_set_header Connection \"\";",
                "proxy_buffering off;",
                "proxy_request_buffering off; proxy_http_version 1.1;",
                "proxy_pass_trailers on;",
            ],
        ),
        (
            15,
            &[
                "proxy_pass_request_body off; proxy_set_header Content-Length \"\";",
                "proxy_method POST;",
                "proxy_set_body \"b$v\";",
                "proxy_hide_header X-U;",
                "proxy_ignore_headers X-Accel-Redirect;",
                "proxy_redirect http://%UPSTREAM%/ /lN/;",
                "proxy_redirect off;",
                "proxy_cookie_path / /lN;",
            ],
        ),
        (
            12,
            &[
                "add_header X-L l;",
                "default_type text/css;",
                "types { text/plain txt; }",
                "index small.txt a.txt;",
                "autoindex off;",
                "etag off;",
                "if_modified_since off;",
                "max_ranges 0;",
                "error_page 404 =200 /small.txt;",
            ],
        ),
    ];
    for (percent, of) in options {
        // A named location is never the client's, and has no prefix to be internal to.
        if random.chance(percent) {
            lines.push(random.filled(of));
        }
    }
    let content: &[&str] = match (random.below(10), kind) {
        (0..=2, Kind::Prefix) => &[
            "proxy_pass http://%UPSTREAM%/;",
            "proxy_pass http://app/p;",
            "proxy_pass http://%UPSTREAM_2%/p?h=1;",
            "proxy_pass http://%UPSTREAM_3%$uri$is_args$args;",
        ],
        (0..=4, _) => &[
            "proxy_pass http://%UPSTREAM%;",
            "proxy_pass http://%UPSTREAM_2%;",
            "proxy_pass http://app;",
            "proxy_pass http://%DEAD%;",
        ],
        (5..=6, _) => &[
            "try_files $uri $uri/ /lN/t?$args;",
            "try_files /nope @nM;",
            "try_files /small.txt =404;",
            "try_files $uri $uri/index.html =403;",
            "try_files /nope$uri /lN;",
            "try_files /files/ /lN;",
        ],
        (7, Kind::Prefix) => &[
            "alias %ROOT%/files/;",
            "alias %ROOT%/files;",
            "alias %ROOT%/files/a.txt;",
        ],
        (7, Kind::Pattern) => &["alias %ROOT%/files$1;", "alias %ROOT%/files/$1.txt;"],
        (8, _) => &["root %ROOT%/files;", "root %ROOT%; index nope small.txt;"],
        _ => &[
            "return 200 \"said $uri $args $v\\n\";",
            "return 404;",
            "return 403 no;",
            "return 302 /lN?from=$uri;",
            "return 401;",
            "return 204;",
            "return 503 \"busy $uri\";",
            "",
        ],
    };
    // A pattern has no capture of another's name.
    lines.push(random.filled(content));
    lines.retain(|line| !line.trim().is_empty());
    let mut text = String::new();
    for line in lines {
        writeln!(text, "    {}", line.trim()).unwrap();
    }
    text
}

/// An `error_page`, in so many cases of 100.
fn page(random: &mut Random, percent: u64) -> String {
    if !random.chance(percent) {
        return String::new();
    }
    let statuses = random.one(&[
        "404",
        "403 404",
        "404 500 502",
        "401 403",
        "413",
        "302 404",
        "503 500",
        "405 404",
    ]);
    let status = random.one(&["", "", "=", "=418"]);
    let page = random.filled(&[
        "/lN",
        "/lN/page?q=3",
        "@nM",
        "@nM",
        "/small.txt",
        "/lN$uri?e=1",
        "/files/a.txt",
        "http://b.example/lN",
    ]);
    format!("  error_page {statuses} {status} {page};\n")
}

/// A directive of the rewrite module.
fn rewriting(random: &mut Random, may_nest: bool) -> String {
    match random.below(if may_nest { 12 } else { 8 }) {
        0 | 1 => random.filled(&[
            "rewrite ^/l0(.*)$ /lN$1 last;",
            "rewrite ^/l1(.*)$ /lN$1 break;",
            "rewrite ^/l2(.*)$ /lN$1;",
            "rewrite ^/l[345](.*)$ /lN/r$1?r=1 last;",
            "rewrite ^ /lN/x? break;",
            "rewrite ^/l3/(.*)$ /lN?p=$1 redirect;",
            "rewrite /sub /small.txt last;",
            "rewrite ^/l4 /lN permanent;",
        ]),
        2 => "set $v \"$v+$uri\";".to_owned(),
        3 => "set $args \"s=1&$args\";".to_owned(),
        4 => "break;".to_owned(),
        5 => random.filled(&[
            "set $v $mapped;",
            "set $limit_rate 100k;",
            "set $v \"$arg_q$http_x_v\";",
            "set $v $upstream_http_x_u;",
        ]),
        6 | 7 => random.filled(&[
            "return 404;",
            "return 403;",
            "return 500;",
            "return 302 /lN;",
            "return 200 \"r $uri $v\";",
            "return 413;",
            "return 301 http://b.example$request_uri;",
            "return 444;",
        ]),
        _ => {
            let condition = random.one(&[
                "$arg_q",
                "$arg_q = 1",
                "$http_x_v",
                "$request_method = POST",
                "$request_method != GET",
                "$uri ~ \"^/l[0-2](.*)$\"",
                "$v",
                "-f $request_filename",
                "!-e $request_filename",
                "-d $document_root$uri",
                "$http_cookie ~* \"c=(?<cookie>\\w+)\"",
                "$content_length",
            ]);
            let line = rewriting(random, false);
            format!("if ({condition}) {{ {line} }}")
        }
    }
}

/// The response to the next request at an upstream.
fn response(random: &mut Random, upstream: usize) -> String {
    let options = random.one(&["", "", "", "pieces=3", "close", "delay=10"]);
    let head = random.filled(&[
        "200 OK",
        "200 OK",
        "200 OK",
        "404 Not Found",
        "401 Unauthorized\nWWW-Authenticate: Basic realm=\"u\"",
        "403 Forbidden",
        "500 Internal Server Error",
        "503 Busy\nRetry-After: 3",
        "302 Found\nLocation: http://%UPSTREAM%/moved?x=1",
        "301 Moved\nLocation: /lN/there",
        "304 Not Modified",
        "204 No Content",
        "206 Partial Content\nContent-Range: bytes 0-4/9",
        "200 OK\nX-Accel-Redirect: /lN/accel?q=1",
        "404 Not Found\nX-Accel-Redirect: @nM",
        "200 OK\nX-Accel-Redirect: /files/a.txt",
        "200 OK\nX-Accel-Buffering: no",
    ]);
    let more = random.one(&[
        "",
        "",
        "X-U: u\n",
        "Set-Cookie: c=1; Path=/\nSet-Cookie: d=2\n",
        "ETag: \"e\"\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT\n",
        "Content-Type: text/plain\nX-U: t\n",
        "Cache-Control: no-store\nExpires: 0\n",
        "Server: up\nDate: Mon, 02 Jan 2006 15:04:05 GMT\n",
    ]);
    let body = if head.starts_with("304") || head.starts_with("204") {
        "\n"
    } else {
        random.one(&[
            "Content-Length: 5\n\nhello",
            "Content-Length: 5\n\nhello",
            "Transfer-Encoding: chunked\n\n3\nabc\n2\nde\n0\n\n",
            "Content-Length: 0\n\n",
            "Content-Length: 26\n\nabcdefghijklmnopqrstuvwxyz",
        ])
    };
    format!("--- upstream {upstream} {options}\nHTTP/1.1 {head}\n{more}{body}\n")
}

fn request(random: &mut Random) -> String {
    let path = random.filled(&[
        "/lN",
        "/lN",
        "/lN/",
        "/lN/sub",
        "/lN/x%20y?q=1",
        "/lN?q=x7",
        "/lN/a.txt",
        "/lN/files/a.txt",
        "//lN//x",
        "/lN/../l0/z",
        "/files",
        "/files/",
        "/files/a.txt",
        "/small.txt",
        "/",
        "/nope",
        "/lN/%2e/b",
        "/LN",
    ]);
    let fields: String = (0..random.below(3))
        .map(|_| {
            random.one(&[
                "Authorization: Basic dTpw\n",
                "Authorization: Basic dTp4\n",
                "Range: bytes=1-3\n",
                "If-None-Match: \"e\"\n",
                "If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT\n",
                "Accept-Encoding: gzip\n",
                "X-V: 1\n",
                "Cookie: c=1; d=2\n",
                "Referer: http://a/\n",
            ])
        })
        .collect();
    let (method, body) = match random.below(10) {
        0..=4 => ("GET", ""),
        5 => ("HEAD", ""),
        6 => ("POST", "Content-Length: 5\n\n12345"),
        7 => ("POST", "Content-Length: 12\n\n0123456789ab"),
        8 => ("PUT", "Transfer-Encoding: chunked\n\n5\nhello\n0\n"),
        _ => (random.one(&["OPTIONS", "DELETE", "GET"]), ""),
    };
    let end = if body.is_empty() { "" } else { body };
    // Over HTTP/2 nginx resets a stream whose body it does not read; here it is left to the client.
    let over_both = body.is_empty() && random.chance(30);
    let kind = if over_both { "both" } else { "request" };
    format!("--- {kind}\n{method} {path} HTTP/1.1\nHost: a\n{fields}{end}\n")
}

//! `--log-format json`: every line is one JSON object, whatever clients send.

use crate::support::proxy::{around, output};
use crate::support::{self, Place, Proxy, Upstream, eventually, stderr};
use rustix::process::Signal;

/// What clients send: requests, and what is not one.
const HOSTILE: [&[u8]; 7] = [
    b"GET /\"\\\x01\x7f\xff\xfe\xc3\xa4?a=\"b\\ HTTP/1.1\r\nHost: a\r\nUser-Agent: \"\x1b[2J\xff\\\r\nReferer: \xe2\x82\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \"}\\\r\n\r\n",
    b"GET /{\"a\":1},\n HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\xff\xff\"\\\r\n\r\n",
    b"GET /\xed\xa0\x80 HTTP/1.0\r\nAuthorization: Basic Ilx/IA==\r\n\r\n",
    b"G\"T / HTTP/1.1\r\n\r\n",
    b"GET /old\"\r\n",
];

/// The value of a JSON text, by Python's parser.
fn parse(lines: &str) -> Vec<String> {
    use std::io::Write as _;
    let program = "import json, sys\n\
        for line in sys.stdin.buffer:\n    \
        found = json.loads(line.decode())\n    \
        assert isinstance(found, dict)\n    \
        print(json.dumps(found, sort_keys=True))";
    let mut python = std::process::Command::new("python3")
        .args(["-c", program])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = python.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "not JSON: {lines}");
    support::stdout(&output)
        .lines()
        .map(ToOwned::to_owned)
        .collect()
}

fn start(place: Place, http: &str) -> Proxy {
    Proxy::start_with(place, &around(http), &["--log-format", "json"])
}

#[test]
fn every_line_parses_whatever_was_sent() {
    let place = Place::new("hostile");
    let http = "server { listen {plain}; location / { proxy_pass http://{ip}:9; } }";
    let mut proxy = start(place, http);
    for bytes in HOSTILE {
        let mut client = proxy.connect();
        client.send(bytes);
        client.finish_sending();
        client.rest();
    }
    proxy.signal(Signal::QUIT);
    proxy.exit_code();
    let access = parse(&proxy.place.read("access.log"));
    assert!(access.len() >= 5, "{access:?}");
    assert!(
        access.iter().any(|line| line.contains("\\\\xFF\\\\xFE")),
        "{access:?}"
    );
    let errors = parse(&proxy.place.read("error.log"));
    for wanted in [
        "\"level\": \"notice\"",
        "\"message\": \"exiting",
        "\"upstream\": \"http://",
    ] {
        assert!(
            errors.iter().any(|line| line.contains(wanted)),
            "{wanted} {errors:?}"
        );
    }
}

#[test]
fn a_line_has_what_the_text_has() {
    let place = Place::new("fields");
    let _upstream = Upstream::echo(&place);
    let http = "log_format own '$status $uri';
        server { listen {plain}; location / { proxy_pass http://{upstream}; }
        location /own { access_log {folder}/own.log own; return 204; }
        location /plain { access_log {folder}/plain.log combined; return 204; }
        location /gone { proxy_pass http://{ip}:9; } }";
    let proxy = start(place, http);
    for path in ["/a?b", "/own", "/plain", "/gone"] {
        proxy.connect().fetch(path);
    }
    eventually("all lines", || {
        proxy.place.read("access.log").lines().count() == 2
            && !proxy.place.read("plain.log").is_empty()
    });
    let line = &parse(&proxy.place.read("access.log"))[0];
    for part in [
        "\"bytes\": 18",
        "\"client\": \"127.0.0.1\"",
        "\"connection\": 1",
        "\"request\": \"GET /a?b HTTP/1.1\"",
        "\"status\": 200",
        "\"user\": \"\"",
        "\"duration\": ",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert_eq!(proxy.place.read("own.log"), "204 /own\n");
    assert!(proxy.place.read("plain.log").starts_with("127.0.0.1 - - ["));
    let errors = parse(&proxy.place.read("error.log"));
    let failed = errors
        .iter()
        .find(|line| line.contains("Connection refused"));
    for part in [
        "\"client\": \"127.0.0.1\"",
        "\"connection\": 4",
        "\"host\": \"a\"",
        "\"level\": \"error\"",
        "\"request\": \"GET /gone HTTP/1.1\"",
    ] {
        assert!(failed.unwrap().contains(part), "{part} in {failed:?}");
    }
}

#[test]
fn a_start_that_fails_is_told_in_the_same_form() {
    let place = Place::new("refused");
    let conf = place.write(
        "nginx.conf",
        &around("no_such \"a\"; server { listen {plain} bad; }"),
    );
    let refused = output(&place, &["-c", conf.to_str().unwrap(), "--log-format=json"]);
    assert_eq!(refused.status.code(), Some(1));
    let lines = parse(&stderr(&refused));
    assert!(lines.len() >= 2, "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("\"level\": \"emerg\"")),
        "{lines:?}"
    );
}

#[test]
fn an_upstream_cannot_flood_the_error_log() {
    const DUPLICATES: usize = 1000;
    for form in ["text", "json"] {
        let place = Place::new("flood");
        let _upstream = Upstream::start(&place, |mut served| {
            served.request();
            let first = [b"Date: ", &[0x80; 8000][..], b"\r\n"].concat();
            let others = b"Date: a\r\n".repeat(DUPLICATES);
            let start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
            served.write([start, &first[..], &others, b"\r\n"].concat());
        });
        let http = "server { listen {plain}; error_log {folder}/warn.log warn; location / {
            proxy_pass http://{upstream}; proxy_buffer_size 64k; proxy_buffers 4 64k; } }";
        let proxy = Proxy::start_with(place, &around(http), &["--log-format", form]);
        let path = format!("/{}", "\"".repeat(4000));
        assert_eq!(proxy.connect().fetch(&path).status, 200);
        proxy.logs("warn.log", "upstream sent 990 more duplicate header lines");
        let lines = proxy.place.read("warn.log");
        assert_eq!(lines.lines().count(), 11, "{form}");
        let longest = lines.lines().map(str::len).max().unwrap();
        match form {
            "text" => assert_eq!(longest, 2047),
            // The message, and what the request has in three more values.
            _ => assert!((6000..12000).contains(&longest), "{longest}"),
        }
        if form == "json" {
            parse(&lines);
        }
    }
}

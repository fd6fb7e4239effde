//! `gzip_static` with ranges, which an nginx before 1.31 does not have.

use crate::support::{Place, Proxy};

#[test]
fn parts_of_a_packed_file_can_be_asked_for() {
    let place = Place::new("packed");
    place.write("a.txt", "plain");
    place.write("a.txt.gz", "0123456789");
    let folder = place.path("").display().to_string();
    let http = format!("server {{ listen {{plain}}; root {folder}; gzip_static on; }}");
    let proxy = Proxy::start(place, &http);
    let mut client = proxy.connect();
    for (range, status, body) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=-1", 206, "9"),
        ("lines=1", 200, "0123456789"),
    ] {
        client.send(format!(
            "GET /a.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nRange: {range}\r\n\r\n"
        ));
        let response = client.response();
        assert_eq!(response.status, status, "{range}");
        assert_eq!(response.field("Content-Encoding"), Some("gzip"), "{range}");
        assert_eq!(response.text(), body, "{range}");
    }
}

//! Bodies larger than the proxy's memory: a slow side slows the other one down, and
//! nothing is buffered between them.

use crate::support::{Place, Proxy, Upstream, certificates, curl, stdout};

const SIZE: usize = 200 << 20;
/// The process's peak memory must stay below this, bytes.
const MEMORY: u64 = 64 << 20;

fn slow_reader(place: &Place) -> Upstream {
    Upstream::start(place, |mut served| {
        served.head();
        let count = served.wire.skip(SIZE);
        served.respond("200 OK", format!("{}", count == SIZE).as_bytes());
    })
}

fn fast_writer(place: &Place) -> Upstream {
    Upstream::start(place, |mut served| {
        served.request();
        served.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            served.write(&piece);
        }
    })
}

fn stayed_small(proxy: &Proxy) {
    let peak = proxy.peak_memory();
    assert!(peak < MEMORY, "{} MiB were in use", peak >> 20);
}

#[test]
fn an_upload_waits_for_a_slow_upstream() {
    let place = Place::new("upload");
    let _upstream = slow_reader(&place);
    let proxy = Proxy::passing(place, "client_max_body_size 0;");
    let mut client = proxy.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        client.send(&piece);
    }
    assert_eq!(client.response().text(), "true");
    stayed_small(&proxy);
}

#[test]
fn a_download_waits_for_a_slow_client() {
    let place = Place::new("download");
    let _upstream = fast_writer(&place);
    let proxy = Proxy::passing(place, "");
    let mut client = proxy.connect();
    client.ask("/");
    client.head();
    assert_eq!(client.skip(SIZE), SIZE);
    stayed_small(&proxy);
}

const TLS_SERVER: &str = "\
client_max_body_size 0;
server { listen {tls} ssl; http2 on;
    ssl_certificate localhost.pem; ssl_certificate_key localhost.key;
    location / { proxy_pass http://{upstream}; } }";

#[test]
fn a_download_over_http2_and_tls_stays_small() {
    let place = Place::new("download-tls");
    certificates::ecdsa(&place, "localhost");
    let _upstream = fast_writer(&place);
    let proxy = Proxy::start(place, TLS_SERVER);
    let output = curl(&[
        "--http2",
        "--limit-rate",
        "60M",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version} %{size_download}",
        &proxy.https("/"),
    ]);
    assert_eq!(stdout(&output), format!("2 {SIZE}"), "{output:?}");
    stayed_small(&proxy);
}

#[test]
fn an_upload_over_http2_and_tls_stays_small() {
    let place = Place::new("upload-tls");
    certificates::ecdsa(&place, "localhost");
    let _upstream = slow_reader(&place);
    let proxy = Proxy::start(place, TLS_SERVER);
    let file = proxy.place.path("upload");
    // Sparse: it uses no disk space.
    std::fs::File::create(&file)
        .unwrap()
        .set_len(SIZE as u64)
        .unwrap();
    let upload = file.to_str().unwrap();
    let output = curl(&["--http2", "--upload-file", upload, &proxy.https("/")]);
    assert_eq!(stdout(&output), "true", "{output:?}");
    stayed_small(&proxy);
}

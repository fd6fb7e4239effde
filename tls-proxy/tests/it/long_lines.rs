//! Long lines of access logs, of a body that a client has sent: every log has the whole line.

use std::io::Read as _;
use std::net::UdpSocket;
use std::process::Command;

use crate::support::proxy::around;
use crate::support::{PATIENCE, Place, Proxy, Upstream, eventually};
use flate2::read::MultiGzDecoder;
use rustix::process::Signal;

/// The line of a body is six times as long.
const BODY: usize = 250_000;

#[test]
fn every_log_has_the_whole_line() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let conf = around(&format!(
        "log_format body escape=json '{{\"status\":$status,\"body\":\"$request_body\",\"end\":1}}';
         client_body_buffer_size 1m;
         access_log /dev/stdout body; access_log {{folder}}/file.log body;
         access_log {{folder}}/again.log body buffer=32k flush=10s;
         access_log {{folder}}/packed.gz body gzip buffer=64k flush=10s; access_log {{folder}}/$host.log body;
         access_log syslog:server={},nohostname body if=$request_body;
         server {{ listen {{plain}}; root {{folder}}; location / {{ proxy_pass http://{{upstream}}; }} }}",
        server.local_addr().unwrap()
    ));
    let place = Place::new("long-lines");
    let _upstream = Upstream::echo(&place);
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_tls-proxy");
    command
        .current_dir(place.folder())
        .args(["-c", "exec \"$@\" > stdout.log", "sh", program]);
    let mut proxy = Proxy::start_by(place, &conf, command);
    let mut expected = String::new();
    for (size, byte) in [(10, 'a'), (BODY, '\x01'), (3000, '\n'), (BODY, '"')] {
        let body = byte.to_string().repeat(size);
        let mut client = proxy.connect();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: named\r\nContent-Length: {size}\r\n\r\n{body}"
        ));
        assert_eq!(client.response().status, 200);
        let escaped = match byte {
            '\x01' => "\\u0001".to_owned(),
            '\n' => "\\n".to_owned(),
            '"' => "\\\"".to_owned(),
            other => other.to_string(),
        };
        let escaped = escaped.repeat(size);
        let line = format!("{{\"status\":200,\"body\":\"{escaped}\",\"end\":1}}");
        let mut datagram = vec![0; 70_000];
        let size = server.recv(&mut datagram).unwrap();
        let got = String::from_utf8_lossy(&datagram[..size]);
        let (_, got) = got.split_once(" nginx: ").unwrap();
        // As much of it as fits.
        assert!(line.starts_with(got) && (got == line || size == 65_507));
        expected = format!("{expected}{line}\n");
    }
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.exit_code(), Some(0));
    for log in ["stdout.log", "file.log", "again.log", "named.log"] {
        eventually(log, || proxy.place.read(log) == expected);
    }
    let packed = std::fs::read(proxy.place.path("packed.gz")).unwrap();
    let mut text = String::new();
    MultiGzDecoder::new(&packed[..])
        .read_to_string(&mut text)
        .unwrap();
    assert!(text == expected, "{} bytes", text.len());
}

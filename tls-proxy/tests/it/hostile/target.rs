//! The program under attack: started with one configuration, sent requests, and its log counted.

use super::case::Case;
use super::certificates;
use super::http1::{Response, take_response};
use super::program::{Program, Running};
use super::sandbox::Sandbox;
use super::upstream::Upstreams;
use super::wire::Wire;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The numbers of the listeners.
pub(crate) const PLAIN: usize = 1;
pub(crate) const TLS: usize = 2;
pub(crate) const HURRIED_PLAIN: usize = 3;
pub(crate) const HURRIED_TLS: usize = 4;
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// All listeners in front of one upstream; at the hurried ones headers have two seconds to come.
const CONFIGURATION: &str = "\
worker_processes 1;
error_log %PREFIX%/error.log info;
pid %PREFIX%/nginx.pid;
events { worker_connections 2048; }
http {
    access_log %PREFIX%/access.log;
    client_body_temp_path %PREFIX%/client-body;
    proxy_temp_path %PREFIX%/proxy-temp;
    ssl_certificate %CERT%;
    ssl_certificate_key %KEY%;
    server {
        listen 127.0.0.1:%PORT_1%;
        listen 127.0.0.1:%PORT_2% ssl;
        location / { proxy_pass http://%UPSTREAM%; }
    }
    server {
        listen 127.0.0.1:%PORT_3%;
        listen 127.0.0.1:%PORT_4% ssl;
        client_header_timeout 2s;
        location / { proxy_pass http://%UPSTREAM%; }
    }
}
";

/// The program under attack.
pub(crate) struct Target {
    pub(crate) sandbox: Sandbox,
    running: Running,
    upstreams: Upstreams,
}

impl Target {
    pub(crate) fn start(name: &str) -> Self {
        crate::support::raise_file_limit();
        let folder = std::env::temp_dir().join(format!("hostile-{}-{name}", std::process::id()));
        let certificates = folder.join("tls");
        certificates::make(&certificates).unwrap();
        let sandbox = Sandbox::take(&folder, &certificates);
        let configuration = CONFIGURATION.to_owned();
        std::fs::write(folder.join("case.conf"), sandbox.fill(&configuration)).unwrap();
        let case = Case {
            configuration,
            whole: true,
            ..Case::default()
        };
        let upstreams = Upstreams::start(&case, &sandbox).unwrap();
        let binary = std::env::var_os("NGINX_SUBJECT").map_or_else(
            || PathBuf::from(env!("CARGO_BIN_EXE_tls-proxy")),
            PathBuf::from,
        );
        let program = Program::find(&binary).expect("the program does not run");
        let running = program.start(&case, &sandbox).unwrap();
        Self {
            sandbox,
            running,
            upstreams,
        }
    }

    /// Sends `bytes` on a new connection and returns the response, if there is one.
    pub(crate) fn ask(&self, bytes: &[u8]) -> Option<Response> {
        let mut wire = Wire::connect(self.sandbox.server(PLAIN), None).unwrap();
        wire.send(bytes);
        response_on(&mut wire)
    }

    pub(crate) fn ask_for(&self, request: &str) -> String {
        let response = self.ask(request.as_bytes());
        response.map_or_else(
            || "no response".to_owned(),
            |response| response.status().to_owned(),
        )
    }

    fn log_lines(&self) -> usize {
        let log = std::fs::read(self.sandbox.folder.join("access.log")).unwrap_or_default();
        log.iter().filter(|byte| **byte == b'\n').count()
    }

    /// Waits for `expected` lines, and a little longer in case there are more.
    pub(crate) fn has_logged(&self, expected: usize) {
        let started = Instant::now();
        while self.log_lines() < expected && started.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(self.log_lines(), expected, "lines in the access log");
    }

    /// A request over TCP and one over TLS get responses, each within [`PATIENCE`].
    pub(crate) fn still_serves(&self) {
        assert_eq!(
            self.ask_for("GET /alive HTTP/1.1\r\nHost: a\r\n\r\n"),
            "200"
        );
        let mut wire = Wire::connect(self.sandbox.server(TLS), Some(&[])).unwrap();
        wire.send(b"GET /alive HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(response_on(&mut wire).unwrap().status(), "200");
    }

    /// Stops the program and returns what the upstream received.
    pub(crate) fn finish(mut self) -> Vec<String> {
        self.running.stop();
        let seen = self.upstreams.finish();
        let _ = std::fs::remove_dir_all(&self.sandbox.folder);
        seen
    }
}

/// Waits for one response.
pub(crate) fn response_on(wire: &mut Wire) -> Option<Response> {
    wire.receive(PATIENCE, |bytes, over| {
        take_response(bytes, false, over).is_some()
    });
    take_response(&wire.received, false, wire.end.is_some())
}

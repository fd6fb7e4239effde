"""nginx/*.conf mean the same to nginx 1.22, to nginx 1.31 and to tls-proxy."""

import http.server
import os
import socket
import subprocess
import threading

import pytest

from conftest import ROOT, run, wait_for

NGINX_1_22 = ROOT / "target/tools/nginx-1.22/usr/sbin/nginx"
NGINX_1_31 = ROOT / "target/tools/nginx-1.31"
TLS_PROXY = ROOT / os.environ["PROGRAMS"] / "tls-proxy"

every_server = pytest.mark.parametrize(
    "server", [NGINX_1_22, NGINX_1_31, TLS_PROXY], ids=["nginx-1.22", "nginx-1.31", "tls-proxy"]
)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def main_file(folder, name, *replacements):
    """A main configuration around nginx/NAME, with the pod's places replaced."""
    text = (ROOT / "nginx" / name).read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (folder / "conf.d").mkdir(exist_ok=True)
    (folder / "conf.d" / name).write_text(text)
    main = folder / "nginx.conf"
    main.write_text("pid nginx.pid;\nevents {}\nhttp {\n    include conf.d/*.conf;\n}\n")
    (folder / "logs").mkdir(exist_ok=True)
    return main


def command(server, main):
    directives = "error_log stderr;"
    if server != TLS_PROXY:
        directives += " daemon off;"
    return [server, "-p", f"{main.parent}/", "-c", main, "-g", directives]


def check(server, main):
    return run(*command(server, main), "-t", check=False)


@pytest.fixture
def serve():
    """Starts a server with a main file; it ends with the test."""
    running = []

    def start(server, main, port):
        running.append(subprocess.Popen(command(server, main), stdout=subprocess.DEVNULL))

        def listens():
            assert running[-1].poll() is None
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0
        wait_for(listens, f"listener of {server.name}")

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the request's header."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"{self.requestline}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def upstream():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@every_server
def test_proxy_conf_is_accepted_without_a_warning(server, tls, tmp_path):
    run(tls / "update-tls.sh")
    done = check(server, main_file(tmp_path, "proxy.conf", ("/etc/tls", str(tls))))
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr and "[emerg]" not in done.stderr


@every_server
def test_default_conf_is_accepted_without_a_warning(server, tmp_path):
    done = check(server, main_file(tmp_path, "default.conf"))
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@every_server
def test_a_missing_certificate_is_refused_by_name(server, tmp_path):
    done = check(server, main_file(tmp_path, "proxy.conf", ("/etc/tls", str(tmp_path / "no"))))
    assert done.returncode != 0
    assert f"{tmp_path}/no/cert.pem" in done.stderr


@every_server
def test_proxy_conf_serves_https_that_curl_trusts(server, tls, tmp_path, upstream, serve):
    run(tls / "update-tls.sh")
    port = free_port()
    main = main_file(
        tmp_path, "proxy.conf", ("/etc/tls", str(tls)),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:80;", f"127.0.0.1:{upstream};"),
    )
    serve(server, main, port)
    seen = run("curl", "-sS", "--cacert", tls / "ca.pem", "-H", "X-Forwarded-For: 1.2.3.4",
               f"https://localhost:{port}/path?query").stdout
    lines = seen.splitlines()
    assert lines[0] == "GET /path?query HTTP/1.1"
    assert "Host: localhost" in lines
    assert "X-Forwarded-For: 127.0.0.1" in lines and "1.2.3.4" not in seen
    assert "X-Forwarded-Proto: https" in lines
    assert not [line for line in lines if line.startswith("Connection:")]


@every_server
def test_default_conf_serves_the_welcome_page(server, tmp_path, serve):
    port = free_port()
    serve(server, main_file(tmp_path, "default.conf", ("listen 80", f"listen 127.0.0.1:{port}")), port)
    page = run("curl", "-sSi", f"http://127.0.0.1:{port}/").stdout
    assert page.startswith("HTTP/1.1 200 OK")
    assert "Content-Type: text/html" in page
    assert "<h1>Welcome to tls-proxy</h1>" in page

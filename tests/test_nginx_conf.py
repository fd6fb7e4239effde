"""nginx/*.conf and the configuration of the image mean the same to nginx 1.22, to nginx 1.31 and to tls-proxy."""

import http.server
import os
import socket
import subprocess
import threading

import pytest

from conftest import NEVER, REFUSED, ROOT, own_address, run, wait_for

NGINX_1_22 = ROOT / "target/tools/nginx-1.22/usr/sbin/nginx"
NGINX_1_31 = ROOT / "target/tools/nginx-1.31"
IMAGE = ROOT / "tls-proxy/image"
TLS_PROXY = ROOT / os.environ["PROGRAMS"] / "tls-proxy"

every_server = pytest.mark.parametrize(
    "server", [NGINX_1_22, NGINX_1_31, TLS_PROXY], ids=["nginx-1.22", "nginx-1.31", "tls-proxy"]
)


def main_file(folder, path, *replacements):
    """A main configuration around the file, with the pod's addresses and paths replaced."""
    name, text = path.name, path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    (folder / "conf.d").mkdir(exist_ok=True)
    (folder / "conf.d" / name).write_text(text)
    main = folder / "nginx.conf"
    # A distribution's nginx logs to /var/log/nginx, which need not be there.
    main.write_text("pid nginx.pid;\nevents {}\n"
                    "http {\n    access_log logs/access.log;\n    include conf.d/*.conf;\n}\n")
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

    def start(server, main, place, **options):
        running.append(subprocess.Popen(command(server, main), stdout=subprocess.DEVNULL, **options))

        def listens():
            assert running[-1].poll() is None
            with socket.socket() as client:
                return client.connect_ex(place) == 0
        wait_for(listens, f"listener of {server.name}")

    yield start
    for process in running:
        process.terminate()
        process.wait(NEVER)


class Echo(http.server.BaseHTTPRequestHandler):
    """Responds with the request's header."""

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
    done = check(server, main_file(tmp_path, ROOT / "nginx/proxy.conf", ("/etc/tls", str(tls))))
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr and "[emerg]" not in done.stderr


@every_server
def test_the_main_configuration_of_the_image_is_accepted(server, tmp_path):
    text = (IMAGE / "etc/nginx/nginx.conf").read_text()
    for old, new in (("user nginx;", ""), ("/etc/nginx", str(IMAGE / "etc/nginx")),
                     ("/var/log/nginx", str(tmp_path)), ("/run", str(tmp_path))):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "nginx.conf").write_text(text)
    done = check(server, tmp_path / "nginx.conf")
    assert done.returncode == 0, done.stderr
    assert "[warn]" not in done.stderr


@every_server
def test_a_missing_certificate_is_refused_by_name(server, tmp_path):
    done = check(server, main_file(tmp_path, ROOT / "nginx/proxy.conf", ("/etc/tls", str(tmp_path / "no"))))
    assert done.returncode != 0
    assert f"{tmp_path}/no/cert.pem" in done.stderr


@every_server
def test_proxy_conf_serves_https_that_curl_trusts(server, tls, tmp_path, upstream, serve):
    run(tls / "update-tls.sh")
    address = own_address()
    main = main_file(
        tmp_path, ROOT / "nginx/proxy.conf", ("/etc/tls", str(tls)),
        ("listen 443 ssl", f"listen {address}:8443 ssl"),
        ("127.0.0.1:80;", f"127.0.0.1:{upstream};"),
    )
    serve(server, main, (address, 8443))
    claims = [word for field in ("Forwarded-For", "SSL-Protocol", "SSL-Curve", "SSL-Client-Verify", "SSL-Client-S-DN")
              for word in ("-H", f"X-{field}: 1.2.3.4")]
    seen = run("curl", "-sS", "--cacert", tls / "ca.pem", *claims, "--tlsv1.3", "--curves", "X25519",
               "--resolve", f"localhost:8443:{address}", "https://localhost:8443/path?query").stdout
    lines = seen.splitlines()
    assert lines[0] == "GET /path?query HTTP/1.1"
    assert "Host: localhost" in lines
    assert "X-Forwarded-For: 127.0.0.1" in lines and "1.2.3.4" not in seen
    assert "X-Forwarded-Proto: https" in lines
    # The fields for monolith's page. Without a client certificate there is no name.
    assert "X-SSL-Protocol: TLSv1.3" in lines and "X-SSL-Curve: X25519" in lines
    assert [line for line in lines if "Client" in line] == ["X-SSL-Client-Verify: NONE"]
    assert not [line for line in lines if line.startswith("Connection:")]


@every_server
def test_default_conf_serves_the_welcome_page(server, tmp_path, serve):
    address = own_address()
    main = main_file(tmp_path, IMAGE / "etc/nginx/conf.d/default.conf", ("listen 80", f"listen {address}:8080"),
                     ("/usr", str(IMAGE / "usr")))
    serve(server, main, (address, 8080))
    page = run("curl", "-sSi", f"http://{address}:8080/").stdout
    assert page.startswith("HTTP/1.1 200 OK")
    assert "<h1>Welcome to tls-proxy</h1>" in page


def test_a_broken_certificate_is_refused_in_the_words_that_e2e_waits_for(tls, tmp_path, serve):
    run(tls / "update-tls.sh")
    address, log = own_address(), tmp_path / "stderr"
    main = main_file(tmp_path, ROOT / "nginx/proxy.conf", ("/etc/tls", str(tls)),
                     ("listen 443 ssl", f"listen {address}:8443 ssl"))
    with log.open("w") as stderr:
        serve(TLS_PROXY, main, (address, 8443), stderr=stderr)
    (tls / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
    wait_for(lambda: REFUSED in log.read_text(), REFUSED, 60)

"""Many clients at once whose requests need memory more than once: for a decompressor (gunzip),
or to pass on the body of the request and then that of the response. Each gets its response,
though there is memory for few of them at a time. They must not wait for each other's."""

import gzip
import http.client
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest

from conftest import own_address, wait_for
from limited import MIB, Upstream, cgroup, tls_proxy

CLIENTS = 100
BODY = os.urandom(200_000)
PACKED = gzip.compress(BODY)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(PACKED)))
        self.end_headers()
        self.wfile.write(PACKED)

    def do_POST(self):
        """A server that reads the whole body first, in chunks or of a known length."""
        size = self.headers["Content-Length"]
        while size is None and (chunk := int(self.rfile.readline(), 16)):
            self.rfile.read(chunk + 2)
        self.rfile.read(int(size or 2))
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


@pytest.fixture
def group():
    with cgroup("bodies-for-many", 16 * MIB) as made:
        yield made


@pytest.fixture
def proxy(group, tmp_path):
    address = own_address()
    with Upstream((address, 8001), Handler) as upstream:
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        configuration = (
            f"http {{ access_log off; gunzip on; proxy_http_version 1.1; server {{ listen {address}:8000; "
            f"location / {{ proxy_pass http://{address}:8001; }} location /up {{ return 200; }} }} }}")
        with tls_proxy(group, tmp_path, configuration):
            yield address
        upstream.shutdown()


def get(address, path, body=None):
    """The body of a response; what went wrong if there is none."""
    connection = http.client.HTTPConnection(address, 8000, timeout=60)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"Connection": "close"})
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


# What is streamed, what is kept (client_body_buffer_size), and the same of unknown length.
@pytest.mark.parametrize("body", [None, BODY, BODY[:10_000], [BODY[:10_000]]],
                         ids=["decompressed", "large", "small", "chunked"])
def test_each_client_gets_its_response(proxy, body):
    wait_for(lambda: get(proxy, "/up") == b"", "tls-proxy", 60)
    with ThreadPoolExecutor(CLIENTS) as clients:
        bodies = list(clients.map(lambda _: get(proxy, "/", body), range(CLIENTS)))
    others = [body[:80] for body in bodies if body != BODY]
    assert not others, f"{len(others)} of {CLIENTS}: {others[:3]}"

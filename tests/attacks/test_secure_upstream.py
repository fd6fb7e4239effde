"""Many clients at once whose requests are passed on over TLS, where there is memory for few of
them at a time. Requests must not wait for each other's memory, also not with an upstream of many
certificates."""

import http.client
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest

import large_certificate
from conftest import own_address, wait_for
from limited import MIB, Upstream, cgroup, is_up, tls_proxy

CLIENTS, REQUESTS = 40, 5
# A client of an upstream with many certificates may have to come again: its memory is needed.
TRIES = {"few": 1, "many": 10}
SIZES = {"few": 10, "many": 18_000}
BODY = b"x" * 20_000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


@pytest.fixture
def group():
    with cgroup("secure-upstream", 10 * MIB) as made:
        yield made


@pytest.fixture
def proxy(group, tmp_path, certificates):
    address = own_address()
    tls = large_certificate.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), SIZES[certificates])
    with Upstream((address, 8001), Handler) as upstream:
        # The handshake is made by the thread that serves the connection.
        upstream.socket = tls.wrap_socket(upstream.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=upstream.serve_forever, daemon=True).start()
        configuration = f"""http {{ access_log off;
            upstream secure {{ server {address}:8001; keepalive 64; }}
            server {{ listen {address}:8000; location / {{ proxy_pass https://secure; proxy_http_version 1.1;
            proxy_set_header Connection ""; }} }} }}"""
        with tls_proxy(group, tmp_path, configuration, "--admin", f"{address}:9113"):
            wait_for(lambda: is_up(address), "tls-proxy", 60)
            yield address
        upstream.shutdown()


def get(address, tries):
    """The status and the size of a response."""
    client = http.client.HTTPConnection(address, 8000, timeout=60)
    try:
        client.request("GET", "/")
        response = client.getresponse()
        return response.status, len(response.read())
    except (OSError, http.client.HTTPException):
        if tries == 1:
            raise
        return get(address, tries - 1)
    finally:
        client.close()


@pytest.mark.parametrize("certificates", ["few", "many"])
def test_all_get_their_responses(group, proxy, certificates):
    tries = TRIES[certificates]
    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(lambda _: get(proxy, tries), range(CLIENTS * REQUESTS)))
    assert set(results) == {(200, len(BODY))}
    assert group.kills() == 0

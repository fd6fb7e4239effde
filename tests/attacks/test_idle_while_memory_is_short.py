"""Idle connections while requests that wait for an upstream hold all of the memory: what arrives on them
is not read before there is memory for a request."""

import http.client
import os
import socket
import ssl
import threading
import time

import pytest

import large_certificate
from conftest import own_address, wait_for
from limited import MIB, cgroup, tls_proxy

PLAIN, TLS, UPSTREAM = 8000, 8443, 8001
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = REQUEST.replace(b"/ ", b"/slow ", 1)
IDLE = 8


@pytest.fixture
def group():
    with cgroup("idle-short", 12 * MIB) as made:
        yield made


class Proxy:
    """tls-proxy with requests that are never responded to, until one more would close an idle connection."""

    def __init__(self, address, folder, passed_on):
        self.address, self.folder = address, folder
        self.passed_on = passed_on
        self.slow, self.idle = [], []

    def connect(self, port=PLAIN):
        client = socket.create_connection((self.address, port), timeout=60)
        if port == TLS:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client = context.wrap_socket(client)
        return client

    def fill(self, port=PLAIN):
        for _ in range(IDLE):
            client = self.connect(port)
            client.sendall(REQUEST)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            self.idle.append(client)
        while len(self.open()) == IDLE:
            client = self.connect()
            client.sendall(SLOW)
            self.slow.append(client)
            has_effect = lambda: len(self.passed_on) == len(self.slow) or len(self.open()) < IDLE
            wait_for(has_effect, "the request at the upstream")
        assert self.open()

    def open(self):
        """The idle connections that the proxy has not closed."""
        return [client for client in self.idle if not is_closed(client)]

    def log(self, name):
        return (self.folder / name).read_text()


def is_closed(client):
    raw = socket.socket(fileno=os.dup(client.fileno()))
    raw.setblocking(False)
    try:
        return raw.recv(1, socket.MSG_PEEK) is not None
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        raw.close()


@pytest.fixture
def proxy(group, tmp_path):
    address = own_address()
    large_certificate.make(tmp_path, 10)
    upstream = socket.create_server((address, UPSTREAM), backlog=1000)
    kept = []

    def accept():
        try:
            while True:
                kept.append(upstream.accept()[0])
        except OSError:
            pass

    threading.Thread(target=accept, daemon=True).start()
    configuration = f"""worker_processes 1; http {{ access_log access.log; error_log error.log info;
        ssl_certificate own.pem; ssl_certificate_key own.key;
        server {{ listen {address}:{PLAIN}; listen {address}:{TLS} ssl;
        location /slow {{ proxy_pass http://{address}:{UPSTREAM}; }} location / {{ return 200 ok; }} }} }}"""
    with tls_proxy(group, tmp_path, configuration):
        wait_for(lambda: is_up(address), "tls-proxy", 60)
        own = Proxy(address, tmp_path, kept)
        yield own
        for client in own.slow + own.idle + kept:
            client.close()
        upstream.close()


def is_up(address):
    client = http.client.HTTPConnection(address, PLAIN, timeout=10)
    try:
        client.request("GET", "/")
        return client.getresponse().status == 200
    except OSError:
        return False
    finally:
        client.close()


def test_a_request_whose_client_sends_no_more_is_served(proxy):
    proxy.fill()
    client = proxy.open()[-1]
    client.sendall(REQUEST)
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_leaves_is_no_request(proxy):
    proxy.fill(TLS)
    for client in proxy.open():
        client.settimeout(0)
        try:
            client.unwrap()
        except (OSError, ssl.SSLError):
            pass
        client.close()
    # Longer than those who have left are waited for.
    time.sleep(2)
    assert '"" 503 ' not in proxy.log("access.log")
    assert 'request: ""' not in proxy.log("error.log")

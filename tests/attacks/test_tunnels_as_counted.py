"""Tunnels whose sides both send and do not read: what waits in the proxy is reserved before."""

import socket
import ssl
import threading

import pytest

from attack import context
from conftest import own_address, wait_for
from limited import MIB, Growth, cgroup, is_up, tls_proxy
from servers import make_certificate

TUNNELS = 200
UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
# Each side sends until nothing is taken any more.
PIECE = b"x" * 16384


def small_buffers(made):
    """Buffers of the kernel that are soon full."""
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, buffer, 4096)
    return made


@pytest.fixture
def group():
    # Room for both directions of all of them on one of two workers: none is evicted.
    with cgroup("tunnels", 160 * MIB) as made:
        yield made


@pytest.fixture
def address():
    return own_address()


@pytest.fixture(params=[(False, False), (False, True), (True, True)], ids=["plain", "TLS to the upstream", "TLS"])
def secure(request):
    """Whether clients and the upstream use TLS."""
    return request.param


@pytest.fixture
def certificate(tmp_path):
    return make_certificate(tmp_path, "ec")


@pytest.fixture
def upstream(address, secure, certificate):
    """The upstream's ends of the tunnels."""
    opened = []
    tls = None
    if secure[1]:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*certificate)
    with small_buffers(socket.socket()) as listener:
        listener.bind((address, 8001))
        listener.listen(TUNNELS)

        def accept():
            while len(opened) < TUNNELS:
                end, _ = listener.accept()
                if tls:
                    end = tls.wrap_socket(end, server_side=True)
                end.recv(4096)
                end.sendall(SWITCHING)
                opened.append(end)

        threading.Thread(target=accept, daemon=True).start()
        yield opened


@pytest.fixture
def proxy(group, tmp_path, upstream, address, secure, certificate):
    tls = f"ssl; ssl_certificate {certificate[0]}; ssl_certificate_key {certificate[1]}" if secure[0] else ""
    scheme = "https" if secure[1] else "http"
    configuration = f"""http {{ access_log off; server {{ listen {address}:8000 {tls}; location / {{
        proxy_pass {scheme}://{address}:8001; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $http_connection; }} }} }}"""
    with tls_proxy(group, tmp_path, configuration, "--admin", f"{address}:9113"):
        wait_for(lambda: is_up(address), "tls-proxy", 60)
        yield address


def fill(end):
    """Whether the end of a tunnel takes nothing more."""
    end.settimeout(0.01)
    try:
        end.send(PIECE)
    except (TimeoutError, ssl.SSLWantWriteError):
        return True
    return False


def connect(address, secure):
    client = small_buffers(socket.socket())
    client.connect((address, 8000))
    if secure:
        client = context("http/1.1").wrap_socket(client)
    client.sendall(UPGRADE)
    return client


def test_what_waits_is_reserved(group, proxy, upstream, secure):
    growth = Growth(group, proxy)
    clients = [connect(proxy, secure[0]) for _ in range(TUNNELS)]
    wait_for(lambda: len(upstream) == TUNNELS, "the tunnels", 60)
    for client in clients:
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
    wait_for(lambda: all([fill(end) for end in clients + upstream]), "full tunnels", 60)
    growth.check(TUNNELS * 16384)
    for end in clients + upstream:
        end.close()
